package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/testenv/bench/load"
	"github.com/sluice-mesh/sluice/testenv/motan"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// motanClients is how many connections have a call each.
const motanClients = 64

// motanBody is the size of a request's and of its answer's body in bytes.
const motanBody = 1 << 10

// motanConfig is an agent for one service with every filter on, as motan-go's agent has its own: each call is in the access
// log, is counted, and passes a breaker.
const motanConfig = `agent:
  name: bench
  admin: {{addr "admin"}}
resources:
  bench:
    kind: motan2
    listen: {{addr "bench"}}
    settings: { service: sluice.testenv.PeerService }
    groups: { testenv: { endpoints: ["{{.upstream}}"] } }
    policy:
      breaker: { errors: 50%, slow: 80%, slower-than: 100ms, window: 10s, min-calls: 20, open: 5s, mode: enforce }
      access-log: { sample: 100%, errors: true, path: access.log }
`

// motanLab is a server that answers each call with its own body, and what stands in front of it.
type motanLab struct {
	*lab
	direct *target
}

func (l *lab) services() *motanLab {
	if l.motan == nil {
		l.motan = &motanLab{lab: l, direct: &target{name: "direct", addr: motan.Mirror(l.t)}}
	}
	return l.motan
}

// motanGo starts motan-go's agent with its access log, metrics and circuit breaker.
func (l *motanLab) motanGo() *target {
	return l.once("motan-go", func() *target {
		a := motan.StartAgent(l.t, motan.Agent{Refers: []motan.Refer{{Registry: motan.Direct(l.direct.addr)}}, Filters: "accessLog,metrics,circuitBreaker"})
		l.versions["motan-go"] = "v1.2.0"
		return &target{name: "motan-go", addr: a.Forward, pid: a.PID()}
	})
}

// haproxy passes bytes without looking at them: what any process in between costs in time.
func (l *motanLab) haproxy() *target {
	return l.once("motan haproxy", func() *target {
		p := server.Start(l.t, server.HAProxy{Redis: []string{l.direct.addr}}) // TCP: it does not matter what passes
		l.version("haproxy", "-v")
		return &target{name: "haproxy", addr: p.Addr, pid: p.PID()}
	})
}

func (l *motanLab) agent() *target {
	return l.once("motan sluice", func() *target {
		t := agentTarget(server.Start(l.t, server.Agent{Config: motanConfig, Vars: map[string]string{"upstream": l.direct.addr}, Binary: l.binary}))
		l.agents = append(l.agents, t)
		return t
	})
}

// agentTarget is an agent whose resource is named "bench".
func agentTarget(a *server.AgentProcess) *target {
	t := &target{name: "sluice", addr: a.Addr("bench"), pid: a.PID(), at: "http://" + a.Admin}
	if token, err := os.ReadFile(filepath.Join(a.Dir, "data", "admin.token")); err == nil {
		t.auth = strings.TrimSpace(string(token))
	}
	return t
}

// motanCaller makes calls on one connection and checks each answer's id and body.
type motanCaller struct {
	nc   net.Conn
	req  []byte
	body []byte
	in   []byte
	id   uint64
}

var nextMotan atomic.Uint64

func dialMotan(t *target) (caller, error) {
	nc, err := net.DialTimeout("tcp", t.addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	c := &motanCaller{nc: nc, in: make([]byte, 0, 16<<10), id: nextMotan.Add(1) << 32}
	c.body = bytes.Repeat([]byte{byte(c.id >> 32)}, motanBody) // another one for each connection
	m := motan2.Meta(strings.Join([]string{
		motan2.KeyService, motan.Service, motan2.KeyMethod, "echo", motan2.KeyGroup, motan.Group, motan2.KeyVersion, motan.Version,
		motan2.KeySource, "bench", motan2.KeyMethodDesc, "java.lang.String",
	}, "\n"))
	c.req = motan2.Append(nil, motan2.Head{Serialization: 6}, m, c.body)
	return c, nil
}

func (c *motanCaller) close() { c.nc.Close() }

func (c *motanCaller) once() error {
	c.id++
	motan2.SetID(c.req, c.id)
	if _, err := c.nc.Write(c.req); err != nil {
		return err
	}
	var f motan2.Frame
	for c.in = c.in[:0]; ; {
		n, err := c.nc.Read(c.in[len(c.in):cap(c.in)])
		if err != nil {
			return err
		}
		c.in = c.in[:len(c.in)+n]
		ok, err := f.Scan(c.in, motan2.DefaultMax)
		switch {
		case err != nil:
			return err
		case !ok:
			continue
		case f.ID != c.id || f.Status != motan2.StatusNormal || f.Size != len(c.in) || !bytes.Equal(f.Body, c.body):
			return fmt.Errorf("call %d was answered with frame %d, status %d, metadata %q", c.id, f.ID, f.Status, f.Meta)
		}
		return nil
	}
}

// crowd is as many callers as there are clients, at one target.
type crowd struct {
	t       *target
	callers []caller
}

func gather(t *target, dial func(*target) (caller, error)) (*crowd, error) {
	c := &crowd{t: t}
	for range motanClients {
		one, err := dial(t)
		if err != nil {
			c.close()
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		c.callers = append(c.callers, one)
	}
	return c, nil
}

func (c *crowd) close() {
	for _, one := range c.callers {
		one.close()
	}
}

// run makes calls one after another on each connection for a while, or, with a rate, each when it is due.
func (c *crowd) run(d time.Duration, rate float64) (slice, error) {
	var s slice
	var mu sync.Mutex
	var took []int64
	var failed error
	var all sync.WaitGroup
	before, err := c.clock()
	if err != nil {
		return s, err
	}
	began := time.Now()
	for i, one := range c.callers {
		all.Go(func() {
			var mine []int64
			var err error
			n := int64(0)
			for k := 0; time.Since(began) < d && err == nil; k++ {
				due := time.Now()
				if rate > 0 {
					every := time.Duration(float64(time.Second) * motanClients / rate)
					due = began.Add(time.Duration(k)*every + time.Duration(i)*every/motanClients)
					time.Sleep(time.Until(due))
				}
				if err = one.once(); err == nil {
					n++
					if rate > 0 {
						mine = append(mine, int64(time.Since(due)))
					}
				}
			}
			mu.Lock()
			defer mu.Unlock()
			s.ok += n
			took = append(took, mine...)
			if err != nil && failed == nil {
				failed = fmt.Errorf("%s: %w", c.t.name, err)
			}
		})
	}
	all.Wait()
	s.seconds = time.Since(began).Seconds()
	after, err := c.clock()
	if err == nil {
		err = failed
	}
	s.proxyCPU = after - before
	if slices.Sort(took); len(took) > 0 {
		s.result.P50, s.result.P99, s.result.P999 = took[len(took)/2], took[len(took)*99/100], took[len(took)*999/1000]
	}
	return s, err
}

func (c *crowd) clock() (int64, error) {
	if c.t.pid == 0 {
		return 0, nil
	}
	return cpuTime(c.t.pid)
}

// partMotan compares motan-go's agent with ours: CPU for a call, and p99 at half of what the slower one carries.
func (b *bench) partMotan() error {
	l := b.services()
	targets := []*target{l.motanGo(), l.agent()}
	c := &comparison{Workload: workload{Name: "motan2", Op: "echo", Pipeline: 1, Clients: motanClients, Size: motanBody}, Peer: "motan-go"}
	crowds := make([]*crowd, len(targets))
	for i, t := range targets {
		c.Rows = append(c.Rows, &row{Target: t.name})
		var err error
		if crowds[i], err = gather(t, dialMotan); err != nil {
			return err
		}
		defer crowds[i].close()
		if _, err := crowds[i].run(b.plan.warm, 0); err != nil {
			return err
		}
	}
	visit := func(i int, o load.Order) (slice, error) {
		return crowds[i].run(time.Duration(o.Ms)*time.Millisecond, float64(o.Rate))
	}
	if err := c.closedRounds(targets, b.plan, visit, b.progress); err != nil {
		return err
	}
	c.summarize()
	b.figure("motan-cpu", c.row("sluice").CPURatio)
	b.results.Comparisons = append(b.results.Comparisons, c)
	return b.motanP99(c, crowds)
}

// motanP99 measures both at half of the slower one's throughput, in turn, and relates the quantiles.
func (b *bench) motanP99(c *comparison, crowds []*crowd) error {
	rate := min(c.Rows[0].Throughput, c.Rows[1].Throughput) / 2
	quantiles := make([][]float64, len(crowds))
	for n := range b.plan.rounds {
		b.progress(fmt.Sprintf("motan2 at %.0f calls a second, round %d of %d", rate, n+1, b.plan.rounds))
		for k := range 2 * len(crowds) {
			i := min(k, 2*len(crowds)-1-k)
			s, err := crowds[i].run(b.plan.slice, rate)
			if err != nil {
				return err
			}
			quantiles[i] = append(quantiles[i], float64(s.result.P99)/1e3)
			c.Rows[i].Rate, c.Rows[i].P50, c.Rows[i].P99, c.Rows[i].P999 = rate, float64(s.result.P50)/1e3, median(quantiles[i]), float64(s.result.P999)/1e3
		}
	}
	b.figure("motan-p99", ratioOf(quantiles[1], quantiles[0]))
	return nil
}

// partMotanLatency measures what each agent, and HAProxy, adds for a client that waits for each answer.
func (b *bench) partMotanLatency() error {
	l := b.services()
	b.progress("latency of a Motan call, one client")
	rows, err := latencies([]*target{l.direct, l.haproxy(), l.motanGo(), l.agent()}, b.plan.rounds, dialMotan)
	if err != nil {
		return err
	}
	b.results.Latency = append(b.results.Latency, rows...)
	b.figure("motan-latency", rows[len(rows)-1].Added)
	return nil
}

// partMotanAllocs counts what an agent allocates for each forwarded call.
func (b *bench) partMotanAllocs() error {
	l := b.services()
	return b.callAllocs("motan-allocs", "motan2, all filters", l.agent(), dialMotan)
}

// callAllocs counts what an agent allocates for each call of a crowd.
func (b *bench) callAllocs(key, name string, t *target, dial func(*target) (caller, error)) error {
	b.progress("allocations for a call: " + name)
	d := 2 * time.Second
	if b.quick {
		d = 700 * time.Millisecond
	}
	c, err := gather(t, dial)
	if err != nil {
		return err
	}
	defer c.close()
	if _, err := c.run(d, 0); err != nil {
		return err
	}
	r := allocRow{Target: name}
	idle, err := t.mallocsDuring(func() error { time.Sleep(d); return nil })
	if err != nil {
		return err
	}
	busy, err := t.mallocsDuring(func() error {
		s, err := c.run(d, 0)
		r.Calls = s.ok
		return err
	})
	if err != nil {
		return err
	}
	r.Allocs = max(0, float64(busy-idle)/float64(r.Calls))
	b.results.Allocs = append(b.results.Allocs, r)
	b.figure(key, exactly(r.Allocs))
	return nil
}
