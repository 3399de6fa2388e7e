package resp

import (
	"fmt"
	"strings"
	"testing"
)

// relayed is where a Relay ended: how many bytes it took and with which result.
func relayed(rl *Relay, buf []byte, cuts ...int) string {
	total := 0
	for _, to := range append(cuts, len(buf)) {
		piece := buf[total:to]
		n, done, err := rl.Next(piece)
		total += n
		if err != nil {
			return fmt.Sprintf("error %v after %d", err, total)
		}
		if done {
			return fmt.Sprintf("done %d", total)
		}
		if n != len(piece) {
			return fmt.Sprintf("took %d of %d but is neither done nor failed", n, len(piece))
		}
	}
	return fmt.Sprintf("open %d", total)
}

func TestRelay(t *testing.T) {
	head := "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$20\r\n"
	body := strings.Repeat("v", 20)
	for _, c := range []struct{ name, in, want string }{
		{"whole", head + body + "\r\n", "done 49"},
		{"more behind", head + body + "\r\nPING", "done 49"},
		{"body cut", head + body[:5], "open 32"},
		{"no LF", head + body + "\r", "open 48"},
		{"body longer", head + body + "v\r\n", "error ERR Protocol error: invalid CRLF after 47"},
		{"body ended by x LF", head + body + "x\n", "error ERR Protocol error: invalid CRLF after 47"},
		{"body ended by CR x", head + body + "\rx", "error ERR Protocol error: invalid CRLF after 48"},
		{"second large one", "*3\r\n$3\r\nSET\r\n$30\r\n" + strings.Repeat("k", 30) + "\r\n$20\r\n" + body + "\r\n", "done 77"},
		{"empty one behind", "*3\r\n$3\r\nSET\r\n$20\r\n" + body + "\r\n$0\r\n\r\n", "done 46"},
		{"bad length behind", "*3\r\n$3\r\nSET\r\n$20\r\n" + body + "\r\n$-1\r\n", "error ERR Protocol error: invalid bulk length after 44"},
		{"long length behind", "*3\r\n$3\r\nSET\r\n$20\r\n" + body + "\r\n$99\r\n", "error ERR Protocol error: invalid bulk length after 44"},
		{"no dollar behind", "*3\r\n$3\r\nSET\r\n$20\r\n" + body + "\r\n:1\r\n", "error ERR Protocol error: expected '$', got ':' after 43"},
		{"no line end behind", "*3\r\n$3\r\nSET\r\n$20\r\n" + body + "\r\n" + strings.Repeat("1", 33),
			"error ERR Protocol error: too big bulk count string after 72"},
	} {
		t.Run(c.name, func(t *testing.T) {
			lim := &Limits{Stream: 10, MaxBulk: 64, MaxInline: 32}
			buf := []byte(c.in)
			for have := strings.Index(c.in, "$20\r\n") + 6; have < len(buf); have++ {
				for cut := range len(buf) {
					var r Request
					st, err := r.Scan(buf[:have], lim)
					if err != nil || st == Complete || (st == NeedMore && r.Argc == 0) {
						break
					}
					rl := r.Relay()
					if got := relayed(&rl, buf, cut); got != c.want {
						t.Fatalf("scanned %d bytes (%v), relayed in pieces of %d and the rest: %s, want %s", have, st, cut, got, c.want)
					}
				}
			}
		})
	}
}

// TestRelayRefusesLikeScan: what stands behind the large argument is judged by the limits given to Scan.
func TestRelayRefusesLikeScan(t *testing.T) {
	head := "*3\r\n$20\r\n" + strings.Repeat("k", 20) + "\r\n"
	for _, c := range []struct {
		tail string
		want *ProtocolError
	}{
		{"$16385\r\n", errUnauthLength},
		{"$1\rx", errCRLF},
		{"\r\n", errDollar('\r')},
		{"$\r\n", errLength},
		{"$1\r\nabc", errCRLF},
	} {
		lim := &Limits{Stream: 10, Unauthenticated: true}
		buf := []byte(head + c.tail)
		if got := scanWhole(buf, lim); got.text != c.want.Text {
			t.Errorf("Scan with %q behind: %v, want %v", c.tail, got, c.want)
		}
		var r Request
		if st, err := r.Scan(buf[:12], lim); st != Large || err != nil {
			t.Fatal(st, err)
		}
		rl := r.Relay()
		n, done, err := rl.Next(buf)
		if done || err == nil || err.Error() != c.want.Text {
			t.Errorf("Relay with %q behind: %d, %v, %v, want %v", c.tail, n, done, err, c.want)
		}
		if n, done, again := rl.Next([]byte("$1\r\n")); n != 0 || done || again != err {
			t.Errorf("after %v the next call returned %d, %v, %v", err, n, done, again)
		}
	}
}

func TestRelayOfCompleteAndUnknown(t *testing.T) {
	var r Request
	buf := []byte("PING\r\nPING\r\n")
	r.Scan(buf, nil)
	rl := r.Relay()
	if got := relayed(&rl, buf, 3); got != "done 6" {
		t.Errorf("a complete inline request: %s, want done 6", got)
	}
	r.Reset()
	r.Scan([]byte("*1"), nil)
	rl = r.Relay()
	if n, done, err := rl.Next(buf); n != 0 || done || err != error(errRelay) {
		t.Errorf("a request without its count: %d, %v, %v, want %v", n, done, err, errRelay)
	}
	r.Reset()
	_, want := r.Scan([]byte("*x\r\n"), nil)
	rl = r.Relay()
	if _, _, err := rl.Next(buf); err != want {
		t.Errorf("a malformed request: %v, want %v", err, want)
	}
}

// TestRelayHugeValue passes 512 MiB through a small buffer.
func TestRelayHugeValue(t *testing.T) {
	var r Request
	buf := make([]byte, 1<<20)
	n := copy(buf, "*2\r\n$3\r\nSET\r\n$536870912\r\n")
	if st, err := r.Scan(buf[:n], nil); st != Large || err != nil {
		t.Fatal(st, err)
	}
	rl := r.Relay()
	rl.Next(buf[:n])
	clear(buf)
	for left := int64(512 << 20); left > 0; left -= int64(len(buf)) {
		if rl.BulkLeft() != left {
			t.Fatalf("BulkLeft = %d, want %d", rl.BulkLeft(), left)
		}
		if n, done, err := rl.Next(buf); n != len(buf) || done || err != nil {
			t.Fatal(n, done, err)
		}
	}
	if n, done, err := rl.Next([]byte("\r\n*")); n != 2 || !done || err != nil {
		t.Fatal(n, done, err)
	}
}
