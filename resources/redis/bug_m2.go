//go:build bug_m2

package redis

import (
	"errors"
	"net"
)

func (bugs) keepsLateLogin(err error) bool {
	var late net.Error
	return errors.As(err, &late) && late.Timeout()
}
