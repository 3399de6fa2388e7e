package ha

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/resources"
	"pgregory.net/rapid"
)

func failed(change func(*resources.Call)) *resources.Call {
	c := &resources.Call{
		Class: resources.ClassRead, Retry: resources.RetryIdempotent, Sent: resources.SentSome, Deadline: 1000, Now: 10,
		Outcome: resources.Outcome(resources.Unknown), ReqBytes: 100,
	}
	if change != nil {
		change(c)
	}
	return c
}

func TestLaw(t *testing.T) {
	no, yes := false, true
	for _, x := range []struct {
		name   string
		policy resources.Failover
		change func(*resources.Call)
		want   bool
	}{
		{"read without an answer", resources.Failover{Tries: 2}, nil, true},
		{"the same, allowed in words", resources.Failover{Tries: 2, Reads: &yes}, nil, true},
		{"the same, not allowed", resources.Failover{Tries: 2, Reads: &no}, nil, false},
		{"not allowed, but nothing was sent", resources.Failover{Tries: 2, Reads: &no}, func(c *resources.Call) { c.Sent = resources.SentNothing }, true},
		{"partly answered", resources.Failover{Tries: 2}, func(c *resources.Call) { c.Sent = resources.SentAnswered }, false},
		{"second extra try", resources.Failover{Tries: 2}, func(c *resources.Call) { c.Attempt = 1 }, true},
		{"third extra try", resources.Failover{Tries: 2}, func(c *resources.Call) { c.Attempt = 2 }, false},
		{"third extra try, nothing was sent", resources.Failover{Tries: 2}, func(c *resources.Call) { c.Attempt, c.Sent = 2, resources.SentNothing }, true},
		{"third extra try, declined", resources.Failover{Tries: 2}, func(c *resources.Call) { c.Attempt, c.Sent, c.Declined = 2, resources.SentNothing, true }, false},
		{"the last of these", resources.Failover{Tries: 2}, func(c *resources.Call) { c.Attempt, c.Sent = 1+Beyond, resources.SentNothing }, true},
		{"one more", resources.Failover{Tries: 2}, func(c *resources.Call) { c.Attempt, c.Sent = 2+Beyond, resources.SentNothing }, false},
		{"failover is off, nothing was sent", resources.Failover{Tries: -1}, func(c *resources.Call) { c.Sent = resources.SentNothing }, false},
		{"failover is off", resources.Failover{Tries: -1}, nil, false},
		{"past the deadline", resources.Failover{Tries: 2}, func(c *resources.Call) { c.Now = 1000 }, false},
		{"no deadline", resources.Failover{Tries: 2}, func(c *resources.Call) { c.Deadline = 0 }, true},
		{"64 KiB", resources.Failover{Tries: 2}, func(c *resources.Call) { c.ReqBytes = 64 << 10 }, true},
		{"a byte more", resources.Failover{Tries: 2}, func(c *resources.Call) { c.ReqBytes = 64<<10 + 1 }, false},
		{"tied session", resources.Failover{Tries: 2}, func(c *resources.Call) { c.Pinned = true; c.Sent = resources.SentNothing }, false},
		{"answered with an error", resources.Failover{Tries: 2}, func(c *resources.Call) { c.Outcome, c.Sent = resources.OutcomeError, resources.SentNothing }, false},
		{"ok", resources.Failover{Tries: 2}, func(c *resources.Call) { c.Outcome = resources.OutcomeOK }, false},
		{"client left", resources.Failover{Tries: 2}, func(c *resources.Call) { c.Outcome = resources.OutcomeCanceled }, false},
		{"refused by a rule", resources.Failover{Tries: 2}, func(c *resources.Call) { c.Outcome = resources.Outcome(resources.Limited); c.Sent = 0 }, false},
		{"inside a sequence", resources.Failover{Tries: 2}, func(c *resources.Call) { c.Retry, c.Sent = resources.RetryNever, resources.SentNothing }, false},
		{"read that is not idempotent", resources.Failover{Tries: 2}, func(c *resources.Call) { c.Retry = resources.RetryUnsent }, false},
	} {
		if got := Compile(x.policy).May(failed(x.change)); got != x.want {
			t.Errorf("%s: %t, want %t", x.name, got, x.want)
		}
	}
}

// Whatever else holds, a request that may have been executed is repeated only if it is a read.
func TestNoWriteIsEverRepeated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &resources.Call{
			Class:   resources.Class(rapid.IntRange(0, resources.NumClasses-1).Draw(t, "class")),
			Retry:   resources.Retry(rapid.IntRange(0, 2).Draw(t, "retry")),
			Sent:    resources.Sent(rapid.IntRange(0, 2).Draw(t, "sent")),
			Outcome: resources.Outcome(rapid.IntRange(0, resources.NumOutcomes-1).Draw(t, "outcome")),
			Attempt: rapid.Uint8().Draw(t, "attempt"),
			Primary: rapid.Bool().Draw(t, "primary"),
		}
		l := Compile(resources.Failover{Tries: rapid.IntRange(-1, 5).Draw(t, "tries")})
		if l.May(c) && c.Sent != resources.SentNothing && (c.Class != resources.ClassRead || c.Sent == resources.SentAnswered) {
			t.Fatalf("repeated: %+v", c)
		}
		if MayBackUp(c) && c.Class != resources.ClassRead {
			t.Fatalf("backed up: %+v", c)
		}
	})
}

// Whenever an extra attempt is made, those of the last ten seconds together are within the share of the calls of the
// last ten seconds and the allowance, and backups within theirs.
func TestBudgetBoundsExtraAttempts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		retry := rapid.IntRange(1, 100).Draw(t, "budget")
		backup := rapid.IntRange(1, 20).Draw(t, "backup budget")
		var b Budget
		b.Set(resources.Failover{Tries: 2, Budget: resources.Percent(retry)}, &resources.Backup{Budget: resources.Percent(backup)})
		var calls, retries, backups []int64 // by second
		total := int64(0)
		for range rapid.IntRange(1, 40).Draw(t, "seconds") {
			n := rapid.Int64Range(0, 500).Draw(t, "calls")
			calls, retries, backups = append(calls, n), append(retries, 0), append(backups, 0)
			total += n
			at := len(calls) - 1
			for range rapid.IntRange(0, 300).Draw(t, "failures") {
				if b.Take(Retry, total) {
					retries[at]++
				}
			}
			for range rapid.IntRange(0, 100).Draw(t, "slow") {
				if b.Take(BackUp, total) {
					backups[at]++
				}
			}
			var c, r, k int64
			for i := max(0, at-Seconds+1); i <= at; i++ {
				c, r, k = c+calls[i], r+retries[i], k+backups[i]
			}
			share := int64(max(retry, backup))
			over := retries[at]+backups[at] > 0 && r+k > Allowance+c*share/100+1
			if over || backups[at] > 0 && k > Allowance+c*int64(backup)/100+1 {
				t.Fatalf("second %d: %d retries and %d backups for %d calls", at, r, k, c)
			}
			b.Tick(total)
		}
	})
}

func TestBudgetIsUsedUpAndComesBack(t *testing.T) {
	var b Budget
	b.Set(resources.Failover{Tries: 2, Budget: 10}, nil)
	take := func(calls int64) (n int) {
		for b.Take(Retry, calls) {
			n++
		}
		return n
	}
	if got := take(0); got != Allowance {
		t.Errorf("a quiet resource may retry %d times", got)
	}
	if got := take(1000); got < 98 || got > 100 { // the share is a binary fraction
		t.Errorf("%d more retries for 1000 calls", got)
	}
	if b.Take(BackUp, 1000) {
		t.Error("backups without a policy")
	}
	for range Seconds {
		if take(1000) != 0 {
			t.Fatal("budget came back too early")
		}
		b.Tick(1000)
	}
	b.Tick(1000)
	if got := take(1000); got != Allowance {
		t.Errorf("ten quiet seconds later: %d", got)
	}
	b.Set(resources.Failover{Tries: -1, Budget: 10}, nil)
	if b.Take(Retry, 1e6) {
		t.Error("a retry although failover is off")
	}
}

func TestBudgetIsSharedByAllWhoTake(t *testing.T) {
	var b Budget
	b.Set(resources.Failover{Tries: 2, Budget: 10}, &resources.Backup{Budget: 5})
	var taken atomic.Int64
	var work sync.WaitGroup
	for i := range 8 {
		work.Go(func() {
			for range 1000 {
				if b.Take(Use(i%2), 10_000) {
					taken.Add(1)
				}
			}
		})
	}
	work.Wait()
	// Two kinds that take at the same instant may go over by one for each taker.
	if n := taken.Load(); n < 1000 || n > 1010+8 {
		t.Errorf("%d taken of 1010", n)
	}
}

func TestParseAfter(t *testing.T) {
	for in, want := range map[string]string{"p95": "0 0.95", "20ms": "20000000 0", "p50": "0 0.5"} {
		fixed, q, err := ParseAfter(in)
		if got := fmt.Sprint(fixed, " ", q); err != nil || got != want {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "p94", "0s", "-1s", "20"} {
		if _, _, err := ParseAfter(in); err == nil {
			t.Errorf("%q was read", in)
		}
	}
}

func TestBackupsFollowTheLatencyOfTheOperation(t *testing.T) {
	reg := metrics.NewRegistry(metrics.Options{})
	m := reg.Resource("r", "fake")
	ops := resources.NewOps([]resources.OpInfo{{Name: "GET", Class: resources.ClassRead}, {Name: "SET", Class: resources.ClassWrite}, {Name: "MGET", Class: resources.ClassRead}})
	var b Backups
	if err := b.Set(&resources.Backup{After: "p95"}); err != nil {
		t.Fatal(err)
	}
	second := func(ms int64) {
		for i := range int64(100) {
			ns := ms * 1e6
			if i >= 90 {
				ns *= 10
			}
			m.Cell("yf", "GET", "read").Done(0, ns, false, 0, 0)
			m.Cell("tc", "SET", "write").Done(0, ns, false, 0, 0)
		}
		m.Cell("tc", "MGET", "read").Done(0, 1e6, false, 0, 0)
		b.Tick(m, ops)
	}
	near := func(op resources.OpID, want float64) {
		t.Helper()
		if got := float64(b.After(op)); math.Abs(got-want) > want*0.03 {
			t.Errorf("operation %d: after %v, want %v", op, got, want)
		}
	}
	second(1)
	near(1, 10e6)
	if b.After(2) != 0 || b.After(3) != 0 {
		t.Errorf("a write: %d; an operation with too few calls: %d", b.After(2), b.After(3))
	}
	for range 25 { // what is slower now has taken the old values' place
		second(4)
	}
	near(1, 40e6)
	if err := b.Set(&resources.Backup{After: "7ms"}); err != nil || b.After(1) != 7e6 || b.After(900) != 7e6 {
		t.Errorf("fixed: %d", b.After(1))
	}
	if err := b.Set(nil); err != nil || b.After(1) != 0 {
		t.Errorf("off: %d", b.After(1))
	}
}

func BenchmarkMay(b *testing.B) {
	l, c := Compile(resources.Failover{Tries: 2}), failed(nil)
	for range b.N {
		l.May(c)
	}
}
