package resources

import (
	"sync"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/internal/loop"
)

// Stages is when a call that is watched went from one stage to the next: nanoseconds of the monotonic clock, 0 for what has
// not happened. A call has one only while somebody watches it (Call.Stages is nil otherwise), so that all it costs the others is
// a look at a pointer. Filters make it in OnCall; drivers fill it in.
//
//	stage    from                                until
//	receive  the first byte of the request       filters see the call
//	route    then                                an endpoint is chosen and a connection to it is there
//	send     then                                the system took the request's last byte for the endpoint
//	wait     then                                the first byte of the answer is there
//	reply    then                                the system took the answer's last byte for the client
//
// The stages follow each other without gaps, so that they add up to all of the call's time. A call that ends early ends in
// the stage that it had reached: one that a filter answers in route, one without an answer in wait. "The first byte is
// there" is when the round of the event loop began that read it.
//
// What belongs to which stage where that is not plain:
//
//   - receive: a request that came in one read begins with that round of the loop; grpc's with the round of its headers, mysql's
//     when its first packet is there. A request whose body is passed on while it comes (http, grpc, large ones of redis and mysql)
//     is received when its head is; the body is sent. For redis and motan2, also the time for which a request that is there is not
//     looked at, because earlier ones of its client must end first.
//   - route: limits and commands, the delay of a fault command, waiting for a connection or for a free stream on one, opening it,
//     logging in. mysql: also what makes the connection the session's, such as USE, SET and BEGIN, where the command is sent only
//     when the server has agreed to it.
//   - send: for as long as the client is slow with a body that is passed on while it comes.
//   - wait: the network, the server, and for redis the answers before it on the same connection.
//   - reply: the rest of the answer's way, from a slow server as much as to a slow client. What the client's side of the system
//     holds counts as taken. An answer of redis that waits for its turn behind another one ends when it is complete.
//
// Extra attempts: send, wait and reply are those of the last attempt, which is the one that was answered, if any was; what was
// lost with earlier ones is in route. With a backup request, send is of the first copy and wait ends with the first answer. Of a
// call in parts (redis), they are of the part that ended last.
type Stages struct {
	First    int64 // by the driver: the request's first byte; 0: it came with Call.Start
	Began    int64 // by the filter: now
	Ready    int64 // by the driver, as the following: the request has a connection
	Written  int64 // the request was written
	Answered int64 // the first byte of the answer came
	Replied  int64 // the answer was written; 0: nobody saw it, and the stage ends with Call.Now

	// Out is the connection that the answer leaves on, where it leaves in the round in which the call ends. Who shows the call
	// waits for it.
	Out *loop.Conn

	Spare bool // of the filter that made it

	untold int // connections that are still to say when the request was written
}

// Stage is one of the parts of a call's time.
type Stage uint8

// The stages in their order.
const (
	StageReceive Stage = iota
	StageRoute
	StageSend
	StageWait
	StageReply
	NumStages = iota
)

var stageNames = [NumStages]string{"receive", "route", "send", "wait", "reply"}

// String returns the stage's word in events, spans and pages.
func (s Stage) String() string { return stageNames[s] }

// spares are those of calls that ended.
var spares = sync.Pool{New: func() any { return new(Stages) }}

// Watch makes the call one whose stages are noted. It reports false when it was one already.
func (c *Call) Watch() bool {
	if c.Stages != nil {
		return false
	}
	c.Stages = spares.Get().(*Stages)
	*c.Stages = Stages{Began: clock.Now()}
	return true
}

// Unwatch ends what Watch began, for a filter that has no use for it after OnDone, so that the next Watch need not allocate.
func (c *Call) Unwatch() {
	if s := c.Stages; s.untold == 0 { // else a connection would tell another call, on whatever loop that runs
		spares.Put(s)
	}
	c.Stages = nil
}

// Again forgets the attempt that failed.
func (s *Stages) Again() { s.Ready, s.Written, s.Answered = 0, 0, 0 }

// Placed notes that the request has a connection; to is nil for a connection that is not polled. The request is to be
// appended before the round of the loop is over, or has been.
func (s *Stages) Placed(to *loop.Conn) {
	if s.Ready != 0 { // by the first of two copies
		return
	}
	s.Ready = clock.Now()
	if to != nil {
		s.Wrote(to)
	}
}

// Wrote notes when everything was written that is appended to a connection in this round.
func (s *Stages) Wrote(to *loop.Conn) {
	ready := s.Ready
	s.untold++
	to.OnWritten(func(at int64) {
		s.untold--
		if s.Ready == ready && s.Written == 0 { // else this was another attempt
			s.Written = at
		}
	})
}

// Arrives notes that bytes of the answer are there.
func (s *Stages) Arrives(now int64) {
	if s.Answered == 0 {
		s.Answered = now
	}
}

// Spans returns when the first stage of a call began and when each one ended, in ns; start and now are those of the call. What
// was not seen is part of the stage before; a request whose writing nobody saw counts as sent when it had its connection.
func (s *Stages) Spans(start, now int64) (from int64, until [NumStages]int64) {
	if from = start; s.First != 0 {
		from = min(from, s.First)
	}
	written := s.Written
	if written == 0 && s.Answered != 0 {
		written = s.Ready
	}
	end := max(now, s.Replied)
	at := from
	for i, t := range [NumStages]int64{s.Began, s.Ready, written, s.Answered, end} {
		if t == 0 { // the call ended in this stage
			t = end
		}
		at = max(at, min(t, end))
		until[i] = at
	}
	return from, until
}
