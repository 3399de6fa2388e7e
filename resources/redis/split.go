package redis

import (
	"bytes"
	"strconv"

	"github.com/sluice-mesh/sluice/protocols/resp"
	"github.com/sluice-mesh/sluice/resources"
)

const notSplit = -1

// gather collects the answers to the parts of a call. Filters see the whole only; the parts are routed and ended by
// themselves.
type gather struct {
	whole *call
	parts []*call
	left  int
	got   [][]byte // by part
	err   []byte   // the first error
}

var replyCrossSlot = []byte("-CROSSSLOT Keys in request don't hash to the same slot\r\n")

// splitRequest handles a request of a partitioned resource whose keys may live on several servers. It returns notSplit
// when they live on one.
func (s *session) splitRequest(cmd *command) int {
	size := s.req.Size
	if !cmd.split.all() {
		if s.onePlace(cmd) {
			return notSplit
		}
		if cmd.split == splitNone || cmd.split == splitMSet && s.req.Argc%2 == 0 {
			s.local(cmd, replyCrossSlot, false)
			return size
		}
	}
	c := s.newCall(cmd)
	c.parts = &gather{whole: c}
	if s.begin(c) {
		s.sendParts(c)
	} else if s.hold&holdDelay != 0 {
		return 0
	}
	return size
}

// onePlace reports whether all keys of the request live in the same place: a slot of a cluster, a hash in a pool.
func (s *session) onePlace(cmd *command) bool {
	first, ok := s.Key(0)
	if !ok {
		return true
	}
	cluster := s.sh.r.set.Topology == topologyCluster
	tag := s.sh.r.set.HashTag
	for i := 1; ; i++ {
		key, ok := s.Key(i)
		switch {
		case !ok:
			return true
		case cluster && resp.Slot(key) != resp.Slot(first):
			return false
		case !cluster && !bytes.Equal(tagged(key, tag), tagged(first, tag)):
			return false
		}
	}
}

const notPlaced = -1

var replyTracking = []byte("-ERR CLIENT TRACKING needs all keys on one server\r\n")

// placed handles requests of a partitioned resource that a session's own connection would take to the wrong server. It
// returns how many bytes were dealt with, 0 when the request has to wait, or notPlaced.
func (s *session) placed(cmd *command) int {
	key, ok := s.Key(0)
	switch {
	case cmd.name == "CLIENT|TRACKING":
		s.local(cmd, replyTracking, false)
		return s.req.Size
	case !ok:
		return notPlaced
	case s.pin != nil && !s.txn.open && s.pins&resources.PinWatch != 0 && s.onePlace(cmd) && s.inPlace(key):
		return notPlaced
	case s.pin != nil && !s.txn.open && s.pin.head != s.pin.tail && !s.idleFirst():
		return 0 // what is in flight must not be overtaken, and may be what gives the connection back
	case s.pin != nil && !s.txn.open && s.pins&resources.PinWatch == 0:
		if !cmd.special.plain() || s.subscribed() && !s.attr.resp3 {
			return notPlaced // not so, or the server refuses it
		}
		return s.elsewhere(cmd)
	case !s.onePlace(cmd) || s.pin != nil && !s.inPlace(key):
		s.txn.doomed = s.txn.doomed || s.txn.open
		s.local(cmd, replyCrossSlot, false)
		return s.req.Size
	}
	return notPlaced
}

// elsewhere handles a request of a session whose own connection has nothing to do with keys.
func (s *session) elsewhere(cmd *command) int {
	if n := s.splitRequest(cmd); n != notSplit {
		return n
	}
	c := s.newCall(cmd)
	c.elsewhere = true
	if s.begin(c) {
		s.dispatch(c, s.canonical())
	} else if s.hold&holdDelay != 0 {
		return 0
	}
	return s.req.Size
}

// inPlace reports whether a key lives where the first key of the transaction does.
func (s *session) inPlace(key []byte) bool {
	if s.sh.r.set.Topology == topologyCluster {
		return s.place == nil || resp.Slot(key) == resp.Slot(s.place)
	}
	tag := s.sh.r.set.HashTag
	return s.place != nil && bytes.Equal(tagged(key, tag), tagged(s.place, tag))
}

// sendParts sends the parts of a call: one for each key, or for each server.
func (s *session) sendParts(whole *call) {
	g, cmd := whole.parts, whole.cmd
	if cmd.split.all() {
		servers := s.sh.r.servers(&whole.Call)
		if len(servers) == 0 {
			s.sh.refuse(whole, resources.NewFault(resources.Unavailable, resources.FromAgent, s.sh.rt.Name(), "no server is known"))
			return
		}
		g.left = len(servers)
		g.got = make([][]byte, len(servers))
		req := append([]byte(nil), s.canonical()...)
		for i, ep := range servers {
			p := s.newPart(whole, i)
			p.Place = &resources.Places{Primary: ep, GroupID: ep.GroupID}
			s.sh.send(p, s.attr, req)
		}
		return
	}
	step := 1
	if cmd.split == splitMSet {
		step = 2
	}
	n := (s.req.Argc - 1) / step
	g.left, g.got = n, make([][]byte, n)
	name := append([]byte(nil), s.req.Arg(s.buf, 0)...)
	var req []byte
	for i := range n {
		key := s.req.Arg(s.buf, 1+i*step)
		if step == 2 {
			req = resp.AppendCommandBytes(req[:0], name, key, s.req.Arg(s.buf, 2+i*step))
		} else {
			req = resp.AppendCommandBytes(req[:0], name, key)
		}
		p := s.newPart(whole, i)
		s.setKey(p, key)
		s.sh.send(p, s.attr, req)
	}
}

// newPart makes a part of a call.
func (s *session) newPart(whole *call, i int) *call {
	p := s.sh.newCall()
	p.s, p.cmd, p.whole, p.index = s, whole.cmd, whole.parts, i
	p.Session, p.View = whole.Session, whole.View
	p.Start, p.Deadline, p.Snapshot, p.Rule = whole.Start, whole.Deadline, whole.Snapshot, whole.Rule
	p.Op, p.Class, p.Retry, p.Primary = whole.Op, whole.Class, whole.Retry, whole.Primary
	p.ReqBytes = whole.ReqBytes
	if whole.Stages != nil {
		p.Stages = &resources.Stages{}
	}
	whole.parts.parts = append(whole.parts.parts, p)
	return p
}

// part takes the answer to a part. The last one makes the answer to the whole.
func (sh *shard) part(p *call, b []byte) {
	g := p.whole
	if isError(b) {
		if g.err == nil {
			g.err = append([]byte(nil), b...)
		}
	} else {
		g.got[p.index] = append([]byte(nil), b...)
	}
	if whole := g.whole; whole != nil {
		whole.RespBytes += int64(len(b))
		if p.Fault != nil && whole.Fault == nil {
			whole.Fault, whole.Outcome = p.Fault, p.Outcome
		}
		if whole.Stages != nil {
			p.lent(whole)
		}
	}
	for i, q := range g.parts {
		if q == p {
			g.parts[i] = nil
		}
	}
	sh.recycle(p)
	if g.left--; g.left > 0 || g.whole == nil {
		return
	}
	whole := g.whole
	whole.Now, whole.Retry = sh.loop.Now(), resources.RetryNever // its parts had their retries
	if g.err != nil && whole.Fault == nil {
		whole.Outcome = resources.OutcomeError
	}
	sh.end(whole)
	whole.s.answer(whole, g.join(whole.cmd.split))
}

// join makes one answer of those to the parts. An error of any part is the answer: a sum or an OK would hide it.
func (g *gather) join(how split) []byte {
	if g.err != nil {
		return g.err
	}
	switch how {
	case splitSum, splitAllSum:
		var sum int64
		for _, b := range g.got {
			n, _ := strconv.ParseInt(string(bytes.TrimRight(b[1:], "\r\n")), 10, 64)
			sum += n
		}
		return resp.AppendInt(nil, sum)
	case splitMGet, splitAllJoin:
		n := 0
		var body []byte
		for _, b := range g.got {
			end := bytes.IndexByte(b, '\n') + 1
			k, _ := strconv.Atoi(string(bytes.TrimRight(b[1:end], "\r\n")))
			n += k
			body = append(body, b[end:]...)
		}
		return append(resp.AppendArray(nil, n), body...)
	}
	return g.got[0]
}

// abandon ends a call in parts whose client is gone.
func (sh *shard) abandon(whole *call, now int64) {
	g := whole.parts
	g.whole = nil
	for _, p := range g.parts {
		if p == nil {
			continue
		}
		p.forget()
		p.Now, p.Outcome, p.Retry = now, resources.OutcomeCanceled, resources.RetryNever
		sh.end(p)
		sh.recycle(p)
	}
	g.parts = nil
	whole.Now, whole.Outcome, whole.Retry = now, resources.OutcomeCanceled, resources.RetryNever
	sh.end(whole)
}

// A SCAN over many servers goes through them one after the other. The cursor that the client gets carries the server's
// number in its upper bits: Redis's own cursors never reach them, and it stays a number that fits into 63 bits.
const (
	scanShift = 52
	scanMask  = 1<<scanShift - 1
)

// scanAll handles SCAN of a partitioned resource.
func (s *session) scanAll(cmd *command) int {
	size := s.req.Size
	c := s.newCall(cmd)
	c.after = afterScan
	if cur, ok := atoi(s.req.Arg(s.buf, 1)); ok {
		c.index = int(cur >> scanShift)
	} else {
		c.after = afterNothing // the server says what is wrong with it
	}
	if servers := s.sh.r.servers(&c.Call); c.index < len(servers) {
		c.Place = &resources.Places{Primary: servers[c.index], GroupID: servers[c.index].GroupID}
	} else if c.after == afterScan && len(servers) > 0 {
		c.index = 0 // the servers became fewer: begin again, which SCAN's guarantees allow
		c.Place = &resources.Places{Primary: servers[0], GroupID: servers[0].GroupID}
	}
	if s.begin(c) {
		s.sh.send(c, s.attr, s.scanRewritten(c))
	} else if s.hold&holdDelay != 0 {
		return 0
	}
	return size
}

// scanRewritten returns the request with the server's own cursor.
func (s *session) scanRewritten(c *call) []byte {
	if c.after != afterScan {
		return s.canonical()
	}
	cur, _ := atoi(s.req.Arg(s.buf, 1))
	out := resp.AppendArray(nil, s.req.Argc)
	for i := range s.req.Argc {
		if i == 1 {
			out = resp.AppendBulk(out, strconv.AppendInt(nil, cur&scanMask, 10))
			continue
		}
		out = resp.AppendBulk(out, s.req.Arg(s.buf, i))
	}
	return out
}

// scanReply puts the server's number into the cursor of a reply: *2, the cursor, the keys.
func (s *session) scanReply(c *call, b []byte) []byte {
	const head = "*2\r\n$"
	if !bytes.HasPrefix(b, []byte(head)) {
		return b
	}
	at := bytes.IndexByte(b[len(head):], '\n') + len(head) + 1
	end := at + bytes.IndexByte(b[at:], '\r')
	cur, ok := atoi(b[at:end])
	if !ok {
		return b
	}
	index := c.index
	if cur == 0 {
		if index++; index >= len(s.sh.r.servers(&c.Call)) {
			return b
		}
	}
	out := append([]byte(nil), "*2\r\n"...)
	out = resp.AppendBulk(out, strconv.AppendInt(nil, int64(index)<<scanShift|cur, 10))
	return append(out, b[end+2:]...)
}
