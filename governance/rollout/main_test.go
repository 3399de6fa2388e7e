package rollout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-mesh/sluice/governance/command"
	"github.com/sluice-mesh/sluice/governance/say"
	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/resources"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// mesh is all that rollouts look at, made up: agents that answer after a time, refuse or hang, and the calls that they make.
type mesh struct {
	m     *memory
	infos []Info

	mu      sync.Mutex
	unseen  error // what Whole says
	agents  []Agent
	delay   time.Duration
	refuses map[string]string // agents, and what they say
	mute    map[string]bool
	misfit  string // an agent that commands are not sent to: its own file lacks the group
	lag     time.Duration
	down    string // an address
	version func(resource, agent string) (int, bool)
	running map[string]ran // by agent
	newest  int
	backs   int
	calls   func(w Window) (Numbers, error)
	peak    float64
	talks   []say.Sentence // conflicts
}

type ran struct {
	version int
	since   time.Time
}

func newMesh() *mesh {
	z := &mesh{m: newMemory(), delay: 2 * time.Second, refuses: map[string]string{}, mute: map[string]bool{}, running: map[string]ran{}, newest: 2, peak: 1000}
	for _, n := range []string{"feed-cache", "feed-db"} {
		kind := map[string]string{"feed-cache": "redis", "feed-db": "mysql"}[n]
		z.infos = append(z.infos, Info{Name: n, Kind: kind, Groups: []Group{{Name: "yf", Weight: 100}, {Name: "tc", Weight: 0}}})
	}
	for i := range 10 {
		a := Agent{AgentInfo: command.AgentInfo{Name: fmt.Sprintf("web-%d", i), IDC: "yf"}, Connected: true}
		a.Wants = []string{"feed-cache"}
		if i < 8 {
			a.Owns = []string{"feed-db"}
		}
		z.agents = append(z.agents, a)
	}
	z.calls = func(w Window) (Numbers, error) {
		if w.Group == "tc" {
			return Numbers{}, nil
		}
		return Numbers{Calls: 3000, P99: 2 * time.Millisecond}, nil
	}
	return z
}

func (z *mesh) Check(c command.Command) (command.Command, []string, error) {
	var names []string
	for _, i := range z.infos {
		if c.Selects(i.info()) {
			names = append(names, i.Name)
		}
	}
	if len(names) == 0 {
		return c, nil, fmt.Errorf("there is no resource %q", c.Resource)
	}
	if c.Percent == 0 {
		c.Percent = 100
	}
	return c, names, nil
}

func (z *mesh) Conflicts(command.Command) []say.Sentence { return z.talks }

func (z *mesh) Agents() []Agent {
	z.mu.Lock()
	defer z.mu.Unlock()
	return slices.Clone(z.agents)
}

func (z *mesh) change(f func()) {
	z.mu.Lock()
	defer z.mu.Unlock()
	f()
}

func (z *mesh) Ordered(id string) Acks {
	var out Acks
	e, err := z.m.Get(context.Background(), commandPrefix+id)
	if err != nil {
		return out
	}
	var c command.Command
	json.Unmarshal(e.Value, &c)
	for _, a := range z.Agents() {
		if !a.Connected || !c.Concerns(a.AgentInfo) || !slices.Contains(append(slices.Clone(a.Wants), a.Owns...), c.Resource) {
			continue
		}
		if a.Name != z.misfit {
			z.answer(&out, a.Name, c.Created)
		}
	}
	return out
}

func (z *mesh) answer(out *Acks, agent string, since time.Time) {
	z.mu.Lock()
	defer z.mu.Unlock()
	switch {
	case z.mute[agent], time.Since(since) < z.delay:
		out.Behind = append(out.Behind, agent)
	case z.refuses[agent] != "":
		out.Refused = append(out.Refused, Refusal{Agent: agent, Resource: "feed-cache", Message: z.refuses[agent]})
	default:
		out.Applied++
	}
}

func (z *mesh) Applied(resource string) Acks {
	var out Acks
	for _, a := range z.Agents() {
		v, ok := z.version(resource, a.Name)
		if !ok {
			v = z.newest
		}
		if !a.Connected || !slices.Contains(a.Wants, resource) {
			continue
		}
		z.mu.Lock()
		if z.running[a.Name].version != v {
			z.running[a.Name] = ran{v, time.Now()}
		}
		r := z.running[a.Name]
		z.mu.Unlock()
		if v == 1 { // what they ran all the time
			out.Applied++
			continue
		}
		z.answer(&out, a.Name, r.since)
	}
	return out
}

func (z *mesh) Endpoints(resource string) []Endpoint {
	z.mu.Lock()
	defer z.mu.Unlock()
	var out []Endpoint
	for _, g := range []string{"yf", "tc"} {
		e := Endpoint{Agent: "web-0", Group: g, Address: g + ":1", State: "up"}
		if e.Address == z.down {
			e.State, e.Detail = "down", "connection refused"
		}
		if g == "tc" {
			e.Lag = z.lag
		}
		out = append(out, e)
	}
	return out
}

func (z *mesh) Whole() error {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.unseen
}

func (z *mesh) Window(w Window) (Numbers, error) {
	z.mu.Lock()
	f := z.calls
	z.mu.Unlock()
	return f(w)
}

func (z *mesh) Peak(string, string, time.Time, time.Time) (float64, error) { return z.peak, nil }

func (z *mesh) Newest(string) (int, bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.newest, true
}

func (z *mesh) Back(_ context.Context, _ string, _, to int, _, _ string) error {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.newest == to {
		z.newest++
		z.backs++
	}
	return nil
}

// open starts a centre on the mesh's store, or on one around it.
func (z *mesh) open(t *testing.T, s store.Store) *Rollouts {
	t.Helper()
	r, err := Open(context.Background(), Options{Store: s, Commands: z, Fleet: z, Series: z, Documents: z, Log: quiet,
		Resources: func() []Info { return z.infos }})
	if err != nil {
		t.Fatal(err)
	}
	z.change(func() { z.version = r.Version })
	return r
}

// bubble runs a test with a centre in time of its own.
func bubble(t *testing.T, f func(t *testing.T, z *mesh, r *Rollouts)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		z := newMesh()
		r := z.open(t, z.m)
		defer r.Close()
		f(t, z, r)
	})
}

func toTC(resource string) Step {
	return Step{Command: command.Command{Command: resources.Command{Type: resources.CommandSwitch, Resource: resource, Weights: map[string]int{"tc": 100}}}}
}

func moving(change ...func(*Plan)) Plan {
	p := Plan{Name: "move yf to tc", Steps: []Step{toTC("feed-cache"), toTC("feed-db")}}
	p.Author, p.Why = "ana", "yf is repaired"
	for _, f := range change {
		f(&p)
	}
	return p
}

func staged(p *Plan) {
	p.Stages = []Stage{
		{Name: "canary", Agents: []string{"web-1"}, Bake: resources.Duration(time.Minute)},
		{Share: 50, Bake: resources.Duration(2 * time.Minute)},
		{Share: 100, Bake: resources.Duration(time.Minute)},
	}
	p.Guards = Guards{Errors: 1, P99: 1.5}
}

func run(t *testing.T, r *Rollouts, p Plan) Plan {
	t.Helper()
	p, err := r.AddPlan(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	p, err = r.RunPlan(t.Context(), p.ID, Start{By: "ana"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// until waits until a plan is in a state.
func until(t *testing.T, r *Rollouts, id string, state State) Plan {
	t.Helper()
	for range 24 * 3600 {
		if p, _ := r.Plan(id); p.State == state {
			return p
		}
		time.Sleep(time.Second)
	}
	p, err := r.Plan(id)
	js, _ := json.MarshalIndent(p, "", " ")
	t.Fatalf("never %s: %v\n%s", state, err, js)
	return p
}

// given returns the commands that were ever given, in order, those that hold now, and those that ended.
func (z *mesh) given() (ever, now, ended []string) {
	z.m.mu.Lock()
	defer z.m.mu.Unlock()
	for _, b := range z.m.log {
		for _, c := range b.Changes {
			id, is := strings.CutPrefix(c.Key, commandPrefix)
			switch {
			case is && !c.Deleted:
				ever, now = append(ever, id), append(now, id)
			case is:
				now = slices.DeleteFunc(now, func(s string) bool { return s == id })
				ended = append(ended, id)
			}
		}
	}
	return ever, now, ended
}

func (z *mesh) command(t *testing.T, id string) command.Command {
	t.Helper()
	e, err := z.m.Get(context.Background(), commandPrefix+id)
	var c command.Command
	if err := errors.Join(err, json.Unmarshal(e.Value, &c)); err != nil {
		t.Fatalf("command %s: %v", id, err)
	}
	return c
}
