package mysql

import (
	"encoding/binary"
	"strconv"

	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/protocols/sql"
	"github.com/sluice-mesh/sluice/resources"
)

// Clients are greeted with connection ids of the agent, and KILL means those: the statement that it is meant for is found
// wherever it is executed. The ids have their highest bit set, which those of servers reach after two thousand million
// connections, so that the two cannot be taken for each other.
//
// An id without that bit is a server's: from SHOW PROCESSLIST, or from CONNECTION_ID() in a session that shared its
// connection. When the connection is one of the agent's, the client that uses it at this moment is meant, and there may be
// none; a KILL that was sent on could hit whoever uses it next. Other ids are the server's business.

// agentID is set in the connection ids of the agent.
const agentID = 1 << 31

// greetingID is the connection id that a client is greeted with.
func greetingID(rs *resources.Session) uint32 { return uint32(rs.ID) | agentID }

// killText executes a KILL that a client wrote as SQL, if it is about a client of the agent. done is false when it is not:
// then it goes to the server.
func (s *session) killText() (done, ok bool) {
	if s.scan.Flags&(sql.KillOther|sql.Multi) != 0 {
		return false, true
	}
	return s.kill(s.digest.opOf(s.r), s.scan.KillID, s.scan.Flags&sql.KillQuery != 0)
}

// processKill executes COM_PROCESS_KILL.
func (s *session) processKill() bool {
	if len(s.req) < mysql.HeaderLen+5 {
		return s.malformed()
	}
	op := s.r.ops.commands[s.cmd]
	done, ok := s.kill(op, uint64(binary.LittleEndian.Uint32(s.req[mysql.HeaderLen+1:])), false)
	if !done {
		return s.govern(op)
	}
	return ok
}

// kill ends another client's statement, or the client. A client may do that to those of its own user, as with a server.
func (s *session) kill(op resources.OpID, id uint64, query bool) (done, ok bool) {
	t, ours := s.r.meant(id, s)
	if !ours {
		return false, true
	}
	return true, s.local(op, func() bool { return s.killSession(t, id, query) })
}

func (s *session) killSession(t *session, id uint64, query bool) bool {
	number := strconv.FormatUint(id, 10)
	switch {
	case t == nil:
		s.fail(1094, "HY000", "Unknown thread id: "+number)
		return true
	case t.rs.Identity().User != s.rs.Identity().User:
		s.fail(1095, "HY000", "You are not owner of thread "+number)
		return true
	case t == s && query:
		s.fail(1317, "70100", "Query execution was interrupted")
		return true
	case t == s:
		s.fail(1927, "70100", "Connection was killed")
		return false
	}
	t.interrupt()
	if !query {
		t.cut()
	}
	return s.ok(1)
}

// meant returns the session that a connection id stands for, nil when there is none. ours is false when the id is neither
// the agent's nor that of one of its connections.
func (r *Resource) meant(id uint64, asks *session) (t *session, ours bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if id&agentID != 0 && id < 1<<32 {
		low := id &^ agentID
		if t := r.sessions[low]; t != nil {
			return t, true
		}
		for n, t := range r.sessions { // greetings have 31 bits of it
			if n&(agentID-1) == low {
				return t, true
			}
		}
		return nil, true
	}
	for _, t := range r.sessions {
		if u := t.busy.Load(); u != nil && uint64(u.id) == id {
			return t, true
		}
		if t != asks && !t.mu.TryLock() {
			continue // it executes something, and not there
		}
		u, held := t.up, t.held
		if t != asks {
			t.mu.Unlock()
		}
		switch {
		case u != nil && uint64(u.id) == id:
			return t, true
		case held != nil && uint64(held.id) == id:
			return nil, true // it executes nothing
		}
	}
	for _, p := range *r.pools.Load() {
		if p != nil && p.rests(id) {
			return nil, true
		}
	}
	return nil, false
}

// rests reports whether the connection of the server with this id is idle in the pool.
func (p *pool) rests(id uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, list := range p.idle {
		for _, u := range list {
			if uint64(u.id) == id {
				return true
			}
		}
	}
	return false
}

func utoa(v uint32) string { return strconv.FormatUint(uint64(v), 10) }
