package agent

import (
	"fmt"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/agent/admin"
	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/agent/runtime"
	"github.com/sluice-mesh/sluice/resources"
)

// resource returns the view of a running resource.
func (b *backend) resource(m *member) admin.Resource {
	s := m.run.Status()
	name := m.Spec.Name
	r := admin.Resource{
		Name: name, Kind: s.Kind, Listen: b.set.addresses(m.declared), Source: m.source, ETag: m.etag,
		Rate: b.sampler.rate(name, ""), Latency: latencyView(s.Rates.P50Ns, s.Rates.P95Ns, s.Rates.P99Ns),
		Inflight: s.Open, Sessions: s.Sessions, Connections: s.Upstream, Commands: len(s.Commands), Groups: []admin.Group{},
	}
	for _, n := range s.Pinned {
		r.Pinned += n
	}
	for _, g := range s.Groups {
		r.Groups = append(r.Groups, admin.Group{
			Name: g.Name, IDC: g.IDC, Weight: g.InForce, Sound: g.Sound, Of: g.Of,
			Rate: b.sampler.rate(name, g.Name), Latency: latencyView(g.Rates.P50Ns, g.Rates.P95Ns, g.Rates.P99Ns),
		})
	}
	r.Ready, r.Detail = condition(&s, m.failed, b.note(name))
	return r
}

// condition says whether a resource can be called, and what is wrong with it; note is what else is to be said.
func condition(s *runtime.Status, failed error, note string) (bool, string) {
	var notes []string
	usable := false
	for _, g := range s.Groups {
		switch {
		case g.InForce == 0:
		case g.Sound == 0:
			notes = append(notes, "no endpoint of group "+g.Name+" is sound")
		default:
			usable = true
			if g.Panics {
				notes = append(notes, fmt.Sprintf("only %d of %d endpoints of group %s are sound", g.Sound, g.Of, g.Name))
			}
		}
	}
	if !s.Ready {
		notes = append([]string{"endpoints are checked for the first time"}, notes...)
	}
	if failed != nil {
		notes = append(notes, failed.Error())
	}
	if note != "" {
		notes = append(notes, note)
	}
	return usable && s.Ready, strings.Join(notes, "; ")
}

func latencyView(p50, p95, p99 int64) admin.Latency {
	return admin.Latency{P50: resources.Duration(p50), P95: resources.Duration(p95), P99: resources.Duration(p99)}
}

// endpointViews returns endpoints with the share of the resource's calls that weights give them.
func endpointViews(list []runtime.EndpointStatus, groups []runtime.GroupStatus) []admin.Endpoint {
	inForce, all := make(map[string]int, len(groups)), 0
	for _, g := range groups {
		if g.Sound > 0 {
			inForce[g.Name] = g.InForce
			all += g.InForce
		}
	}
	within := make(map[string]float64) // sum of the weights in a group
	for i := range list {
		within[list[i].Group] += list[i].Share * float64(list[i].Weight)
	}
	out := make([]admin.Endpoint, 0, len(list))
	for i := range list {
		e := &list[i]
		v := admin.Endpoint{
			Group: e.Group, Address: e.Address, IDC: e.IDC, Role: e.Role, State: e.State, Detail: e.Why, Weight: e.Weight, WeightFrom: e.WeightFrom,
			Inflight: int64(e.Inflight), Connections: e.Connections, Latency: resources.Duration(e.LatencyNs),
			Lag: resources.Duration(e.LagNs), Version: e.Version,
		}
		if e.ReturnInNs > 0 {
			v.Detail = strings.TrimSpace(v.Detail + " (back in " + time.Duration(e.ReturnInNs).Round(time.Second).String() + ")")
		}
		if all > 0 && within[e.Group] > 0 {
			share := e.Share * float64(e.Weight) / within[e.Group] * float64(inForce[e.Group]) / float64(all)
			v.Share = resources.Percent(float64(int(share*1000+0.5)) / 10)
		}
		out = append(out, v)
	}
	return out
}

func operationViews(list []runtime.OperationStatus) []admin.Operation {
	out := make([]admin.Operation, 0, len(list))
	for i := range list {
		o := &list[i]
		out = append(out, admin.Operation{
			Op: o.Op, Text: o.Text, Class: o.Class, Group: o.Group, Calls: int64(o.Rates.Total), Errors: int64(o.Rates.ErrorsAll),
			Rate:    admin.Rate{Calls: o.Rates.Calls, Errors: o.Rates.Errors},
			Latency: latencyView(o.Rates.P50Ns, o.Rates.P95Ns, o.Rates.P99Ns),
		})
	}
	return out
}

func sessionViews(list []runtime.SessionStatus, now time.Time) []admin.Session {
	out := make([]admin.Session, 0, len(list))
	for i := range list {
		s := &list[i]
		out = append(out, admin.Session{
			ID: s.ID, Client: s.Client, Caller: s.Caller, User: s.User, IDC: s.IDC, Calls: s.Calls, LastOp: s.LastOp, Pins: s.Pins, Why: s.Why,
			Age: resources.Duration(max(0, now.Sub(s.Since)).Round(time.Millisecond)),
		})
	}
	return out
}

func eventView(e *filter.Event) admin.Event {
	return admin.Event{
		Time: e.Time, Op: e.Op, Class: e.Class, Caller: e.Caller, User: e.User, Client: e.Client, Group: e.Group, Endpoint: e.Endpoint,
		Outcome: e.Outcome, Latency: resources.Duration(e.Latency), Attempt: e.Attempt, Request: e.ReqBytes, Response: e.RespBytes,
		Text: e.Text, Fault: e.Fault, Stages: admin.Stages(e.Stages),
	}
}

// previewText says in sentences what a command would do.
func previewText(p *runtime.Preview) []string {
	calls := "calls"
	if m := p.Command.Match; !m.IsZero() {
		calls = "calls with " + m.String()
	}
	atMost := ""
	if !p.Exact {
		atMost = "at most "
	}
	text := []string{fmt.Sprintf("%s: %s%s %s a second match now (last minute).", p.Command.Resource, atMost, number(p.Calls), calls)}
	switch p.Command.Type {
	case resources.CommandSwitch:
		for _, g := range p.Groups {
			text = append(text, fmt.Sprintf("Group %s: weight %d -> %d, %s -> %s calls/s.", g.Name, g.WeightBefore, g.WeightAfter, number(g.Before), number(g.After)))
		}
		for _, m := range p.Moves {
			text = append(text, fmt.Sprintf("%s calls/s would move from %s to %s.", number(m.Calls), m.From, m.To))
		}
		if len(p.Moves) == 0 {
			text = append(text, "No calls would move.")
		}
	case resources.CommandLimit:
		text = append(text, fmt.Sprintf("%s%s calls/s would be refused by the limit of %s.", atMost, number(p.Answered), p.Command.Limited()))
	case resources.CommandDegrade, resources.CommandMock:
		text = append(text, fmt.Sprintf("%s calls/s would be answered by the agent: %s.", number(p.Answered), p.Command.Summary()))
	case resources.CommandFault:
		text = append(text, fmt.Sprintf("%s calls/s would be disturbed: %s.", number(p.Answered), p.Command.Summary()))
	}
	for _, n := range p.Notes {
		text = append(text, sentence(n))
	}
	return text
}

// number writes a rate for reading: 0, 0.4, 12, 3400.
func number(v float64) string {
	if v != 0 && v < 9.95 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}
