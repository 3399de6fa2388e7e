package peers

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
)

// peer is another centre, which this one follows.
type peer struct {
	p    *Peers
	name string
	life context.Context
	end  context.CancelFunc
	news chan struct{} // its record is another one

	mu      sync.Mutex
	record  record
	link    *link // nil: none stands
	synced  bool  // all its agents were told over the link
	beat    time.Time
	why     error     // no link stands
	gone    bool      // the store says that it does not live
	since   time.Time // it was found gone
	alive   time.Time // it was last known to live
	heard   heard
	counted bool // heard is of this process of ours, or of one that ended well
}

func newPeer(p *Peers, name string) *peer {
	one := &peer{p: p, name: name, news: make(chan struct{}, 1), why: errors.New("it was not reached yet")}
	one.life, one.end = context.WithCancel(p.life)
	if h, ok := p.resume[name]; ok {
		one.heard, one.counted = h, true
	}
	return one
}

// moved notes where the centre is.
func (o *peer) moved(r record) {
	o.mu.Lock()
	again := o.record != r
	if o.record.Boot != r.Boot { // whatever the store said of the process before
		o.gone = false
	}
	o.record = r
	o.mu.Unlock()
	if again {
		poke(o.news)
	}
}

// standing returns the link, or nil.
func (o *peer) standing() *link {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.link
}

// center is what is shown of it.
func (o *peer) center(now time.Time) Center {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := Center{Name: o.name, Address: o.record.Address, Gone: o.gone}
	c.Heard = o.link != nil && o.synced && now.Sub(o.beat) < o.p.o.Quiet
	if c.Heard {
		return c
	}
	if !o.beat.IsZero() {
		at := o.beat
		c.Since = &at
	}
	switch {
	case o.why != nil:
		c.Why = o.why.Error()
	case !o.synced:
		c.Why = "it has not told all its agents yet"
	default:
		c.Why = "what it tells comes late"
	}
	return c
}

// judge takes what the store says, and returns whether the centre is gone now and was not before, and which moment that is.
func (o *peer) judge(lives bool, now time.Time) (gone bool, at uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if lives || o.link != nil {
		o.gone, o.alive = false, now
		return false, 0
	}
	gone = !o.gone
	if gone {
		o.gone, o.since = true, now
		// What its agents told it from when it was last heard until it ended, which its lease outlasts, nobody else has.
		o.miss(o.alive.Add(-store.LeaseTime - 2*o.p.o.Look))
	}
	if o.counted {
		o.heard.At = now // it hears nothing that this centre does not
	}
	return gone, o.p.fleet.Sync()
}

// miss notes that reports to the centre since it was last heard, and until some time, are not heard any more. mu is held.
func (o *peer) miss(until time.Time) {
	if o.counted && until.Sub(o.heard.At) > o.p.o.Quiet {
		o.p.o.OnMissing(o.heard.At, until)
	}
}

// over reports whether the centre is gone for so long that it is forgotten.
func (o *peer) over(now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.gone && now.Sub(o.since) > o.p.o.Forget
}

// Pauses before the next attempt; they double.
const (
	firstPause = 100 * time.Millisecond
	mostPause  = 3 * time.Second
)

// run follows the centre until its end.
func (o *peer) run() {
	pause := firstPause
	var said string // in the log
	for o.life.Err() == nil {
		stood, err := o.attempt()
		if o.life.Err() != nil {
			return
		}
		o.mu.Lock()
		o.why = err
		gone := o.gone
		o.mu.Unlock()
		if stood {
			pause = firstPause
		}
		if text := err.Error(); text != said && !gone {
			said = text
			o.p.o.Log.Warn("another centre is not heard", "center", o.name, "error", err)
		}
		t := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-o.life.Done():
		case <-o.news:
			pause = firstPause
		case <-t.C:
			pause = min(2*pause, mostPause)
		}
		t.Stop()
	}
}

// attempt connects, and follows until the link ends, which err says why.
func (o *peer) attempt() (stood bool, err error) {
	o.mu.Lock()
	at := o.record.Address
	o.mu.Unlock()
	c, err := o.dial(at)
	if err != nil {
		return false, err
	}
	defer c.Close()
	stop := context.AfterFunc(o.life, func() { c.Close() })
	defer stop()
	l := newLink(o, c)
	if err := l.greet(); err != nil {
		return false, err
	}
	o.mu.Lock()
	l.sync = o.p.fleet.Sync()
	o.link, o.synced, o.why, o.gone = l, false, nil, false
	o.mu.Unlock()
	o.p.o.Log.Info("another centre is heard", "center", o.name, "address", at)
	var writer sync.WaitGroup
	writer.Go(l.write)
	err = l.read()
	l.cut(err)
	writer.Wait()
	o.mu.Lock()
	o.link, o.synced = nil, false
	if l.left { // it said so: nobody has to wait until its lease ends
		o.gone, o.since = true, time.Now()
	}
	o.mu.Unlock()
	if l.left {
		o.p.told(o.p.fleet.CenterGone(o.name, o.p.fleet.Sync()))
	}
	return true, err
}

// Bounds of becoming a link.
const (
	dialTime   = 3 * time.Second
	greetTime  = 5 * time.Second
	maxRefusal = 4 << 10
)

// dial connects and asks for a link.
func (o *peer) dial(at string) (*conn, error) {
	ctx, cancel := context.WithTimeout(o.life, dialTime)
	defer cancel()
	d := &tls.Dialer{NetDialer: &net.Dialer{}, Config: o.p.o.TLS}
	raw, err := d.DialContext(ctx, "tcp", at)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	in, err := upgrade(raw, at)
	if err != nil {
		raw.Close()
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	ahead, _ := in.Peek(in.Buffered()) // they are there
	return newConn(raw, ahead, &o.p.o), nil
}

// upgrade turns a connection from HTTP to frames.
func upgrade(c net.Conn, host string) (*bufio.Reader, error) {
	if err := c.SetDeadline(time.Now().Add(greetTime)); err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodPost, "https://"+host+Path, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", Upgrade)
	if err := req.Write(c); err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(c, 32<<10)
	resp, err := http.ReadResponse(in, req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // what came of it will do
		return nil, fmt.Errorf("it answered %d %s", resp.StatusCode, strings.TrimSpace(string(body)))
	}
	return in, c.SetDeadline(time.Time{})
}
