package fleet

import (
	"fmt"
	"runtime"
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// write sends what there is to send until the link ends.
func (l *link) write() {
	defer func() {
		if l.first {
			l.f.starting.Add(-1)
		}
	}()
	if err := l.welcome(); err != nil {
		l.cut(err)
		return
	}
	wait := time.NewTimer(time.Hour)
	defer wait.Stop()
	for {
		again, left, err := l.turn()
		if err != nil {
			l.cut(err)
			return
		}
		if left {
			return
		}
		if again > 0 {
			wait.Reset(again)
		}
		select {
		case <-l.wake:
		case <-wait.C:
		case <-l.done:
			return
		}
	}
}

func (l *link) welcome() error {
	l.f.mu.Lock()
	report := l.f.report
	l.f.mu.Unlock()
	return l.send(frameOf(control.TypeWelcome, control.Welcome{
		Protocol: control.Version, Center: l.f.o.Name, Cluster: l.f.o.Cluster,
		Heartbeat: int64(l.f.o.Heartbeat), Report: int64(report), Now: l.f.o.Now().UnixMilli(),
	}))
}

// turn sends all that waits. Left: the goodbye is said, and the writer is done. Again: something has to wait that long.
func (l *link) turn() (again time.Duration, left bool, err error) {
	l.mu.Lock()
	out, leaving := l.out, l.leaving
	l.out = nil
	l.mu.Unlock()
	if leaving != nil {
		return 0, true, l.leave(leaving)
	}
	for _, frame := range out {
		if err := l.send(frame); err != nil {
			return 0, false, err
		}
	}
	again, err = l.push()
	return again, false, err
}

// leave says goodbye and lets the agent close: see linger.
func (l *link) leave(frame []byte) error {
	if err := l.send(frame); err != nil {
		return err
	}
	closeWrite(l.conn)
	return l.conn.SetReadDeadline(time.Now().Add(time.Second))
}

// push sends what the agent lacks, if it is its turn.
func (l *link) push() (again time.Duration, err error) {
	s, again, err := l.make()
	if s == nil || err != nil {
		return again, err
	}
	size := int64(len(s.bytes))
	l.f.queued.Add(size)
	err = l.send(s.bytes)
	l.f.queued.Add(-size)
	runtime.KeepAlive(s) // so that others find it while it is needed: frames holds it weakly
	if l.first && err == nil {
		l.first = false
		l.f.starting.Add(-1)
	}
	return 0, err
}

// make works out what to send now and encodes it; nil when there is nothing, or when it has to wait. Of Full updates only a
// few are made at the same time.
func (l *link) make() (s *shared, again time.Duration, err error) {
	if l.first && l.full {
		select {
		case l.f.builds <- struct{}{}:
			defer func() { <-l.f.builds }()
		case <-l.done:
			return nil, 0, nil
		}
	}
	u, again, err := l.next()
	if u == nil || err != nil {
		return nil, again, err
	}
	s = l.f.frames.get(u)
	return s, 0, s.err
}

// next works out the update to send now; nil when there is none, or when it has to wait.
func (l *link) next() (u *update, again time.Duration, err error) {
	l.f.mu.Lock()
	revision := uint64(l.f.revision) // before the Source is asked: what it shows is at least as new
	l.f.mu.Unlock()
	e := l.e
	e.mu.Lock()
	if e.link != l || !e.pending() {
		e.mu.Unlock()
		return nil, 0, nil
	}
	now := l.f.o.Now()
	if n := len(e.flights); n > 0 {
		if left := l.f.o.Patience - now.Sub(e.flights[n-1].sent); left > 0 {
			e.mu.Unlock()
			return nil, left, nil
		}
		if n >= maxFlights {
			e.mu.Unlock()
			return nil, 0, fmt.Errorf("%d updates were not answered", n)
		}
	}
	if l.first && l.full && l.knows && e.doubtful() {
		e.mu.Unlock()
		return nil, doubtWait, nil
	}
	u = e.diff(revision, l.first && l.full)
	e.note()
	waves := e.waves
	e.waves = nil
	if u.empty() && !l.first { // what changed does not concern the agent after all
		e.seq--
		for _, w := range waves {
			w.leave(l.f)
		}
		e.mu.Unlock()
		return nil, 0, nil
	}
	e.sentAt = u.Revision
	e.flights = append(e.flights, flight{seq: e.seq, revision: u.Revision, sent: now, waves: waves})
	e.mu.Unlock()
	return u, 0, nil
}

// doubtWait is when it is asked again whether a Full update would take away what is only not known yet.
const doubtWait = 100 * time.Millisecond

// doubtful reports whether a Full update could take something from the agent that only is not known yet. Until the agent has
// said what it runs, anything it wants may be that. Call with e.mu held.
func (e *entry) doubtful() bool {
	settled := e.f.settled()
	for _, name := range e.agent.Wants {
		s := e.states[name]
		if s == nil && len(e.states) > 0 || s != nil && s.head.Value().source != sourceCentre {
			continue
		}
		if e.f.doubtful(name) {
			return true
		}
		if settled {
			continue
		}
		_, hash, revision, ok := e.f.o.Source.Resource(name, e.agent)
		if ok && revision <= int64(e.ackedAt) && (s == nil || s.head.Value().hash != hash) {
			return true // it runs the same document, with more than is known here
		}
	}
	return false
}

// doubtful reports that there may be a resource although the Source shows none.
func (f *Fleet) doubtful(name string) bool {
	d, ok := f.o.Source.(Doubter)
	return ok && d.Doubtful(name)
}

// settled reports whether the Source knows everything.
func (f *Fleet) settled() bool {
	s, ok := f.o.Source.(Settler)
	return !ok || s.Settled()
}

// send writes a frame. The agent must take each piece of it in time.
func (l *link) send(frame []byte) error {
	for len(frame) > 0 {
		n := min(len(frame), writePiece)
		if err := l.conn.SetWriteDeadline(time.Now().Add(l.f.o.WriteWait)); err != nil {
			return err
		}
		if _, err := l.conn.Write(frame[:n]); err != nil {
			if isTimeout(err) {
				return fmt.Errorf("the agent did not read for %v: %w", l.f.o.WriteWait, err)
			}
			return err
		}
		frame = frame[n:]
	}
	return nil
}
