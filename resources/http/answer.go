package http

import (
	"errors"
	"strconv"

	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/protocols/http1"
	"github.com/sluice-mesh/sluice/resources"
)

// maxEarly is how many answers with a status below 200 a server may send to a request.
const maxEarly = 16

// head reads the head of an answer and passes it on. It returns how many bytes are done with; 0 when more must come.
func (u *upstream) head(b []byte) int {
	sh, c := u.sh, u.c
	if c.Stages != nil {
		c.Stages.Arrives(sh.loop.Now())
	}
	r := &sh.answer
	ok, err := r.Scan(b, u.seen, http1.DefaultMax)
	if err != nil {
		u.garbled(err)
		return len(b)
	}
	if !ok {
		u.seen = len(b)
		return 0
	}
	u.seen = 0
	n := r.Size
	if r.Status < 200 {
		u.interim(c, r)
		return n
	}
	if unsent(r) && !c.co.streaming && sh.refused(c, u) {
		return len(b)
	}
	sh.won(c, u)
	co := c.co
	c.settle()
	u.status, u.reuse, u.body = r.Status, r.Reusable(), r.Body(c.method)
	if u.form = http1.AsChunks; c.minor == 0 {
		u.form = http1.Plain
		c.blind = u.body.Framing() > http1.Sized
		c.keep = c.keep && !c.blind
	}
	c.answering = true
	out := co.conn.Out(r.Size + 128)
	at := len(out)
	out = u.appendHead(out, r)
	c.RespBytes = int64(len(out) - at)
	co.conn.SetOut(out)
	if u.body.Done() {
		u.done(len(b) > n)
	} else {
		sh.armCall(c)
	}
	return n
}

// interim passes on an answer before the answer.
func (u *upstream) interim(c *call, r *http1.Response) {
	co := c.co
	u.early++
	switch {
	case r.Status == 101 && c.wants && len(r.Upgrade) > 0:
		u.sh.won(c, u)
		u.sh.upgraded(c, u, r)
	case r.Status == 101:
		u.garbled(errors.New("the server changes to another protocol, which it was not asked for"))
	case u.early > maxEarly:
		u.garbled(errors.New("the server sends ever more answers before the answer"))
	case r.Status > 101 && c.minor > 0 && !c.backup.open(): // 100 is the agent's to say, and it has
		u.sh.won(c, u)
		out := appendStatus(co.conn.Out(r.Size+64), r)
		out = appendFields(out, r.Whole, r.Fields, func(f *http1.Field) bool { return f.Known == http1.ContentLength || r.Hop(f) })
		co.conn.SetOut(append(out, "\r\n"...))
	}
}

func appendStatus(dst []byte, r *http1.Response) []byte {
	dst = strconv.AppendInt(append(dst, "HTTP/1.1 "...), int64(r.Status), 10)
	return append(append(append(dst, ' '), r.Reason...), "\r\n"...)
}

// appendHead appends the head of an answer as the client gets it.
func (u *upstream) appendHead(dst []byte, r *http1.Response) []byte {
	c := u.c
	dst = appendStatus(dst, r)
	dst = appendFields(dst, r.Whole, r.Fields, func(f *http1.Field) bool {
		return f.Known == http1.ContentLength && r.Status == 204 || r.Hop(f)
	})
	chunked := u.body.Framing() >= http1.Chunked || c.method == http1.HEAD && r.Chunked()
	if chunked && c.minor > 0 {
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	return append(appendKeep(dst, c.keep, c.minor), "\r\n"...)
}

// appendKeep appends whether the connection goes on, where the version does not say it.
func appendKeep(dst []byte, keep bool, minor int) []byte {
	switch {
	case !keep:
		return append(dst, "Connection: close\r\n"...)
	case minor == 0:
		return append(dst, "Connection: keep-alive\r\n"...)
	}
	return dst
}

// rest passes on a piece of an answer's body.
func (u *upstream) rest(b []byte) int {
	c := u.c
	co := c.co
	out := co.conn.Out(len(b) + len(b)/8 + 64)
	at := len(out)
	out, n, err := u.body.Append(out, b, u.form)
	c.RespBytes += int64(len(out) - at)
	co.conn.SetOut(out)
	switch {
	case err != nil:
		u.garbled(err)
		return len(b)
	case u.body.Done():
		u.done(len(b) > n)
	case co.conn.Pending() > loop.HighWater:
		u.conn.Pause()
		co.conn.WantDrained()
	}
	return n
}

// untilClose ends an answer that ends with the connection.
func (u *upstream) untilClose() {
	if co := u.c.co; u.form == http1.AsChunks {
		co.conn.Write(lastChunk)
	}
	u.reuse = false
	u.done(false)
}

var lastChunk = []byte(http1.End)

// done ends a call whose answer is whole. more says that the server sent more than that.
func (u *upstream) done(more bool) {
	c, sh := u.c, u.sh
	u.c, c.first = nil, attempt{}
	c.Sent = resources.SentAnswered
	c.Outcome = resources.OutcomeOK
	if u.status >= 500 {
		c.Outcome = resources.OutcomeError
	}
	reuse := u.reuse && !c.co.streaming && u.conn.Pending() == 0
	switch {
	case more:
		sh.rt.Mismatch()
		sh.rt.Log("error", "a server sent more than its answer; the connection is closed", "endpoint", u.ep.Address)
		u.close(errors.New("the server sent more than its answer"))
	case reuse:
		u.pool.put(u)
	default:
		u.close(errDone)
	}
	sh.over(c)
}

// unsent reports whether an answer is an agent's before a server, which says that no server got the request.
func unsent(r *http1.Response) bool {
	if r.Status != 503 {
		return false
	}
	word := string(r.Last(http1.SluiceFault))
	return word == resources.Unavailable.String() || word == resources.Draining.String()
}

// refused sends a call elsewhere that no server executed. It reports false when it may not; then the client gets the answer.
func (sh *shard) refused(c *call, u *upstream) bool {
	if c.backup.open() {
		return false
	}
	c.Sent, c.Now = resources.SentNothing, sh.loop.Now()
	c.Fault = sh.upstreamFault(resources.Unavailable, u.ep.Address+" could not pass the request on")
	c.Outcome = resources.OutcomeOf(c.Fault)
	if !sh.retry(c) {
		sh.say(c)
		sh.finish(c)
	}
	return true
}
