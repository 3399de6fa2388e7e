package redis

import (
	"errors"

	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/protocols/resp"
	"github.com/sluice-mesh/sluice/resources"
)

// gatherRequest bounds a request that cannot be passed on in parts, because the agent must look at all of it.
const gatherRequest = 16 << 20

// upload is a large request on its way through. It has a connection of its own: on a shared one everybody would wait for
// a slow client.
type upload struct {
	c     *call
	relay resp.Relay
	seq   uint64 // of its expectation
}

// uploadStart begins to pass on the large request at the start of s.buf. It returns how many bytes were dealt with.
func (s *session) uploadStart() int {
	c := s.parked
	if c == nil {
		cmd := s.uploadCommand()
		if cmd == nil {
			if len(s.buf) > gatherRequest {
				s.protocolError(errors.New("ERR Protocol error: this command is limited to 16 MiB"))
				return len(s.buf)
			}
			return 0 // gather it
		}
		if !s.idleFirst() {
			return 0
		}
		s.cur = cmd
		if s.txn.unsent {
			return s.beginNow(cmd)
		}
		c = s.newCall(cmd)
		c.lease = s.pin == nil
		c.Retry = resources.RetryNever
		if !s.begin(c) {
			if s.hold&holdDelay == 0 {
				s.closing = true // the rest of the request cannot be told from the next one
				s.conn.CloseAfterFlush()
				return len(s.buf)
			}
			return 0
		}
	}
	s.parked = nil
	s.upload = &upload{c: c, relay: s.req.Relay()}
	if s.pin == nil {
		s.sendLeased(c, nil)
	} else {
		s.sendPinned(c, nil)
	}
	if s.upload == nil {
		return len(s.buf)
	}
	s.upload.seq = c.seq
	return s.uploadMore(s.buf)
}

// uploadCommand returns the command of a large request that can be passed on in parts; nil when it must be gathered.
func (s *session) uploadCommand() *command {
	if s.req.Inline || s.req.HeadArgs() == 0 {
		return nil
	}
	cmd := s.sh.r.table.Load().lookup(&s.req, s.buf)
	switch {
	case s.txn.lost, !s.loggedIn:
		return nil
	case !cmd.special.plain() && cmd.special != spUnknown:
		return nil
	case !s.sh.r.partitioned():
		return cmd
	case cmd.split != splitNone && cmd.split != splitSum || len(cmd.keys) == 0:
		return nil
	}
	k := &cmd.keys[0]
	if k.counted || k.keyword != "" || k.last != 0 || k.begin >= s.req.HeadArgs() {
		return nil
	}
	if s.pin != nil && !s.inPlace(s.req.Arg(s.buf, k.begin)) {
		return nil // the session's own connection is to another server
	}
	return cmd
}

// uploadMore passes on the next bytes of a large request.
func (s *session) uploadMore(b []byte) int {
	up := s.upload
	n, done, err := up.relay.Next(b)
	if err != nil {
		s.upload = nil
		u := s.pin
		s.pin = nil
		if up.c.up == u {
			up.c.forget()
		}
		up.c.Now, up.c.Outcome = s.sh.loop.Now(), resources.OutcomeCanceled
		s.sh.end(up.c)
		up.c.last = true
		var pe *resp.ProtocolError
		errors.As(err, &pe)
		s.answer(up.c, resp.AppendError(nil, pe.Text))
		if u != nil {
			u.close(err)
		}
		return len(b)
	}
	u := s.pin
	u.write(b[:n])
	e := u.at(up.seq)
	e.end = u.position()
	up.c.ReqBytes += int64(n)
	if up.c.Deadline > 0 {
		up.c.Deadline = s.sh.loop.Now() + s.sh.timeout()
	}
	pending := len(u.wait)
	if u.conn != nil {
		u.conn.Release(u.conn.Position()) // what was sent is not sent again
		pending = u.conn.Pending()
	}
	switch {
	case done:
		s.upload = nil
		if up.c.Stages != nil && u.conn != nil {
			up.c.Stages.Wrote(u.conn)
		}
		s.heavy = s.heavy || up.c.ReqBytes > longReply // who writes long values reads them
		s.req.Reset()
	case pending > loop.HighWater:
		if u.conn != nil {
			u.conn.WantDrained()
		}
		s.wait(holdServer)
	}
	return n
}

// uploadCut ends a session whose large request was answered before it was whole: what the client still sends is the rest
// of it, and the server may take it for something else.
func (s *session) uploadCut(c *call) {
	if bug.keepsHalfSent(s) {
		return
	}
	s.upload = nil
	c.last = true
	if u := s.pin; u != nil {
		s.pin = nil
		u.close(errors.New("a request was answered before it was whole"))
	}
}
