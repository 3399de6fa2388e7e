package http

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// server answers each request as its handler says, in its own bytes: HTTP as other servers, bad ones too, speak it.
type server struct {
	t    testing.TB
	ln   net.Listener
	addr string
	// answer writes the answer to the n-th request of a connection; false closes it. The body was not read.
	answer func(nc net.Conn, r *http.Request, n int) bool

	mu    sync.Mutex
	got   []string // "GET /path"
	conns map[net.Conn]bool
	work  sync.WaitGroup
}

func newServer(t testing.TB, answer func(net.Conn, *http.Request, int) bool) *server {
	s := &server{t: t, answer: answer, conns: map[net.Conn]bool{}}
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

// says is an answer that is always the same.
func says(text string) func(net.Conn, *http.Request, int) bool {
	return func(nc net.Conn, r *http.Request, _ int) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		_, err := io.WriteString(nc, strings.ReplaceAll(text, "\n", "\r\n"))
		return err == nil
	}
}

func (s *server) serve(nc net.Conn) {
	defer func() {
		nc.Close()
		s.mu.Lock()
		delete(s.conns, nc)
		s.mu.Unlock()
	}()
	br := bufio.NewReader(nc)
	for n := 0; ; n++ {
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.got = append(s.got, r.Method+" "+r.URL.Path)
		s.mu.Unlock()
		if !s.answer(nc, r, n) {
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
	}
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
}

// requests returns how many requests came so far.
func (s *server) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got)
}

func (s *server) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// newGo starts a server of the standard library and returns its address.
func newGo(t testing.TB, h http.HandlerFunc) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// echo answers with the request's body, or its path when it has none, framed as the query says: sized, chunked, close.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if len(body) == 0 {
		body = []byte(r.URL.Path)
	}
	w.Header().Set("X-Id", r.Header.Get("X-Id"))
	switch r.URL.RawQuery {
	case "chunked":
		for len(body) > 0 {
			n := min(len(body), 1000)
			_, _ = w.Write(body[:n])
			body = body[n:]
			_ = http.NewResponseController(w).Flush()
		}
		return
	case "close":
		w.Header().Set("Connection", "close")
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	_, _ = w.Write(body)
}

// client is a connection to a door.
type client struct {
	t  testing.TB
	nc net.Conn
	br *bufio.Reader
}

func (w *world) dial() *client {
	w.T.Helper()
	nc, err := net.Dial("tcp", w.Addr)
	if err != nil {
		w.T.Fatal(err)
	}
	w.T.Cleanup(func() { nc.Close() })
	return &client{t: w.T, nc: nc, br: bufio.NewReader(nc)}
}

// send writes lines, each ended by CRLF.
func (c *client) send(lines string) {
	c.t.Helper()
	if _, err := io.WriteString(c.nc, strings.ReplaceAll(lines, "\n", "\r\n")); err != nil {
		c.t.Fatal(err)
	}
}

// answer reads an answer to a request with a method and its body. The error is that of reading the body.
func (c *client) answer(method string) (*http.Response, string, error) {
	c.t.Helper()
	_ = c.nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	r, err := http.ReadResponse(c.br, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	body, err := io.ReadAll(r.Body)
	return r, string(body), err
}

// want reads an answer and checks its status and what its body has.
func (c *client) want(status int, part string) *http.Response {
	c.t.Helper()
	r, body, err := c.answer("GET")
	if r.StatusCode != status || !strings.Contains(body, part) || err != nil {
		c.t.Fatalf("answer %d %q %v, want %d %q", r.StatusCode, body, err, status, part)
	}
	return r
}

// ended waits for the end of the connection.
func (c *client) ended() {
	c.t.Helper()
	_ = c.nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	if b, err := c.br.ReadByte(); !errors.Is(err, io.EOF) && (err == nil || !strings.Contains(err.Error(), "reset")) {
		c.t.Fatalf("the connection should have ended: %q %v", b, err)
	}
}

// eventually waits until what holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

// transport is a client of the standard library that uses the door.
func (w *world) transport() *http.Client {
	tr := &http.Transport{MaxIdleConnsPerHost: 100, ExpectContinueTimeout: 5 * time.Second}
	w.T.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}
