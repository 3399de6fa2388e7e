package mysql

import (
	"errors"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/resources"
)

// A session leaves when the resource ends, or when it should not stay where its connection is and nobody can carry it to
// another place. It leaves between two commands and outside transactions, in one of two ways:
//
//	client silent for a moment           the connection is closed, as servers close silent ones
//	client sends a command before that   ERR 1053, nothing is executed, and the connection is closed
//
// A command that comes while the silent client's connection is about to be closed is answered as well: the session looks at
// the socket once more before it closes it. What remains is a command that is still on its way by then; its client
// sees the end of the connection, and cannot tell that from a server that has closed it.

// How long a client is silent before its connection is closed. One that works without a pause hears 1053; the silent ones of
// a pool are closed unnoticed, because pools look whether a connection is still there before they use it.
const (
	lull    = int64(20 * time.Millisecond)
	lullTxn = int64(time.Second) // behind a transaction that ended while the session was to leave, and for all of a login
)

// crossingFor is how long a client has for the rest of a command of which a part was there.
const crossingFor = resources.DefaultHandshakeTimeout

// leave is asked when the session should not stay where its connection is. Transactions, and state that was made on
// purpose, are waited for. What remains is a session whose state nobody knows, because the profile is tunnel or the server
// has no tracker: only its client can make it anew. So the client is disconnected between two commands, and finds its new
// place when it connects again.
func (s *session) leave() resources.Move {
	if s.tied(s.up)&^resources.PinPaired != 0 {
		return resources.Stay
	}
	return resources.Drain
}

// farewells are what clients are told that leave.
type farewells struct{ ending, moving *resources.Fault }

func newFarewells(name string) farewells {
	f := farewells{
		ending: resources.NewFault(resources.Draining, resources.FromAgent, name,
			"the agent is shutting down, or opens this resource anew: nothing was executed, connect again"),
		moving: resources.NewFault(resources.Draining, resources.FromAgent, name,
			"traffic has moved away from the server of this session: nothing was executed, connect again"),
	}
	f.ending.Close, f.moving.Close = true, true
	return f
}

// settleDown asks at the end of a command whether the session may go on. wasOpen says that a transaction was open before.
func (s *session) settleDown(wasOpen bool) {
	if s.boundary() != resources.Drain {
		return
	}
	wait := lull
	if wasOpen {
		wait = lullTxn
	}
	s.parting.Store(max(wait, s.parting.Load()))
	s.client.deadline(time.Time{}) // it may have been cut just before it read its last command, which began a new silence
}

// loggedIn ends the login. From here on the client may send commands, and is not cut as those are that log in.
func (s *session) loggedIn() {
	s.lock()
	s.enter(phaseIdle)
	s.client.deadline(time.Time{})
	s.mu.Unlock()
	s.settleDown(false)
}

// cutLogin ends a login that takes long: most go on to their end, since the client's answer is on its way.
func (s *session) cutLogin(now int64) {
	if s.phase.Load() == phaseLogin && now-s.since.Load() > lullTxn && s.mu.TryLock() {
		if s.phase.Load() == phaseLogin {
			s.cut()
		}
		s.mu.Unlock()
	}
}

// leaves reports whether the session executes no further command. It is asked with mu held, as close is: so a connection is
// never closed in front of a command that is executed.
func (s *session) leaves() bool {
	if s.parting.Load() == 0 && !s.r.draining.Load() {
		return false
	}
	return s.began.Load() == 0 && (s.up == nil || !s.up.status.Has(mysql.StatusInTrans))
}

// begin runs the filters of a command. A session that leaves executes none.
func (s *session) begin(c *resources.Call) *resources.Stop {
	stop := s.r.rt.Begin(c)
	if !s.leaves() {
		return stop
	}
	f := s.r.farewells.moving
	if s.r.draining.Load() {
		f = s.r.farewells.ending
	}
	c.Fault, c.Outcome = f, resources.OutcomeOf(f)
	s.dismissed = true
	return &resources.Stop{Fault: f, Outcome: c.Outcome}
}

// seeOff wakes a session that leaves and whose client is silent: it finds nothing to read and ends. Others may call it.
func (s *session) seeOff(now int64) {
	silent := max(lull, s.parting.Load())
	if s.phase.Load() != phaseIdle || s.began.Load() != 0 || now-s.since.Load() < silent || !s.mu.TryLock() {
		return
	}
	if s.phase.Load() == phaseIdle && s.leaves() {
		s.cut()
	}
	s.mu.Unlock()
}

// sayStop sends the answer to a command that was stopped. It is the last that a client hears that was told to leave.
func (s *session) sayStop() (err error) {
	if !s.dismissed {
		return s.client.write(s.out)
	}
	s.aside(func() { err = s.client.writeLast(s.out) })
	return err
}

// writeLast sends b and ends this direction of the connection, in one segment where that is possible: a pool that gets the
// connection back right after it has read b, and looks whether the connection is still there, finds its end. It may block.
func (w *wire) writeLast(b []byte) error {
	if err := w.surface(); err != nil {
		return err
	}
	w.deadline(time.Now().Add(lingerFor))
	if w.below != nil { // a unix socket has no such option
		_ = w.below.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, 1) })
	}
	_, err := w.nc.Write(b)
	for nc := w.nc; err == nil; {
		if half, ok := nc.(interface{ CloseWrite() error }); ok { // of TLS: says so, and does not close
			err = half.CloseWrite()
		}
		inner, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		nc = inner.NetConn()
	}
	return err
}

// dismiss lets a client that was told to leave read that, also when it has sent more by now: a connection that is closed
// while something unread is there is reset.
func (s *session) dismiss() {
	if s.dismissed && (len(s.client.buffered()) > 0 || s.client.pending()) {
		s.linger()
	}
}

// crossed reports whether a session that was woken to leave goes on all the same, because its client has sent something by
// now: that is to be read, and answered. err is why the next command could not be read.
func (s *session) crossed(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) || s.leaving.Load() {
		return false
	}
	w := &s.client
	s.lock()
	goesOn := s.leaves() && (len(w.buffered()) > 0 || w.pending())
	if goesOn {
		s.phase.Store(phaseSend) // so that it is not cut again before the time is over
	}
	s.mu.Unlock()
	if !goesOn {
		return false
	}
	w.deadline(time.Time{}) // which takes back that it was cut
	w.deadline(time.Now().Add(crossingFor))
	return true
}

// turnAway answers a client that was logging in when the resource ended, if it has said something that can be answered.
func (s *session) turnAway() {
	w := &s.client
	s.lock()
	s.phase.Store(phaseSend) // as above
	s.mu.Unlock()
	if len(w.buffered()) == 0 && !w.pending() {
		return
	}
	w.deadline(time.Now().Add(lingerFor))
	_, seq, err := w.packet(maxHandshake)
	if err != nil {
		return
	}
	f := s.r.farewells.ending
	code, state := native(f, s.r.maria())
	s.refuse(seq+1, code, state, f.Text)
	s.linger()
}

// pending reports whether there is something to read. It asks the socket, whatever a loop knows by now, and shares nothing
// with stirred, which the watcher may be in.
func (w *wire) pending() bool {
	if d := w.desc.Load(); d != nil {
		if !d.Stirred() {
			return false
		}
		w.state.Or(canRead)
		return true
	}
	if w.below == nil {
		return false
	}
	fds := [1]unix.PollFd{}
	_ = w.below.Control(func(fd uintptr) {
		fds[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
		for _, err := unix.Poll(fds[:], 0); err == unix.EINTR; _, err = unix.Poll(fds[:], 0) {
		}
	})
	return fds[0].Revents != 0
}
