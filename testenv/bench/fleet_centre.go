package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/governance/fleet"
	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/protocols/control"
	sim "github.com/sluice-mesh/sluice/testenv/fleet"
)

// serveFleetCentre is the centre's process: it starts the one of the agents, measures, and writes a fleetRow.
func serveFleetCentre(in io.Reader, out io.Writer) error {
	c := &fleetCentre{}
	if err := json.NewDecoder(in).Decode(&c.row.Order); err != nil {
		return err
	}
	if _, err := raiseFiles(10_000); err != nil {
		return fmt.Errorf("raise the number of open files: %w", err)
	}
	if err := c.run(); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(c.row)
}

// fleetCentre is one run.
type fleetCentre struct {
	row  fleetRow
	src  *fleetSource
	f    *fleet.Fleet
	gate *sim.Gate
	bare uint64 // heap and stacks before the agents came
}

func (c *fleetCentre) run() (err error) {
	o := c.row.Order
	c.src = newFleetSource(o)
	if c.f, err = fleet.New(fleet.Options{Source: c.src, Name: "bench", Cluster: "bench"}); err != nil {
		return err
	}
	ca, err := sim.NewAuthority()
	if err != nil {
		return err
	}
	c.bare = live()
	if c.gate, err = ca.Open(c.f.Serve); err != nil {
		return err
	}
	defer c.gate.Close()
	stop, err := c.agents(ca)
	if err != nil {
		return err
	}
	for _, step := range []func() error{c.join, c.commits, c.busy, c.resume} {
		if err = step(); err != nil {
			break
		}
	}
	seen, stopErr := stop()
	c.row.ResumeFulls = seen.Fulls - o.Agents
	if m, memErr := memoryOf(os.Getpid()); memErr == nil {
		c.row.Finally = m
	}
	return errors.Join(err, stopErr, c.f.Close(context.Background()))
}

// agents starts the process of agents. Stop ends it and returns what they saw.
func (c *fleetCentre) agents(ca *sim.Authority) (stop func() (sim.Seen, error), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	spec := fleetAgents{Addr: c.gate.Addr, CA: ca}
	for i := range c.row.Order.Agents {
		app := i % c.row.Order.Apps
		spec.Hellos = append(spec.Hellos, control.Hello{
			Name: fmt.Sprintf("agent-%04d", i), Application: fmt.Sprintf("app-%d", app), IDC: []string{"yf", "tc"}[i%2],
			Version: "bench", Host: fmt.Sprintf("host-%04d", i), Wants: c.src.wants(app),
		})
	}
	cmd := exec.Command(self, "fleet-agents")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the agents: %w", err)
	}
	stop = func() (seen sim.Seen, err error) {
		stdin.Close()
		err = json.NewDecoder(stdout).Decode(&seen)
		return seen, errors.Join(err, cmd.Wait())
	}
	if err := json.NewEncoder(stdin).Encode(spec); err != nil {
		_, stopErr := stop()
		return nil, errors.Join(err, stopErr)
	}
	return stop, nil
}

// all waits until every agent is there and runs what it should.
func (c *fleetCentre) all(links int64) error {
	deadline := time.Now().Add(2 * time.Minute)
	for {
		ready, behind := 0, 0
		for _, v := range c.f.Agents() {
			switch {
			case v.Behind || v.Connections < links:
				behind++
			case v.Ready:
				ready++
			}
		}
		switch {
		case ready == c.row.Order.Agents:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%d of %d agents are ready after two minutes, %d are behind", ready, c.row.Order.Agents, behind)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (c *fleetCentre) join() error {
	deadline := time.Now().Add(time.Minute)
	for len(c.f.Agents()) == 0 {
		if time.Now().After(deadline) {
			return errors.New("no agent connected within a minute")
		}
		time.Sleep(time.Millisecond)
	}
	began := time.Now()
	if err := c.all(1); err != nil {
		return err
	}
	c.row.JoinMs = ms(int64(time.Since(began)))
	cpu, err := cpuTime(os.Getpid())
	if err != nil {
		return err
	}
	c.row.JoinCPUMs = ms(cpu) / float64(c.row.Order.Agents)
	time.Sleep(12 * time.Second) // a round of reports and pings
	if c.row.Settled, err = memoryOf(os.Getpid()); err != nil {
		return err
	}
	now := live()
	c.row.HeapMB = float64(now) / 1e6
	c.row.LinkKB = float64(now-c.bare) / 1e3 / float64(c.row.Order.Agents)
	return nil
}

// live returns the bytes of heap that are in use after a collection, and of stacks.
func live() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers let go of
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// commits changes the resource that all agents have.
func (c *fleetCentre) commits() error {
	before := c.f.Propagation()
	cpu, err := cpuTime(os.Getpid())
	if err != nil {
		return err
	}
	tick := time.NewTicker(c.row.Order.Every)
	defer tick.Stop()
	for range c.row.Order.Commits {
		<-tick.C
		c.f.Changed([]string{common}, c.src.change(common))
	}
	after, err := c.answered(before, c.row.Order.Commits)
	if err != nil {
		return err
	}
	used, err := cpuTime(os.Getpid())
	if err != nil {
		return err
	}
	c.row.AnswerUs = float64(used-cpu) / 1e3 / float64(c.row.Order.Commits*c.row.Order.Agents)
	c.row.Last, c.row.Each = since(&after.Last, &before.Last), since(&after.Each, &before.Each)
	return nil
}

// answered waits until all agents concerned have answered n commits.
func (c *fleetCentre) answered(before *fleet.Propagation, n int) (*fleet.Propagation, error) {
	deadline := time.Now().Add(time.Minute)
	for {
		now := c.f.Propagation()
		got := now.Last.Count - before.Last.Count
		switch {
		case got == uint64(n):
			return now, nil
		case time.Now().After(deadline):
			return nil, fmt.Errorf("%d of %d commits were answered by all agents within a minute", got, n)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// busy changes endpoints at a rate, whatever becomes of them.
func (c *fleetCentre) busy() error {
	before := c.f.Propagation()
	cpu, err := cpuTime(os.Getpid())
	if err != nil {
		return err
	}
	began := time.Now()
	for i := 0; time.Since(began) < c.row.Order.For; i++ {
		due := began.Add(time.Duration(i) * time.Second / time.Duration(c.row.Order.Rate))
		time.Sleep(time.Until(due))
		name := c.src.names[rand.IntN(len(c.src.names))]
		c.f.Changed([]string{name}, c.src.change(name))
		c.row.BusyChanges++
	}
	used, err := cpuTime(os.Getpid())
	if err != nil {
		return err
	}
	c.row.CPU = float64(used-cpu) / float64(time.Since(began))
	after, err := c.answered(before, c.row.BusyChanges)
	if err != nil {
		return err
	}
	c.row.Busy = since(&after.Last, &before.Last)
	return nil
}

// resume cuts all links at once.
func (c *fleetCentre) resume() error {
	began := time.Now()
	c.gate.Cut()
	if err := c.all(2); err != nil {
		return err
	}
	c.row.ResumeMs = ms(int64(time.Since(began)))
	return nil
}

func since(now, before *metrics.Snapshot) spread {
	now.Sub(before)
	return spread{Count: now.Count, P50: ms(now.Quantile(0.5)), P99: ms(now.Quantile(0.99)), Max: ms(now.Max)}
}

func ms(ns int64) float64 { return float64(ns) / 1e6 }

// common is the resource that all agents have.
const common = "common"

// fleetSource holds resources of two groups whose weights change.
type fleetSource struct {
	apps, each, endpoints int
	names                 []string

	mu       sync.Mutex
	revision int64
	docs     map[string]*fleetDoc
}

type fleetDoc struct {
	weights  []int
	spec     json.RawMessage
	hash     string
	revision int64
}

func newFleetSource(o fleetOrder) *fleetSource {
	s := &fleetSource{apps: o.Apps, each: o.Resources - 1, docs: make(map[string]*fleetDoc), names: []string{common}}
	for app := range s.apps {
		s.names = append(s.names, s.wants(app)[1:]...)
	}
	s.endpoints = (o.Endpoints + len(s.names) - 1) / len(s.names)
	for _, n := range s.names {
		s.docs[n] = &fleetDoc{weights: make([]int, s.endpoints)}
		s.change(n)
	}
	return s
}

func (s *fleetSource) wants(app int) []string {
	names := []string{common}
	for i := range s.each {
		names = append(names, fmt.Sprintf("app-%d-%02d", app, i))
	}
	return names
}

// change gives one endpoint another weight: one that it had would be no change, and nobody would answer it.
func (s *fleetSource) change(name string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	d := s.docs[name]
	w := &d.weights[rand.IntN(len(d.weights))]
	*w = *w%100 + 1
	b := append([]byte(`{"name":"`), name...)
	b = append(b, `","kind":"redis","groups":{`...)
	for g, group := range []string{"yf", "tc"} {
		if g > 0 {
			b = append(b, ',')
		}
		b = append(b, `"`+group+`":{"idc":"`+group+`","weight":50,"endpoints":[`...)
		for i := g; i < len(d.weights); i += 2 {
			if i > g {
				b = append(b, ',')
			}
			b = append(b, `{"address":"10.`+strconv.Itoa(g)+`.`+strconv.Itoa(i)+`.7:6379","role":"any","weight":`...)
			b = strconv.AppendInt(b, int64(d.weights[i]), 10)
			b = append(b, '}')
		}
		b = append(b, `]}`...)
	}
	d.spec = append(b, `},"policy":{"timeout":"1s"}}`...)
	d.hash, d.revision = control.Hash(d.spec), s.revision
	return s.revision
}

func (s *fleetSource) Revision() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision
}

func (s *fleetSource) Resource(name string, _ *fleet.Agent) (json.RawMessage, string, int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.docs[name]
	if d == nil {
		return nil, "", 0, false
	}
	return d.spec, d.hash, d.revision, true
}

func (s *fleetSource) Commands(string, *fleet.Agent) []json.RawMessage { return nil }

func (s *fleetSource) Secrets(string, json.RawMessage) []control.Secret { return nil }
