package loop

import (
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/sluice-mesh/sluice/internal/clock"
)

// ErrStopped is returned when a loop no longer takes connections.
var ErrStopped = errors.New("loop: stopped")

// scratchSize is what one read may bring. Larger reads make fewer system calls, but let one busy connection hold up its
// neighbours; 64 KiB is what a loopback socket delivers at most in practice.
const scratchSize = 64 << 10

// Loop is one event loop and the connections on it.
type Loop struct {
	now     int64 // when this round began
	poll    poller
	scratch []byte
	timers  timerHeap
	dirty   []*Conn // have bytes to write, or must look at what they buffered
	closed  []*Conn // wait for OnClose
	conns   map[*Conn]struct{}
	descs   descTable
	bufs    pool

	mu       sync.Mutex // guards posted and stopping
	posted   []func()
	stopping bool
	asleep   atomic.Bool // the loop waits, or is about to: a Post must wake it
	spare    []func()
	done     chan struct{}
	adapters sync.WaitGroup // goroutines of connections that are not polled
}

// New starts a loop.
func New() (*Loop, error) {
	l := &Loop{scratch: make([]byte, scratchSize), conns: make(map[*Conn]struct{}), done: make(chan struct{})}
	if err := l.poll.open(); err != nil {
		return nil, err
	}
	l.now = clock.Now()
	go l.run()
	return l, nil
}

// Now returns the time at which the current round began, as clock.Now does: one reading serves all its events.
func (l *Loop) Now() int64 { return l.now }

// Post runs f on the loop soon. It reports false when the loop has stopped; f then never runs.
func (l *Loop) Post(f func()) bool {
	l.mu.Lock()
	if l.stopping {
		l.mu.Unlock()
		return false
	}
	l.posted = append(l.posted, f)
	l.mu.Unlock()
	if l.asleep.Load() && l.asleep.CompareAndSwap(true, false) {
		l.poll.wake()
	}
	return true
}

// Attach moves a connection to the loop, which owns nc from then on. ready runs on the loop with the new Conn before
// any of its events; it must set a handler by Conn.SetHandler. When the loop has stopped, nc is closed and the error is
// ErrStopped.
func (l *Loop) Attach(nc net.Conn, ready func(*Conn)) error {
	c := &Conn{loop: l, fd: -1, remote: nc.RemoteAddr()}
	fd, err := l.poll.adopt(nc)
	if err != nil {
		_ = nc.Close()
		return err
	}
	if fd >= 0 {
		c.fd = fd
		_ = nc.Close() // fd is a duplicate
	} else {
		c.net = newNetConn(nc)
	}
	start := func() {
		l.conns[c] = struct{}{}
		ready(c)
		if c.state&stClosed != 0 {
			return
		}
		if err := c.start(); err != nil {
			c.Close(err)
		}
	}
	if !l.Post(start) {
		c.release()
		return ErrStopped
	}
	return nil
}

// Stop ends the loop: connections are closed with ErrStopped, then the loop's goroutines end. It returns when they have.
func (l *Loop) Stop() {
	l.Post(func() {
		for c := range l.conns {
			c.Close(ErrStopped)
		}
		l.mu.Lock()
		l.stopping = true
		l.mu.Unlock()
	})
	<-l.done
}

func (l *Loop) run() {
	defer close(l.done)
	defer l.poll.close()
	for {
		l.settle()
		if l.isStopping() {
			break
		}
		l.wait()
		l.now = clock.Now()
		l.events()
		l.runPosted()
		l.timers.fire(l.now)
	}
	l.settle()
	l.adapters.Wait()
}

func (l *Loop) isStopping() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stopping && len(l.posted) == 0
}

// settle writes and closes until nothing is left to do: closing may make others write, and writing may fail.
func (l *Loop) settle() {
	for len(l.dirty)+len(l.closed) > 0 {
		l.finishClosed()
		l.flushDirty()
	}
}

func (l *Loop) finishClosed() {
	for i := 0; i < len(l.closed); i++ {
		c := l.closed[i]
		l.closed[i] = nil
		delete(l.conns, c)
		c.h.OnClose(c, c.err)
		c.release()
	}
	l.closed = l.closed[:0]
}

func (l *Loop) flushDirty() {
	for i := 0; i < len(l.dirty); i++ {
		c := l.dirty[i]
		l.dirty[i] = nil
		c.state &^= stDirty
		c.turn()
	}
	l.dirty = l.dirty[:0]
}

// wait blocks until there is an event, a posted function or a due timer. It looks without blocking first: under load
// something is always there, and a system call that cannot block costs the scheduler nothing.
func (l *Loop) wait() {
	if l.poll.poll(0) > 0 || l.havePosted() {
		return
	}
	l.asleep.Store(true)
	if l.havePosted() {
		l.asleep.Store(false)
		return
	}
	l.poll.poll(l.timers.until(clock.Now()))
	l.asleep.Store(false)
}

func (l *Loop) havePosted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.posted) > 0
}

func (l *Loop) runPosted() {
	l.mu.Lock()
	batch := l.posted
	l.posted = l.spare[:0]
	l.mu.Unlock()
	for i, f := range batch {
		batch[i] = nil
		f()
	}
	if cap(batch) <= 1024 {
		l.spare = batch
	} else {
		l.spare = nil
	}
}

// Group is a fixed set of loops.
type Group struct {
	loops []*Loop
	next  atomic.Uint32
}

// NewGroup starts n loops; n < 1 means half of the usable processors, at least one: the other half is for the servers,
// clients and collectors that share the machine with an agent.
func NewGroup(n int) (*Group, error) {
	if n < 1 {
		n = max(1, runtime.GOMAXPROCS(0)/2)
	}
	g := &Group{}
	for range n {
		l, err := New()
		if err != nil {
			g.Stop()
			return nil, err
		}
		g.loops = append(g.loops, l)
	}
	return g, nil
}

// Next returns the loops in turn.
func (g *Group) Next() *Loop { return g.loops[int(g.next.Add(1)-1)%len(g.loops)] }

// Len returns the number of loops.
func (g *Group) Len() int { return len(g.loops) }

// Each calls f with each loop and its number.
func (g *Group) Each(f func(i int, l *Loop)) {
	for i, l := range g.loops {
		f(i, l)
	}
}

// Stop stops all loops.
func (g *Group) Stop() {
	for _, l := range g.loops {
		l.Stop()
	}
}
