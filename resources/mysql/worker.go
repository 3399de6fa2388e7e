package mysql

import (
	"fmt"
	"iter"
	"runtime/debug"

	"github.com/sluice-mesh/sluice/internal/loop"
)

// A session whose client has a plain connection runs on a loop: as linear code, on a coroutine that the loop resumes when
// what it waits for is there. Only a session that executes a command needs one; silent clients cost no stack.
//
// What runs on a loop must not block: everybody else on that loop would wait too. So what takes a while for another reason
// than its own client or its own server (dialling, waiting in line, another session's connection, KILL, delays, locks that
// a waiting session may hold) is done by aside, on a goroutine, while the session waits.

// lane is a loop with the coroutines that are free on it. Only the loop uses it.
type lane struct {
	loop *loop.Loop
	free []*worker
}

// freeWorkers is how many coroutines a loop keeps for the next commands.
const freeWorkers = 64

// worker is a coroutine that sessions run on, one at a time.
type worker struct {
	s     *session
	yield func(struct{}) bool
	next  func() (struct{}, bool)
	stop  func()
}

func newWorker() *worker {
	k := &worker{}
	k.next, k.stop = iter.Pull(k.run)
	return k
}

func (k *worker) run(yield func(struct{}) bool) {
	k.yield = yield
	defer func() { // a panic goes through to the loop, which does not know where it began
		if p := recover(); p != nil {
			panic(fmt.Sprintf("%v\n%s", p, debug.Stack()))
		}
	}()
	for {
		s := k.s
		s.turn()
		k.s = nil
		if !yield(struct{}{}) {
			return
		}
	}
}

// resume lets the session go on. It is called on its loop, by whoever took note that it waits.
func (s *session) resume() {
	l := s.lane
	k := s.worker
	if k == nil {
		if n := len(l.free); n > 0 {
			k, l.free = l.free[n-1], l.free[:n-1]
		} else {
			k = newWorker()
		}
		k.s, s.worker = s, k
	}
	s.reads = 0
	k.next()
	if k.s != nil {
		return // it waits for something
	}
	if len(l.free) < freeWorkers {
		l.free = append(l.free, k)
	} else {
		k.stop()
	}
}

// pause sets the session aside until it is resumed.
func (s *session) pause() { s.worker.yield(struct{}{}) }

// readsAtOnce is how often a session may read before others on its loop have their turn.
const readsAtOnce = 16

// breathe lets others on the loop have their turn, now and then.
func (s *session) breathe() {
	if s.reads++; s.reads < readsAtOnce || s.worker == nil {
		return
	}
	if s.lane.loop.Post(s.resume) {
		s.pause()
	}
}

// aside runs f where it may block, and returns when f has. Everything that may wait for anything else than the session's
// own client, or the connection that executes its command, must be done here.
func (s *session) aside(f func()) {
	if s.worker == nil || s.client.user == nil {
		f() // it has a goroutine
		return
	}
	s.client.user = nil
	s.r.work.Go(func() {
		f()
		s.client.user = s
		if !s.lane.loop.Post(s.resume) {
			panic("mysql: a loop has stopped before its sessions")
		}
	})
	s.pause()
}

// lock takes s.mu, which others hold only while they do something with the session's connection.
func (s *session) lock() {
	if !s.mu.TryLock() {
		s.aside(s.mu.Lock)
	}
}

// settleOn moves the session to a loop, for the rest of its life. It reports whether that is possible.
func (s *session) settleOn() bool {
	l := s.r.nextLane()
	if l == nil {
		return false
	}
	s.lane, s.client.user = l, s
	s.client.adopt(l.loop)
	if s.client.desc.Load() == nil {
		s.lane, s.client.user = nil, nil
		return false
	}
	if !l.loop.Post(s.resume) { // it has stopped: so does the session
		s.lane, s.client.user = nil, nil
		s.client.cut(false)
		return false
	}
	return true
}

// turn executes what the client sent, until it is silent or gone.
func (s *session) turn() {
	for {
		if len(s.client.buffered()) == 0 {
			w := s.worker
			s.worker = nil
			if s.client.arm(canRead|cutRead, waitLoop) {
				return
			}
			s.worker = w
		} else {
			s.breathe()
		}
		if !s.oneCommand() {
			s.end()
			s.worker = nil
			return
		}
	}
}

// nextLane returns the loops in turn; nil when there is none that could be used: TLS towards servers is not polled, and a
// session that runs on a loop would have to leave it with each command.
func (r *Resource) nextLane() *lane {
	if len(r.lanes) == 0 {
		return nil
	}
	for _, ep := range r.rt.Endpoints() {
		if r.rt.ClientTLS(ep) != nil {
			return nil
		}
	}
	return r.lanes[int(r.turn.Add(1)-1)%len(r.lanes)]
}

// openLanes finds the loops.
func (r *Resource) openLanes() error {
	loops, err := r.rt.Loops()
	if err != nil {
		return err
	}
	loops.Each(func(_ int, l *loop.Loop) { r.lanes = append(r.lanes, &lane{loop: l}) })
	return nil
}

// closeLanes ends the coroutines. All sessions have ended, or are about to return to their loop for the last time.
func (r *Resource) closeLanes() {
	for _, l := range r.lanes {
		over := make(chan struct{})
		end := func() {
			for _, k := range l.free {
				k.stop()
			}
			l.free = nil
			close(over)
		}
		if !l.loop.Post(end) {
			end()
		}
		<-over
	}
}
