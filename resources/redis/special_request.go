package redis

import (
	"bytes"
	"strconv"

	"github.com/sluice-mesh/sluice/protocols/resp"
	"github.com/sluice-mesh/sluice/resources"
)

// Answers that the agent gives in the server's place, word for word.
var (
	replyOK         = []byte("+OK\r\n")
	replyQueued     = []byte("+QUEUED\r\n")
	replyReset      = []byte("+RESET\r\n")
	replyExecAbort  = []byte("-EXECABORT Transaction discarded because of previous errors.\r\n")
	replyBadName    = []byte("-ERR Client names cannot contain spaces, newlines or special characters.\r\n")
	replyWrongPass  = []byte("-WRONGPASS invalid username-password pair or user is disabled.\r\n")
	replyNoMute     = []byte("-ERR CLIENT REPLY OFF and SKIP are not allowed in a transaction\r\n")
	replyNoLogin    = []byte("-ERR AUTH and HELLO are not allowed in a transaction\r\n")
	replySyntax     = []byte("-ERR syntax error\r\n")
	replyNoProto    = []byte("-NOPROTO unsupported protocol version\r\n")
	replyBadProto   = []byte("-ERR Protocol version is not an integer or out of range\r\n")
	replyHelloLogin = []byte("-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time\r\n")
)

// specialRequest handles a request that is more than its bytes, or that comes while the session has a connection of its
// own. It returns how many bytes were dealt with; 0 when the request has to wait.
func (s *session) specialRequest(cmd *command) int {
	size := s.req.Size
	switch cmd.special {
	case spQuit:
		s.closing = true
		if s.n == 0 {
			s.dropPin() // who hears of the end may count on the server having heard of it first: nobody is subscribed any more
		}
		s.local(cmd, replyOK, true)
		return size
	case spReset:
		return s.reset(cmd)
	case spReply:
		if s.replyMode(cmd) {
			return size
		}
	}
	if s.txn.lost {
		s.lostTxn(cmd)
		return size
	}
	if s.txn.unsent {
		return s.beginNow(cmd)
	}
	if s.sh.partitioned {
		if n := s.placed(cmd); n != notPlaced {
			return n
		}
	}
	if s.pin != nil || s.pins&resources.PinPaired != 0 {
		return s.ownRequest(cmd)
	}
	switch cmd.special {
	case spSetName, spGetName:
		if s.nameRequest(cmd) {
			return size
		}
	case spAuth, spHello, spSelect:
		return s.changeRequest(cmd)
	case spMulti:
		if s.sh.partitioned && s.req.Argc == 1 {
			return s.beginLater(cmd)
		}
		if n := s.unit(cmd); n != notUnit {
			return n
		}
		return s.leased(cmd)
	case spUnwatch:
		s.txn.doomed = false // the server has nothing to forget; that a watch was lost is forgotten here
	case spWatch, spSubscribe, spUnsubscribe, spMonitor, spBlocking, spWait, spPeek, spUnknown:
		return s.leased(cmd)
	case spState:
		if s.sh.r.set.Topology == topologyCluster && (cmd.name == "READONLY" || cmd.name == "READWRITE") {
			s.local(cmd, replyOK, false) // where reads go is the policy's to say
			return size
		}
		return s.leased(cmd)
	case spXRead:
		if s.blocks() {
			return s.leased(cmd)
		}
	case spScan:
		if s.sh.r.partitioned() {
			return s.scanAll(cmd)
		}
	}
	c := s.newCall(cmd)
	if s.begin(c) {
		s.dispatch(c, s.canonical())
	} else if s.hold&holdDelay != 0 {
		return 0
	}
	return size
}

// blocks reports whether an XREAD or XREADGROUP says BLOCK.
func (s *session) blocks() bool {
	for i := 1; i < s.req.Argc; i++ {
		a := s.req.Arg(s.buf, i)
		if bytes.EqualFold(a, []byte("STREAMS")) {
			return false
		}
		if bytes.EqualFold(a, []byte("BLOCK")) {
			return true
		}
	}
	return false
}

// blockTime returns how long a blocking command wants to wait, in nanoseconds, 0 meaning for ever. It is false when the
// request does not say so in the right way; the server will refuse it at once.
func (s *session) blockTime(cmd *command) (int64, bool) {
	at, unit := s.req.Argc-1, 1e9
	switch cmd.name {
	case "BLMPOP", "BZMPOP":
		at = 1
	case "WAIT":
		at, unit = 2, 1e6
	case "WAITAOF":
		at, unit = 3, 1e6
	case "XREAD", "XREADGROUP":
		unit = 1e6
		for at = 1; at < s.req.Argc-1 && !bytes.EqualFold(s.req.Arg(s.buf, at), []byte("BLOCK")); at++ {
		}
		at++
	}
	t, err := strconv.ParseFloat(string(s.req.Arg(s.buf, at)), 64)
	if err != nil || !(t >= 0 && t*unit < 1<<62) {
		return 0, false
	}
	return int64(t * unit), true
}

// idleFirst makes a request wait until everything before it is answered: what it does to the session must not overtake.
func (s *session) idleFirst() bool {
	if s.n > 0 && s.parked == nil {
		s.wait(holdIdle)
		return false
	}
	return true
}

// leased handles a request that needs a connection of its own.
func (s *session) leased(cmd *command) int {
	size := s.req.Size
	if !s.idleFirst() {
		return 0
	}
	c := s.newCall(cmd)
	c.lease = true
	if s.begin(c) {
		s.dispatch(c, s.canonical())
	} else if s.hold&holdDelay != 0 {
		return 0
	}
	return size
}

// ownRequest handles a request of a session that has a connection of its own, or always gets one (profile transparent).
func (s *session) ownRequest(cmd *command) int {
	size := s.req.Size
	if s.pin == nil {
		if !s.idleFirst() {
			return 0
		}
	} else if s.n == 0 && s.pins&^resources.PinPaired == 0 && s.sh.rt.Boundary(s.rs, s.pin.ep) == resources.Leave {
		s.dropPin()
	}
	var change *change
	switch cmd.special {
	case spAuth, spHello, spSelect:
		if s.txn.open {
			if len(s.sh.r.users) > 0 && cmd.special != spSelect { // the server would take the client's login for one of its own
				s.txn.doomed = true
				s.local(cmd, replyNoLogin, false)
				return size
			}
			break
		}
		ch, reply := s.parseChange(cmd)
		if reply != nil {
			s.local(cmd, reply, false)
			return size
		}
		if ch != nil && ch.local {
			s.become(ch)
			s.local(cmd, replyOK, false)
			return size
		}
		change = ch
	}
	c := s.newCall(cmd)
	c.lease = s.pin == nil
	req := s.canonical()
	if change != nil {
		c.attr, c.name, c.user = change.attr, change.name, change.user
		c.after = afterAttr
		if change.hello {
			c.after = afterHello
		}
		if change.req != nil {
			req = change.req
		}
	}
	if s.begin(c) {
		s.dispatch(c, req)
	} else if s.hold&holdDelay != 0 {
		return 0
	}
	return size
}

// nameRequest answers CLIENT SETNAME and GETNAME for a session without a connection of its own; false when the server
// should say what is wrong with the request.
func (s *session) nameRequest(cmd *command) bool {
	if cmd.special == spGetName {
		if s.req.Argc != 2 {
			return false
		}
		reply := resp.AppendNull(nil, s.attr.resp3)
		if s.name != "" {
			reply = resp.AppendBulkString(nil, s.name)
		}
		s.local(cmd, reply, false)
		return true
	}
	if s.req.Argc != 3 {
		return false
	}
	name := s.req.Arg(s.buf, 2)
	if !validName(name) {
		s.local(cmd, replyBadName, false)
		return true
	}
	s.setName(string(name))
	s.local(cmd, replyOK, false)
	return true
}

func validName(name []byte) bool {
	for _, ch := range name {
		if ch < '!' || ch > '~' {
			return false
		}
	}
	return true
}

// setName makes a client's name for itself the caller of its calls.
func (s *session) setName(name string) {
	s.name = name
	s.identify()
}

func (s *session) identify() {
	id := *s.rs.Identity()
	if s.caller == "" {
		s.caller = id.Caller
	}
	id.Caller, id.User = s.caller, s.user
	if s.name != "" {
		id.Caller = s.name
	}
	s.rs.SetIdentity(&id)
}

// replyMode handles CLIENT REPLY: the server is never told, or it would answer less than the queue expects. Between MULTI
// and EXEC only what changes nothing goes to the server (replyMode is false then): it queues even a wrong mode.
func (s *session) replyMode(cmd *command) bool {
	mode := ""
	if s.req.Argc == 3 {
		mode = string(bytes.ToUpper(s.req.Arg(s.buf, 2)))
	}
	switch muting := mode == "OFF" || mode == "SKIP"; {
	case s.txn.open && !s.txn.lost && !muting:
		return false
	case s.txn.open && muting:
		s.txn.doomed = true
		s.local(cmd, replyNoMute, false)
		return true
	}
	switch mode {
	case "ON":
		s.replyOff = false
		s.local(cmd, replyOK, false)
	case "OFF":
		s.replyOff = true
		s.local(cmd, nil, false)
	case "SKIP":
		if !s.replyOff {
			s.skipNext = true
			s.local(cmd, nil, false)
			s.skipNext = true
		}
	default:
		s.local(cmd, replySyntax, false)
	}
	return true
}

// reset handles RESET: the session is as new, and its connection is given up rather than cleaned.
func (s *session) reset(cmd *command) int {
	size := s.req.Size
	if !s.idleFirst() {
		return 0
	}
	if s.pin != nil {
		u := s.pin
		s.pin = nil
		u.close(errDone)
	}
	s.setPins(s.pins & resources.PinPaired)
	s.txn, s.tied = txnState{}, false
	s.chans, s.pats, s.shch = 0, 0, 0
	s.attr = s.sh.base
	s.name, s.user = "", ""
	s.replyOff, s.skipNext = false, false
	s.loggedIn = len(s.sh.r.users) == 0
	s.lim.Unauthenticated = !s.loggedIn
	s.identify()
	s.local(cmd, replyReset, false)
	return size
}
