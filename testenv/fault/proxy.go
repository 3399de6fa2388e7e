package fault

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// TB is the part of testing.TB that this package uses.
type TB interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Options describe a proxy.
type Options struct {
	Target string // "127.0.0.1:6379" or "unix:/path"
	Listen string // likewise; empty: a free port of 127.0.0.1
	Seed   uint64 // of all random choices
}

// Proxy is a running proxy. All methods may be called from any goroutine.
type Proxy struct {
	Addr string // where it listens, in the form of Options.Listen

	target  string
	seed    uint64
	fired   [numKinds]atomic.Int64
	opened  atomic.Int64
	seenErr atomic.Pointer[error] // first failure to reopen the listener

	wg sync.WaitGroup // accept loop and owners of connections

	mu       sync.Mutex
	closed   bool
	rules    *rules
	holder   *portHolder // keeps a TCP port while nothing listens
	listener net.Listener
	conns    map[*link]struct{}
}

// rules is one set of toxics. It never changes; changed is closed when another set takes its place.
type rules struct {
	gen     uint64
	toxics  []Toxic
	changed chan struct{}
}

func (r *rules) find(k Kind) (Toxic, bool) {
	for _, t := range r.toxics {
		if t.Kind == k {
			return t, true
		}
	}
	return Toxic{}, false
}

// Start starts a proxy that ends with the test.
func Start(t TB, o Options) *Proxy {
	t.Helper()
	p, err := New(o)
	if err != nil {
		t.Fatalf("fault proxy: %v", err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("fault proxy: %v", err)
		}
	})
	return p
}

// New starts a proxy without a test; the caller must Close it.
func New(o Options) (*Proxy, error) {
	p := &Proxy{target: o.Target, seed: o.Seed, conns: map[*link]struct{}{}, rules: &rules{changed: make(chan struct{})}}
	if path, ok := strings.CutPrefix(o.Listen, "unix:"); ok {
		p.Addr = "unix:" + path
	} else {
		h, err := holdPort(o.Listen)
		if err != nil {
			return nil, err
		}
		p.holder, p.Addr = h, h.addr
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.listen(); err != nil {
		p.holder.close()
		return nil, err
	}
	return p, nil
}

// listen opens the listener and starts its accept loop; mu is held.
func (p *Proxy) listen() error {
	network, address := split(p.Addr)
	if network == "unix" {
		if err := os.Remove(address); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return fmt.Errorf("listen for %s: %w", p.target, err)
	}
	p.listener = l
	p.wg.Add(1)
	go p.accept(l)
	return nil
}

func (p *Proxy) accept(l net.Listener) {
	defer p.wg.Done()
	for {
		c, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(time.Millisecond) // out of file descriptors: others are about to give some back
			continue
		}
		p.admit(c)
	}
}

// admit makes a link of an accepted connection, or closes it.
func (p *Proxy) admit(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		c.Close()
		return
	}
	l := newLink(p, c, uint64(p.opened.Add(1)))
	if t, ok := p.rules.find(KindCloseAfterAccept); ok && l.chosen(p.rules, t) {
		p.fire(KindCloseAfterAccept)
		c.Close()
		return
	}
	p.conns[l] = struct{}{}
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		l.run()
		p.mu.Lock()
		delete(p.conns, l)
		p.mu.Unlock()
	}()
}

// Set replaces all toxics, for open connections and new ones. Byte counts start anew.
func (p *Proxy) Set(toxics ...Toxic) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	old := p.rules
	p.rules = &rules{gen: old.gen + 1, toxics: append([]Toxic(nil), toxics...), changed: make(chan struct{})}
	close(old.changed)
	_, refuse := p.rules.find(KindRefuse)
	switch {
	case refuse && p.listener != nil:
		p.listener.Close()
		p.listener = nil
		p.fire(KindRefuse)
	case !refuse && p.listener == nil:
		if err := p.listen(); err != nil {
			p.seenErr.CompareAndSwap(nil, &err) // Close returns it
		}
	}
}

// Clear removes all toxics.
func (p *Proxy) Clear() { p.Set() }

// Fired returns how often faults of a kind have done something since the proxy started: chunks delayed, sliced, held or
// swallowed, connections reset, bytes corrupted.
func (p *Proxy) Fired(k Kind) int { return int(p.fired[k].Load()) }

func (p *Proxy) fire(k Kind) { p.fired[k].Add(1) }

// MustHaveFired fails the test for each of the kinds that never fired.
func (p *Proxy) MustHaveFired(t TB, kinds ...Kind) {
	t.Helper()
	for _, k := range kinds {
		if p.Fired(k) == 0 {
			t.Errorf("fault %v did not fire: the test proves nothing", k)
		}
	}
}

// Opened returns how many connections were accepted since the start.
func (p *Proxy) Opened() int { return int(p.opened.Load()) }

// Open returns how many connections are open.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// ResetAll resets every open connection, both sides, and returns how many there were. It counts as KindReset.
func (p *Proxy) ResetAll() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.conns {
		p.fire(KindReset)
		l.reset()
	}
	return len(p.conns)
}

// Close ends the proxy and all its connections, and waits for them. Its error is about what went wrong before.
func (p *Proxy) Close() error {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		if p.listener != nil {
			p.listener.Close()
		}
		for l := range p.conns {
			l.shut()
		}
	}
	p.mu.Unlock()
	p.wg.Wait()
	p.holder.close()
	if err := p.seenErr.Load(); err != nil {
		return *err
	}
	return nil
}

func (p *Proxy) current() *rules {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rules
}

// split turns "unix:/path" or "host:port" into network and address.
func split(addr string) (network, address string) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return "unix", path
	}
	return "tcp", addr
}
