package main

import (
	"fmt"
	"time"

	"github.com/sluice-mesh/sluice/testenv/bench/load"
)

// target is a way to Redis that is measured.
type target struct {
	name string
	addr string
	pid  int    // of the proxy; 0: none
	at   string // base URL of the agent's admin interface, empty for others
	auth string // its token
}

// workload is one load.
type workload struct {
	Name     string `json:"name"`
	Op       string `json:"op"`
	Pipeline int    `json:"pipeline"`
	Clients  int    `json:"clients"`
	Size     int    `json:"size"`
}

// plan says how long things are measured.
type plan struct {
	rounds  int
	slice   time.Duration // one visit of one target
	warm    time.Duration // before the first round, for each target
	latency time.Duration // of the open loop, for each target
}

// row is what came out for one target under one workload.
type row struct {
	Target     string   `json:"target"`
	CPU        float64  `json:"cpu_us"`            // of the proxy (direct: Redis), us for a verified request
	CPURatio   estimate `json:"cpu_ratio"`         // to the peer
	Redis      float64  `json:"redis_us"`          // what Redis used for a request
	Throughput float64  `json:"throughput"`        // verified requests a second, closed loop
	TputRatio  estimate `json:"throughput_ratio"`  // to the peer
	Rate       float64  `json:"open_rate"`         // requests a second of the open loop
	P50        float64  `json:"p50_us"`            // open loop, us from when a request was due
	P99        float64  `json:"p99_us"`            //
	P999       float64  `json:"p999_us"`           //
	Requests   int64    `json:"verified_requests"` // in all slices
	rounds     []slice
}

// comparison is a workload with a row for each target.
type comparison struct {
	Workload workload `json:"workload"`
	Peer     string   `json:"peer"`
	Rows     []*row   `json:"rows"`
}

func (c *comparison) row(name string) *row {
	for _, r := range c.Rows {
		if r.Target == name {
			return r
		}
	}
	return nil
}

// compare drives all targets with one workload, round after round, and relates each to the peer. With latency 0 in the
// plan the open loop is left out.
func (b *bench) compare(w workload, targets []*target, peer string, p plan) (*comparison, error) {
	drivers := make([]*driver, len(targets))
	defer func() {
		for _, d := range drivers {
			if d != nil {
				d.stop()
			}
		}
	}()
	c := &comparison{Workload: w, Peer: peer}
	for i, t := range targets {
		c.Rows = append(c.Rows, &row{Target: t.name})
		var err error
		spec := load.Spec{Addr: t.addr, Clients: w.Clients, Pipeline: w.Pipeline, Op: w.Op, Size: w.Size, Prefix: fmt.Sprintf("bench%02d", i)} // equally long keys for all
		if drivers[i], err = startDriver(spec); err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		if _, err := drivers[i].drive(t, b.redis.pid, load.Order{Do: "run", Ms: int(p.warm.Milliseconds())}); err != nil {
			return nil, err
		}
	}
	visit := func(i int, o load.Order) (slice, error) { return drivers[i].drive(targets[i], b.redis.pid, o) }
	if err := c.closedRounds(targets, p, visit, b.progress); err != nil {
		return nil, err
	}
	c.summarize()
	if p.latency > 0 {
		if err := c.openLoop(targets, p, visit); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// closedRounds visits all targets in order and back, p.rounds times.
func (c *comparison) closedRounds(targets []*target, p plan, visit func(int, load.Order) (slice, error), progress func(string)) error {
	o := load.Order{Do: "run", Ms: int(p.slice.Milliseconds())}
	for n := range p.rounds {
		progress(fmt.Sprintf("%s, round %d of %d", c.Workload.Name, n+1, p.rounds))
		sums := make([]slice, len(targets))
		for k := range 2 * len(targets) {
			i := k
			if k >= len(targets) {
				i = 2*len(targets) - 1 - k
			}
			s, err := visit(i, o)
			if err != nil {
				return err
			}
			sums[i].add(s)
		}
		for i, s := range sums {
			if targets[i].pid == 0 {
				s.proxyCPU = s.redisCPU
			}
			c.Rows[i].rounds = append(c.Rows[i].rounds, s)
		}
	}
	return nil
}

func (s *slice) add(o slice) {
	s.ok += o.ok
	s.seconds += o.seconds
	s.proxyCPU += o.proxyCPU
	s.redisCPU += o.redisCPU
}

func (s slice) cpu() float64        { return float64(s.proxyCPU) / float64(s.ok) / 1e3 }
func (s slice) throughput() float64 { return float64(s.ok) / s.seconds }

// summarize fills in the rows from their rounds.
func (c *comparison) summarize() {
	each := func(r *row, f func(slice) float64) (v []float64) {
		for _, s := range r.rounds {
			v = append(v, f(s))
		}
		return v
	}
	for _, r := range c.Rows {
		var all slice
		for _, s := range r.rounds {
			all.add(s)
		}
		r.CPU, r.Throughput, r.Requests = all.cpu(), all.throughput(), all.ok
		r.Redis = float64(all.redisCPU) / float64(all.ok) / 1e3
	}
	peer := c.row(c.Peer)
	if peer == nil {
		return
	}
	for _, r := range c.Rows {
		r.CPURatio = ratioOf(each(r, slice.cpu), each(peer, slice.cpu))
		r.TputRatio = ratioOf(each(r, slice.throughput), each(peer, slice.throughput))
	}
}

// openLoop measures latency at a rate that the slowest target carries with ease.
func (c *comparison) openLoop(targets []*target, p plan, visit func(int, load.Order) (slice, error)) error {
	const share = 0.4
	slowest := c.Rows[0].Throughput
	for _, r := range c.Rows {
		slowest = min(slowest, r.Throughput)
	}
	o := load.Order{Do: "rate", Ms: int(p.latency.Milliseconds()), Rate: round(share*slowest, -3) + 1000}
	for i := range targets {
		s, err := visit(i, o)
		if err != nil {
			return fmt.Errorf("open loop at %.0f/s: %w", o.Rate, err)
		}
		r := c.Rows[i]
		r.Rate, r.P50, r.P99, r.P999 = o.Rate, float64(s.result.P50)/1e3, float64(s.result.P99)/1e3, float64(s.result.P999)/1e3
	}
	return nil
}
