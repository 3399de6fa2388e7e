package peers

import (
	"fmt"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/governance/fleet"
	"github.com/sluice-mesh/sluice/governance/question"
	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/protocols/control"
)

// link is the follower's side of a connection to another centre: a reader, which is the peer's goroutine, and a writer.
type link struct {
	o    *peer
	c    *conn
	sync uint64    // of the telling of all agents; set when it is the peer's link
	past time.Time // reports of slots that begin before may have been counted already
	left bool      // it said goodbye; the reader's

	out  chan []byte // frames that wait for the writer
	done chan struct{}

	asks *question.Book

	mu     sync.Mutex
	closed bool
}

// maxOut is how many small frames wait to be written.
const maxOut = 256

func newLink(o *peer, c *conn) *link {
	l := &link{o: o, c: c, out: make(chan []byte, maxOut), done: make(chan struct{})}
	l.asks = question.NewBook("centre "+o.name, maxAsks, l.cancelAsk)
	return l
}

// greet says who this is and how far reports came, and hears who answers.
func (l *link) greet() error {
	o := l.o
	o.mu.Lock()
	have := o.heard.cursor
	o.mu.Unlock()
	cluster := o.p.o.Store.Cluster()
	if err := l.c.message(typeHello, hello{Version: version, Name: o.p.o.Me, Cluster: cluster, Heard: have}); err != nil {
		return err
	}
	t, payload, err := l.c.frames.Next()
	if err != nil {
		return fmt.Errorf("no welcome: %w", err)
	}
	if t == typeBye {
		return byeOf(payload)
	}
	if t != typeWelcome {
		return fmt.Errorf("the first frame is %v and no welcome", t)
	}
	var w welcome
	if err := decode(t, payload, &w); err != nil {
		return err
	}
	switch {
	case w.Version != version:
		return fmt.Errorf("it speaks version %d of the protocol, this centre version %d", w.Version, version)
	case w.Name != o.name:
		return fmt.Errorf("this is centre %.99q and not %s", w.Name, o.name)
	case w.Cluster != cluster:
		return fmt.Errorf("it is on another store: %.99q", w.Cluster)
	}
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	if w.Boot != have.Boot {
		o.miss(now.Add(-store.LeaseTime)) // of the process before, which was not found gone
		o.heard.cursor = cursor{Boot: w.Boot}
	}
	if !o.counted {
		l.past = o.p.o.Kept
	}
	o.counted = true
	if o.heard.At.IsZero() {
		o.heard.At = now
	}
	return nil
}

func byeOf(payload []byte) error {
	var b bye
	if err := decode(typeBye, payload, &b); err != nil {
		return err
	}
	return fmt.Errorf("it says goodbye: %.200s", b.Why)
}

// read takes frames until the link ends, and says why it did.
func (l *link) read() error {
	for {
		t, payload, err := l.c.frames.Next()
		if err != nil {
			return fmt.Errorf("the link to it ended: %w", err)
		}
		if t == typeBye {
			l.left = true
			return byeOf(payload)
		}
		if err := l.frame(t, payload); err != nil {
			return err
		}
	}
}

func (l *link) frame(t control.Type, payload []byte) error {
	o := l.o
	switch t {
	case typeAgent:
		var r fleet.Record
		if err := decode(t, payload, &r); err != nil {
			return err
		}
		if err := o.p.fleet.Tell(o.name, l.sync, &r); err != nil {
			return err
		}
		o.p.told([]string{r.Name})
	case typeSynced:
		o.p.told(o.p.fleet.Synced(o.name, l.sync))
		l.now(func() { o.synced = true })
	case typeReport:
		r, err := readReport(payload, time.Now())
		if err != nil {
			return err
		}
		l.report(&r)
	case typeLost:
		var m lost
		if err := decode(t, payload, &m); err != nil {
			return err
		}
		l.now(func() {
			until := time.Now().Add(-time.Duration(min(max(m.Age, 0), int64(maxAge))))
			o.p.o.OnMissing(o.heard.At, until)
			o.heard.Seq, o.heard.At = m.Seq, until
		})
	case typeBeat:
		l.now(func() {
			at := time.Now()
			o.beat, o.heard.At = at, at
		})
	case typeAnswer:
		var a control.Answer
		if err := decode(t, payload, &a); err != nil {
			return err
		}
		l.asks.Answer(a)
	case typeFailed:
		var f failed
		if err := decode(t, payload, &f); err != nil {
			return err
		}
		l.asks.Fail(f.ID, errorOf(f))
	}
	return nil // of a later version
}

// now changes the peer.
func (l *link) now(change func()) {
	l.o.mu.Lock()
	defer l.o.mu.Unlock()
	change()
}

// report takes one, unless it came before.
func (l *link) report(r *report) {
	o := l.o
	fresh := false
	l.now(func() {
		if fresh = r.seq > o.heard.Seq; fresh {
			o.heard.Seq = r.seq
		}
	})
	if !fresh {
		return
	}
	o.p.o.OnReport(fleet.Agent{Name: r.agent, Application: r.application, IDC: r.idc}, r.payload, r.at, l.past)
	o.p.fleet.Heard(r.agent, r.at)
}

// post hands a small frame to the writer. A centre for which many of them wait does not read.
func (l *link) post(b []byte) bool {
	select {
	case l.out <- b:
		return true
	case <-l.done:
		return false
	default:
		l.cut(fmt.Errorf("%d frames wait to be taken", maxOut))
		return false
	}
}

// write sends what waits, and a sign of life.
func (l *link) write() {
	beat := time.NewTicker(l.o.p.o.Beat)
	defer beat.Stop()
	sign := control.AppendFrame(nil, typeBeat, nil)
	for {
		b := sign
		select {
		case b = <-l.out:
		case <-beat.C:
		case <-l.done:
			return
		}
		if err := l.c.send(b); err != nil {
			l.cut(err)
			return
		}
	}
}

// cut ends the link, and with it all questions.
func (l *link) cut(why error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	l.mu.Unlock()
	close(l.done)
	l.c.Close()
	l.asks.Close(fmt.Errorf("%w: %w", fleet.ErrAway, why))
}
