package motan

import (
	"github.com/sluice-mesh/sluice/protocols/motan1"
	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/resources"
)

// call is one request. It is in the list of its client until it is answered, in the table of each connection that it was
// sent on until that connection's reply, and in its shard's wheel while there is something to wait for.
type call struct {
	resources.Call
	link *link
	head motan2.Head    // of the request, as the client sent it
	v1   motan1.Version // of a request in Motan1, of which head has the id alone; 0: it is in Motan2
	desc motan2.Call    // of the request being looked at; see view.go

	frame []byte // the request as the client sent it, when it may be sent again; its capacity is used again
	held  bool   // it waits for an injected delay

	up, up2 *upstream // where it was sent, and where a backup was
	id, id2 uint64    // its request ids there

	next, prev *call // of the client
	alarm      alarm
}

// keep copies the request, so that it can be sent again.
func (c *call) keep(frame []byte) { c.frame = append(c.frame[:0], frame...) }

// kept returns the request; nil when it was not kept.
func (c *call) kept() []byte {
	if len(c.frame) == 0 {
		return nil
	}
	return c.frame
}

// oneway reports whether nobody waits for an answer.
func (c *call) oneway() bool { return c.head.Type&motan2.TypeOneway != 0 }

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
	frame := c.frame[:0]
	if cap(frame) > keptMost {
		frame = nil
	}
	*c = call{frame: frame, next: sh.free}
	sh.free = c
}
