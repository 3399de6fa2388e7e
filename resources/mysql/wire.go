package mysql

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-mesh/sluice/protocols/mysql"
)

// bufferSize is what one read may bring. Point queries and their answers fit in it many times over; larger results pass
// in parts of this size.
const bufferSize = 16 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }}

// wire is one connection, to a client or to a server, with what was read of it and not yet used. One goroutine uses it at
// a time. While nothing is buffered it holds no buffer: a connection that waits costs its goroutine's stack, and not even
// that when a loop watches it (polled.go).
type wire struct {
	polled
	nc   net.Conn        // closed, and only good for its addresses, once a loop watches the connection
	raw  syscall.RawConn // nil: TLS, and whatever else has no descriptor of its own
	buf  *[]byte         // of the pool; nil: none
	in   []byte          // *buf, or larger while a long command is gathered
	r, w int             // in[r:w] is not used yet
	got  int             // of the last read
	err  error
	read func(fd uintptr) bool // w.readable, made once

	below  syscall.RawConn // the descriptor, below TLS too; nil: none
	poll   func(fd uintptr)
	fds    [1]unix.PollFd
	events int16
}

func (w *wire) attach(nc net.Conn) {
	w.nc, w.raw, w.below = nc, rawOf(nc), rawOf(underlying(nc))
	if w.read == nil {
		w.read, w.poll = w.readable, w.pollNow
	}
}

func rawOf(nc net.Conn) syscall.RawConn {
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}

// buffered returns what was read and not yet used.
func (w *wire) buffered() []byte { return w.in[w.r:w.w] }

// use takes n bytes of what is buffered.
func (w *wire) use(n int) {
	w.r += n
	if w.r == w.w {
		w.release()
	}
}

// release gives the buffer back when it is empty.
func (w *wire) release() {
	if w.r != w.w {
		return
	}
	w.r, w.w, w.in = 0, 0, nil
	if w.buf != nil {
		buffers.Put(w.buf)
		w.buf = nil
	}
}

// room makes place for at least one more byte, up to limit bytes in all.
func (w *wire) room(limit int) error {
	switch {
	case w.in == nil:
		w.buf = buffers.Get().(*[]byte)
		w.in = *w.buf
	case w.w < len(w.in):
	case w.r > 0:
		w.w = copy(w.in, w.in[w.r:w.w])
		w.r = 0
	case len(w.in) >= limit:
		return errTooLong
	default:
		larger := make([]byte, min(2*len(w.in), limit))
		w.w = copy(larger, w.in[:w.w])
		w.in = larger
		if w.buf != nil {
			buffers.Put(w.buf)
			w.buf = nil
		}
	}
	return nil
}

var errTooLong = errors.New("more than may be gathered")

// fill reads at least one byte more. What is buffered may grow to limit bytes.
func (w *wire) fill(limit int) error {
	if d := w.desc.Load(); d != nil {
		return w.fillPolled(d, limit)
	}
	if w.raw == nil || w.in != nil {
		if err := w.room(limit); err != nil {
			return err
		}
	}
	if w.raw == nil {
		n, err := w.nc.Read(w.in[w.w:])
		w.w += n
		if n > 0 {
			return nil
		}
		w.release()
		return orEOF(err)
	}
	w.got, w.err = 0, nil
	if err := w.raw.Read(w.read); err != nil {
		return err
	}
	if w.err == nil && w.got == 0 {
		w.err = io.EOF
	}
	w.w += w.got
	return w.err
}

func orEOF(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// readable is called when the descriptor may have something. It takes a buffer only then.
func (w *wire) readable(fd uintptr) bool {
	fresh := w.in == nil
	if fresh {
		w.buf = buffers.Get().(*[]byte)
		w.in = *w.buf
	}
	n, err := unix.Read(int(fd), w.in[w.w:])
	for err == unix.EINTR {
		n, err = unix.Read(int(fd), w.in[w.w:])
	}
	if n > 0 {
		w.got = n
		return true
	}
	if fresh {
		w.release()
	}
	if err == unix.EAGAIN {
		return false
	}
	w.err = err
	return true
}

// need reads until n bytes are buffered.
func (w *wire) need(n, limit int) error {
	for w.w-w.r < n {
		if err := w.fill(limit); err != nil {
			return err
		}
	}
	return nil
}

// packet reads one whole packet of at most limit bytes and returns its payload, which is valid until the next read, and
// its sequence id. It is for handshakes and for what the agent asks by itself.
func (w *wire) packet(limit int) ([]byte, byte, error) {
	if err := w.need(mysql.HeaderLen, limit); err != nil {
		return nil, 0, err
	}
	n, seq := mysql.Header(w.buffered())
	if n+mysql.HeaderLen > limit {
		return nil, 0, errTooLong
	}
	if err := w.need(mysql.HeaderLen+n, limit); err != nil {
		return nil, 0, err
	}
	p := w.buffered()[mysql.HeaderLen : mysql.HeaderLen+n]
	w.r += mysql.HeaderLen + n // not use: the payload is still looked at
	return p, seq, nil
}

// write sends b whole.
func (w *wire) write(b []byte) error {
	if d := w.desc.Load(); d != nil {
		return w.writePolled(d, b)
	}
	_, err := w.nc.Write(b)
	return err
}

// stirred reports whether there is something to read, or the other side has hung up, while nobody reads. It asks the
// descriptor and does not touch what is there. Without a descriptor it cannot tell and says no.
func (w *wire) stirred() (readable, hungUp bool) {
	if d := w.desc.Load(); d != nil {
		return w.stirredPolled(d)
	}
	if w.below == nil {
		return false, false
	}
	w.events = 0
	if w.below.Control(w.poll) != nil {
		return false, true
	}
	return w.events&unix.POLLIN != 0, w.events&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
}

func (w *wire) pollNow(fd uintptr) {
	w.fds[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN | unix.POLLRDHUP}
	for {
		if _, err := unix.Poll(w.fds[:], 0); err != unix.EINTR {
			break
		}
	}
	w.events = w.fds[0].Revents
}

// underlying returns the connection below TLS and compression.
func underlying(nc net.Conn) net.Conn {
	for {
		t, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return nc
		}
		nc = t.NetConn()
	}
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// deadline ends what the connection waits for at t; the zero time means never.
func (w *wire) deadline(t time.Time) {
	if d := w.desc.Load(); d != nil {
		w.deadlinePolled(t)
		return
	}
	if t.IsZero() {
		w.state.And(^(cutRead | cutWrite))
	}
	_ = w.nc.SetDeadline(t)
}

// cut makes the connection fail, for whoever uses it: when it is next read, and when it is next written too unless
// reading is named as what shall end. Any goroutine may call it.
func (w *wire) cut(reading bool) {
	bits := cutRead
	if !reading {
		bits |= cutWrite
	}
	w.signal(bits, nil)
	if w.desc.Load() != nil {
		return
	}
	if reading {
		_ = w.nc.SetReadDeadline(past)
	} else {
		_ = w.nc.SetDeadline(past)
	}
}

// close ends the connection and gives its buffer back. It must not be called while another goroutine reads.
func (w *wire) close() {
	if d := w.desc.Load(); d != nil {
		d.Close()
	} else if w.nc != nil {
		_ = w.nc.Close()
	}
	w.r = w.w
	w.release()
}
