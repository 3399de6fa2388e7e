package motan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/protocols/serial"
)

// seen is a request as a server got it.
type seen struct {
	motan2.Head
	meta motan2.Meta
	body []byte
}

// server answers requests by their method:
//
//	echo      the body
//	hang      never
//	late      after 300 ms
//	getLate   after getLate: the other server has been asked by then, on a busy machine too
//	biz, reject, missing   an exception: of the service, of a full server, of one without the service
//	drop      by closing the connection
//	invent    with another id than the request's
//	twice     two times
type server struct {
	t    testing.TB
	ln   net.Listener
	addr string

	weight string // what it says of itself; set before anybody connects

	mu    sync.Mutex
	got   []seen
	conns map[net.Conn]bool
	work  sync.WaitGroup
	deaf  chan struct{} // not nil: nothing is read until it is closed
	mute  atomic.Bool   // nothing is answered, not even heartbeats
}

func newServer(t testing.TB) *server { return newDeafServer(t, nil) }

// newDeafServer starts a server that reads nothing until deaf, if not nil, is closed.
func newDeafServer(t testing.TB, deaf chan struct{}) *server {
	s := &server{t: t, deaf: deaf, conns: map[net.Conn]bool{}}
	var err error
	if s.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.addr = s.ln.Addr().String()
	s.work.Go(func() {
		for {
			nc, err := s.ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[nc] = true
			s.mu.Unlock()
			s.work.Go(func() { s.serve(nc) })
		}
	})
	t.Cleanup(s.stop)
	return s
}

func (s *server) stop() {
	s.ln.Close()
	s.cut()
	s.work.Wait()
}

// cut closes all connections.
func (s *server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for nc := range s.conns {
		nc.Close()
	}
	clear(s.conns)
}

// requests returns what came so far.
func (s *server) requests() []seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]seen(nil), s.got...)
}

func (s *server) serve(nc net.Conn) {
	defer nc.Close()
	var write sync.Mutex
	if s.deaf != nil {
		<-s.deaf
	}
	frames(nc, func(f *motan2.Frame) bool {
		h := f.Head
		h.Type |= motan2.TypeResponse
		say := func(b []byte) {
			if s.mute.Load() {
				return
			}
			write.Lock()
			defer write.Unlock()
			_, _ = nc.Write(b)
		}
		if f.Type&motan2.TypeHeartbeat != 0 {
			say(motan2.AppendHeartbeat(nil, f.ID, true))
			return true
		}
		if f.Meta.Get(motan2.KeyFramework) != nil {
			body, err := serial.Breeze{}.Append(nil, serial.StringMap{{Key: "META_WEIGHT", Value: s.weight}})
			if s.weight == "" || err != nil {
				say(motan2.AppendException(nil, h, motan2.Exception{Code: motan2.CodeNoMethod, Type: motan2.Service, Text: notSupported}))
			} else {
				say(motan2.Append(nil, h, nil, body))
			}
			return true
		}
		s.mu.Lock()
		s.got = append(s.got, seen{f.Head, bytes.Clone(f.Meta), bytes.Clone(f.Body)})
		s.mu.Unlock()
		except := func(code, kind int) {
			say(motan2.AppendException(nil, h, motan2.Exception{Code: code, Type: kind, Text: "no"}))
		}
		echo := motan2.Append(nil, h, motan2.Meta("M_pt\n1"), f.Body)
		switch string(f.Meta.Call().Method) {
		case "hang":
		case "late":
			s.work.Go(func() { time.Sleep(300 * time.Millisecond); say(echo) })
		case "getLate":
			s.work.Go(func() { time.Sleep(getLate); say(echo) })
		case "biz":
			except(motan2.CodeBiz, motan2.Biz)
		case "reject":
			except(motan2.CodeReject, motan2.Service)
		case "unsent":
			say(motan2.AppendException(nil, h, motan2.Exception{Code: motan2.CodeService, Type: motan2.Service, Text: "no", Unsent: true}))
		case "leave":
			say(motan2.AppendException(nil, h, motan2.Exception{Code: 10025, Type: motan2.Service, Text: "no", Unsent: true, Leaving: true}))
		case "unknown", "getUnknown":
			except(10023, motan2.Service)
		case "missing":
			except(motan2.CodeNoProvider, motan2.Service)
		case "drop", "getDrop":
			return false
		case "invent":
			motan2.SetID(echo, f.ID+1<<30)
			say(echo)
		case "twice":
			say(append(bytes.Clone(echo), echo...))
		default:
			say(echo)
		}
		return true
	})
}

// frames reads frames until take returns false or the connection ends.
func frames(nc net.Conn, take func(*motan2.Frame) bool) {
	var b []byte
	var f motan2.Frame
	room := make([]byte, 64<<10)
	for {
		n, err := nc.Read(room)
		b = append(b, room[:n]...)
		for {
			ok, scanErr := f.Scan(b, 1<<30)
			if scanErr != nil {
				return
			}
			if !ok {
				break
			}
			if !take(&f) {
				return
			}
			b = b[f.Size:]
		}
		if err != nil {
			return
		}
	}
}

// client is a connection to a door.
type client struct {
	t  testing.TB
	nc net.Conn
	b  []byte
}

func (w *world) dial() *client {
	w.T.Helper()
	nc, err := net.Dial("tcp", w.Addr)
	if err != nil {
		w.T.Fatal(err)
	}
	w.T.Cleanup(func() { nc.Close() })
	return &client{t: w.T, nc: nc}
}

// request makes a request for a.B with pairs of metadata: "M_m=echo M_s=app".
func request(id uint64, pairs, body string) []byte {
	m := motan2.AppendPair(nil, motan2.KeyService, "a.B")
	for _, p := range strings.Fields(pairs) {
		k, v, _ := strings.Cut(p, "=")
		m = motan2.AppendPair(m, k, v)
	}
	return motan2.Append(nil, motan2.Head{ID: id, Serialization: byte(serial.IDSimple)}, m, []byte(body))
}

func (c *client) send(b []byte) {
	c.t.Helper()
	if _, err := c.nc.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// reply reads the next frame; an error when the connection ends or nothing comes.
func (c *client) reply(within time.Duration) (*motan2.Frame, error) {
	_ = c.nc.SetReadDeadline(time.Now().Add(within))
	room := make([]byte, 64<<10)
	for {
		var f motan2.Frame
		ok, err := f.Scan(c.b, 1<<30)
		if err != nil {
			return nil, err
		}
		if ok {
			c.b = bytes.Clone(c.b[f.Size:])
			return &f, nil
		}
		n, err := c.nc.Read(room)
		c.b = append(c.b, room[:n]...)
		if n == 0 && err != nil {
			return nil, err
		}
	}
}

// answer returns the next answer, which must be to a request, and what it says: the body, or the code and the kind of an exception.
func (c *client) answer(id uint64) (f *motan2.Frame, says string) {
	c.t.Helper()
	f, err := c.reply(10 * time.Second)
	if err != nil {
		c.t.Fatalf("request %d: %v", id, err)
	}
	says = string(f.Body)
	if f.Status != motan2.StatusNormal {
		code, kind := motan2.ParseException(f.Meta.Get(motan2.KeyException))
		says = fmt.Sprintf("%d %d", code, kind)
	}
	if f.ID != id || f.Type&motan2.TypeResponse == 0 {
		c.t.Fatalf("request %d was answered %q (metadata %q), want %d", f.ID, says, f.Meta, id)
	}
	return f, says
}

// want reads the next frame and checks what it answers and how: a body, or "errcode type".
func (c *client) want(id uint64, how string) *motan2.Frame {
	c.t.Helper()
	f, got := c.answer(id)
	if got != how {
		c.t.Fatalf("request %d was answered %q (metadata %q), want %d %q", f.ID, got, f.Meta, id, how)
	}
	return f
}

// ended waits for the end of the connection.
func (c *client) ended() {
	c.t.Helper()
	if f, err := c.reply(5 * time.Second); !errors.Is(err, io.EOF) && !isReset(err) {
		c.t.Fatalf("the connection should have ended: %v %v", f, err)
	}
}

func isReset(err error) bool { return err != nil && strings.Contains(err.Error(), "reset") }

// eventually waits until what holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 5 s", what)
		}
	}
}
