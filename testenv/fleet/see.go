package fleet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/metrics/report"
	"github.com/sluice-mesh/sluice/protocols/control"
)

// See makes an agent say what it sees of its resources, once on each link: that all is up. Call it before the first Run.
func (a *Agent) See() {
	seen := make(map[string]control.ResourceState)
	links := 0 // at the last state
	a.Hold = func(u *control.Update) {
		for _, r := range u.Resources {
			if _, ok := seen[r.Name]; !ok {
				seen[r.Name] = StateOf(&r)
			}
		}
	}
	a.State = func(resources map[string]string) *control.State {
		now := a.Seen().Links
		if links == now || len(seen) < len(a.Hello.Wants) {
			return nil
		}
		links = now
		s := &control.State{Full: true, Ready: true}
		for _, name := range a.Hello.Wants {
			state := seen[name]
			state.Hash = resources[name]
			s.Resources = append(s.Resources, state)
		}
		return s
	}
}

// SeeChanges is See for an agent that sees an endpoint of its own choice go down and come back, in turns, with every nth report.
func (a *Agent) SeeChanges(nth int) {
	a.See()
	var last *control.State // all that was said
	full := a.State
	said := make(chan *control.State, 1) // from the goroutine of updates to that of reports
	a.State = func(resources map[string]string) *control.State {
		s := full(resources)
		if s != nil {
			select {
			case <-said: // of the link before
			default:
			}
			said <- s
		}
		return s
	}
	n := rand.IntN(nth)
	var down *control.ResourceState
	a.News = func() *control.State {
		select {
		case last = <-said:
			down = nil
		default:
		}
		if n++; n%nth != 0 || last == nil || len(last.Resources) == 0 {
			return nil
		}
		if down != nil {
			s := &control.State{Ready: true, Resources: []control.ResourceState{*down}}
			down = nil
			return s
		}
		r := last.Resources[rand.IntN(len(last.Resources))]
		if len(r.Endpoints) == 0 {
			return nil
		}
		kept := r
		down = &kept
		r.Endpoints, r.Groups = slices.Clone(r.Endpoints), slices.Clone(r.Groups)
		e := &r.Endpoints[rand.IntN(len(r.Endpoints))]
		e.State, e.Detail = "down", "connection refused"
		for i := range r.Groups {
			if r.Groups[i].Name == e.Group {
				r.Groups[i].Sound--
			}
		}
		return &control.State{Ready: true, Resources: []control.ResourceState{r}}
	}
}

// StateOf is a resource whose endpoints are all up.
func StateOf(r *control.Resource) control.ResourceState {
	var spec struct {
		Groups map[string]struct {
			IDC       string
			Weight    int
			Endpoints []struct{ Address, Role string }
		}
	}
	s := control.ResourceState{Name: r.Name, Kind: "redis", Source: "center", Hash: r.Hash, Ready: true, Listen: []string{"127.0.0.1:6379"}, Sessions: 10}
	if err := json.NewDecoder(bytes.NewReader(r.Spec)).Decode(&spec); err != nil {
		s.Detail = fmt.Sprint(err)
		return s
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Groups)) {
		g := spec.Groups[name]
		s.Groups = append(s.Groups, control.GroupState{Name: name, IDC: g.IDC, Weight: g.Weight, Sound: len(g.Endpoints), Of: len(g.Endpoints)})
		for _, e := range g.Endpoints {
			s.Endpoints = append(s.Endpoints, control.EndpointState{Group: name, Address: e.Address, Role: e.Role, State: "up"})
		}
	}
	return s
}

// Calls makes reports in which every resource was called since the last one, at its own pace and with its own latency, which both
// vary from report to report. One in fifty has errors, a fifth of its calls and more: with a share near a tenth, where bad begins, it
// would be another thing at each look, and the pages would read all resources again.
func Calls(resources []string) func() []byte {
	r := metrics.NewRegistry(metrics.Options{})
	e := report.NewEncoder(r)
	var cells []*metrics.Cell
	for _, name := range resources {
		m := r.Resource(name, "redis")
		for _, group := range []string{"yf", "tc"} {
			cells = append(cells, m.Cell(group, "GET", "read"), m.Cell(group, "SET", "write"))
		}
	}
	return func() []byte {
		for i, c := range cells {
			for n := range 12 + rand.IntN(20+i%60) {
				outcome := uint8(0)
				if i/4%50 == 7 && n%5 == 0 {
					outcome = 1
				}
				c.Done(outcome, int64(50+i%40*20+rand.IntN(400))*int64(time.Microsecond), false, 64, 64)
			}
		}
		return e.Append(nil, time.Now())
	}
}
