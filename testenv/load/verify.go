package load

import (
	"context"
	"time"

	"github.com/sluice-mesh/sluice/testenv/load/resp"
)

// verify reads all keys of the client once more, tries again while the server does not answer, and deletes them.
func (c *client) verify(ctx context.Context) {
	slots := append([]*slot{c.counter, c.log}, c.strings...)
	slots = append(slots, c.retired...)
	var conn *resp.Conn
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	for i := 0; i < len(slots); {
		if conn == nil {
			if conn = c.verifyConn(ctx); conn == nil {
				c.unverified += int64(len(slots) - i)
				return
			}
		}
		v, err := conn.Do("GET", string(slots[i].key))
		if err != nil {
			conn.Close()
			conn = nil
			if !pauseFor(ctx, 20*time.Millisecond) {
				c.unverified += int64(len(slots) - i)
				return
			}
			continue
		}
		o := op{kind: opLast, slot: slots[i]}
		if f := c.checkFinal(&o, &v); f > fine {
			c.found[f]++
		}
		c.verified++
		i++
		_, _ = conn.Do("DEL", string(o.slot.key)) // tidiness only: a replica refuses it
	}
}

// checkFinal is check without tolerance for stale reads.
func (c *client) checkFinal(o *op, v *resp.Value) finding {
	f := c.judgeLast(o.slot, v, false)
	if f > fine {
		known := o.known()
		if f == late {
			return f
		}
		c.r.violation("%s: at the end %s of client %d held %.200s; known: %s", findingNames[f], o.slot.key, c.number, v, known)
	}
	return f
}

// verifyConn connects to the address of the final check; nil when ctx ended before that worked.
func (c *client) verifyConn(ctx context.Context) *resp.Conn {
	conf := &c.r.conf
	for {
		conn, err := resp.Dial(ctx, conf.VerifyAddress, conf.VerifyTLS)
		if err == nil {
			rc := resp.NewConn(conn, conf.Timeout)
			if err = rc.Login(conf.User, conf.Password); err == nil {
				return rc
			}
			conn.Close()
		}
		if !pauseFor(ctx, 20*time.Millisecond) {
			return nil
		}
	}
}

func pauseFor(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
