package matrix

import (
	"fmt"
	"math"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/load/resp"
)

// The comparison of what clients of the other resource see before and during a fault; doc.go tells how it works and where
// the numbers come from.
const (
	probeEvery  = 5 * time.Millisecond
	probeWarm   = 300 * time.Millisecond // the load, its server and its connections are new
	probeSteady = time.Second            // of probing before the fault
	probeLeast  = 100                    // samples of a window; with fewer there is no 99th percentile
	probeWindow = 700 * time.Millisecond // of which there are as many, even if some are late
	probeShare  = 1.10                   // what is promised: a tenth more at most
	probeNoise  = 15 * time.Millisecond
	// With more the machine serves nobody in time, and nothing can be told.
	probeStalls = 25 * time.Millisecond // the control's percentile
	probeBusy   = 0.75                  // of the processors' time, by other programs than the agent, during the fault
)

// notCompared are the rows in which latency of the other resource is not compared, and why. Its errors are counted there
// all the same, unless the agent itself ends.
var notCompared = map[string]string{
	"TestRow23":                           "the agent ends, and the other resource with it",
	"TestRow24":                           "the agent is killed, and the other resource with it",
	"TestLongRow34AgentPaused":            "the agent stands still as a whole",
	"TestLongRowsUnderRaceDetector":       "the race detector makes the agent ten times slower, at moments of its own",
	"TestLongRow31HotKey":                 "it compares latencies of neighbours itself, of loads that come and go",
	"TestLongRow32NoisyTenant":            "as row 31",
	"TestLongRow28HerdWithOwnConnections": "thousands of connections on both sides keep both processors busy, which they would without an agent",
}

// others measures what clients of the other resource see: one through the agent and one directly at its server, the
// control, which sees the same machine.
type others struct {
	agent, direct *prober
	look          func() use
	from          time.Time // what was before counts for nothing
	fault, healed use       // at these moments; zero: they did not come yet
}

// use is what was used of the processors until a moment.
type use struct {
	at                 time.Time
	total, idle, agent time.Duration
}

// busy is the part of the processors' time since then that other programs used.
func (u use) busy(then use) float64 {
	total := u.total - then.total
	if total <= 0 {
		return 0
	}
	return max(0, float64(total-(u.idle-then.idle)-(u.agent-then.agent))/float64(total))
}

// use looks at the processors (proc_stat(5): user nice system idle iowait irq softirq steal, in hundredths of a second).
func (l *lab) use() use {
	l.Helper()
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		l.Fatal(err)
	}
	u := use{at: time.Now(), agent: l.agent.Usage().CPU()}
	line, _, _ := strings.Cut(string(b), "\n")
	for i, f := range strings.Fields(line) {
		n, err := strconv.ParseInt(f, 10, 64)
		if i == 0 || i > 8 || err != nil {
			continue
		}
		d := time.Duration(n) * 10 * time.Millisecond
		u.total += d
		if i == 4 || i == 5 {
			u.idle += d
		}
	}
	return u
}

// observe begins to measure, unless it did or the row is not compared.
func (l *lab) observe() {
	for row := range notCompared {
		if strings.HasPrefix(l.Name(), row) {
			return
		}
	}
	if l.others != nil || l.side == nil || l.plan.agent.Race {
		return
	}
	l.others = &others{agent: probe(l, l.agent.Addr("side")), direct: probe(l, l.side.Primary.Addr), look: l.use,
		from: time.Now().Add(probeWarm)}
	l.Cleanup(l.others.end)
}

func (o *others) end() {
	o.agent.end()
	o.direct.end()
}

// quietLongEnough waits until there are enough samples from before the fault.
func (o *others) quietLongEnough() {
	if o != nil && o.fault.at.IsZero() {
		time.Sleep(time.Until(o.from.Add(probeSteady)))
	}
}

func (o *others) injected() {
	if o != nil && o.fault.at.IsZero() {
		o.fault = o.look()
	}
}

func (o *others) recovered() {
	if o != nil {
		o.healed = o.look()
	}
}

// compare ends the measurement and says what is wrong; "" when nothing is, or when there is too little to compare.
func (o *others) compare() (report, wrong string) {
	if o.fault.at.IsZero() {
		o.end()
		return "there was no moment from which to compare the other resource", ""
	}
	// A short fault is looked at together with what followed it, so that there are samples enough.
	if least := o.fault.at.Add(probeWindow); o.healed.at.Before(least) {
		time.Sleep(time.Until(least))
		o.healed = o.look()
	}
	o.end()
	from, fault, healed := o.from, o.fault.at, o.healed.at
	report, wrong = judge(measured{
		steady: o.agent.between(from, fault), fault: o.agent.between(fault, healed),
		directSteady: o.direct.between(from, fault), directFault: o.direct.between(fault, healed),
		busy: o.healed.busy(o.fault),
	})
	if !alone && wrong != "" {
		report, wrong = report+"; beside the tests of other packages this proves nothing", ""
	}
	return report, wrong
}

// measured are latencies, of clients of the agent and of clients without one.
type measured struct {
	steady, fault, directSteady, directFault []time.Duration

	busy float64 // part of the processors' time that other programs used during the fault
}

// judge compares 99th percentiles. What a client without the agent lost in the same time was lost by the machine, and counts
// twice: through the agent, a request waits for two programs to get a processor and not for one.
func judge(m measured) (report, wrong string) {
	if least := min(len(m.steady), len(m.fault), len(m.directSteady), len(m.directFault)); least < probeLeast {
		return fmt.Sprintf("too few samples to compare the other resource: %d, want %d", least, probeLeast), ""
	}
	steady, fault := percentile99(m.steady), percentile99(m.fault)
	was, is := percentile99(m.directSteady), percentile99(m.directFault)
	if max(was, is) > probeStalls || m.busy > probeBusy {
		return fmt.Sprintf("the machine is too busy (%.0f %%) to compare the other resource: p99 %v before, %v during the fault, without the agent %v and %v",
			100*m.busy, micro(steady), micro(fault), micro(was), micro(is)), ""
	}
	bound := max(time.Duration(probeShare*float64(steady)), steady+probeNoise) + 2*max(0, is-was)
	report = fmt.Sprintf("the other resource: p99 %v before, %v during the fault (without the agent %v and %v), bound %v; %d and %d samples, busy %.0f %%",
		micro(steady), micro(fault), micro(was), micro(is), micro(bound), len(m.steady), len(m.fault), 100*m.busy)
	if fault > bound {
		wrong = "clients of the other resource noticed the fault"
	}
	return report, wrong
}

func micro(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

// percentile99 is the smallest value that 99 of 100 do not exceed.
func percentile99(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[int(math.Ceil(0.99*float64(len(d))))-1]
}

// prober sends a request every few milliseconds, whether or not the one before was answered late.
type prober struct {
	conn net.Conn
	stop chan struct{}
	once sync.Once
	done sync.WaitGroup

	// Valid after end.
	at   []time.Time
	took []time.Duration
}

func probe(l *lab, addr string) *prober {
	l.Helper()
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		l.Fatal(err)
	}
	p := &prober{conn: conn, stop: make(chan struct{})}
	p.done.Go(p.run)
	return p
}

func (p *prober) end() {
	p.once.Do(func() {
		close(p.stop)
		p.conn.Close()
	})
	p.done.Wait()
}

// run probes until it is stopped or the connection ends, which the load of the other resource would notice too.
func (p *prober) run() {
	c := resp.NewConn(p.conn, 10*time.Second)
	tick := time.NewTimer(0)
	defer tick.Stop()
	<-tick.C
	for next := time.Now(); ; next = next.Add(probeEvery) {
		start := next // when it is late, because the reply before was
		if wait := time.Until(next); wait > 0 {
			tick.Reset(wait)
			select {
			case <-tick.C:
			case <-p.stop:
				return
			}
			start = time.Now() // it is this program that woke up late
		}
		if _, err := c.Do("GET", "probe"); err != nil {
			return
		}
		p.at = append(p.at, start)
		p.took = append(p.took, time.Since(start))
	}
}

// between returns the latencies of requests that began in a stretch of time.
func (p *prober) between(from, to time.Time) (list []time.Duration) {
	for i, at := range p.at {
		if !at.Before(from) && at.Before(to) {
			list = append(list, p.took[i])
		}
	}
	return list
}

// The comparison finds what it is there to find.
func TestJudge(t *testing.T) {
	const ms = time.Millisecond
	flat := func(n int, d time.Duration, slow int, s time.Duration) []time.Duration {
		list := slices.Repeat([]time.Duration{d}, n)
		for i := range slow {
			list[i*n/slow] = s
		}
		return list
	}
	calm := flat(300, ms, 0, 0)
	for name, c := range map[string]struct {
		m     measured
		wrong bool
	}{
		"the same":                       {measured{calm, calm, calm, calm, 0}, false},
		"one of 300 is slow":             {measured{calm, flat(300, ms, 1, time.Second), calm, calm, 0}, false},
		"one of 50 is slow":              {measured{calm, flat(300, ms, 6, 40*ms), calm, calm, 0.7}, true},
		"slow without the agent as well": {measured{calm, flat(300, ms, 6, 20*ms), calm, flat(300, ms, 6, 15*ms), 0}, false},
		"a bit slow without the agent":   {measured{calm, flat(300, ms, 6, 60*ms), calm, flat(300, ms, 6, 10*ms), 0}, true},
		"slow before and a tenth slower": {measured{flat(300, ms, 6, 400*ms), flat(300, ms, 6, 439*ms), calm, calm, 0}, false},
		"slow before and a fifth slower": {measured{flat(300, ms, 6, 400*ms), flat(300, ms, 6, 480*ms), calm, calm, 0}, true},
		"faster without the agent":       {measured{calm, flat(300, ms, 6, 40*ms), flat(300, ms, 6, 20*ms), calm, 0}, true},
		"the machine stands still":       {measured{calm, flat(300, ms, 6, time.Second), calm, flat(300, ms, 6, 40*ms), 0}, false},
		"others use the machine":         {measured{calm, flat(300, ms, 6, time.Second), calm, calm, 0.8}, false},
		"too few samples":                {measured{calm, flat(50, time.Second, 0, 0), calm, calm, 0}, false},
	} {
		if report, wrong := judge(c.m); (wrong != "") != c.wrong || report == "" {
			t.Errorf("%s: %q, %q", name, report, wrong)
		}
	}
}

func TestUseOfProcessors(t *testing.T) {
	const s = time.Second
	then := use{total: 100 * s, idle: 50 * s, agent: 10 * s}
	for _, c := range []struct {
		now  use
		want float64
	}{
		{use{total: 110 * s, idle: 60 * s, agent: 10 * s}, 0}, {use{total: 110 * s, idle: 50 * s, agent: 10 * s}, 1},
		{use{total: 110 * s, idle: 50 * s, agent: 20 * s}, 0}, {use{total: 110 * s, idle: 55 * s, agent: 12 * s}, 0.3}, {then, 0},
	} {
		if got := c.now.busy(then); got != c.want {
			t.Errorf("%+v: %g, want %g", c.now, got, c.want)
		}
	}
}
