package redis

import (
	"github.com/sluice-mesh/sluice/resources"
)

// call is one request on its way. It sits in two queues: its session's, in the order of requests, and its upstream's, in
// the order of replies.
type call struct {
	resources.Call
	s         *session
	cmd       *command
	next      *call // in the session's queue, or in the free list
	gen       uint32
	answered  bool   // reply holds the answer; it waits for its turn
	mute      bool   // the client wants no reply
	last      bool   // the connection ends with this reply
	parted    bool   // part of the reply went to the client
	after     after  // what the reply means for the session
	asked     bool   // the redirect was an ASK
	moves     uint8  // redirects followed
	expect    int    // confirmations of (un)subscriptions still to come; -1: as many as there are subscriptions
	reply     []byte // out of order, or of a part
	attr      *attr  // what the session becomes when the server agrees
	name      string // likewise its name
	user      string // likewise its user
	lease     bool   // it needs a connection of its own
	elsewhere bool   // it goes to a shared connection although the session has one of its own
	prepared  bool   // see session.prepare
	unit      int    // of the first of a unit: how many calls it has
	aside     bool   // it was moved from behind a long reply

	// Where the request is, for sending it again.
	up  *upstream
	seq uint64 // number of its entry

	// A backup request.
	up2  *upstream
	seq2 uint64

	// Parts.
	parts *gather // of a whole
	whole *gather // of a part
	index int     // of a part: which one; of a SCAN: which server
}

// writes reports whether the server may be another after the call; scripts count.
func (c *call) writes() bool {
	return c.Class == resources.ClassWrite || c.Class == resources.ClassOther && c.Retry == resources.RetryUnsent
}

// after says what a reply means for the session that gets it.
type after uint8

const (
	afterNothing after = iota
	afterAttr          // AUTH, HELLO, SELECT: the session takes on c.attr
	afterHello         // the same, and the answer names the session instead of the upstream connection
	afterName          // CLIENT SETNAME on a connection of its own
	afterMulti
	afterBegin // MULTI sent late, by beginNow
	afterExec
	afterDiscard
	afterAbort // DISCARD sent in place of an EXEC that must not run
	afterWatch
	afterUnwatch
	afterBlocking
	afterState
	afterTracking
	afterTrackingOff
	afterUnknown
	afterMonitor
	afterScan
)

// reads reports whether the session needs the reply itself; otherwise it is enough that it is no error.
func (a after) reads() bool {
	switch a {
	case afterAttr, afterHello, afterAbort, afterScan:
		return true
	}
	return false
}

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

// recycle gives a call back. Nothing may point to it: gen tells those who kept a pointer anyway.
func (sh *shard) recycle(c *call) {
	reply := c.reply[:0]
	if cap(reply) > 4<<10 {
		reply = nil
	}
	*c = call{gen: c.gen + 1, reply: reply, next: sh.free}
	sh.free = c
}
