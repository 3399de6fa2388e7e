//go:build bug_m3

package redis

func (bugs) forgetsLate() bool { return true }
