package redis

import "strconv"

// session is the resources.View of the request that it looks at.

// Key implements resources.View.
func (s *session) Key(i int) ([]byte, bool) {
	if s.buf == nil || s.cur == nil {
		return nil, false
	}
	if at := s.cur.only; at > 0 { // nearly always: rules ask for the keys of each call several times
		if i > 0 || at >= s.req.Argc {
			return nil, false
		}
		return s.req.Arg(s.buf, at), true
	}
	return s.cur.keyAt(&s.req, s.buf, i)
}

// Digest implements resources.View; a Redis command has none.
func (s *session) Digest() uint64 { return 0 }

// OpName implements resources.Named: a command that neither the agent nor the server has told of.
func (s *session) OpName() string {
	if s.buf == nil {
		return ""
	}
	return string(s.req.Arg(s.buf, 0))
}

// AppendText implements resources.View: the command and its keys. Values and passwords are left out; their number is not.
// It fills dst up to its capacity and is called for each call that may be logged, so it copies and does not quote.
func (s *session) AppendText(dst []byte) []byte {
	if s.buf == nil || s.cur == nil {
		return dst
	}
	dst = appendSome(dst, s.req.Arg(s.buf, 0))
	shown := 1
	if len(s.cur.name) > len(s.req.Arg(s.buf, 0)) && s.req.Argc > 1 { // a subcommand
		dst = appendSome(appendSome(dst, space), s.req.Arg(s.buf, 1))
		shown++
	}
	for i := 0; len(dst) < cap(dst); i++ {
		key, ok := s.Key(i)
		if !ok {
			break
		}
		dst = appendSome(appendSome(dst, space), key)
		shown++
	}
	if rest := s.req.Argc - shown; rest > 0 && cap(dst)-len(dst) >= len(" (+1000000)") {
		dst = append(dst, " (+"...)
		dst = strconv.AppendInt(dst, int64(rest), 10)
		dst = append(dst, ')')
	}
	return dst
}

var space = []byte{' '}

// appendSome appends as much of b as there is room for.
func appendSome(dst, b []byte) []byte { return append(dst, b[:min(len(b), cap(dst)-len(dst))]...) }
