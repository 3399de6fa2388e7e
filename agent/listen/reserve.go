package listen

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// reserve keeps one descriptor free for the moment when the process has no more. Without it the kernel keeps finished
// connections in the backlog, where clients wait for their own timeouts.
type reserve struct{ file *os.File }

func openReserve() *reserve {
	r := &reserve{}
	r.reopen()
	return r
}

func (r *reserve) reopen() {
	if r.file == nil {
		r.file, _ = os.Open(os.DevNull) // without descriptors it fails, and the next round tries again
	}
}

func (r *reserve) close() {
	if r.file != nil {
		r.file.Close()
		r.file = nil
	}
}

// Bounds of one round of shedding: connections, and the wait for the next one.
const (
	shedMost = 64
	shedWait = 10 * time.Millisecond
)

// shed accepts and closes connections that wait, with the reserve's descriptor.
//
// Linux takes the descriptor before it looks for a connection, so EMFILE does not say that one waits; the deadline ends
// the round when none does.
func (r *reserve) shed(ln net.Listener, each func()) {
	r.close()
	defer r.reopen()
	timed, ok := ln.(interface{ SetDeadline(time.Time) error })
	if !ok {
		return
	}
	defer timed.SetDeadline(time.Time{})
	for range shedMost {
		timed.SetDeadline(time.Now().Add(shedWait))
		c, err := ln.Accept()
		if err != nil {
			return
		}
		c.Close()
		each()
	}
}

// kept is how many descriptors clients leave to operators, checks of health and connections to servers: an eighth of the
// limit, and no more than 64.
func kept(limit uint64) uint64 { return min(64, limit/8) }

var errLastFiles = fmt.Errorf("clients have all descriptors but those that are kept for the agent itself: %w", syscall.EMFILE)

// lastFiles reports that clients have come to the last descriptors. The kernel gives the lowest number that is free, so a
// connection's own number tells how many are open, and asking for a copy among the last ones tells how many of those are
// taken: drivers may exchange a connection's number for a higher one. More than half of them are too many.
func lastFiles(conn net.Conn) bool {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := c.SyscallConn()
	var limit syscall.Rlimit
	if err != nil || syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return false
	}
	first := int(limit.Cur - kept(limit.Cur))
	last := false
	err = raw.Control(func(fd uintptr) {
		if last = int(fd) >= first; last {
			return
		}
		twin, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, first)
		if err != nil {
			last = outOfFiles(err)
			return
		}
		_ = unix.Close(twin) // a copy that nobody used
		last = twin >= first+int(kept(limit.Cur)/2)
	})
	return err == nil && last
}

func outOfFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// aborted reports that a connection ended before it was accepted (accept(2): errors of the new socket).
func aborted(err error) bool {
	return errors.Is(err, syscall.ECONNABORTED) || errors.Is(err, syscall.EPROTO)
}

// backoff is the wait after an error of accept: from 5 ms, doubled each time, to 1 s. It logs the first error of a row
// and then one line in ten seconds.
type backoff struct {
	log     *slog.Logger
	address string
	delay   time.Duration
	logged  time.Time
}

const (
	backoffFirst = 5 * time.Millisecond
	backoffMost  = time.Second
	backoffQuiet = 10 * time.Second
)

func (b *backoff) next(err error) time.Duration {
	b.delay = min(max(2*b.delay, backoffFirst), backoffMost)
	b.say(err)
	return b.delay
}

func (b *backoff) say(err error) {
	now := time.Now()
	if now.Sub(b.logged) < backoffQuiet {
		return
	}
	b.logged = now
	hint := ""
	if outOfFiles(err) {
		hint = "raise the limit of open files (ulimit -n, LimitNOFILE=) or lower policy.max-sessions"
	}
	b.log.Error("cannot accept connections", "listen", b.address, "error", err, "hint", hint)
}

func (b *backoff) reset() { b.delay = 0 }

// bucket bounds a rate: up to a second's worth may come at once.
type bucket struct {
	every time.Duration // between two tokens in the long run
	full  time.Time     // when the bucket will be full again, were nothing taken
}

func newBucket(rate int) *bucket { return &bucket{every: time.Second / time.Duration(rate)} }

// take takes a token and returns how long to wait before using it.
func (b *bucket) take(now time.Time) time.Duration {
	if b.full.Before(now) {
		b.full = now
	}
	b.full = b.full.Add(b.every)
	return b.full.Sub(now) - time.Second
}
