//go:build long

package matrix

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/protocols/http2"
	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/protocols/serial"
	"github.com/sluice-mesh/sluice/testenv/load/grpc"
	motanpeers "github.com/sluice-mesh/sluice/testenv/motan"
)

// raw is how a client that is no more than a connection makes its only call: what it sends, and how it reads the answer, of which
// take gets the parts of the value. It costs a test little, so that there may be thousands.
type raw struct {
	echo  func(text, key string) []byte // key is what balance hash chooses by; "": none
	large func(size int) []byte         // the answer has that many bytes
	read  func(in *bufio.Reader, take func([]byte)) error
	// unread are requests for a long answer of clients that do not read it: they leave it to the system, or do not allow it.
	unread []func(size int) []byte
	keyed  string // settings that name the key
	most   int    // bytes of the largest answer
}

var raws = map[string]raw{
	"motan2": {
		echo:  func(text, key string) []byte { return motanCall("echo", key, text) },
		large: motanLarge, unread: []func(int) []byte{motanLarge},
		read: motanAnswer,
		most: 4 << 20, // settings.max-content is 10 MiB
	},
	"http": {
		echo: func(text, key string) []byte {
			return []byte("GET /echo?" + text + " HTTP/1.1\r\nHost: cache\r\nX-Key: " + key + "\r\n\r\n")
		},
		large: httpLarge, unread: []func(int) []byte{httpLarge},
		read:  httpAnswer,
		keyed: ", key: X-Key",
		most:  128 << 20,
	},
	"grpc": {
		echo: func(text, key string) []byte {
			return grpcCall("/"+grpc.Service+"/Echo", key, http2.MaxWindow, append([]byte{1<<3 | 2, byte(len(text))}, text...))
		},
		large: func(size int) []byte { return grpcLarge(size, http2.MaxWindow) },
		unread: []func(int) []byte{
			func(size int) []byte { return grpcLarge(size, http2.MaxWindow) },
			func(size int) []byte { return grpcLarge(size, 1000) },
		},
		read:  grpcAnswer,
		keyed: ", hash: x-key",
		most:  64 << 20,
	},
}

func motanLarge(size int) []byte { return motanCall("bytes", "", int64(size)) }

func httpLarge(size int) []byte {
	return fmt.Appendf(nil, "GET /bytes?%d HTTP/1.1\r\nHost: cache\r\n\r\n", size)
}

func motanCall(method, key string, args ...any) []byte {
	var meta []byte
	for _, p := range [...][2]string{{motan2.KeyService, motanpeers.Service}, {motan2.KeyMethod, method}, {motan2.KeyGroup, motanpeers.Group},
		{motan2.KeyVersion, motanpeers.Version}, {motan2.KeyTimeout, "20000"}, {"consistentHashKey", key}} {
		if p[1] != "" {
			meta = motan2.AppendPair(meta, p[0], p[1])
		}
	}
	body, err := serial.Simple{}.Append(nil, args...)
	if err != nil {
		panic(err) // of values that are here
	}
	return motan2.Append(nil, motan2.Head{ID: 1, Serialization: byte(serial.IDSimple)}, meta, body)
}

func motanAnswer(in *bufio.Reader, take func([]byte)) error {
	var f motan2.Frame
	for buf := []byte(nil); ; {
		if ok, err := f.Scan(buf, 16<<20); err != nil {
			return err
		} else if ok {
			break
		}
		have := len(buf)
		buf = append(buf, make([]byte, max(f.Size-have, 1))...)
		if _, err := io.ReadFull(in, buf[have:]); err != nil {
			return err
		}
	}
	if f.Status != motan2.StatusNormal {
		return fmt.Errorf("the answer is %s", f.Meta.Get(motan2.KeyException))
	}
	v, err := serial.DecodeOne(serial.Simple{}, f.Body, 0)
	switch v := v.(type) {
	case string:
		take([]byte(v))
	case []byte:
		take(v)
	default:
		return fmt.Errorf("the answer is %v, %w", v, err)
	}
	return nil
}

func httpAnswer(in *bufio.Reader, take func([]byte)) error {
	a, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		b, err := io.ReadAll(a.Body)
		return fmt.Errorf("the answer is %s, %s, %w", a.Status, b, err)
	}
	return parts(a.Body, -1, take)
}

// parts reads n bytes, or all when n is negative.
func parts(from io.Reader, n int, take func([]byte)) error {
	if n >= 0 {
		from = io.LimitReader(from, int64(n))
	}
	b := make([]byte, 16<<10)
	for {
		got, err := from.Read(b)
		take(b[:got])
		n -= got
		switch {
		case err == io.EOF && n > 0:
			return io.ErrUnexpectedEOF
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// grpcLarge asks for an answer of some bytes, and takes window of them at first.
func grpcLarge(size int, window uint32) []byte {
	return grpcCall("/grpc.testing.TestService/UnaryCall", "", window, binary.AppendUvarint([]byte{2 << 3}, uint64(size)))
}

// grpcCall opens a connection that takes window bytes of each answer at first, and calls a method.
func grpcCall(path, key string, window uint32, message []byte) []byte {
	enc := http2.NewEncoder()
	enc.Begin()
	for _, f := range [...][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", path}, {":authority", "cache"},
		{"content-type", "application/grpc"}, {"te", "trailers"}, {"grpc-timeout", "20S"}, {"x-key", key}} {
		if f[1] != "" {
			enc.Field(http2.Field{Name: f[0], Value: f[1]})
		}
	}
	b := http2.AppendSettings([]byte(http2.Preface), http2.Setting{ID: http2.SettingWindow, Value: window})
	b = http2.AppendWindow(b, 0, http2.MaxWindow-http2.DefaultWindow)
	b = enc.End(b, 1, false, http2.DefaultFrame)
	return http2.AppendData(b, 1, true, append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...))
}

// grpcAnswer reads frames until the only stream has ended, and checks the lengths that a message claims.
func grpcAnswer(in *bufio.Reader, take func([]byte)) error {
	skip, last := 0, 0 // of the beginning of the message
	var begin []byte
	for {
		var head [9]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return err
		}
		n, kind, flags := int(head[0])<<16|int(head[1])<<8|int(head[2]), head[3], head[4]
		if kind != http2.TypeData {
			if _, err := in.Discard(n); err != nil {
				return err
			}
			if kind == http2.TypeGoAway || kind == http2.TypeRSTStream {
				return errors.New("the call was cut off")
			}
		} else if err := parts(in, n, func(b []byte) {
			last += len(b)
			if len(begin) < 32 { // a prefix of 5 bytes, and what is before the value
				begin = append(begin, b[:min(len(b), 32-len(begin))]...)
			}
			if skip == 0 {
				if skip = before(begin); skip == 0 {
					return
				}
				b = b[max(0, len(b)-(last-skip)):]
			}
			take(b)
		}); err != nil {
			return err
		}
		if flags&http2.FlagEndStream != 0 && (kind == http2.TypeData || kind == http2.TypeHeaders) {
			if skip == 0 {
				return errors.New("the answer has no message")
			}
			return nil
		}
	}
}

// before is how many bytes of a message come before its value: a StringValue, or the body in the payload of a SimpleResponse. 0: it
// cannot be told yet.
func before(b []byte) int {
	at := 5
	for {
		if len(b) <= at+1 {
			return 0
		}
		tag := b[at]
		n, size := binary.Uvarint(b[at+1:])
		if size <= 0 {
			return 0
		}
		at += 1 + size
		if tag == 1<<3|2 && n > 1000 { // a payload, which is a message
			continue
		}
		return at
	}
}

// calls makes one call with a text of its own on a connection, and checks the answer. It is what connect may do first.
func (r raw) calls() func(net.Conn) error {
	n := new(atomic.Int64)
	return func(c net.Conn) error { return r.call(c, fmt.Sprintf("call%d", n.Add(1)), "") }
}

func (r raw) call(c net.Conn, text, key string) error {
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write(r.echo(text, key)); err != nil {
		return err
	}
	var got strings.Builder
	err := r.read(bufio.NewReaderSize(c, 512), func(b []byte) { got.Write(b) })
	if err == nil && got.String() != text {
		err = fmt.Errorf("echo of %q is %q", text, got.String())
	}
	return err
}

// takes asks for a long answer and counts its bytes.
func (r raw) takes(c net.Conn, size int) error {
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write(r.large(size)); err != nil {
		return err
	}
	got := 0
	if err := r.read(bufio.NewReaderSize(c, 64<<10), func(b []byte) { got += len(b) }); err != nil {
		return err
	}
	if got != size {
		return fmt.Errorf("an answer of %d bytes has %d", size, got)
	}
	return nil
}
