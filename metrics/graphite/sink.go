package graphite

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/metrics"
)

// Sink sends the calls of each interval until it is closed.
type Sink struct {
	opt     Options
	queue   *queue
	closing chan struct{} // closed by Close
	drained chan struct{} // closed when the collector put its last batch
	ended   chan struct{} // closed when both goroutines ended
	cancel  context.CancelFunc
	once    sync.Once
}

// Open starts a sink. It does not connect first: a server that is away is not an error. Close must be called.
func Open(r *metrics.Registry, o Options) (*Sink, error) {
	if err := o.fill(); err != nil {
		return nil, fmt.Errorf("graphite: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Sink{
		opt:     o,
		queue:   newQueue(o.Buffer, r.Dropped("graphite")),
		closing: make(chan struct{}),
		drained: make(chan struct{}),
		ended:   make(chan struct{}),
		cancel:  cancel,
	}
	var run sync.WaitGroup
	run.Go(func() {
		defer close(s.drained)
		s.collect(ctx, r)
	})
	sender := &sender{opt: &s.opt, queue: s.queue, closing: s.closing, drained: s.drained}
	run.Go(func() { sender.run(ctx) })
	go func() { // ends with the two that it waits for
		run.Wait()
		close(s.ended)
	}()
	return s, nil
}

// Close sends what the current interval holds and ends the sink. While the server is away it tries each step once more
// and no longer than ctx allows; what it could not send is counted as dropped. It may be called more than once.
func (s *Sink) Close(ctx context.Context) error {
	s.once.Do(func() { close(s.closing) })
	defer s.cancel()
	select {
	case <-s.ended:
		return nil
	case <-ctx.Done():
		s.cancel()
		<-s.ended // at once: the connection is cut
		return fmt.Errorf("graphite %s: %w: what was waiting is lost", s.opt.Address, context.Cause(ctx))
	}
}

// collect puts the lines of each interval into the queue. While the machine's own address is not known, calls add up.
func (s *Sink) collect(ctx context.Context, r *metrics.Registry) {
	in := newIntervals(r, s.opt.namer())
	out := &lines{dialect: s.opt.Dialect, size: s.opt.batch(), put: s.queue.put, bizErr: slices.Index(r.Outcomes(), "error")}
	jitter := rand.N(s.opt.Every / 4)
	self := &status{opt: &s.opt, registry: r, started: time.Now()}
	end := s.after(time.Time{}, jitter)
	timer := time.NewTimer(time.Until(end.Add(jitter)))
	defer timer.Stop()
	for last := false; !last; {
		select {
		case <-timer.C:
		case <-s.closing:
			last = true
		}
		out.stamp = " " + strconv.FormatInt(end.Unix(), 10)
		if s.located(ctx) {
			in.next(out.row)
			if s.opt.Dialect == Statsd {
				self.say(out, time.Now())
			}
			out.flush()
		}
		end = s.after(end, jitter)
		timer.Reset(time.Until(end.Add(jitter)))
	}
}

// located reports whether Options.Host is known. It is, where nothing is written, the address of this machine on the way to the
// server, as motan-go has it.
func (s *Sink) located(ctx context.Context) bool {
	if s.opt.Host == "" {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		c, err := s.opt.Dial(ctx, "udp", s.opt.Address) // which sends nothing
		if err != nil {
			return false
		}
		defer c.Close()
		host, _, err := net.SplitHostPort(c.LocalAddr().String())
		if err != nil {
			return false
		}
		s.opt.Host = host
	}
	s.opt.Application = cmp.Or(s.opt.Application, s.opt.Host)
	return true
}

// after returns the end of the interval that follows the one that ended at end: the next multiple of Every that is
// still ahead, by the wall clock, which may have been set. It is never end itself, which the timer may reach a moment
// early.
func (s *Sink) after(end time.Time, jitter time.Duration) time.Time {
	next := time.Now().Add(-jitter).Truncate(s.opt.Every).Add(s.opt.Every)
	if next.Equal(end) {
		next = next.Add(s.opt.Every)
	}
	return next
}
