package loop

import (
	"io"
	"net"

	"github.com/sluice-mesh/sluice/internal/clock"
)

// Handler reacts to what happens on a connection.
type Handler interface {
	// OnData gets bytes that arrived, after those that were not consumed before, and returns how many it consumed. The
	// bytes are valid only during the call.
	OnData(c *Conn, b []byte) int
	// OnEOF tells that the peer will send no more; it may still read. Unconsumed bytes stay unconsumed.
	OnEOF(c *Conn)
	// OnDrained tells that the bytes still to be written fell below LowWater after WantDrained was called.
	OnDrained(c *Conn)
	// OnClose tells that the connection is gone, exactly once. err is what Close was given or what the system said.
	OnClose(c *Conn, err error)
}

// Marks of back-pressure, in bytes that wait to be written: a handler that finds more than HighWater pending should stop
// producing, call WantDrained, and go on at OnDrained.
const (
	HighWater = 128 << 10
	LowWater  = 32 << 10
)

const (
	stDirty    = 1 << iota // in loop.dirty
	stPaused               // not reading
	stWriting              // waits until the peer takes more
	stEOF                  // the peer will send no more
	stTold                 // OnEOF ran
	stClosing              // close when everything is written
	stClosed               // Close was called
	stDrain                // OnDrained is wanted
	stAgain                // buffered bytes must be offered again
	stKeep                 // written bytes are kept until Release
	stStarted              // the poller or the goroutines know it
	stReadable             // polled: registered for reading
	stAbort                // the peer is to see a reset
)

// Conn is a connection on a loop.
type Conn struct {
	loop   *Loop
	h      Handler
	remote net.Addr
	net    *netConn // nil when the loop polls fd
	fd     int
	state  uint16
	err    error

	in  []byte // arrived and not consumed
	out []byte // [head:sent] kept, [sent:] to be written
	// positions in out; base is the stream position of out[0].
	head, sent int
	base       uint64

	marks []mark // of OnWritten
}

// mark asks to be told when what was appended before pos was written.
type mark struct {
	pos uint64 // unset: what is appended until the end of the round
	f   func(at int64)
}

const unset = ^uint64(0)

// Loop returns the connection's loop.
func (c *Conn) Loop() *Loop { return c.loop }

// Remote returns the peer's address.
func (c *Conn) Remote() net.Addr { return c.remote }

// SetHandler makes h the handler.
func (c *Conn) SetHandler(h Handler) { c.h = h }

// Closed reports whether Close was called or the connection failed.
func (c *Conn) Closed() bool { return c.state&stClosed != 0 }

// Buffered returns the bytes that arrived and were not consumed.
func (c *Conn) Buffered() int { return len(c.in) }

// Unread reports whether bytes are known to have come that the handler was not offered yet. A connection that looks idle and is to be
// closed should be asked: its peer may have just sent what it waits for an answer to. Where only the system knows, as for TLS, and
// that is not asked, it says false.
func (c *Conn) Unread() bool { return c.state&stClosed == 0 && c.waiting() > 0 }

// Pending returns how many bytes wait to be written.
func (c *Conn) Pending() int { return len(c.out) - c.sent }

// WantDrained asks for OnDrained once.
func (c *Conn) WantDrained() {
	c.state |= stDrain
	c.touch()
}

// Write appends b to what is written at the end of the round.
func (c *Conn) Write(b []byte) { c.SetOut(append(c.Out(len(b)), b...)) }

// Out returns the buffer of bytes to be written with room for n more, to be appended to and given to SetOut. It is
// valid until anything else is done with the connection.
func (c *Conn) Out(n int) []byte {
	if len(c.out)+n > cap(c.out) {
		c.makeRoom(n)
	}
	return c.out
}

// SetOut takes the buffer back after bytes were appended.
func (c *Conn) SetOut(b []byte) {
	c.out = b
	c.touch()
}

// makeRoom moves what is still needed to the front, in a larger buffer when that is not enough.
func (c *Conn) makeRoom(n int) {
	live := len(c.out) - c.head
	dst := c.out[:0]
	if live+n > cap(c.out) || c.head < live {
		dst = c.loop.bufs.get(2*live + n)
		dst = append(dst, c.out[c.head:]...)
		c.loop.bufs.put(c.out)
	} else {
		dst = append(dst, c.out[c.head:]...)
	}
	c.out = dst
	c.base += uint64(c.head)
	c.sent -= c.head
	c.head = 0
}

// Keep makes the connection keep written bytes until Release, so that they can be sent again elsewhere.
func (c *Conn) Keep() { c.state |= stKeep }

// Position returns the stream position of the next appended byte: the number of bytes appended so far.
func (c *Conn) Position() uint64 { return c.base + uint64(len(c.out)) }

// Sent returns the stream position up to which bytes were handed to the system.
func (c *Conn) Sent() uint64 { return c.base + uint64(c.sent) }

// OnWritten calls f once, on the loop, when everything that is appended until the end of this round was handed to the system,
// with the time of that; with 0 when the connection is closed before. It is for what is measured now and then: it allocates, and
// reads the clock.
func (c *Conn) OnWritten(f func(at int64)) {
	if c.state&stClosed != 0 {
		f(0)
		return
	}
	c.marks = append(c.marks, mark{unset, f})
	c.touch()
}

// place says of marks that were made in this round where they are.
func (c *Conn) place() {
	for i := len(c.marks) - 1; i >= 0 && c.marks[i].pos == unset; i-- {
		c.marks[i].pos = c.Position()
	}
}

// told tells those who wait in OnWritten; at is 0 when the connection is gone.
func (c *Conn) told(at int64) {
	marks, n := c.marks, 0
	c.marks = nil // who is told may ask again
	for _, m := range marks {
		if at == 0 || m.pos <= c.Sent() {
			m.f(at)
		} else {
			marks[n] = m
			n++
		}
	}
	clear(marks[n:])
	if n > 0 {
		c.marks = append(marks[:n], c.marks...)
	}
}

// Kept returns n bytes at stream position pos, which must not have been released; nil when they were.
func (c *Conn) Kept(pos uint64, n int) []byte {
	if pos < c.base+uint64(c.head) || pos+uint64(n) > c.Position() {
		return nil
	}
	i := int(pos - c.base)
	return c.out[i : i+n]
}

// Release lets go of kept bytes before stream position pos.
func (c *Conn) Release(pos uint64) {
	if i := int(pos - c.base); i > c.head {
		c.head = min(i, c.sent)
		c.trim()
	}
}

// trim empties the buffer when nothing in it is needed.
func (c *Conn) trim() {
	if c.head < len(c.out) {
		return
	}
	c.base += uint64(len(c.out))
	c.head, c.sent = 0, 0
	if cap(c.out) > keepCap {
		c.loop.bufs.put(c.out)
		c.out = nil
	}
	c.out = c.out[:0]
}

// Pause stops reading. Bytes that the peer sends stay with the system, so that the peer has to wait.
func (c *Conn) Pause() {
	if c.state&stPaused == 0 {
		c.state |= stPaused
		c.touch()
	}
}

// Resume goes on reading, and offers unconsumed bytes again.
func (c *Conn) Resume() {
	c.state = c.state&^stPaused | stAgain
	c.touch()
}

// Paused reports whether reading is stopped.
func (c *Conn) Paused() bool { return c.state&stPaused != 0 }

// Close gives the connection up at once. OnClose follows with err.
func (c *Conn) Close(err error) {
	if c.state&stClosed != 0 {
		return
	}
	c.state |= stClosed
	c.err = err
	c.loop.closed = append(c.loop.closed, c)
}

// Abort is Close, but that the peer sees a reset and no orderly end, where the system can do that: what it got so far is
// not all there was to come.
func (c *Conn) Abort(err error) {
	c.state |= stAbort
	c.Close(err)
}

// CloseAfterFlush closes the connection when everything appended so far has been written. Nothing more is read.
func (c *Conn) CloseAfterFlush() {
	c.state |= stClosing | stPaused
	c.touch()
}

func (c *Conn) touch() {
	if c.state&(stDirty|stClosed) == 0 {
		c.state |= stDirty
		c.loop.dirty = append(c.loop.dirty, c)
	}
}

// deliver offers newly arrived bytes to the handler. b may be the loop's scratch buffer.
func (c *Conn) deliver(b []byte) {
	if len(c.in) > 0 {
		c.in = c.loop.bufs.grow(c.in, len(b))
		c.in = append(c.in, b...)
		c.offer()
		return
	}
	if c.state&stPaused != 0 {
		c.in = append(c.loop.bufs.get(len(b)), b...)
		return
	}
	n := c.h.OnData(c, b)
	if n < len(b) && c.state&stClosed == 0 {
		c.in = append(c.loop.bufs.get(len(b)-n), b[n:]...)
	}
}

// offer gives the handler what is buffered.
func (c *Conn) offer() {
	if len(c.in) == 0 || c.state&(stPaused|stClosed) != 0 {
		return
	}
	n := c.h.OnData(c, c.in)
	if c.state&stClosed != 0 {
		return
	}
	if n == len(c.in) {
		c.loop.bufs.put(c.in)
		c.in = nil
	} else if n > 0 {
		c.in = c.in[:copy(c.in, c.in[n:])]
	}
}

// turn does what was put off to the end of the round.
func (c *Conn) turn() {
	if c.state&stClosed != 0 {
		return
	}
	if c.state&stAgain != 0 {
		c.state &^= stAgain
		c.offer()
		c.tellEOF()
	}
	if c.state&stClosed != 0 || c.state&stStarted == 0 {
		return
	}
	if c.marks != nil {
		c.place()
	}
	if c.sent < len(c.out) && c.state&stWriting == 0 {
		c.flush()
	}
	if c.state&stClosed != 0 {
		return
	}
	if c.marks != nil {
		c.told(clock.Now())
	}
	if err := c.watch(); err != nil {
		c.Close(err)
		return
	}
	if c.state&stDrain != 0 && c.Pending() <= LowWater {
		c.state &^= stDrain
		c.h.OnDrained(c)
	}
	if c.state&stClosing != 0 && c.Pending() == 0 && c.state&stWriting == 0 {
		c.Close(nil)
	}
}

// wrote accounts for n bytes that the system took.
func (c *Conn) wrote(n int) {
	c.sent += n
	if c.state&stKeep == 0 {
		c.head = c.sent
		c.trim()
	}
}

// eof remembers that the peer sends no more and tells the handler, after it could look at all bytes.
func (c *Conn) eof() {
	c.state |= stEOF
	c.tellEOF()
	c.touch()
}

func (c *Conn) tellEOF() {
	if c.state&(stEOF|stTold|stClosed|stPaused) == stEOF {
		c.state |= stTold
		c.h.OnEOF(c)
	}
}

// fail closes after an error of the system; a reset or a broken pipe looks like an unexpected end.
func (c *Conn) fail(err error) {
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	c.Close(err)
}

// release frees what the connection holds, after OnClose.
func (c *Conn) release() {
	c.told(0)
	if c.net != nil {
		c.net.close(c.loop, c.state&stAbort != 0)
	} else {
		c.loop.poll.remove(c)
	}
	c.loop.bufs.put(c.in)
	c.loop.bufs.put(c.out)
	c.in, c.out = nil, nil
}
