package load

import (
	"bytes"
	"strconv"
	"time"

	"github.com/sluice-mesh/sluice/testenv/load/resp"
)

// opKind is a sort of request.
type opKind uint8

const (
	opGet opKind = iota
	opSet
	opDel
	opIncr
	opAppend
	opEcho
	opMGet
	opLast // GET of a retired key
	opDrop // DEL of a retired key
)

var opNames = [...]string{"GET", "SET", "DEL", "INCR", "APPEND", "ECHO", "MGET", "GET", "DEL"}

// slotKind is what a key is used for.
type slotKind uint8

const (
	stringSlot slotKind = iota
	counterSlot
	logSlot
)

// maxRetired is how many replaced keys wait for the final check; older ones are checked and deleted during the load,
// unless reads may be stale, which would make that check a weak one.
const maxRetired = 32

// mgetKeys is how many keys an MGET asks for.
const mgetKeys = 3

// slot is a key and what it may hold.
type slot struct {
	kind slotKind
	key  []byte
	gone bool // retired
	reg  register
	ctr  counter
	log  tokenLog
}

// op is one request in flight.
type op struct {
	kind  opKind
	slot  *slot // of all but ECHO and MGET
	seq   uint64
	many  [mgetKeys]*slot
	start time.Time
}

func (c *client) newSlot(kind slotKind) *slot {
	key := append([]byte(c.r.conf.Prefix), ':')
	key = append(key, c.r.id...)
	key = append(key, ':')
	key = strconv.AppendInt(key, int64(c.number), 10)
	key = append(key, ':')
	key = strconv.AppendInt(key, int64(c.gen), 36)
	c.gen++
	return &slot{kind: kind, key: key}
}

// choose draws the next request.
func (c *client) choose() op {
	if len(c.retired) > maxRetired && !c.r.conf.StaleReads {
		s := c.retired[0]
		c.retired = append(c.retired[:0], c.retired[1:]...)
		return op{kind: opLast, slot: s}
	}
	if n := len(c.checked); n > 0 {
		s := c.checked[n-1]
		c.checked = c.checked[:n-1]
		return op{kind: opDrop, slot: s}
	}
	o := op{kind: c.wheel[c.rnd.IntN(len(c.wheel))]}
	switch o.kind {
	case opIncr:
		o.slot = c.counter
	case opAppend:
		if len(c.log.log.tokens) >= logTokens {
			c.replace(c.log)
		}
		o.slot = c.log
	case opMGet:
		for i := range o.many {
			o.many[i] = c.strings[c.rnd.IntN(len(c.strings))]
		}
	case opEcho:
	default:
		o.slot = c.strings[c.rnd.IntN(len(c.strings))]
	}
	return o
}

// add encodes a request and adds it to the batch.
func (c *client) add(o op, start time.Time) {
	o.start = start
	switch o.kind {
	case opGet, opLast:
		c.command(opGet, o.slot.key, nil)
	case opSet:
		o.seq = o.slot.reg.write()
		c.value = AppendValue(c.value[:0], o.slot.key, c.number, o.seq, c.r.conf.ValueSize, padding)
		c.command(opSet, o.slot.key, c.value)
	case opDel:
		o.seq = o.slot.reg.write()
		c.command(opDel, o.slot.key, nil)
	case opDrop:
		c.command(opDel, o.slot.key, nil)
	case opIncr:
		c.command(opIncr, o.slot.key, nil)
	case opAppend:
		l := &o.slot.log
		o.seq = uint64(len(l.tokens))
		l.tokens = append(l.tokens, tokenRefused) // until its reply
		c.value = appendToken(c.value[:0], int(o.seq))
		c.command(opAppend, o.slot.key, c.value)
	case opEcho:
		c.echoes++
		o.seq = c.echoes
		c.value = AppendValue(c.value[:0], echoKey, c.number, o.seq, 0, padding)
		c.command(opEcho, c.value, nil)
	case opMGet:
		c.out = resp.AppendHead(c.out, '*', 1+mgetKeys)
		c.out = append(c.out, "$4\r\nMGET\r\n"...)
		for _, s := range o.many {
			c.out = resp.AppendBulk(c.out, s.key)
		}
	}
	c.batch = append(c.batch, o)
}

var echoKey = []byte("echo")

// command encodes a command of one or two arguments.
func (c *client) command(kind opKind, a, b []byte) {
	n := 2
	if b != nil {
		n = 3
	}
	name := opNames[kind]
	c.out = resp.AppendHead(c.out, '*', n)
	c.out = resp.AppendHead(c.out, '$', len(name))
	c.out = append(c.out, name...)
	c.out = append(c.out, '\r', '\n')
	c.out = resp.AppendBulk(c.out, a)
	if b != nil {
		c.out = resp.AppendBulk(c.out, b)
	}
}

// unsure records that nobody knows whether the request was executed.
func (c *client) unsure(o *op) {
	switch o.kind {
	case opLast, opDrop:
		c.undo(o)
	case opSet, opDel:
		o.slot.reg.unsure(version{seq: o.seq, deleted: o.kind == opDel})
	case opIncr:
		o.slot.ctr.unknown++
	case opAppend:
		o.slot.log.unknown++
		o.slot.log.tokens[o.seq] = tokenUnknown
	}
	c.retire(o.slot)
}

// undo puts back what a request that was not executed had taken.
func (c *client) undo(o *op) {
	switch o.kind {
	case opLast:
		c.retired = append(c.retired, o.slot)
	case opDrop:
		c.checked = append(c.checked, o.slot)
	}
}

// retire replaces a key that has gathered too many writes of unknown outcome.
func (c *client) retire(s *slot) {
	if s == nil || s.gone {
		return
	}
	if len(s.reg.unknown) >= maxUnknownWrites || s.ctr.unknown >= maxUnknownIncrs || s.log.unknown >= maxUnknownWrites {
		c.replace(s)
	}
}

// replace puts a new key in the place of s, which waits for its last check.
func (c *client) replace(s *slot) {
	s.gone = true
	c.retired = append(c.retired, s)
	switch s.kind {
	case counterSlot:
		c.counter = c.newSlot(counterSlot)
	case logSlot:
		c.log = c.newSlot(logSlot)
	case stringSlot:
		for i := range c.strings {
			if c.strings[i] == s {
				c.strings[i] = c.newSlot(stringSlot)
			}
		}
	}
}

// check judges a reply that is no error and brings the model up to date.
func (c *client) check(o *op, v *resp.Value) finding {
	f := c.judge(o, v)
	if f > fine && f != late {
		key := []byte("-")
		if o.slot != nil {
			key = o.slot.key
		}
		c.r.violation("%s: client %d, %s %s (number %d) was answered %.200s; known: %s", findingNames[f], c.number, opNames[o.kind], key,
			o.seq, v, o.known())
	}
	if f == late {
		c.found[late]++
		return fine
	}
	return f
}

func (c *client) judge(o *op, v *resp.Value) finding {
	stale := c.r.conf.StaleReads
	switch o.kind {
	case opGet:
		return c.judgeValue(o.slot, v, stale)
	case opLast:
		c.checked = append(c.checked, o.slot)
		return c.judgeLast(o.slot, v, stale)
	case opSet:
		if v.Kind != '+' || string(v.Str) != "OK" {
			return c.misfit(v)
		}
		o.slot.reg.acked(version{seq: o.seq})
		return fine
	case opDel:
		return c.judgeDel(o, v)
	case opDrop:
		if v.Kind != ':' {
			return c.misfit(v)
		}
		return fine
	case opIncr:
		if v.Kind != ':' {
			return c.misfit(v)
		}
		return o.slot.ctr.sawIncr(v.Int)
	case opAppend:
		if v.Kind != ':' || v.Int%tokenWidth != 0 {
			return c.misfit(v)
		}
		o.slot.log.tokens[o.seq] = tokenAcked
		return o.slot.log.sawIncr(v.Int / tokenWidth)
	case opEcho:
		if seq, what := readValue(v.Str, echoKey, c.number); v.Kind != '$' || what != valueOK || seq != o.seq {
			return c.misfit(v)
		}
		return fine
	case opMGet:
		if v.Kind != '*' || len(v.Elem) != mgetKeys {
			return c.misfit(v)
		}
		worst := fine
		for i, s := range o.many {
			worst = max(worst, c.judgeValue(s, &v.Elem[i], stale))
		}
		return worst
	}
	return wrong
}

// judgeValue judges the result of a GET of a string key.
func (c *client) judgeValue(s *slot, v *resp.Value, stale bool) finding {
	if v.Null {
		return s.reg.sawNothing(stale)
	}
	if v.Kind != '$' {
		return c.misfit(v)
	}
	seq, what := readValue(v.Str, s.key, c.number)
	if what != valueOK {
		return c.misfit(v)
	}
	return s.reg.sawValue(seq, stale)
}

// judgeLast judges the last read of a key of any kind.
func (c *client) judgeLast(s *slot, v *resp.Value, stale bool) finding {
	if s.kind == stringSlot {
		return c.judgeValue(s, v, stale)
	}
	if v.Kind != '$' && !v.Null {
		return c.misfit(v)
	}
	if s.kind == logSlot {
		return s.log.sawContent(v.Str, stale)
	}
	n := int64(0)
	if !v.Null {
		var err error
		if n, err = strconv.ParseInt(string(v.Str), 10, 64); err != nil {
			return wrong
		}
	}
	if stale && n < s.ctr.known {
		return fine
	}
	return s.ctr.sawRead(n)
}

func (c *client) judgeDel(o *op, v *resp.Value) finding {
	if v.Kind != ':' || v.Int != 0 && v.Int != 1 {
		return c.misfit(v)
	}
	reg := &o.slot.reg
	existed := reg.now.seq != 0 && !reg.now.deleted
	sure := len(reg.unknown) == 0
	reg.acked(version{seq: o.seq, deleted: true})
	switch {
	case sure && existed && v.Int == 0:
		return lost
	case sure && !existed && v.Int == 1:
		return repeated // a write that was deleted came back
	}
	return fine
}

// misfit classifies a reply that does not belong to its request: reordered if it belongs to another one of the batch.
func (c *client) misfit(v *resp.Value) finding {
	for i := range c.batch {
		o := &c.batch[i]
		if o.kind == opEcho {
			if seq, what := readValue(v.Str, echoKey, c.number); what == valueOK && seq == o.seq {
				return reordered
			}
		} else if o.slot != nil && bytes.HasPrefix(v.Str, o.slot.key) {
			if _, what := readValue(v.Str, o.slot.key, c.number); what == valueOK {
				return reordered
			}
		}
	}
	return wrong
}

// known describes what the model holds of a request's key.
func (o *op) known() string {
	if o.slot == nil {
		return "-"
	}
	s := o.slot
	switch s.kind {
	case counterSlot:
		return strconv.FormatInt(s.ctr.known, 10) + " and " + strconv.FormatInt(s.ctr.unknown, 10) + " unknown"
	case logSlot:
		return strconv.FormatInt(s.log.known, 10) + " tokens and " + strconv.FormatInt(s.log.unknown, 10) + " unknown"
	}
	text := strconv.FormatUint(s.reg.now.seq, 10)
	if s.reg.now.deleted {
		text += " (deleted)"
	}
	for _, u := range s.reg.unknown {
		text += " ?" + strconv.FormatUint(u.seq, 10)
	}
	return text
}
