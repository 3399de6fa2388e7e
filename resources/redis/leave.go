package redis

import (
	"errors"

	"github.com/sluice-mesh/sluice/resources"
)

// boundary lets a session go where it should not stay, as soon as it may. answered says that its client has just got a reply.
func (s *session) boundary(answered bool) {
	if s.ended || s.n > 0 && !s.subscribed() {
		return
	}
	var ep *resources.Endpoint
	if s.pin != nil {
		ep = s.pin.ep
	}
	if ep == nil && !s.sh.draining {
		s.finish()
		return
	}
	switch s.sh.rt.Boundary(s.rs, ep) {
	case resources.Drain:
		if s.movable() {
			if !answered && s.sh.loop.Now()-s.last < lull || s.asking() {
				return
			}
			s.closing = true
			s.conn.CloseAfterFlush()
			return
		}
	case resources.Leave:
		if s.pins&^resources.PinPaired == 0 && s.n == 0 {
			s.dropPin()
		} else if s.movable() {
			s.cut(errors.New("the endpoint of the subscription is going away"))
			return
		}
	}
	s.finish()
}

// lull is for how long a client must have been silent, in ns, to be left on a drain without having asked anything more. RESP has no word for
// "I am going away", and whoever asks often may be about to. The moment behind a reply is the best that there is: the client
// has it to deal with first, and clients look whether a connection has ended before they use it again.
const lull = int64(100e6)

// asking reports whether the client has sent a request, or begun to, that was not looked at yet: it is served, and the next boundary
// ends the session. Closing in front of it would lose it, and with it, by the reset that follows, replies on their way.
func (s *session) asking() bool { return s.partial > 0 || s.conn.Unread() }

// movable reports whether ending the session now loses nothing but messages that a subscriber must expect to lose.
func (s *session) movable() bool {
	return s.pins&^(resources.PinPaired|resources.PinSubscribe|resources.PinMonitor) == 0 && s.parked == nil && s.upload == nil
}

// finish ends a session whose client will send no more.
func (s *session) finish() {
	if s.eof && s.n == 0 && s.hold == 0 && !s.closing {
		s.closing = true
		s.conn.CloseAfterFlush()
	}
}
