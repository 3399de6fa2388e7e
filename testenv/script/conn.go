package script

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// rule is a standing answer of a server.
type rule struct{ data, answer []byte }

// conn is one connection and what came on it.
type conn struct {
	net.Conn
	srv *fakeServer // nil for clients

	mu     sync.Mutex // guards what follows
	buf    []byte     // received and not yet expected
	err    error      // why reading ended
	taken  bool       // an actor holds it
	owing  bool       // the script took bytes and has not answered: rules rest, to keep the order of replies
	closed bool       // by the script
	wake   chan struct{}
}

func newConn(c net.Conn, srv *fakeServer) *conn {
	return &conn{Conn: c, srv: srv, wake: make(chan struct{}, 1)}
}

// read receives until the connection ends.
func (c *conn) read() {
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(buf)
		c.mu.Lock()
		c.buf = append(c.buf, buf[:n]...)
		c.err = err
		answers := c.applyRules()
		c.mu.Unlock()
		c.send(answers)
		c.signal()
		if err != nil {
			return
		}
	}
}

// applyRules takes what standing rules answer from the front of the buffer; mu is held. A connection that an actor
// holds obeys them too, because health checks may share it.
func (c *conn) applyRules() (answers [][]byte) {
	if c.srv == nil || c.owing {
		return nil
	}
	for again := true; again; {
		again = false
		for _, r := range c.srv.currentRules() {
			if rest, ok := bytes.CutPrefix(c.buf, r.data); ok {
				c.buf = rest
				answers = append(answers, r.answer)
				again = true
			}
		}
	}
	return answers
}

// send writes the answers of rules. A connection that is broken shows in the script.
func (c *conn) send(answers [][]byte) {
	for _, a := range answers {
		if _, err := c.Write(a); err != nil {
			return
		}
	}
}

// resume lets rules act again after take.
func (c *conn) resume() {
	c.mu.Lock()
	c.owing = false
	answers := c.applyRules()
	c.mu.Unlock()
	c.send(answers)
}

// partOfRule reports whether what is buffered may yet become something that a rule answers; mu is held.
func (c *conn) partOfRule() bool {
	if c.srv == nil || len(c.buf) == 0 {
		return false
	}
	for _, r := range c.srv.currentRules() {
		if bytes.HasPrefix(r.data, c.buf) {
			return true
		}
	}
	return false
}

func (c *conn) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
	if c.srv != nil {
		c.srv.signal()
	}
}

// await waits until ready, called with the bytes and the error so far, is true. It is called with mu held.
func (c *conn) await(timeout time.Duration, ready func(buf []byte, err error) bool) bool {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		c.mu.Lock()
		ok := ready(c.buf, c.err)
		c.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-c.wake:
		case <-timer.C:
			return false
		}
	}
}

// take removes the first n bytes, or as many as there are.
func (c *conn) take(n int) []byte {
	c.mu.Lock()
	n = min(n, len(c.buf))
	b := bytes.Clone(c.buf[:n])
	c.buf = c.buf[n:]
	c.owing = true
	c.mu.Unlock()
	return b
}

// state returns what has come and is not expected yet, and why reading ended.
func (c *conn) state() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.buf), c.err
}

// finish closes the connection as the script says.
func (c *conn) finish(action string) error {
	if action == "shut" {
		h, ok := c.Conn.(interface{ CloseWrite() error })
		if !ok {
			return errors.New("this connection cannot be half-closed")
		}
		return h.CloseWrite()
	}
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	if tcp, ok := c.Conn.(*net.TCPConn); ok && action == "reset" {
		if err := tcp.SetLinger(0); err != nil {
			return err
		}
	}
	return c.Close()
}

// endOf names how reading ended: "EOF", "RESET" or the error.
func endOf(err error) string {
	switch {
	case errors.Is(err, io.EOF):
		return "EOF"
	case errors.Is(err, syscall.ECONNRESET):
		return "RESET"
	case err == nil:
		return "still open"
	}
	return err.Error()
}

// fakeServer is a listener with its connections and standing rules.
type fakeServer struct {
	ln   net.Listener
	wg   sync.WaitGroup
	wake chan struct{}

	mu    sync.Mutex // guards what follows; taken after conn.mu, never before
	rules []rule
	conns []*conn
	done  bool
}

func newFakeServer(ln net.Listener) *fakeServer {
	s := &fakeServer{ln: ln, wake: make(chan struct{}, 1)}
	s.wg.Go(s.accept)
	return s
}

func (s *fakeServer) accept() {
	for {
		nc, err := s.ln.Accept()
		if err != nil {
			return
		}
		c := newConn(nc, s)
		s.mu.Lock()
		if s.done {
			nc.Close()
		} else {
			s.conns = append(s.conns, c)
			s.wg.Go(c.read)
		}
		s.mu.Unlock()
	}
}

func (s *fakeServer) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *fakeServer) currentRules() []rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rules
}

func (s *fakeServer) all() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*conn(nil), s.conns...)
}

// addRule adds a standing answer, also for bytes that already wait.
func (s *fakeServer) addRule(r rule) {
	s.mu.Lock()
	s.rules = append(s.rules[:len(s.rules):len(s.rules)], r)
	s.mu.Unlock()
	for _, c := range s.all() {
		c.mu.Lock()
		answers := c.applyRules()
		c.mu.Unlock()
		c.send(answers)
	}
}

// claim waits for a connection that no actor holds and that has bytes.
func (s *fakeServer) claim(timeout time.Duration) *conn {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		for _, c := range s.all() {
			c.mu.Lock()
			free := !c.taken && !c.closed && len(c.buf) > 0 && !c.partOfRule()
			if free {
				c.taken = true
			}
			c.mu.Unlock()
			if free {
				return c
			}
		}
		select {
		case <-s.wake:
		case <-timer.C:
			return nil
		}
	}
}

// close ends everything and waits for it.
func (s *fakeServer) close() {
	s.mu.Lock()
	s.done = true
	s.mu.Unlock()
	s.ln.Close()
	for _, c := range s.all() {
		c.Close()
	}
	s.wg.Wait()
}
