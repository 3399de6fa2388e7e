package redis

import (
	"bytes"
	"strings"

	"github.com/sluice-mesh/sluice/protocols/resp"
	"github.com/sluice-mesh/sluice/resources"
)

// change is what AUTH, HELLO or SELECT make of a session once a server agreed.
type change struct {
	attr  *attr
	name  string // HELLO SETNAME; "\x00": unchanged
	user  string // "\x00": unchanged
	req   []byte // what to send; nil: the request as it is
	local bool   // the agent agreed by itself: nobody has to be asked
	hello bool
}

// bytes returns what to send for the change.
func (ch *change) bytes(s *session) []byte {
	if ch != nil && ch.req != nil {
		return ch.req
	}
	return s.canonical()
}

const unchanged = "\x00"

// changeRequest handles AUTH, HELLO and SELECT of a session without a connection of its own. The next request means
// something else once the answer came, so the session waits for it.
func (s *session) changeRequest(cmd *command) int {
	size := s.req.Size
	if !s.idleFirst() {
		return 0
	}
	ch, reply := s.parseChange(cmd)
	switch {
	case reply != nil:
		s.local(cmd, reply, false)
		return size
	case ch != nil && ch.local:
		s.become(ch)
		s.local(cmd, replyOK, false)
		return size
	}
	c := s.newCall(cmd)
	req := s.canonical()
	if ch != nil {
		c.attr, c.name, c.user = ch.attr, ch.name, ch.user
		c.after = afterAttr
		if ch.hello {
			c.after = afterHello
		}
		if ch.req != nil {
			req = ch.req
		}
	}
	if !s.begin(c) {
		if s.hold&holdDelay != 0 {
			return 0
		}
		return size
	}
	if ch == nil {
		s.dispatch(c, req)
		return size
	}
	s.wait(holdReply)
	s.sh.send(c, ch.attr, req)
	return size
}

// become makes a change that was agreed on.
func (s *session) become(ch *change) { s.becomeAttr(ch.attr, ch.name, ch.user) }

func (s *session) becomeAttr(a *attr, name, user string) {
	s.attr = a
	if name != unchanged {
		s.name = name
	}
	if user != unchanged {
		s.user = user
		s.loggedIn = true
		s.lim.Unauthenticated = false
	}
	if name != unchanged || user != unchanged {
		s.identify()
	}
}

// parseChange reads AUTH, HELLO or SELECT. It returns the change, or the answer when it is an error; neither when the
// server should be asked as it is, since it will refuse.
func (s *session) parseChange(cmd *command) (*change, []byte) {
	a := *s.attr
	ch := &change{name: unchanged, user: unchanged}
	switch cmd.special {
	case spSelect:
		n, ok := atoi(s.req.Arg(s.buf, 1))
		if s.req.Argc != 2 || !ok || n < 0 || n > 1<<20 || s.sh.r.set.Topology == topologyCluster {
			return nil, nil
		}
		a.db = int(n)
	case spAuth:
		var user, pw []byte
		switch s.req.Argc {
		case 2:
			pw = s.req.Arg(s.buf, 1)
		case 3:
			user, pw = s.req.Arg(s.buf, 1), s.req.Arg(s.buf, 2)
		default:
			if !s.loggedIn {
				return nil, replySyntax
			}
			return nil, nil
		}
		if reply := s.credential(ch, &a, user, pw); reply != nil {
			return nil, reply
		}
	case spHello:
		if reply := s.parseHello(ch, &a); reply != nil {
			return nil, reply
		}
	}
	ch.attr = s.sh.intern(a)
	if len(s.sh.r.users) > 0 && cmd.special == spAuth {
		switch {
		case s.pin == nil || ch.attr == s.attr:
			ch.local = true
		case a.password == "":
			return nil, resp.AppendError(nil, "ERR this connection has state that belongs to another user; send RESET first")
		default:
			ch.req = authCommand(a)
		}
	}
	return ch, nil
}

func authCommand(a attr) []byte {
	if a.user == "" {
		return resp.AppendCommand(nil, "AUTH", a.password)
	}
	return resp.AppendCommand(nil, "AUTH", a.user, a.password)
}

// credential reads a login. With users of its own the agent decides; without, the server will.
func (s *session) credential(ch *change, a *attr, user, pw []byte) []byte {
	name := "default"
	if user != nil {
		name = string(user)
	}
	ch.user = name
	if len(s.sh.r.users) == 0 {
		a.user, a.password = string(user), string(pw)
		return nil
	}
	f := authenticate(s.sh.r.users, []byte(name), pw)
	if f == nil {
		return replyWrongPass
	}
	a.user, a.password = f.upstream.user, f.upstream.password
	return nil
}

// parseHello reads HELLO [protover [AUTH username password] [SETNAME clientname]].
func (s *session) parseHello(ch *change, a *attr) []byte {
	ch.hello = true
	i := 1
	if s.req.Argc > 1 {
		ver, ok := atoi(s.req.Arg(s.buf, 1))
		switch {
		case !ok:
			return replyBadProto
		case ver != 2 && ver != 3:
			return replyNoProto
		}
		a.resp3 = ver == 3
		i = 2
	}
	login := false
	for i < s.req.Argc {
		opt := s.req.Arg(s.buf, i)
		left := s.req.Argc - i - 1
		switch {
		case bytes.EqualFold(opt, []byte("AUTH")) && left >= 2:
			user := append([]byte{}, s.req.Arg(s.buf, i+1)...)
			if reply := s.credential(ch, a, user, s.req.Arg(s.buf, i+2)); reply != nil {
				return reply
			}
			login = true
			i += 3
		case bytes.EqualFold(opt, []byte("SETNAME")) && left >= 1:
			name := s.req.Arg(s.buf, i+1)
			if !validName(name) {
				return replyBadName
			}
			ch.name = string(name)
			i += 2
		default:
			return resp.AppendError(nil, "ERR Syntax error in HELLO option '"+strings.ToValidUTF8(string(opt), "?")+"'")
		}
	}
	if !s.loggedIn && !login {
		return replyHelloLogin
	}
	ver := "2"
	if a.resp3 {
		ver = "3"
	}
	req := []string{"HELLO", ver}
	if s.pin != nil || s.pins&resources.PinPaired != 0 { // else the connection that it is sent on is logged in, and not the session's
		if a.password != "" {
			user := a.user
			if user == "" {
				user = "default"
			}
			req = append(req, "AUTH", user, a.password)
		}
		if ch.name != unchanged {
			req = append(req, "SETNAME", ch.name)
		}
	}
	ch.req = resp.AppendCommand(nil, req...)
	return nil
}

// helloReply makes the server's answer to HELLO speak of the client's session: its id is not the shared connection's, and
// one address in front of a cluster is no cluster node.
func (s *session) helloReply(b []byte) []byte {
	v := value(b)
	if len(v.Elems) == 0 {
		return b
	}
	out := resp.AppendMap(nil, len(v.Elems)/2, v.Kind == '%')
	for i := 0; i+1 < len(v.Elems); i += 2 {
		key := v.Elems[i].Str
		out = resp.AppendBulkString(out, key)
		switch e := v.Elems[i+1]; {
		case key == "id" && s.pin == nil:
			out = resp.AppendInt(out, int64(s.rs.ID))
		case key == "mode":
			out = resp.AppendBulkString(out, "standalone")
		case e.Kind == ':':
			out = resp.AppendInt(out, e.Int)
		case e.Kind == '$':
			out = resp.AppendBulkString(out, e.Str)
		default:
			out = appendValue(out, e)
		}
	}
	return out
}

// appendValue writes a decoded value as it was.
func appendValue(dst []byte, v resp.Value) []byte {
	switch v.Kind {
	case '*', '~', '>':
		dst = resp.AppendArray(dst, len(v.Elems))
	case '%':
		dst = resp.AppendMap(dst, len(v.Elems)/2, true)
	case ':':
		return resp.AppendInt(dst, v.Int)
	case '_':
		return resp.AppendNull(dst, true)
	default:
		if v.Null {
			return resp.AppendNull(dst, false)
		}
		return resp.AppendBulkString(dst, v.Str)
	}
	for _, e := range v.Elems {
		dst = appendValue(dst, e)
	}
	return dst
}
