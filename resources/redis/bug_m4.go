//go:build bug_m4

package redis

func (bugs) forgetsCanceled(u *upstream, seq uint64) bool {
	for i := seq; i+1 < u.tail; i++ {
		e := u.at(i)
		*e = *u.at(i + 1)
		if c := e.c; c != nil && c.up == u && c.seq == i+1 {
			c.seq = i
		} else if c != nil && c.up2 == u && c.seq2 == i+1 {
			c.seq2 = i
		}
	}
	u.tail--
	return true
}
