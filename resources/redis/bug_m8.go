//go:build bug_m8

package redis

func (bugs) claimsUnsent() bool { return true }
