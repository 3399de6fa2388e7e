//go:build bug_m7

package redis

func (bugs) miscounts(n int) int {
	if n%streamFrom == 0 {
		return -1
	}
	return 0
}
