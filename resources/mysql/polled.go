package mysql

import (
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/internal/loop"
)

// A plain connection is watched by a loop, on which the sessions run that use it (worker.go). The wire still reads and
// writes the socket by itself, at once; the loop only says when that may succeed. A session that would have to wait is
// set aside until then, which costs a function call where a goroutine costs two passes through the scheduler.
//
// Whoever is on a goroutine of its own (the watcher, recovery, logins) uses the same wire and waits on a channel.

// polled is the part of a wire that a loop knows.
type polled struct {
	desc  atomic.Pointer[loop.Desc] // nil: no loop watches it
	state atomic.Uint32
	until atomic.Int64 // deadline, as clock.Now; 0: none

	user *session      // who uses it on a loop; nil: whoever waits does so on a goroutine
	bell chan struct{} // wakes that goroutine
}

// The state of a polled wire.
const (
	canRead  uint32 = 1 << iota // there may be something to read
	canWrite                    // the socket may take more
	gone                        // the other side has hung up
	cutRead                     // reading fails
	cutWrite                    // writing fails
	waitLoop                    // user waits, to be resumed
	waitBell                    // a goroutine waits for the bell
)

// adopt hands the connection to a loop, if it is one that a loop can watch.
func (w *wire) adopt(l *loop.Loop) {
	if w.desc.Load() != nil || w.nc == nil {
		return
	}
	d, err := l.Own(w.nc, w)
	if err != nil || d == nil {
		return
	}
	w.raw, w.below = nil, nil
	w.desc.Store(d)
	w.state.Or(canRead) // what came before the loop looked
}

// surface takes the connection back from its loop.
func (w *wire) surface() error {
	d := w.desc.Load()
	if d == nil {
		return nil
	}
	nc, err := d.Disown()
	if err != nil {
		return err
	}
	w.attach(nc)
	w.desc.Store(nil)
	if st := w.state.Load(); st&(cutRead|cutWrite) != 0 { // while it went from one to the other
		w.cut(st&cutWrite == 0)
	}
	return nil
}

// OnReady implements loop.Readiness.
func (w *wire) OnReady(l *loop.Loop, r loop.Ready) {
	var bits uint32
	if r&loop.Readable != 0 {
		bits |= canRead
	}
	if r&loop.Writable != 0 {
		bits |= canWrite
	}
	if r&loop.Hangup != 0 {
		bits |= gone
	}
	w.signal(bits, l)
}

// signal notes what happened and wakes who waits. l is the loop that it is called on; nil: none.
func (w *wire) signal(bits uint32, l *loop.Loop) {
	for {
		old := w.state.Load()
		if !w.state.CompareAndSwap(old, (old|bits)&^(waitLoop|waitBell)) {
			continue
		}
		switch {
		case old&waitLoop != 0:
			if s := w.user; s.lane.loop == l {
				s.resume()
			} else {
				s.lane.loop.Post(s.resume)
			}
		case old&waitBell != 0:
			select {
			case w.bell <- struct{}{}:
			default:
			}
		}
		return
	}
}

// arm makes the next signal resume the session, unless one of mask is there already.
func (w *wire) arm(mask, how uint32) bool {
	for {
		old := w.state.Load()
		if old&mask != 0 {
			return false
		}
		if w.state.CompareAndSwap(old, old|how) {
			return true
		}
	}
}

// wait returns when one of mask may be there. It may return for nothing.
func (w *wire) wait(mask uint32) {
	if s := w.user; s != nil {
		if !w.arm(mask, waitLoop) {
			return
		}
		until := w.until.Load()
		if until == 0 {
			s.pause()
			return
		}
		l := s.lane.loop
		t := &loop.Timer{F: func(int64) { w.signal(cutRead|cutWrite, l) }}
		l.Set(t, until)
		s.pause()
		l.Cancel(t)
		return
	}
	if w.bell == nil {
		w.bell = make(chan struct{}, 1)
	}
	if !w.arm(mask, waitBell) {
		return
	}
	until := w.until.Load()
	if until == 0 {
		<-w.bell
		return
	}
	t := time.NewTimer(time.Duration(until - clock.Now()))
	defer t.Stop()
	select {
	case <-w.bell:
	case <-t.C:
		w.state.And(^waitBell)
		w.state.Or(cutRead | cutWrite)
	}
}

// fillPolled reads at least one byte more.
func (w *wire) fillPolled(d *loop.Desc, limit int) error {
	for {
		st := w.state.Load()
		if st&cutRead != 0 {
			w.release()
			return os.ErrDeadlineExceeded
		}
		if st&canRead == 0 {
			w.wait(canRead | cutRead)
			continue
		}
		if w.user != nil {
			w.user.breathe()
		}
		if err := w.room(limit); err != nil {
			return err
		}
		w.state.And(^canRead)
		n, err := d.Read(w.in[w.w:])
		if n > 0 {
			// Less than there was room for is all that there was; more makes the loop tell so.
			if n == len(w.in)-w.w || w.state.Load()&gone != 0 {
				w.state.Or(canRead)
			}
			w.w += n
			return nil
		}
		w.release()
		if err == loop.EAGAIN {
			continue
		}
		w.state.Or(canRead)
		if err == nil {
			err = io.EOF
		}
		return err
	}
}

// writePolled sends b whole.
func (w *wire) writePolled(d *loop.Desc, b []byte) error {
	for {
		n, err := d.Write(b)
		if b = b[n:]; len(b) == 0 {
			return nil
		}
		if err == nil {
			continue
		}
		if err != loop.EAGAIN {
			return err
		}
		w.state.And(^canWrite)
		if err := d.AwaitWrite(); err != nil {
			return err
		}
		for w.state.Load()&(canWrite|cutWrite) == 0 {
			w.wait(canWrite | cutWrite)
		}
		if w.state.Load()&cutWrite != 0 {
			return os.ErrDeadlineExceeded
		}
	}
}

// stirredPolled is stirred, without a system call as long as nothing has happened.
func (w *wire) stirredPolled(d *loop.Desc) (readable, hungUp bool) {
	st := w.state.Load()
	if st&gone != 0 {
		return true, true
	}
	return st&canRead != 0 && d.Stirred(), false
}

func (w *wire) deadlinePolled(t time.Time) {
	if t.IsZero() {
		w.until.Store(0)
		w.state.And(^(cutRead | cutWrite))
		return
	}
	in := time.Until(t)
	if in <= 0 {
		w.cut(false)
		return
	}
	w.until.Store(clock.Now() + int64(in))
}
