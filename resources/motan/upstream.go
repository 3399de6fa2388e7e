package motan

import (
	"cmp"
	"errors"
	"fmt"
	"io"

	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/resources"
)

const (
	// idleTime is how long a connection is kept that nobody uses.
	idleTime = int64(300e9)
	// maxQueued is how many bytes may wait for a server to take them; then it gets no more.
	maxQueued = 16 << 20
	// slotBits is how much of a request id says where its entry is; the rest counts requests.
	slotBits = 20
	slotMask = 1<<slotBits - 1
)

// upstream is one connection to a server, shared by all. Requests have ids that are used once, and the server may answer
// them in any order.
type upstream struct {
	sh     *shard
	pool   *pool
	ep     *resources.Endpoint
	lane   int
	conn   *loop.Conn // nil until it is there
	closed bool
	wait   []byte // requests that were made before

	entries []entry
	free    []uint32 // entries without a call
	open    int      // entries with one
	seq     uint64   // of the newest request

	leaving bool // the server goes away: it gets no more, and the connection ends with the last call

	skip   int64 // bytes of an answer that is too large
	last   int64 // when something arrived, or when it could be expected again
	came   int64 // when an unfinished answer began; 0: none
	used   int64 // when the last request was made
	pinged int64 // when a heartbeat was sent that has no answer; 0: none
}

// entry expects one reply.
type entry struct {
	c          *call // nil: free
	id         uint64
	begin, end uint64 // where the request is in the stream, or in wait
}

// queued returns how many bytes the server has yet to take.
func (u *upstream) queued() int {
	if u.conn == nil {
		return len(u.wait)
	}
	return u.conn.Pending()
}

// send writes a request with changed metadata.
func (u *upstream) send(c *call, f *motan2.Frame, edits []motan2.Edit) {
	e := u.expect(c)
	h := c.head
	h.ID = e.id
	u.append(e, f.Size+editRoom, func(out []byte) []byte { return motan2.AppendEdited(out, f, h, edits...) })
}

// expect makes an entry for the reply to a call that is about to be written.
func (u *upstream) expect(c *call) *entry {
	u.seq++
	u.used = u.sh.loop.Now()
	if u.open == 0 {
		u.last = u.used // the server may be silent from now on
	}
	slot := uint32(len(u.entries))
	if n := len(u.free); n > 0 {
		slot = u.free[n-1]
		u.free = u.free[:n-1]
	} else {
		u.entries = append(u.entries, entry{})
	}
	e := &u.entries[slot]
	*e = entry{c: c, id: u.seq<<slotBits | uint64(slot)}
	u.open++
	if c.up == nil {
		c.up, c.id = u, e.id
	} else {
		c.up2, c.id2 = u, e.id
	}
	return e
}

// append writes a request, which has about size bytes.
func (u *upstream) append(e *entry, size int, write func([]byte) []byte) {
	if u.conn == nil {
		e.begin = uint64(len(u.wait))
		u.wait = write(u.wait)
		e.end = uint64(len(u.wait))
		return
	}
	e.begin = u.conn.Position()
	u.conn.SetOut(write(u.conn.Out(size)))
	e.end = u.conn.Position()
	if e.c.Stages != nil {
		e.c.Stages.Placed(u.conn)
	}
}

// editRoom is by how many bytes edits make a frame longer, nearly always.
const editRoom = 256

// find returns the entry of a request; nil when nobody waits for its reply.
func (u *upstream) find(id uint64) *entry {
	if slot := id & slotMask; slot < uint64(len(u.entries)) && u.entries[slot].id == id && u.entries[slot].c != nil {
		return &u.entries[slot]
	}
	return nil
}

// given reports whether a request ever had this id.
func (u *upstream) given(id uint64) bool {
	return id>>slotBits > 0 && id>>slotBits <= u.seq && id&slotMask < uint64(len(u.entries))
}

// forget makes the reply to a request one that nobody waits for.
func (u *upstream) forget(id uint64) {
	if e := u.find(id); e != nil {
		e.c = nil
		u.free = append(u.free, uint32(id&slotMask))
		u.open--
	}
}

// attached makes the connection usable. Requests that nobody waits for any more are not sent, so that they are not executed
// late.
func (u *upstream) attached(c *loop.Conn) {
	c.SetHandler(u)
	u.conn = c
	if u.closed {
		c.Close(errDone)
		return
	}
	u.last = u.sh.loop.Now()
	u.sh.rt.Connections(u.ep, mode, 1)
	var oneway []*call
	for i := range u.entries {
		e := &u.entries[i]
		if e.c == nil {
			continue
		}
		frame := u.wait[e.begin:e.end]
		e.begin = c.Position()
		c.Write(frame)
		e.end = c.Position()
		if e.c.Stages != nil {
			e.c.Stages.Placed(c)
		}
		if e.c.oneway() {
			oneway = append(oneway, e.c)
		}
	}
	u.wait = nil
	for _, c := range oneway {
		u.sh.gone(c)
	}
}

// mode is what connections to servers are, as metrics name it.
const mode = "shared"

// OnData implements loop.Handler: it finds the replies and whose they are.
func (u *upstream) OnData(_ *loop.Conn, b []byte) int {
	u.last = u.sh.loop.Now()
	u.pinged = 0
	f, off := &u.sh.reply, 0
	for off < len(b) && !u.closed {
		if u.skip > 0 {
			n := min(u.skip, int64(len(b)-off))
			u.skip -= n
			off += int(n)
			continue
		}
		ok, err := f.Scan(b[off:], int(u.sh.r.set.MaxContent))
		if errors.Is(err, motan2.ErrMotan1) {
			n := u.scan1(b[off:])
			if n == 0 {
				break
			}
			off += n
			u.came = 0
			continue
		}
		if err != nil {
			off += u.refused(f, b[off:], err)
			continue
		}
		if !ok {
			break
		}
		raw := b[off : off+f.Size]
		off += f.Size
		u.reply(f, raw)
		u.came = 0
	}
	if u.came == 0 && off < len(b) {
		u.came = u.last
	}
	return off
}

// reply deals with one whole frame.
func (u *upstream) reply(f *motan2.Frame, raw []byte) {
	if f.Type&motan2.TypeHeartbeat != 0 {
		if f.Type&motan2.TypeResponse == 0 {
			u.sh.out = motan2.AppendHeartbeat(u.sh.out[:0], f.ID, true)
			u.conn.Write(u.sh.out)
		}
		return
	}
	if c := u.expected(f.ID, f.Type&motan2.TypeResponse != 0, false); c != nil {
		if motan2.Leaves(f) {
			u.pool.leave()
			c.Sent = resources.SentNothing
			u.sh.failed(c, u.fault(resources.Unavailable, u.ep.Address+" is going away"))
		} else {
			u.sh.answered(c, f, raw)
		}
		u.leaveIfGone()
	}
}

// expected returns the call that a reply is for, which then waits for no other; nil when nobody waits for it, or when there
// cannot be such a reply.
func (u *upstream) expected(id uint64, reply, v1 bool) *call {
	e := u.find(id)
	switch {
	case !reply:
		u.garbled(errors.New("the server sent a request"))
	case e == nil && !u.given(id):
		u.garbled(fmt.Errorf("a reply has the id %#x, which no request had", id))
	case e == nil:
		u.sh.rt.Dropped("late-reply")
	case (e.c.v1 != 0) != v1:
		u.garbled(errors.New("a reply is in another version of Motan than its request"))
	default:
		c := e.c
		if c.Stages != nil {
			c.Stages.Arrives(cmp.Or(u.came, u.last))
		}
		u.forget(id)
		c.dropOther(u)
		return c
	}
	return nil
}

// refused deals with bytes that are no reply which could be taken. It returns how many of them are done with.
func (u *upstream) refused(f *motan2.Frame, b []byte, err error) int {
	var large *motan2.TooLargeError
	if !errors.As(err, &large) {
		u.garbled(err)
		return len(b)
	}
	if c := u.expected(f.ID, f.Type&motan2.TypeResponse != 0, false); c != nil {
		u.tooLarge(c, fmt.Sprintf("the %s of the answer of %s has %d bytes; settings.max-content is %d", large.What, u.ep.Address, large.Size, large.Max))
	}
	if large.Rest < 0 {
		u.close(err)
		return len(b)
	}
	u.skip = large.Rest
	return len(b)
}

// tooLarge ends a call whose answer the agent does not take.
func (u *upstream) tooLarge(c *call, what string) {
	c.Sent, c.Retry = resources.SentSome, resources.RetryNever
	u.sh.failed(c, u.fault(resources.TooLarge, what))
}

// garbled gives up a connection whose bytes make no sense: any later reply might be somebody else's.
func (u *upstream) garbled(err error) {
	u.sh.rt.Mismatch()
	u.sh.rt.Log("error", "replies cannot be matched with requests; the connection is closed", "endpoint", u.ep.Address, "error", err)
	u.close(err)
}

// tend is called once a second: it asks servers that are silent whether they live, and closes what nobody uses.
func (u *upstream) tend(now int64) {
	switch {
	case u.conn == nil:
	case u.open == 0 && now-u.used > idleTime:
		u.close(errDone)
	case u.pinged > 0 && now-u.pinged > max(u.sh.timeout(), 1e9):
		u.close(errors.New("the server did not answer a heartbeat"))
	case now-u.last > int64(u.sh.r.set.Heartbeat):
		u.ping(now)
	default:
		u.leaveIfGone()
	}
}

// ping asks the server whether it lives, unless it was asked and has not answered; tend draws the conclusion.
func (u *upstream) ping(now int64) {
	if u.pinged > 0 {
		return
	}
	u.pinged = now
	u.seq++
	u.sh.out = motan2.AppendHeartbeat(u.sh.out[:0], u.seq<<slotBits, false)
	u.conn.Write(u.sh.out)
}

// leaveIfGone closes the connection to an endpoint that is no longer one, or says that it goes away, when nothing is under way.
func (u *upstream) leaveIfGone() {
	if (u.leaving || u.ep.Gone()) && u.open == 0 && !u.closed {
		u.close(errDone)
	}
}

// overdue is called when a request was not answered in time. A server or a network that is stuck is not waited for by
// everybody behind; a server that only takes its time answers a heartbeat.
func (u *upstream) overdue(unsent bool) {
	switch now := u.sh.loop.Now(); {
	case u.closed || u.conn == nil:
	case unsent: // they must not be executed late
		u.close(errors.New("the server does not take requests"))
	case now-u.last >= u.sh.timeout():
		u.ping(now)
	}
}

// OnEOF implements loop.Handler.
func (u *upstream) OnEOF(*loop.Conn) { u.close(io.EOF) }

// OnDrained implements loop.Handler.
func (u *upstream) OnDrained(*loop.Conn) {}

// OnClose implements loop.Handler.
func (u *upstream) OnClose(_ *loop.Conn, err error) {
	u.sh.r.life.Connections.Add(-1)
	u.leave(err, nil)
}

// failed ends a connection that never became one.
func (u *upstream) failed(fault *resources.Fault) {
	if fault == nil {
		fault = u.fault(resources.Unavailable, "the connection to "+u.ep.Address+" was given up")
	}
	u.leave(nil, fault)
}

// close gives the connection up. What was not answered fails.
func (u *upstream) close(err error) {
	if u.conn != nil {
		u.conn.Close(err)
	}
	u.leave(err, nil)
}

func (u *upstream) fault(code resources.Code, what string) *resources.Fault {
	return resources.NewFault(code, resources.FromUpstream, u.sh.rt.Name(), what)
}

// leave takes the connection out of its pool and fails what was not answered, once. unreached is why there never was one;
// nil: there was.
func (u *upstream) leave(err error, unreached *resources.Fault) {
	if u.closed {
		return
	}
	u.closed = true
	u.pool.remove(u)
	sent := uint64(0)
	what := "the connection to " + u.ep.Address + " was lost"
	if u.conn != nil {
		sent = u.conn.Sent()
		u.sh.rt.Connections(u.ep, mode, -1)
	}
	if err != nil && !errors.Is(err, io.EOF) && err != errDone {
		what += ": " + err.Error()
	}
	unsent := unreached
	if unsent == nil {
		unsent = u.fault(resources.Unavailable, what)
	}
	var unknown *resources.Fault
	for i := range u.entries {
		e := &u.entries[i]
		c := e.c
		if c == nil {
			continue
		}
		e.c = nil
		u.open--
		if c.elsewhere(u) {
			continue
		}
		c.Sent = resources.SentNothing
		fault := unsent
		if u.conn != nil && e.begin < sent {
			c.Sent = resources.SentSome
			if unknown == nil {
				unknown = u.fault(resources.Unknown, what+"; the request may have been executed")
			}
			fault = unknown
		}
		u.sh.failed(c, fault)
	}
	u.wait = nil
}
