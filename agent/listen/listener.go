package listen

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Handler takes over an accepted connection. It runs on the accept loop (without TLS) and must not block.
type Handler func(net.Conn)

// Options are what a listener needs beside its address. The zero value works.
type Options struct {
	Log *slog.Logger
	// Inherited are sockets that a service manager opened; nil: none.
	Inherited *Inherited
	// Mode is the permission of a unix socket's file; 0 leaves it to the umask.
	Mode uint32
	// Rate is the most connections accepted per second, in the long run; 0 means DefaultRate. What comes faster waits
	// in the kernel's backlog, so that a crowd that reconnects does not starve those already connected.
	Rate int
	// Shed is called for each connection closed unserved, with the reason: "files" or "handshakes". May be nil.
	Shed func(reason string)
	// Hold returns nil while connections may be accepted, else a channel that is closed when they may be again. Until
	// then clients wait in the kernel's backlog. It is asked before each connection; the one that a listener was already
	// waiting for is still handed on. May be nil.
	Hold func() <-chan struct{}
}

// DefaultRate is the default of Options.Rate: far more than applications open in ordinary times.
const DefaultRate = 10000

// Listener accepts connections on one address. Its methods may be called from any goroutine.
type Listener struct {
	address string
	opt     Options
	ln      net.Listener
	remove  func() // removes a unix socket's file

	// Replaced whole by Handle; the accept loop loads it for each connection.
	target atomic.Pointer[target]

	handshakes chan struct{} // a token for each handshake under way
	stop       chan struct{} // closed by Close
	stopOnce   sync.Once
	loops      sync.WaitGroup

	mu      sync.Mutex // guards pending and closed
	pending map[net.Conn]struct{}
	closed  bool
}

type target struct {
	handler Handler
	certs   *Certificates // nil: plain
}

// Open binds address: host:port, or unix:/path. Nothing is accepted before Start; clients wait in the backlog.
func Open(address string, o Options) (*Listener, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Rate <= 0 {
		o.Rate = DefaultRate
	}
	ln, remove, err := bind(address, &o)
	if err != nil {
		return nil, err
	}
	return newListener(address, ln, remove, o), nil
}

func newListener(address string, ln net.Listener, remove func(), o Options) *Listener {
	return &Listener{
		address:    address,
		opt:        o,
		ln:         ln,
		remove:     remove,
		handshakes: make(chan struct{}, maxHandshakes),
		stop:       make(chan struct{}),
		pending:    make(map[net.Conn]struct{}),
	}
}

// Address returns the address as it was configured.
func (l *Listener) Address() string { return l.address }

// Addr returns the address that is bound: with the port that the system chose when port 0 was configured.
func (l *Listener) Addr() net.Addr { return l.ln.Addr() }

// Handle sets who takes the connections accepted from now on, and the certificates of TLS (nil: plain).
func (l *Listener) Handle(h Handler, certs *Certificates) { l.target.Store(&target{h, certs}) }

// Start begins to accept. Handle must have been called.
func (l *Listener) Start() {
	if l.target.Load() == nil {
		panic("listen: Start before Handle on " + l.address)
	}
	l.loops.Add(1)
	go func() {
		defer l.loops.Done()
		l.accept()
	}()
}

// Close stops accepting, breaks off unfinished handshakes, and waits for both. It may be called more than once.
func (l *Listener) Close() {
	l.stopOnce.Do(func() {
		close(l.stop)
		l.remove()
		l.ln.Close()
		l.mu.Lock()
		l.closed = true
		for c := range l.pending {
			c.Close()
		}
		l.mu.Unlock()
	})
	l.loops.Wait()
}

// accept is the loop: it ends when the listener is closed.
func (l *Listener) accept() {
	spare := openReserve()
	defer spare.close()
	pace := newBucket(l.opt.Rate)
	wait := backoff{log: l.opt.Log, address: l.address}
	for {
		if !l.held() || !l.sleep(pace.take(time.Now())) {
			return
		}
		conn, err := l.ln.Accept()
		switch {
		case err == nil && lastFiles(conn):
			conn.Close()
			l.shed("files")
			wait.say(errLastFiles)
		case err == nil:
			wait.reset()
			l.hand(conn)
		case l.stopped():
			return
		case aborted(err):
			// The client was gone before we came to it: the next one is no worse for that.
		default:
			if outOfFiles(err) {
				spare.shed(l.ln, func() { l.shed("files") })
			}
			if !l.sleep(wait.next(err)) {
				return
			}
		}
	}
}

// held waits for as long as nothing may be accepted and reports false when the listener was closed meanwhile.
func (l *Listener) held() bool {
	if l.opt.Hold == nil {
		return true
	}
	for {
		ch := l.opt.Hold()
		if ch == nil {
			return true
		}
		select {
		case <-ch:
		case <-l.stop:
			return false
		}
	}
}

func (l *Listener) hand(conn net.Conn) {
	t := l.target.Load()
	if t.certs == nil {
		t.handler(conn)
		return
	}
	select {
	case l.handshakes <- struct{}{}:
	default:
		l.shed("handshakes")
		conn.Close()
		return
	}
	l.loops.Add(1) // the accept loop still holds its own count, so this cannot race with Wait
	go func() {
		defer l.loops.Done()
		defer func() { <-l.handshakes }()
		l.handshake(conn, t)
	}()
}

func (l *Listener) shed(reason string) {
	if l.opt.Shed != nil {
		l.opt.Shed(reason)
	}
}

func (l *Listener) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// sleep waits for d and reports false when the listener was closed meanwhile.
func (l *Listener) sleep(d time.Duration) bool {
	if d <= 0 {
		return !l.stopped()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.stop:
		return false
	}
}

// hold registers a connection that is in its handshake, so that Close can break it off.
func (l *Listener) hold(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.pending[c] = struct{}{}
	return true
}

func (l *Listener) release(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pending, c)
}

// errInUse wraps what bind found out about an address that somebody else holds.
func errInUse(address string, err error) error {
	return fmt.Errorf("listen on %s: %w (is another agent running? `ss -ltnp` shows who holds it)", address, err)
}

var errLive = errors.New("a live process answers on this socket")
