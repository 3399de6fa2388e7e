//go:build bug_m5

package redis

func (bugs) keepsSilent() bool { return true }
