package resources

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// Clients are the connections of a resource whose driver serves each of them on a goroutine of its own, with what a drain needs. The
// zero value is ready. It is the simple way to be a [Server]; drivers that serve tens of thousands of clients use Runtime.Loops.
//
//	func (r *resource) Serve(conn net.Conn, s *resources.Session) {
//		r.clients.Serve(r.rt, conn, s, func(c *resources.Client) { for c.Wait() && read() { c.Busy(); answer() } })
//	}
//	func (r *resource) Shutdown(ctx context.Context) error { return r.clients.Shutdown(ctx) }
type Clients struct {
	mu       sync.Mutex
	open     map[*Client]bool // guarded by mu
	draining bool             // guarded by mu
	all      sync.WaitGroup
}

// Client is one of them. Its methods are called by the goroutine that serves it.
type Client struct {
	net.Conn
	Context context.Context // ends when the client is cut: for dials and waits that are done for it

	cut     context.CancelFunc
	all     *Clients
	waiting bool // guarded by all.mu
}

// Serve serves a client by calling talk. Then it closes the connection and ends the session, as Server.Serve must.
func (a *Clients) Serve(rt Runtime, conn net.Conn, s *Session, talk func(*Client)) {
	c := &Client{Conn: conn, all: a}
	c.Context, c.cut = context.WithCancel(context.Background())
	defer rt.Closed(s)
	defer conn.Close()
	defer c.cut()
	if !a.add(c) {
		return
	}
	defer a.remove(c)
	talk(c)
}

func (a *Clients) add(c *Client) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.draining {
		return false
	}
	if a.open == nil {
		a.open = make(map[*Client]bool)
	}
	a.open[c] = true
	a.all.Add(1)
	return true
}

func (a *Clients) remove(c *Client) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.open, c)
	a.all.Done()
}

// Wait says that the client is about to be waited for: nothing of it is under way, and a drain ends reading from it. It returns
// false when the resource drains: serve no further request.
func (c *Client) Wait() bool {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	c.waiting = !c.all.draining
	return c.waiting
}

// Busy says that a request has come, which a drain waits for.
func (c *Client) Busy() {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	if c.waiting = false; c.all.draining {
		_ = c.SetReadDeadline(time.Time{}) // the drain ended reading a moment too late
	}
}

// Shutdown implements the method of [Resource]: clients that are waited for are left at once, those with a request after its answer,
// and when ctx is done all are cut; the error says how many those were. It returns when no client is left.
func (a *Clients) Shutdown(ctx context.Context) error {
	a.mu.Lock()
	a.draining = true
	for c := range a.open {
		if c.waiting {
			_ = c.SetReadDeadline(time.Unix(1, 0))
		}
	}
	a.mu.Unlock()
	done := make(chan struct{})
	go func() { a.all.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	a.mu.Lock()
	n := len(a.open)
	for c := range a.open {
		c.cut()
		c.Close()
	}
	a.mu.Unlock()
	<-done
	if n == 0 {
		return nil
	}
	return fmt.Errorf("clients cut: %d: %w", n, ctx.Err())
}
