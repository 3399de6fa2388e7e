package graphite

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"time"
)

// sender takes batches from the queue and writes them. One goroutine runs it; it owns the connection.
type sender struct {
	opt     *Options
	queue   *queue
	closing <-chan struct{} // from here on nothing is tried twice
	drained <-chan struct{} // from here on the queue does not grow

	conn *conn // nil: not connected
	away bool  // the last attempt failed, and the log knows
}

// conn is a connection with the goroutine that notices its end: carbon sends nothing, so that whatever ends a read
// means that the connection is gone, and closing it makes the next write fail instead of vanish.
type conn struct {
	net.Conn
	gone chan struct{}
}

func (c *conn) watch() {
	defer close(c.gone)
	_, _ = io.Copy(io.Discard, c.Conn)
	c.Close()
}

// ended reports whether the connection is known to be gone.
func (c *conn) ended() bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}

// run sends until the sink is closed and the queue is empty. Once ctx is done all that is left is given up.
func (s *sender) run(ctx context.Context) {
	defer s.hangUp()
	for drained := false; ; {
		if b, ok := s.queue.take(); ok {
			if !s.send(ctx, b) {
				s.queue.dropped.Add(int64(b.lines))
			}
			continue
		}
		if drained {
			return
		}
		select {
		case <-s.queue.ready:
		case <-s.drained:
			drained = true // and once more, for what was put after the last take
		}
	}
}

// send writes one batch, as often as it takes. False means that it was given up.
func (s *sender) send(ctx context.Context, b batch) bool {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		closing := s.isClosing() // before the attempt: one that began earlier is not the last
		err := s.attempt(ctx, b)
		if err == nil {
			if s.away {
				s.away = false
				s.opt.Log.Info("graphite is back", "address", s.opt.Address)
			}
			return true
		}
		s.hangUp()
		if !s.away {
			s.away = true
			s.opt.Log.Warn("graphite is away: lines are kept and sent later", "address", s.opt.Address, "error", err)
		}
		if closing || ctx.Err() != nil || s.opt.Network == "udp" {
			return false
		}
		timer := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-timer.C:
		case <-s.closing:
			timer.Stop()
		}
	}
}

func (s *sender) isClosing() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// attempt writes a batch over the connection, which it opens when there is none or the server closed it.
func (s *sender) attempt(ctx context.Context, b batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.conn != nil && s.conn.ended() {
		s.hangUp()
	}
	if s.conn == nil {
		dialling, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		c, err := s.opt.Dial(dialling, s.opt.Network, s.opt.Address)
		if err != nil {
			return err
		}
		s.conn = &conn{Conn: c, gone: make(chan struct{})}
		go s.conn.watch()
	}
	c := s.conn
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	_, err := c.Write(b.data)
	return err
}

// hangUp closes the connection and waits for its reader.
func (s *sender) hangUp() {
	if s.conn != nil {
		s.conn.Close()
		<-s.conn.gone
		s.conn = nil
	}
}
