package grpc

import (
	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/protocols/http2"
	"github.com/sluice-mesh/sluice/resources"
)

// call is one stream of a client. It is in the table of its connection until it is answered.
type call struct {
	resources.Call
	link *link
	id   uint32 // of the client's stream
	head request
	hash []byte // what the caller hashes by

	// The request's bytes. Those before base are not needed any more.
	body   []byte
	base   int64
	ended  bool  // the client sends no more
	kept   bool  // all of it is kept, so that it can be sent again
	left   int64 // bytes that the client may still send
	passed int64 // bytes that were passed on
	told   int64 // bytes of those that the client was told it may send again

	up     *leg // where it was sent; nil: nowhere yet
	backup *leg // where it was sent as well
	legs   [2]leg

	// The answer.
	window   int64         // bytes that the client takes on the stream
	begun    bool          // its headers were passed on
	out      []byte        // what the client does not take yet
	trailers []http2.Field // what comes after that
	last     bool          // they are there
	held     bool          // it waits for an injected delay
	moves    uint8         // how often it changed its connection

	until int64 // when that is over; 0: never
	quiet int64 // how long nothing may move, in ns
	moved int64 // when something did

	timer loop.Timer
	next  *call // of the free list
}

// leg makes an attempt on a connection.
func (c *call) leg(u *upstream) *leg {
	free := &c.legs[0]
	if free.c != nil {
		free = &c.legs[1]
	}
	*free = leg{c: c, u: u}
	return free
}

// total returns how many bytes of the request came so far.
func (c *call) total() int64 { return c.base + int64(len(c.body)) }

// newCall takes a call from the free list.
func (sh *shard) newCall() *call {
	c := sh.free
	if c == nil {
		c = &call{}
		c.timer.F = func(now int64) { c.link.Shard.wake(c, now) }
		return c
	}
	sh.free = c.next
	c.next = nil
	return c
}

const (
	keptMost   = 4 << 10 // the longest buffer that a free call holds on to, in bytes
	keptFields = 64      // and the longest header list
)

// recycle gives a call back. Nothing may point to it.
func (sh *shard) recycle(c *call) {
	sh.loop.Cancel(&c.timer)
	body, out, fields, trailers := c.body[:0], c.out[:0], c.head.fields[:0], c.trailers[:0]
	if cap(body) > keptMost {
		body = nil
	}
	if cap(out) > keptMost {
		out = nil
	}
	if cap(fields) > keptFields {
		fields = nil
	}
	if cap(trailers) > keptFields {
		trailers = nil
	}
	clear(fields[:cap(fields)]) // they are other people's words
	clear(trailers[:cap(trailers)])
	timer := c.timer.F
	*c = call{body: body, out: out, hash: c.hash[:0], next: sh.free}
	c.head.fields, c.trailers = fields, trailers
	c.timer.F = timer
	sh.free = c
}

// The call is the resources.View of its request, while Begin runs.

// Key implements resources.View: what the caller hashes by.
func (c *call) Key(i int) ([]byte, bool) { return c.OnlyKey, i == 0 && c.OnlyKey != nil }

// Digest implements resources.View; a call has none.
func (c *call) Digest() uint64 { return 0 }

// OpName implements resources.Named: the path.
func (c *call) OpName() string { return c.head.path }

// AppendText implements resources.View: the method.
func (c *call) AppendText(dst []byte) []byte {
	return append(dst, c.head.path[:min(len(c.head.path), cap(dst)-len(dst))]...)
}
