package fault

import (
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	chunkSize  = 16 << 10
	queueDepth = 64
)

// link is one proxied connection.
type link struct {
	p      *Proxy
	number uint64
	client net.Conn

	done chan struct{} // closed when the link must end
	once sync.Once

	mu     sync.Mutex // guards target and ended
	target net.Conn
	ended  bool
}

func newLink(p *Proxy, client net.Conn, number uint64) *link {
	return &link{p: p, number: number, client: client, done: make(chan struct{})}
}

// chosen reports whether a toxic acts on this link: a choice of the seed, the link and the set of toxics.
func (l *link) chosen(r *rules, t Toxic) bool {
	if t.Share <= 0 || t.Share >= 1 {
		return true
	}
	return l.random(r, uint64(t.Kind)<<8|uint64(t.Dir)).Float64() < t.Share
}

func (l *link) random(r *rules, salt uint64) *rand.Rand {
	return rand.New(rand.NewPCG(l.p.seed^r.gen<<32, l.number<<16|salt))
}

// run relays until both directions have ended.
func (l *link) run() {
	defer l.shut()
	network, address := split(l.p.target)
	target, err := (&net.Dialer{Timeout: 5 * time.Second}).Dial(network, address)
	if err != nil {
		if errors.Is(err, syscall.ECONNRESET) { // it accepted and reset at once
			l.reset()
		}
		return // otherwise the client sees a close, as with any proxy whose server is gone
	}
	if !l.adopt(target) {
		return
	}
	var wg sync.WaitGroup
	for _, d := range []*pump{
		{l: l, dir: Up, src: l.client, dst: target},
		{l: l, dir: Down, src: target, dst: l.client},
	} {
		d.queue = make(chan chunk, queueDepth)
		wg.Go(d.read)
		wg.Go(d.write)
	}
	wg.Wait()
}

// adopt records the target, unless the link was ended meanwhile.
func (l *link) adopt(target net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		target.Close()
		return false
	}
	l.target = target
	return true
}

// shut closes both sides.
func (l *link) shut() { l.end(false) }

// reset closes both sides with RST.
func (l *link) reset() { l.end(true) }

func (l *link) end(rst bool) {
	l.once.Do(func() {
		close(l.done)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.ended = true
		for _, c := range []net.Conn{l.client, l.target} {
			if c == nil {
				continue
			}
			if tcp, ok := c.(*net.TCPConn); ok && rst {
				_ = tcp.SetLinger(0) // on a dead socket there is nothing to reset
			}
			c.Close()
		}
	})
}

// closeWrite sends a FIN.
func closeWrite(c net.Conn) {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		_ = h.CloseWrite() // the reader of c reports what is wrong with it
	}
}
