//go:build bug_m9

package redis

func (bugs) sharesModes() bool { return true }
