package http

import (
	"github.com/sluice-mesh/sluice/protocols/http1"
	"github.com/sluice-mesh/sluice/resources"
)

// maxKept is the longest body that is kept with its request, in bytes, so that it can be sent again.
const maxKept = 64 << 10

// call is one request. It belongs to its client's connection until it is answered or given up.
type call struct {
	resources.Call
	link   *link
	co     *conn
	method http1.Method
	size   int64 // of the request's head, in bytes
	minor  int   // of the client's version
	keep   bool  // the client's connection may go on after it
	expect bool  // the client waits for 100
	held   bool  // it waits for an injected delay
	wants  bool  // it asks for an upgrade

	verb, path []byte // of the request being looked at; see view.go
	req        []byte // the request as servers get it, with its body when that is kept; its capacity is used again

	first, backup attempt
	answering     bool // the head of the answer was passed on
	blind         bool // the end of the connection is all that tells the client where the answer ends

	mark uint64 // what had moved when it was last looked at
	next *call  // free
}

// attempt is one time that a call was sent, or waits for a connection to be sent on.
type attempt struct {
	pool   *pool
	ticket uint64    // while it waits for a connection
	up     *upstream // once it was sent
}

// on reports whether the call was sent on u.
func (a *attempt) on(u *upstream) bool { return a.up == u }

// open reports whether the attempt was made and is not over.
func (a *attempt) open() bool { return a.up != nil || a.ticket != 0 }

// newCall takes a call from the free list.
func (sh *shard) newCall() *call {
	c := sh.free
	if c == nil {
		return &call{}
	}
	sh.free = c.next
	c.next = nil
	return c
}

// keptMost is the longest buffer that a free call holds on to, in bytes.
const keptMost = 4 << 10

// recycle gives a call back. Nothing may point to it.
func (sh *shard) recycle(c *call) {
	req := c.req[:0]
	if cap(req) > keptMost {
		req = nil
	}
	*c = call{req: req, next: sh.free}
	sh.free = c
}
