package mysql

import (
	"context"
	"strconv"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/resources"
)

// severedEvery is how often a silent session that is a tunnel is asked whether its connection is still there.
const severedEvery = int64(500 * time.Millisecond)

// watchEvery is how often the watcher looks at the sessions.
const watchEvery = 100 * time.Millisecond

// watch does what no session can do while it waits: it ends statements whose time is over or whose client has left, closes
// silent clients, and lets go of connections that are held for nothing. It only looks at a few words of each session.
func (r *Resource) watch() {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	var list []*session
	for n := 0; ; n++ {
		select {
		case <-r.ctx.Done():
			return
		case <-t.C:
		}
		r.digests.settle(clock.Now())
		list = list[:0]
		r.mu.Lock()
		for _, s := range r.sessions {
			list = append(list, s)
		}
		r.mu.Unlock()
		now, p := clock.Now(), r.rt.Policy()
		for i, s := range list {
			s.look(now, p)
			list[i] = nil
		}
		if n%50 == 49 {
			r.trim()
		}
	}
}

// look is the watcher's look at one session.
func (s *session) look(now int64, p *resources.Policy) {
	idle := now - s.since.Load()
	switch s.phase.Load() {
	case phaseIdle:
		began := s.began.Load()
		switch {
		case s.parting.Load() != 0:
			s.seeOff(now)
		case began != 0 && over(now-began, s.r.set.MaxTxn):
			s.expel(began, "settings.max-transaction")
		case began != 0 && over(idle, s.r.set.MaxTxnIdle):
			s.expel(began, "settings.max-transaction-idle")
		case over(idle, p.IdleTimeout):
			s.cut()
		case idle > holdFor && s.mu.TryLock():
			switch {
			case s.phase.Load() != phaseIdle:
			case s.held != nil, s.unsure:
				s.carry()
			case s.up != nil && (s.r.tunnel() || s.pins&pinUnknown != 0) && idle%severedEvery < int64(watchEvery) && !s.up.usable():
				s.cut() // its server has hung up, and what it had there is gone
			}
			s.mu.Unlock()
		}
	case phaseRun:
		ends := s.ends.Load()
		switch {
		case ends != 0 && now > ends:
			s.stop(now, ends)
		case s.tooLong(now):
			s.stop(now, now)
		case idle > int64(watchEvery) && s.hungUp():
			s.stop(now, now)
		}
	case phaseSend, phaseFile:
		if over(idle, p.IdleTimeout) {
			s.client.cut(false)
		}
	}
}

// tooLong reports whether the open transaction has lasted too long. Its statement is killed then, which the client hears
// (1317), and the client is disconnected after it. What ends the transaction is never killed: it must be known how it went.
func (s *session) tooLong(now int64) bool {
	began := s.began.Load()
	return began != 0 && over(now-began, s.r.set.MaxTxn) && !s.ending.Load()
}

// expel rolls the session's transaction back and disconnects its client, who hears of it with the next command. It looks
// like a server that has closed the connection: there is nothing that a client would read before it asks again.
func (s *session) expel(began int64, limit string) {
	if !s.began.CompareAndSwap(began, 0) { // it ended just now
		return
	}
	s.r.rt.Dropped("transaction")
	s.r.rt.Log("warn", "a transaction took too long; it is rolled back and its client disconnected", "client", s.rs.Client, "limit", limit)
	s.cut()
}

func over(took int64, limit resources.Duration) bool { return limit > 0 && took > int64(limit) }

// hungUp reports whether the client has left.
func (s *session) hungUp() bool {
	_, gone := s.client.stirred()
	return gone
}

// killWait is how long a server has to end a statement that it was told to end, before its connection is cut.
const killWait = int64(2 * time.Second)

// killing is a KILL QUERY on its way. What it is meant for must not be used for anything else before it has arrived.
type killing struct {
	began int64
	over  chan struct{}
}

// stop ends the running statement: by KILL first, which leaves connection and session as they are, then by force.
func (s *session) stop(now, since int64) {
	u := s.busy.Load()
	if u == nil {
		return
	}
	if k := s.kills.Load(); k != nil {
		if now-k.began > killWait && s.busy.CompareAndSwap(u, nil) {
			u.cut(false)
		}
		return
	}
	s.interrupt()
}

// interrupt tells the server to end the running statement.
func (s *session) interrupt() {
	u := s.busy.Load()
	k := &killing{began: clock.Now(), over: make(chan struct{})}
	if u == nil || !s.kills.CompareAndSwap(nil, k) {
		return
	}
	s.r.work.Go(func() {
		defer close(k.over)
		if s.busy.Load() == u {
			s.r.killQuery(u)
		}
	})
}

// spared waits for a KILL that is on its way, and reports whether there was none.
func (s *session) spared() bool {
	k := s.kills.Load()
	if k == nil {
		return true
	}
	s.aside(func() { <-k.over })
	s.kills.Store(nil)
	return false
}

// cut ends the session from outside, before its next command: one that was read is still executed and answered.
func (s *session) cut() { s.client.cut(true) }

// drain ends the session when its client is silent and has no transaction open (leave.go), or at once.
func (s *session) drain(now bool) {
	at := clock.Now()
	s.cutLogin(at)
	s.seeOff(at)
	if now {
		s.cut()
		s.leaving.Store(true)
		s.client.cut(false)
		if u := s.busy.Load(); u != nil {
			u.cut(false)
		}
	}
}

// killQuery ends what a connection executes, by a command on another one. That one is not counted
// among the pool's: when all of those are busy is when it is needed.
func (r *Resource) killQuery(u *upstream) {
	ctx, cancel := context.WithTimeout(r.ctx, resources.DefaultHandshakeTimeout)
	defer cancel()
	k, fault := u.p.connect(ctx, u.class, "")
	if fault != nil {
		r.rt.Log("warn", "a statement could not be killed", "endpoint", u.ep().Address, "error", fault.Text)
		return
	}
	k.deadline(time.Now().Add(recoverWithin))
	err := k.simple(mysql.ComQuery, "KILL QUERY "+strconv.FormatUint(uint64(u.id), 10))
	if err != nil {
		r.rt.Log("info", "KILL was refused", "endpoint", u.ep().Address, "error", err)
	}
	k.end()
}
