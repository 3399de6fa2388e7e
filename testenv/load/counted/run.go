package counted

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/testenv/load"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// One echo in longEvery says its text longTimes over, which is more than the agent reads or writes at once.
const (
	longEvery = 20
	longTimes = 600
)

// Runner is a load that runs.
type Runner struct {
	cfg   Config
	id    string // part of what the calls say
	begin time.Time
	stop  context.CancelFunc
	all   sync.WaitGroup
	once  sync.Once
	out   *load.Report

	ok, errs, calls atomic.Int64

	mu    sync.Mutex // guards what follows
	r     load.Report
	times load.Histogram
	wrote map[string]string // what became of each count, by its id: "" is acknowledged, others are words of errors
	by    map[string]int    // counts by server, when Stop has asked
}

var runs atomic.Int64

// Start starts a load, which goes on until Stop.
func Start(ctx context.Context, c Config) *Runner {
	if c.Clients == 0 {
		c.Clients = 4
	}
	if c.Depth == 0 {
		c.Depth = 4
	}
	if c.Rate == 0 {
		c.Rate = 300
	}
	if c.Timeout == 0 {
		c.Timeout = time.Second
	}
	l := &Runner{cfg: c, begin: time.Now(), wrote: map[string]string{}, by: map[string]int{}, r: load.Report{Errors: map[string]int64{}}}
	l.id = strconv.FormatInt(l.begin.UnixMicro(), 36) + "-" + strconv.FormatInt(runs.Add(1), 36)
	ctx, l.stop = context.WithCancel(ctx)
	for n := range c.Clients {
		l.all.Go(func() { l.client(ctx, n) })
	}
	return l
}

// Counts returns good calls and errors so far.
func (l *Runner) Counts() load.Count { return load.Count{OK: l.ok.Load(), Errors: l.errs.Load()} }

// Failed returns how many calls, or attempts to connect, have ended with a word so far.
func (l *Runner) Failed(word string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Errors[word]
}

// Await waits until n more calls have ended, well or not.
func (l *Runner) Await(t server.TB, n int64) {
	t.Helper()
	n += l.calls.Load()
	server.Wait(t, 30*time.Second, "calls to end", func() error {
		if got := l.calls.Load(); got < n {
			return fmt.Errorf("%d of %d have ended: %v", got, n, l.Counts())
		}
		return nil
	})
}

// Stop ends the load, asks the servers what they counted, and returns the report.
func (l *Runner) Stop() *load.Report {
	l.once.Do(func() {
		l.stop()
		l.all.Wait()
		l.out = l.report()
	})
	return l.out
}

// CountedBy returns how many calls a server of Config.Servers counted, after Stop.
func (l *Runner) CountedBy(server string) int { return l.by[server] }

// client keeps one connection, with Depth callers on it.
func (l *Runner) client(ctx context.Context, n int) {
	for ctx.Err() == nil {
		c, err := l.cfg.Dial(ctx, l.cfg.Address, l.cfg.Timeout, l.wrong)
		if err != nil {
			if ctx.Err() == nil {
				l.failed(load.Connect)
				clock.Sleep(ctx, 20*time.Millisecond)
			}
			continue
		}
		l.mu.Lock()
		l.r.Connections++
		l.mu.Unlock()
		var callers sync.WaitGroup
		for k := range l.cfg.Depth {
			callers.Go(func() { l.caller(ctx, c, n*l.cfg.Depth+k) })
		}
		callers.Wait()
		c.Close()
	}
}

// caller makes calls one by one at its part of the rate, until the load or the connection ends.
func (l *Runner) caller(ctx context.Context, c Caller, n int) {
	callers := l.cfg.Clients * l.cfg.Depth
	interval := time.Duration(float64(callers) / l.cfg.Rate * float64(time.Second))
	next := time.Now().Add(interval * time.Duration(n) / time.Duration(callers))
	for i := 0; !c.Over(); i++ {
		if !clock.Sleep(ctx, time.Until(next)) {
			return
		}
		next = next.Add(interval)
		if now := time.Now(); next.Before(now) { // a stall is not made up for: that would be another load
			next = now
		}
		id := fmt.Sprintf("%s %d %d %d", l.id, n, i, time.Now().UnixNano())
		if !l.cfg.Echoes && i%5 < 2 {
			l.count(c, id)
			continue
		}
		if i%longEvery == 2 {
			id = strings.Repeat(id+" ", longTimes)
		}
		l.echo(c, id)
	}
}

func (l *Runner) echo(c Caller, text string) {
	start := time.Now()
	got, err := c.Echo(text)
	if err == nil && got != text {
		l.wrong("echo of %.100q, %d bytes, is %.100q, %d bytes", text, len(text), got, len(got))
		err = ErrWrong
	}
	l.ended(start, err)
}

func (l *Runner) count(c Caller, id string) {
	start := time.Now()
	n, err := c.Count(id)
	switch {
	case err != nil:
	case n < 1:
		l.wrong("count of %q is %d", id, n)
		err = ErrWrong
	case n > 1:
		l.repeated(id, n)
		err = ErrWrong
	}
	l.mu.Lock()
	l.wrote[id] = ""
	if err != nil {
		l.wrote[id] = err.Error()
	}
	l.mu.Unlock()
	l.ended(start, err)
}

// ended counts a call.
func (l *Runner) ended(start time.Time, err error) {
	defer l.calls.Add(1)
	if err != nil {
		if err != ErrWrong {
			l.failed(err.Error())
		}
		return
	}
	l.ok.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.r.OK++
	l.times.Add(time.Since(start))
	l.step().OK++
}

func (l *Runner) failed(word string) {
	l.errs.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.r.Errors[word]++
	l.step().Errors++
}

// step returns the place of now in the timeline. mu is held.
func (l *Runner) step() *load.Count {
	i := int(time.Since(l.begin) / load.Step)
	for len(l.r.Timeline) <= i {
		l.r.Timeline = append(l.r.Timeline, load.Count{})
	}
	return &l.r.Timeline[i]
}

func (l *Runner) wrong(format string, args ...any) {
	l.violation(&l.r.Wrong, format, args...)
}

func (l *Runner) repeated(id string, n int64) {
	l.violation(&l.r.Repeated, "%q was counted %d times", id, n)
}

// violation counts what must not be; the first 20 are kept in words.
func (l *Runner) violation(n *int64, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*n++
	if len(l.r.Violations) < 20 {
		l.r.Violations = append(l.r.Violations, fmt.Sprintf("at %v: ", time.Since(l.begin).Round(time.Millisecond))+fmt.Sprintf(format, args...))
	}
}

// report adds up, and compares with what the servers say.
func (l *Runner) report() *load.Report {
	elapsed := time.Since(l.begin)
	counted := map[string]int64{}
	for _, s := range l.cfg.Servers {
		if err := l.audit(s, counted); err != nil {
			l.r.Unverified += int64(len(l.wrote))
			l.wrong("what %s counted is not known: %v", s, err)
		}
	}
	for id, word := range l.wrote {
		if len(l.cfg.Servers) == 0 {
			break
		}
		switch n := counted[id]; {
		case n > 1:
			l.repeated(id, n)
		case n == 1 && word != "" && !slices.Contains(MaybeDone, word):
			l.wrong("%q was refused with %s, and counted", id, word)
		case n == 0 && word == "" && !l.cfg.Forgetful:
			l.violation(&l.r.Lost, "%q was acknowledged, and no server counted it", id)
		}
	}
	r := l.r
	r.Elapsed, r.Verified = elapsed, int64(len(l.wrote))
	r.QPS = float64(r.OK) / elapsed.Seconds()
	r.P50, r.P90, r.P99, r.P999, r.Max = l.times.Quantile(.5), l.times.Quantile(.9), l.times.Quantile(.99), l.times.Quantile(.999), l.times.Max
	return &r
}

// audit adds what a server counted of all ids.
func (l *Runner) audit(addr string, counted map[string]int64) error {
	c, err := l.cfg.Dial(context.Background(), addr, 10*time.Second, l.wrong)
	if err != nil {
		return err
	}
	defer c.Close()
	var mu sync.Mutex
	var failed error
	ids := make(chan string)
	var askers sync.WaitGroup
	for range 16 {
		askers.Go(func() {
			for id := range ids {
				n, err := c.Counted(id)
				mu.Lock()
				counted[id] += n
				l.by[addr] += int(n)
				if err != nil {
					failed = err
				}
				mu.Unlock()
			}
		})
	}
	for id := range l.wrote {
		ids <- id
	}
	close(ids)
	askers.Wait()
	return failed
}
