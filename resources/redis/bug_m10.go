//go:build bug_m10

package redis

func (bugs) ignoresExtra() bool { return true }
