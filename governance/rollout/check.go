package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/governance/say"
	"github.com/sluice-mesh/sluice/resources"
)

// CheckNames are the checks, in the order in which they are made.
var CheckNames = []string{"targets", "capacity", "connections", "lag", "agents", "conflicts"}

// Check is something that should hold before a plan is run.
type Check struct {
	Name      string         `json:"name"`
	OK        bool           `json:"ok"`
	Warning   bool           `json:"warning,omitempty"` // it holds, but somebody should read the detail
	Detail    string         `json:"detail"`            // DetailSay, in English
	DetailSay []say.Sentence `json:"detailSay"`         // one or some sentences
	Override  string         `json:"override,omitempty"`
}

const (
	lagMost      = 5 * time.Second
	capacityMost = 1.5 // of what a group carried at most
	capacityTime = 24 * time.Hour
	rateTime     = 5 * time.Minute // over which calls are counted that would move
	mostDetails  = 3               // sentences of a check
)

// findings of one check over all steps.
type findings struct {
	good       say.Sentence // what to say when nothing is wrong
	bad, warns []say.Sentence
}

func (f *findings) check(name string) Check {
	details := func(c Check, list ...say.Sentence) Check {
		if more := len(list) - mostDetails; more > 0 {
			list = append(list[:mostDetails:mostDetails], say.Of("and.more", say.With{"n": more}))
		}
		c.Detail, c.DetailSay = strings.Join(say.Texts(list), "; "), list
		return c
	}
	switch {
	case len(f.bad) > 0:
		return details(Check{Name: name}, append(f.bad, f.warns...)...)
	case len(f.warns) > 0:
		return details(Check{Name: name, OK: true, Warning: true}, f.warns...)
	}
	if f.good.Code == "" { // it was about nothing
		return Check{Name: name, OK: true}
	}
	return details(Check{Name: name, OK: true}, f.good)
}

// checks makes all checks of a plan but those that it skips.
func (r *Rollouts) checks(p *Plan) []Check {
	infos := make(map[string]Info)
	for _, i := range r.opt.Resources() {
		infos[i.Name] = i
	}
	var out []Check
	for _, name := range CheckNames {
		if slices.Contains(p.Skip, name) {
			continue
		}
		f := &findings{}
		switch name {
		case "agents":
			r.checkAgents(p, f)
		case "conflicts":
			r.checkConflicts(p, f)
		default:
			for i := range p.Steps {
				for _, res := range r.targets(p, i) {
					r.checkStep(name, &p.Steps[i], infos[res], f)
				}
			}
		}
		out = append(out, f.check(name))
	}
	return out
}

// override notes why checks may fail, and returns a *ChecksError when one fails that may not.
func (r *Rollouts) override(checks []Check, because map[string]string) ([]Check, error) {
	for name, why := range because {
		if !slices.Contains(CheckNames, name) {
			return nil, fmt.Errorf("override: there is no check %q: they are %s", name, strings.Join(CheckNames, ", "))
		}
		if strings.TrimSpace(why) == "" {
			return nil, fmt.Errorf("override: say why %s may fail", name)
		}
		if err := checkText("override", why, maxNote); err != nil {
			return nil, err
		}
	}
	var failed []string
	for i := range checks {
		c := &checks[i]
		if c.OK {
			continue
		}
		if c.Override = because[c.Name]; c.Override == "" {
			failed = append(failed, c.Name)
		}
	}
	if len(failed) > 0 {
		return nil, &ChecksError{Checks: checks, Failed: failed}
	}
	return checks, nil
}

// checkStep makes one check of one resource that a switch moves.
func (r *Rollouts) checkStep(name string, s *Step, info Info, f *findings) {
	if s.Command.Type != resources.CommandSwitch {
		return
	}
	switch name {
	case "targets":
		f.good = say.Of("check.targets.good", nil)
		r.checkTargets(s, info, f)
	case "capacity":
		f.good = say.Of("check.capacity.good", nil)
		r.checkCapacity(s, info, f)
	case "connections":
		f.good = say.Of("check.connections.good", nil)
		checkConnections(s, info, f)
	case "lag":
		f.good = say.Of("check.lag.good", nil)
		r.checkLag(s, info, f)
	}
}

// seen is what agents say of one endpoint.
type seen struct {
	up, all int
	role    string
	detail  string
	lag     time.Duration
}

// endpoints returns the endpoints of a group by address.
func (r *Rollouts) endpoints(resource, group string) map[string]*seen {
	out := make(map[string]*seen)
	for _, e := range r.opt.Fleet.Endpoints(resource) {
		if e.Group != group {
			continue
		}
		s := out[e.Address]
		if s == nil {
			s = &seen{}
			out[e.Address] = s
		}
		s.all++
		if e.State == "up" {
			s.up++
		} else if s.detail == "" {
			s.detail = e.State
			if e.Detail != "" {
				s.detail += ", " + e.Detail
			}
		}
		s.role, s.lag = e.Role, max(s.lag, e.Lag)
	}
	return out
}

func (r *Rollouts) checkTargets(s *Step, info Info, f *findings) {
	for _, g := range info.Groups {
		if s.Command.Weights[g.Name] == 0 {
			continue
		}
		all := r.endpoints(info.Name, g.Name)
		sound, why := 0, ""
		for addr, e := range all {
			if 2*e.up >= e.all { // half of the agents that look at it
				sound++
			} else {
				why = fmt.Sprintf(" (%s: %s)", addr, e.detail)
			}
		}
		of := say.With{"resource": info.Name, "group": g.Name, "sound": sound, "n": len(all), "example": why}
		switch {
		case len(all) == 0:
			f.bad = append(f.bad, say.Of("check.unseen", of))
		case sound == 0:
			f.bad = append(f.bad, say.Of("check.none.up", of))
		case sound < len(all):
			f.warns = append(f.warns, say.Of("check.some.up", of))
		}
	}
}

func (r *Rollouts) checkCapacity(s *Step, info Info, f *findings) {
	e, err := r.effect(&s.Command.Command, info)
	if err != nil {
		f.bad = append(f.bad, say.Of("check.calls.unread", say.With{"resource": info.Name, "problem": err.Error()}))
		return
	}
	now := r.opt.Now()
	for _, g := range info.Groups {
		will := e.After[g.Name]
		if will <= e.Before[g.Name] {
			continue
		}
		peak, err := r.opt.Series.Peak(info.Name, g.Name, now.Add(-capacityTime), now)
		switch {
		case err != nil:
			f.bad = append(f.bad, say.Of("check.peak.unread", say.With{"resource": info.Name, "group": g.Name, "problem": err.Error()}))
		case peak == 0:
			f.warns = append(f.warns, say.Of("check.idle", say.With{"resource": info.Name, "group": g.Name, "calls": fmt.Sprintf("%.0f", will)}))
		case will > capacityMost*peak:
			f.warns = append(f.warns, say.Of("check.more.calls", say.With{"resource": info.Name, "group": g.Name,
				"calls": fmt.Sprintf("%.0f", will), "times": fmt.Sprintf("%.1f", will/peak)}))
		}
	}
}

func checkConnections(s *Step, info Info, f *findings) {
	from := 0
	for _, g := range info.Groups {
		if s.Command.Weights[g.Name] == 0 {
			from += g.Connections
		}
	}
	for _, g := range info.Groups {
		if w := s.Command.Weights[g.Name]; w > 0 && g.MaxConnections > 0 && g.Connections+from > g.MaxConnections {
			f.bad = append(f.bad, say.Of("check.more.connections", say.With{"resource": info.Name, "group": g.Name, "have": g.Connections,
				"more": from, "most": g.MaxConnections}))
		}
	}
}

func (r *Rollouts) checkLag(s *Step, info Info, f *findings) {
	for _, g := range info.Groups {
		if s.Command.Weights[g.Name] == 0 {
			continue
		}
		for addr, e := range r.endpoints(info.Name, g.Name) {
			if e.lag > lagMost {
				f.bad = append(f.bad, say.Of("check.behind", say.With{"resource": info.Name, "address": addr, "group": g.Name,
					"lag": e.lag.Round(time.Millisecond).String(), "most": lagMost.String()}))
			}
		}
	}
	slices.SortFunc(f.bad, func(a, b say.Sentence) int { return strings.Compare(a.Text, b.Text) })
}

// checkAgents finds agents that would not take the commands now. One that is gone takes them when it comes back.
func (r *Rollouts) checkAgents(p *Plan, f *findings) {
	told := make(map[string]struct{})
	for i := range p.Steps {
		for _, a := range r.concerned(p, i) {
			if _, dup := told[a.Name]; dup {
				continue
			}
			told[a.Name] = struct{}{}
			switch {
			case !a.Connected:
				f.warns = append(f.warns, say.Of("check.agent.away", say.With{"agent": a.Name}))
			case a.Behind:
				f.bad = append(f.bad, say.Of("check.agent.behind", say.With{"agent": a.Name}))
			}
		}
	}
	if err := r.opt.Fleet.Whole(); err != nil {
		f.bad = append(f.bad, say.Of("check.agents.unseen", say.With{"problem": err.Error()}))
	}
	f.good = say.Of("check.agents.good", say.With{"n": len(told)})
	if len(told) == 0 {
		f.warns = append(f.warns, say.Of("check.agents.none", nil))
	}
}

func (r *Rollouts) checkConflicts(p *Plan, f *findings) {
	f.good = say.Of("check.conflicts.good", nil)
	for i := range p.Steps {
		for _, line := range r.opt.Commands.Conflicts(p.Steps[i].Command) {
			if !slices.Contains(say.Texts(f.bad), line.Text) {
				f.bad = append(f.bad, line)
			}
		}
	}
}
