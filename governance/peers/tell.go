package peers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/governance/fleet"
	"github.com/sluice-mesh/sluice/protocols/control"
)

// teller is the other side of a link: it tells another centre what this one knows, and answers it. It has a reader, which is Serve's
// goroutine, a writer, and a goroutine for each question.
type teller struct {
	p    *Peers
	c    *conn
	name string // of the other centre
	life context.Context
	end  context.CancelFunc
	work sync.WaitGroup

	wake    chan struct{} // there are reports
	out     chan []byte   // answers
	leaving chan struct{}
	once    sync.Once

	mu   sync.Mutex
	asks map[uint64]context.CancelFunc

	// Of the writer alone.
	agents *fleet.Follower
	stamps map[string]uint64 // by agent: what was told of it
	at     uint64            // number of the last report that was told
	synced bool
	buf    []byte
}

// Serve tells another centre, which has proved its name, what this one knows, until the link ends, and closes the connection. The
// error says why it ended.
func (p *Peers) Serve(ctx context.Context, raw net.Conn, name string) error {
	defer raw.Close()
	t := &teller{p: p, c: newConn(raw, nil, &p.o), name: name, wake: make(chan struct{}, 1), out: make(chan []byte, maxAnswers),
		leaving: make(chan struct{}), asks: map[uint64]context.CancelFunc{}, stamps: map[string]uint64{}}
	t.life, t.end = context.WithCancel(ctx)
	defer t.end()
	stop := context.AfterFunc(t.life, func() { raw.Close() })
	defer stop()
	if err := t.greet(); err != nil {
		return err
	}
	if !p.admit(t) {
		return t.refuse(fleet.ErrClosed.Error())
	}
	defer p.done.Done()
	defer p.dismiss(t)
	t.work.Go(func() {
		defer t.end()
		t.write()
	})
	err := t.read()
	t.end()
	t.work.Wait()
	return err
}

// admit makes t the one that tells its centre; the one before ends.
func (p *Peers) admit(t *teller) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.fleet == nil {
		return false
	}
	if old := p.tellers[t.name]; old != nil {
		old.end()
	}
	p.tellers[t.name] = t
	p.done.Add(1)
	return true
}

func (p *Peers) dismiss(t *teller) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tellers[t.name] == t {
		delete(p.tellers, t.name)
	}
}

// greet hears who asks.
func (t *teller) greet() error {
	kind, payload, err := t.c.frames.Next()
	if err != nil {
		return fmt.Errorf("no hello: %w", err)
	}
	var h hello
	if kind != typeHello {
		return fmt.Errorf("the first frame is %v and no hello", kind)
	}
	if err := decode(kind, payload, &h); err != nil {
		return err
	}
	cluster := t.p.o.Store.Cluster()
	switch {
	case h.Version != version:
		return t.refuse(fmt.Sprintf("it speaks version %d of the protocol, this centre version %d", h.Version, version))
	case h.Name != t.name || h.Name == t.p.o.Me:
		return t.refuse(fmt.Sprintf("it calls itself %.99q, its certificate is for %s, and this is %s", h.Name, t.name, t.p.o.Me))
	case h.Cluster != cluster:
		return t.refuse("it is on another store")
	}
	if h.Heard.Boot == t.p.boot {
		t.at = h.Heard.Seq
	}
	return t.c.message(typeWelcome, welcome{Version: version, Name: t.p.o.Me, Boot: t.p.boot, Cluster: cluster})
}

// refuse says goodbye, and returns why.
func (t *teller) refuse(why string) error {
	return errors.Join(errors.New(why), t.c.message(typeBye, bye{why}))
}

// leave says goodbye: this centre stops.
func (t *teller) leave() { t.once.Do(func() { close(t.leaving) }) }

// Paces of telling.
const (
	tellEvery  = 50 * time.Millisecond
	tellAgents = 64        // at once
	tellBytes  = 256 << 10 // of reports at once
)

// write tells what there is to tell until the link ends.
func (t *teller) write() {
	t.agents = t.p.fleet.Follow()
	defer t.agents.Stop()
	defer t.p.log.follow(t.wake)()
	beat := time.NewTicker(t.p.o.Beat)
	defer beat.Stop()
	pace := time.NewTimer(0) // agents are told now and then, so that what changes often is told once
	defer pace.Stop()
	var changed <-chan struct{}
	for {
		var err error
		select {
		case b := <-t.out:
			err = t.c.send(b)
		case <-pace.C:
			changed = t.agents.Wake()
		case <-changed:
			changed = nil
			pace.Reset(tellEvery)
			err = t.tellAgents()
		case <-t.wake:
			err = t.tellReports()
		case <-beat.C:
			err = t.tellAll()
		case <-t.leaving:
			_ = t.c.message(typeBye, bye{fleet.ErrClosed.Error()}) // it ends in any case
			return
		case <-t.life.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// tellAgents tells of agents that changed; at first that is all.
func (t *teller) tellAgents() error {
	for {
		names := t.agents.Take(tellAgents)
		for _, name := range names {
			r, stamp := t.p.fleet.Record(name, t.stamps[name])
			if stamp == 0 {
				delete(t.stamps, name)
			} else {
				t.stamps[name] = stamp
			}
			err := t.c.message(typeAgent, &r)
			if errors.Is(err, control.ErrTooLarge) {
				t.p.o.Log.Error("an agent is not shown at another centre", "agent", name, "center", t.name, "error", err)
				continue
			}
			if err != nil {
				return err
			}
		}
		if len(names) < tellAgents {
			break
		}
		if err := t.tellAnswers(); err != nil {
			return err
		}
	}
	if t.synced {
		return nil
	}
	t.synced = true
	return t.c.send(control.AppendFrame(nil, typeSynced, nil))
}

// tellAnswers sends those that wait: they are not to wait for a long telling.
func (t *teller) tellAnswers() error {
	for range len(t.out) {
		if err := t.c.send(<-t.out); err != nil {
			return err
		}
	}
	return nil
}

// tellReports tells all reports that were not told yet, and whether some are lost.
func (t *teller) tellReports() error {
	for t.life.Err() == nil {
		batch, gone, until := t.p.log.after(t.at, tellBytes)
		now := time.Now()
		if gone > 0 {
			t.at = gone
			if err := t.c.message(typeLost, lost{Seq: gone, Age: int64(now.Sub(until))}); err != nil {
				return err
			}
		}
		if len(batch) == 0 {
			return nil
		}
		t.buf = t.buf[:0]
		for _, r := range batch {
			t.buf = appendReport(t.buf, r, now)
		}
		if err := t.c.send(t.buf); err != nil {
			return err
		}
		t.at = batch[len(batch)-1].seq
		if err := t.tellAnswers(); err != nil {
			return err
		}
	}
	return nil
}

// tellAll tells what there is, and then that it was all.
func (t *teller) tellAll() error {
	if err := t.tellReports(); err != nil {
		return err
	}
	return t.c.send(control.AppendFrame(nil, typeBeat, nil))
}

// read takes the other centre's frames until the link ends.
func (t *teller) read() error {
	for {
		kind, payload, err := t.c.frames.Next()
		if err != nil {
			return err
		}
		switch kind {
		case typeAsk:
			var m ask
			if err := decode(kind, payload, &m); err != nil {
				return err
			}
			t.ask(m)
		case typeCancel:
			var m cancel
			if err := decode(kind, payload, &m); err != nil {
				return err
			}
			t.cancel(m.ID)
		case typeTune:
			var m tune
			if err := decode(kind, payload, &m); err != nil {
				return err
			}
			t.p.fleet.TuneHere(time.Duration(m.Report), time.Duration(m.For))
		}
	}
}
