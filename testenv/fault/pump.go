package fault

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"time"
)

// chunk is what one read returned and when.
type chunk struct {
	data []byte
	at   time.Time
}

// pump relays one direction of a link: read fills the queue, write empties it through the toxics.
type pump struct {
	l        *link
	dir      Direction
	src, dst net.Conn
	queue    chan chunk
	broken   bool // the source ended with an error; set by read before it closes the queue

	// Of write alone.
	set       *rules          // the rules that the fields below were made from
	active    [numKinds]bool  // toxics that act on this direction of this link
	toxic     [numKinds]Toxic // their settings
	rnd       *rand.Rand      // for jitter
	passed    int64           // bytes since set came into force
	swallowed bool            // a blackhole took bytes
	cut       bool            // FIN was sent: drop the rest
	stalled   bool            // this stall was counted
	due       time.Time       // when the last chunk left: chunks never overtake
}

func (d *pump) read() {
	defer close(d.queue)
	for {
		buf := make([]byte, chunkSize)
		n, err := d.src.Read(buf)
		if n > 0 {
			select {
			case d.queue <- chunk{buf[:n], time.Now()}:
			case <-d.l.done:
				return
			}
		}
		if err != nil {
			d.broken = !errors.Is(err, io.EOF)
			return
		}
	}
}

// write ends as the source did, with FIN or RST, and ends the whole link when the destination is broken.
func (d *pump) write() {
	if !d.relay() {
		d.l.shut()
		for range d.queue { // the reader ends now that its socket is closed
		}
		return
	}
	if d.broken {
		d.l.reset()
		return
	}
	closeWrite(d.dst)
}

// relay passes chunks until the source ends; false says that the link must end.
func (d *pump) relay() bool {
	queue := d.queue
	d.refresh()
	for {
		var changed <-chan struct{}
		if d.swallowed {
			changed = d.set.changed
		}
		select {
		case c, ok := <-queue:
			switch {
			case ok && !d.pass(c):
				return false
			case !ok && !d.swallowed:
				return true
			case !ok: // a blackhole keeps the end of the stream to itself too
				queue = nil
			}
		case <-changed:
			if d.refresh(); !d.active[KindBlackhole] {
				d.l.reset() // the stream has a hole: it cannot go on
				return false
			}
		case <-d.l.done:
			return false
		}
	}
}

// pass takes one chunk through the toxics; false ends the link.
func (d *pump) pass(c chunk) bool {
	if !d.delay(c.at) {
		return false
	}
	for len(c.data) > 0 {
		d.refresh()
		if d.swallowed && !d.active[KindBlackhole] {
			d.l.reset()
			return false
		}
		if d.active[KindBlackhole] {
			d.swallowed = true
			d.l.p.fire(KindBlackhole)
			return true
		}
		if d.cut {
			return true
		}
		n, ok := d.before(len(c.data))
		if !ok {
			return false
		}
		if n == 0 {
			continue
		}
		d.corrupt(c.data[:n])
		if _, err := d.dst.Write(c.data[:n]); err != nil {
			return false
		}
		d.passed += int64(n)
		c.data = c.data[n:]
		if !d.after(n, len(c.data)) {
			return false
		}
	}
	return true
}

// before does what stands at the current offset and returns how many of the next n bytes may be written at once; 0 says
// look at the rules again.
func (d *pump) before(n int) (int, bool) {
	if left, ok := d.left(KindReset); ok {
		if left == 0 {
			d.l.p.fire(KindReset)
			d.l.reset()
			return 0, false
		}
		n = min(n, left)
	}
	if left, ok := d.left(KindHalfClose); ok {
		if left == 0 {
			d.halfClose()
			return 0, true
		}
		n = min(n, left)
	}
	if left, ok := d.left(KindStall); ok {
		if left == 0 {
			if !d.stalled {
				d.stalled = true
				d.l.p.fire(KindStall)
			}
			return 0, d.waitChange()
		}
		n = min(n, left)
	}
	if d.active[KindSlice] {
		n = min(n, int(d.toxic[KindSlice].Bytes))
	}
	if d.active[KindBandwidth] { // some 10 ms worth, so that the rate is even
		n = min(n, max(1, int(d.toxic[KindBandwidth].Bytes/100)))
	}
	return n, true
}

// after does what follows a write of n bytes with rest bytes of the chunk to come. Cuts act as soon as their count is
// reached, not when more bytes come: the peer may be waiting.
func (d *pump) after(n, rest int) bool {
	if left, ok := d.left(KindReset); ok && left == 0 {
		d.l.p.fire(KindReset)
		d.l.reset()
		return false
	}
	if left, ok := d.left(KindHalfClose); ok && left == 0 {
		d.halfClose()
	}
	if d.active[KindSlice] && rest > 0 {
		d.l.p.fire(KindSlice)
		if !d.sleep(d.toxic[KindSlice].Delay) {
			return false
		}
	}
	if d.active[KindBandwidth] {
		d.l.p.fire(KindBandwidth)
		return d.sleep(time.Duration(float64(n) / float64(d.toxic[KindBandwidth].Bytes) * float64(time.Second)))
	}
	return true
}

func (d *pump) halfClose() {
	if !d.cut {
		d.cut = true
		d.l.p.fire(KindHalfClose)
		closeWrite(d.dst)
	}
}

// corrupt flips the byte of KindCorrupt if it is among the next bytes.
func (d *pump) corrupt(b []byte) {
	if left, ok := d.left(KindCorrupt); ok && left < len(b) && d.passed+int64(left) == d.toxic[KindCorrupt].Bytes {
		b[left] ^= 0xff
		d.l.p.fire(KindCorrupt)
	}
}

// left returns how many bytes may still pass until an active toxic's count is reached.
func (d *pump) left(k Kind) (int, bool) {
	if !d.active[k] {
		return 0, false
	}
	return int(max(0, d.toxic[k].Bytes-d.passed)), true
}

// refresh takes over new rules.
func (d *pump) refresh() {
	r := d.l.p.current()
	if r == d.set {
		return
	}
	d.set, d.passed, d.stalled = r, 0, false
	d.active, d.toxic = [numKinds]bool{}, [numKinds]Toxic{}
	for _, t := range r.toxics {
		if t.acts(d.dir) && d.l.chosen(r, t) {
			d.active[t.Kind], d.toxic[t.Kind] = true, t
		}
	}
	d.rnd = d.l.random(r, uint64(d.dir)<<12)
}

// delay waits until a chunk that arrived at the given time is due.
func (d *pump) delay(at time.Time) bool {
	d.refresh()
	if !d.active[KindLatency] {
		return true
	}
	t := d.toxic[KindLatency]
	due := at.Add(t.Delay)
	if t.Jitter > 0 {
		due = due.Add(time.Duration(d.rnd.Int64N(int64(t.Jitter))))
	}
	if due.Before(d.due) {
		due = d.due
	}
	d.due = due
	d.l.p.fire(KindLatency)
	return d.sleep(time.Until(due))
}

// sleep waits for a time, or less if the rules change; false says that the link ended.
func (d *pump) sleep(t time.Duration) bool {
	if t <= 0 {
		return true
	}
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-d.set.changed:
		return true
	case <-d.l.done:
		return false
	}
}

// waitChange waits for other rules; false says that the link ended.
func (d *pump) waitChange() bool {
	select {
	case <-d.set.changed:
		return true
	case <-d.l.done:
		return false
	}
}
