package main

import (
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/sluice-mesh/sluice/protocols/control"
	sim "github.com/sluice-mesh/sluice/testenv/fleet"
)

// fleetAgents is what the process of agents is told.
type fleetAgents struct {
	Addr   string         `json:"addr"`
	CA     *sim.Authority `json:"ca"`
	Hellos []control.Hello
}

// serveFleetAgents runs agents until its input ends; then it writes how many updates they got.
func serveFleetAgents(in io.Reader, out io.Writer) error {
	var spec fleetAgents
	d := json.NewDecoder(in)
	if err := d.Decode(&spec); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	known := newMemo()
	agents := make([]*sim.Agent, len(spec.Hellos))
	for i := range agents {
		a := &sim.Agent{Hello: spec.Hellos[i]}
		var err error
		if a.Dial, err = spec.CA.Dialer(spec.Addr, a.Hello.Name); err != nil {
			cancel()
			return err
		}
		pretend(a)
		a.Parse, a.Hash = known.parse, known.hash
		agents[i] = a
		running.Go(func() { _ = a.Keep(ctx) })
	}
	_, err := io.Copy(io.Discard, io.MultiReader(d.Buffered(), in))
	cancel()
	running.Wait()
	var sum sim.Seen
	for _, a := range agents {
		s := a.Seen()
		sum.Links, sum.Updates, sum.Fulls, sum.Resources, sum.Bytes = sum.Links+s.Links, sum.Updates+s.Updates, sum.Fulls+s.Fulls, sum.Resources+s.Resources, sum.Bytes+s.Bytes
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(sum)
}

// pretend makes an agent say what a real one says: what it sees of each endpoint, once on each link, and
// reports of 8 KiB.
func pretend(a *sim.Agent) {
	report := make([]byte, 8<<10)
	for i := range report {
		report[i] = byte(rand.Uint32())
	}
	a.Report = func() []byte { return report }
	a.See()
}

// memo remembers what the same bytes gave the last time: agents on one machine each would not share its cores with the centre.
type memo struct {
	mu      sync.Mutex
	updates map[uint64]*control.Update
	hashes  map[uint64]string
}

// memoSize is where a memo begins anew: nearly all agents get a new update before there are as many others.
const memoSize = 1000

func newMemo() *memo {
	return &memo{updates: make(map[uint64]*control.Update), hashes: make(map[uint64]string)}
}

func (m *memo) parse(payload []byte) (*control.Update, error) {
	key := xxhash.Sum64(payload)
	m.mu.Lock()
	u := m.updates[key]
	m.mu.Unlock()
	if u != nil {
		return u, nil
	}
	u = new(control.Update)
	if err := json.Unmarshal(payload, u); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.updates) >= memoSize {
		clear(m.updates)
	}
	m.updates[key] = u
	return u, nil
}

func (m *memo) hash(spec []byte) string {
	key := xxhash.Sum64(spec)
	m.mu.Lock()
	h := m.hashes[key]
	m.mu.Unlock()
	if h != "" {
		return h
	}
	h = control.Hash(spec)
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.hashes) >= memoSize {
		clear(m.hashes)
	}
	m.hashes[key] = h
	return h
}
