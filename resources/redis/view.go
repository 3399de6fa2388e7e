package redis

import "strconv"

// session is the resources.View of the request that it looks at.

// Key implements resources.View.
func (s *session) Key(i int) ([]byte, bool) {
	if s.buf == nil || s.cur == nil {
		return nil, false
	}
	return s.cur.keyAt(&s.req, s.buf, i)
}

// Digest implements resources.View; a Redis command has none.
func (s *session) Digest() uint64 { return 0 }

const textMost = 128

// AppendText implements resources.View: the command and its keys. Values and passwords are left out; their sizes are not.
func (s *session) AppendText(dst []byte) []byte {
	if s.buf == nil || s.cur == nil {
		return dst
	}
	start := len(dst)
	dst = append(dst, s.req.Arg(s.buf, 0)...)
	shown := 1
	if s.cur.subs == nil && s.req.Argc > 1 && len(s.cur.name) > len(s.req.Arg(s.buf, 0)) {
		dst = append(append(dst, ' '), s.req.Arg(s.buf, 1)...)
		shown++
	}
	for i := 0; len(dst)-start < textMost; i++ {
		key, ok := s.Key(i)
		if !ok {
			break
		}
		dst = strconv.AppendQuote(append(dst, ' '), string(key[:min(len(key), textMost)]))
		shown++
	}
	if rest := s.req.Argc - shown; rest > 0 {
		dst = append(dst, " (+"...)
		dst = strconv.AppendInt(dst, int64(rest), 10)
		dst = append(dst, ')')
	}
	return dst[:min(len(dst), start+textMost)]
}
