//go:build bug_m1

package redis

func (bugs) reusesDirty(u *upstream) bool {
	u.head = u.tail
	return true
}
