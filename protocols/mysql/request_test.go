package mysql

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// request runs a Request over in by chunks and returns it with the bytes that belong to it.
func request(t *testing.T, in []byte, seq byte, chunk int) (q Request, n int, err error) {
	t.Helper()
	q.Start(seq)
	have := 0
	for !q.Done() {
		k, err := q.Next(in[n:have])
		if err != nil {
			if _, again := q.Next(in[n:have]); again != err || !errors.Is(err, ErrMalformed) {
				t.Fatalf("error %v, then %v", err, again)
			}
			return q, n, err
		}
		if n += k; q.Done() {
			break
		}
		if have == len(in) && k == 0 {
			return q, n, nil
		}
		have = min(have+chunk, len(in))
	}
	if _, err := q.Next(nil); err == nil {
		t.Error("Next behind the end is no error")
	}
	return q, n, nil
}

func TestRequest(t *testing.T) {
	big, _ := AppendPacket(nil, 0, append([]byte{byte(ComQuery)}, make([]byte, MaxPayload)...))
	full, _ := AppendPacket(nil, 255, append([]byte{byte(ComStmtExecute)}, make([]byte, MaxPayload-1)...))
	for _, c := range []struct {
		name   string
		in     []byte
		seq    byte
		cmd    Command
		size   int64
		frames int
	}{
		{"ping", []byte("\x01\x00\x00\x00\x0e"), 0, ComPing, 1, 1},
		{"query", []byte(pk(0, "\x03SELECT 1")), 0, ComQuery, 9, 1},
		{"two frames", big, 0, ComQuery, MaxPayload + 1, 2},
		{"a full frame and an empty one", full, 255, ComStmtExecute, MaxPayload, 2},
		{"file data", []byte(pk(2, "\x01,2\n")), 2, Command(1), 4, 1},
		{"empty", []byte(pk(3, "")), 3, 0, 0, 1},
	} {
		for _, chunk := range []int{1, 3, 4, 5, 4096, len(c.in)} {
			if chunk < 100 && len(c.in) > MaxPayload {
				continue
			}
			in := append(c.in[:len(c.in):len(c.in)], "\x01\x00\x00\x00\x0e"...)
			q, n, err := request(t, in, c.seq, chunk)
			cmd, ok := q.Command()
			if err != nil || n != len(c.in) || q.Size() != c.size || q.Frames() != c.frames || !q.Last() || cmd != c.cmd || ok != (c.size > 0) {
				t.Errorf("%s by %d: %d of %d bytes, size %d, %d frames, last %v, %s %v, %v",
					c.name, chunk, n, len(c.in), q.Size(), q.Frames(), q.Last(), cmd, ok, err)
			}
		}
	}
	if q, n, err := request(t, big[:100], 0, 100); n != 100 || q.Done() || q.Last() || q.Size() != MaxPayload || err != nil {
		t.Errorf("a part: %d bytes, done %v, last %v, size %d, %v", n, q.Done(), q.Last(), q.Size(), err)
	}
	if _, _, err := request(t, []byte(pk(1, "\x0e")), 0, 10); err == nil || !strings.Contains(err.Error(), "sequence id 1 instead of 0") {
		t.Errorf("wrong id: %v", err)
	}
	wrong := append([]byte{}, big...)
	wrong[HeaderLen+MaxPayload+3] = 5
	for _, chunk := range []int{1 << 20, len(wrong)} {
		if _, n, err := request(t, wrong, 0, chunk); err == nil || n != HeaderLen+MaxPayload {
			t.Errorf("wrong id of the second frame: %d bytes, %v", n, err)
		}
	}
}

// TestRequestRenumber gives packets with sequence ids as they come inside of compressed frames.
func TestRequestRenumber(t *testing.T) {
	packet := AppendHeader(nil, MaxPayload, 7)
	packet = append(packet, make([]byte, MaxPayload)...)
	packet = append(AppendHeader(packet, 1, 200), 'x')
	for _, step := range []int{len(packet), 1 << 20, 5} {
		var q Request
		q.Start(254)
		q.Renumber()
		b := bytes.Clone(packet)
		for at := 0; !q.Done(); {
			n, err := q.Next(b[at:min(at+step, len(b))])
			if err != nil || n == 0 {
				t.Fatalf("pieces of %d: at %d: %d, %v", step, at, n, err)
			}
			at += n
		}
		if b[3] != 254 || b[HeaderLen+MaxPayload+3] != 255 {
			t.Errorf("pieces of %d: the ids are %d and %d, want 254 and 255", step, b[3], b[HeaderLen+MaxPayload+3])
		}
	}
}
