package redis

import (
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/resp"
	"github.com/sluice-mesh/sluice/resources"
)

// script is a server whose every byte the test decides: it takes connections and reads requests by itself, and answers
// what it is told to, when it is told to.
type script struct {
	t        testing.TB
	ln       net.Listener
	addr     string
	requests chan scriptRequest
	wg       sync.WaitGroup

	mu    sync.Mutex // guards peers
	peers []*scriptConn
}

// scriptConn is one connection of the agent to the script.
type scriptConn struct {
	s        *script
	number   int
	nc       net.Conn
	received atomic.Int64  // bytes
	gone     chan struct{} // closed when the agent closed the connection
}

// scriptRequest is a request that arrived whole.
type scriptRequest struct {
	at   *scriptConn
	text string // its arguments, with spaces between
}

func startScript(t testing.TB) *script {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &script{t: t, ln: ln, addr: ln.Addr().String(), requests: make(chan scriptRequest, 10_000)}
	s.wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			p := &scriptConn{s: s, number: len(s.peers) + 1, nc: nc, gone: make(chan struct{})}
			s.peers = append(s.peers, p)
			s.mu.Unlock()
			s.wg.Go(p.read)
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		s.mu.Lock()
		for _, p := range s.peers {
			_ = p.nc.Close()
		}
		s.mu.Unlock()
		s.wg.Wait()
	})
	return s
}

func (p *scriptConn) read() {
	defer close(p.gone)
	var buf []byte
	var r resp.Request
	chunk := make([]byte, 64<<10)
	for {
		n, err := p.nc.Read(chunk)
		p.received.Add(int64(n))
		buf = append(buf, chunk[:n]...)
		for {
			st, scanErr := r.Scan(buf, &resp.Limits{Stream: 1 << 30})
			if scanErr != nil {
				p.s.requests <- scriptRequest{p, "garbage: " + scanErr.Error()}
				return
			}
			if st != resp.Complete {
				break
			}
			args := make([]string, r.Argc)
			for i := range args {
				args[i] = string(r.Arg(buf, i))
			}
			p.s.requests <- scriptRequest{p, strings.Join(args, " ")}
			buf = buf[r.Size:]
			r.Reset()
		}
		if err != nil {
			return
		}
	}
}

// request returns the next request that arrives on any connection.
func (s *script) request() scriptRequest {
	s.t.Helper()
	select {
	case r := <-s.requests:
		return r
	case <-time.After(patience):
		s.t.Fatalf("the agent sent no request")
		return scriptRequest{}
	}
}

// want takes the next requests, which must be these and come on one connection, and returns it.
func (s *script) want(texts ...string) *scriptConn {
	s.t.Helper()
	var at *scriptConn
	for _, text := range texts {
		r := s.request()
		if r.text != text {
			s.t.Fatalf("connection %d: request %q, want %q", r.at.number, show(r.text), text)
		}
		if at != nil && r.at != at {
			s.t.Fatalf("request %q came on connection %d, the one before on %d", r.text, r.at.number, at.number)
		}
		at = r.at
	}
	return at
}

// accepted returns the n-th connection, counted from 1, once it is there.
func (s *script) accepted(n int) (p *scriptConn) {
	s.t.Helper()
	eventually(s.t, "the agent to connect", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.peers) >= n {
			p = s.peers[n-1]
		}
		return p != nil
	})
	return p
}

// none fails the test when a request that nobody took is there.
func (s *script) none() {
	s.t.Helper()
	select {
	case r := <-s.requests:
		s.t.Errorf("connection %d: request %q came that should not have been sent", r.at.number, r.text)
	default:
	}
}

// send sends bytes to the agent. That the agent has closed the connection is no error: a late reply often finds it so.
func (p *scriptConn) send(replies ...string) {
	_ = p.nc.SetWriteDeadline(time.Now().Add(patience))
	_, _ = p.nc.Write([]byte(strings.Join(replies, "")))
}

// awaitGone waits until the agent closed the connection.
func (p *scriptConn) awaitGone(within time.Duration, why string) {
	p.s.t.Helper()
	select {
	case <-p.gone:
	case <-time.After(within):
		p.s.t.Fatalf("the agent kept connection %d: %s", p.number, why)
	}
}

// bulkReply encodes a string reply.
func bulkReply(s string) string { return string(resp.AppendBulkString(nil, s)) }

// stage is an agent in front of a script.
type stage struct {
	*agent
	up *script
}

// newStage starts an agent whose requests may take as long as the timeout. It never asks for the server's commands by
// itself, so that nothing but the test's own requests reaches the script.
func newStage(t *testing.T, timeout time.Duration, set *Settings, change ...func(*fakeRuntime)) *stage {
	t.Helper()
	up := startScript(t)
	f := newFake(t, up.addr)
	f.policy.Timeout = resources.Duration(timeout)
	for _, c := range change {
		c(f)
	}
	a := startAgent(t, f, set)
	a.res.learnt.Store(true)
	return &stage{a, up}
}

// clients returns n clients that live on the same loop and so share connections.
func (st *stage) clients(n int) []*wire {
	st.t.Helper()
	var out []*wire
	for len(out) < n {
		before := st.ids.Load()
		w := dial(st.t, st.addr)
		eventually(st.t, "the agent to take a connection", func() bool {
			_, ok := st.sessions.Load(w.nc.LocalAddr().String())
			return ok
		})
		if before%uint64(len(st.res.shards)) == 0 { // sessions take the loops in turn
			w.name = "client " + string(rune('A'+len(out)))
			out = append(out, w)
		}
	}
	return out
}

// expect reads the next reply and compares it.
func (w *wire) expect(want string) {
	w.t.Helper()
	if got := w.reply(); got != want {
		w.t.Fatalf("%s: reply %s, want %s", w.name, show(got), show(want))
	}
}

// expectWord reads the next reply, which must be an error that starts with the word.
func (w *wire) expectWord(word string) {
	w.t.Helper()
	if got := w.reply(); !strings.HasPrefix(got, "-"+word+" ") {
		w.t.Fatalf("%s: reply %s, want an error %s", w.name, show(got), word)
	}
}

// ask sends a command whose words have spaces between.
func (w *wire) ask(line string) {
	w.t.Helper()
	w.send(resp.AppendCommand(nil, strings.Fields(line)...))
}

// leave resets a client's connection and waits until the agent noticed. (After a FIN it still answers what it was asked.)
func (st *stage) leave(w *wire) {
	st.t.Helper()
	before := st.closed.Load()
	_ = w.nc.(*net.TCPConn).SetLinger(0)
	_ = w.nc.Close()
	eventually(st.t, "the agent to notice that a client left", func() bool { return st.closed.Load() > before })
}
