package agent

import (
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
)

// supervise waits for the end: a signal, ctx, or an admin interface that broke.
func (a *Agent) supervise(ctx context.Context, serving <-chan error) error {
	for {
		select {
		case s := <-a.opt.Signals:
			if s != syscall.SIGHUP {
				a.log.Info("draining", "signal", s.String())
				return nil
			}
			a.Reload() // it logs what is wrong
		case <-ctx.Done():
			return nil
		case err := <-serving:
			return fmt.Errorf("admin interface: %w", err)
		}
	}
}

// drain ends the agent at message boundaries: not ready; wait; stop accepting; sessions end by themselves; what is left at
// the deadline, or at a second signal, is cut. A reload that is asked for meanwhile is ignored.
func (a *Agent) drain() error {
	c := a.drainConfig()
	start := time.Now()
	a.draining.Store(true) // not ready from here on
	if a.center != nil {
		a.center.link.Kick() // the centre hears of it at once
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.Timeout.D())
	defer cancel()
	hurried := a.hurry(ctx, cancel)

	withdrawn := make(chan struct{})
	go func() {
		defer close(withdrawn)
		a.announcer.withdraw()
	}()
	clock.Sleep(ctx, c.Wait.D())
	<-withdrawn
	a.changing.Lock() // a change that began before finishes first
	a.set.stopAccepting()
	a.changing.Unlock()
	err := a.set.shutdown(ctx)
	cancel()
	if s := hurried(); s != nil {
		a.log.Warn("stopped at once", "signal", s.String(), "after", time.Since(start).Round(time.Millisecond))
		return fmt.Errorf("stopped by a second %s before the drain was over", s)
	}
	if err != nil {
		a.log.Warn("drained, but not whole", "error", err, "took", time.Since(start).Round(time.Millisecond))
		return nil // the deadline is part of the deal
	}
	a.log.Info("drained", "took", time.Since(start).Round(time.Millisecond))
	return nil
}

// hurry cancels ctx at the next signal to stop. The function that it returns waits for its end and tells the signal.
func (a *Agent) hurry(ctx context.Context, cancel func()) func() os.Signal {
	var got os.Signal
	var done sync.WaitGroup
	done.Go(func() {
		for {
			select {
			case s := <-a.opt.Signals:
				if s == syscall.SIGHUP {
					continue
				}
				got = s
				cancel()
				return
			case <-ctx.Done():
				return
			}
		}
	})
	return func() os.Signal { done.Wait(); return got }
}
