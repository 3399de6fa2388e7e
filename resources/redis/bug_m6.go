//go:build bug_m6

package redis

func (bugs) keepsHalfSent(s *session) bool {
	s.upload = nil
	s.req.Reset()
	return true
}
