package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

// CheckNames are the checks, in the order in which they are made.
var CheckNames = []string{"targets", "capacity", "connections", "lag", "agents", "conflicts"}

// Check is something that should hold before a plan is run.
type Check struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Warning  bool   `json:"warning,omitempty"` // it holds, but somebody should read the detail
	Detail   string `json:"detail"`            // one sentence
	Override string `json:"override,omitempty"`
}

const (
	lagMost      = 5 * time.Second
	capacityMost = 1.5 // of what a group carried at most
	capacityTime = 24 * time.Hour
	rateTime     = 5 * time.Minute // over which calls are counted that would move
)

// findings of one check over all steps.
type findings struct {
	good       string // what to say when nothing is wrong
	bad, warns []string
}

func (f *findings) check(name string) Check {
	say := func(list []string) string {
		text := strings.Join(list[:min(len(list), 3)], "; ")
		if more := len(list) - 3; more > 0 {
			text += fmt.Sprintf("; and %d more", more)
		}
		return text
	}
	switch {
	case len(f.bad) > 0:
		return Check{Name: name, Detail: say(append(f.bad, f.warns...))}
	case len(f.warns) > 0:
		return Check{Name: name, OK: true, Warning: true, Detail: say(f.warns)}
	}
	return Check{Name: name, OK: true, Detail: f.good}
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
		f.good = "every group that gets calls has endpoints that are up"
		r.checkTargets(s, info, f)
	case "capacity":
		f.good = "no group gets more calls than it has carried"
		r.checkCapacity(s, info, f)
	case "connections":
		f.good = "no group gets more connections than it can take, as far as that is known"
		checkConnections(s, info, f)
	case "lag":
		f.good = "no replica that gets calls is behind"
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
		switch {
		case len(all) == 0:
			f.bad = append(f.bad, fmt.Sprintf("%s: no agent says anything of group %s", info.Name, g.Name))
		case sound == 0:
			f.bad = append(f.bad, fmt.Sprintf("%s: none of the %d endpoints of %s is up%s", info.Name, len(all), g.Name, why))
		case sound < len(all):
			f.warns = append(f.warns, fmt.Sprintf("%s: %d of %d endpoints of %s are up%s", info.Name, sound, len(all), g.Name, why))
		}
	}
}

func (r *Rollouts) checkCapacity(s *Step, info Info, f *findings) {
	e, err := r.effect(&s.Command.Command, info)
	if err != nil {
		f.bad = append(f.bad, fmt.Sprintf("%s: its calls cannot be read: %v", info.Name, err))
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
			f.bad = append(f.bad, fmt.Sprintf("%s: what %s carried cannot be read: %v", info.Name, g.Name, err))
		case peak == 0:
			f.warns = append(f.warns, fmt.Sprintf("%s: %s would get %.0f calls/s and took none in 24 h", info.Name, g.Name, will))
		case will > capacityMost*peak:
			f.warns = append(f.warns, fmt.Sprintf("%s: %s would get %.0f calls/s, %.1f times what it carried at most in 24 h", info.Name, g.Name, will, will/peak))
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
			f.bad = append(f.bad, fmt.Sprintf("%s: %s has %d connections and would get up to %d more: it takes %d",
				info.Name, g.Name, g.Connections, from, g.MaxConnections))
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
				f.bad = append(f.bad, fmt.Sprintf("%s: %s of %s is %s behind its primary, more than %s",
					info.Name, addr, g.Name, e.lag.Round(time.Millisecond), lagMost))
			}
		}
	}
	slices.Sort(f.bad)
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
				f.warns = append(f.warns, a.Name+" is not connected and gets the commands when it comes back")
			case a.Behind:
				f.bad = append(f.bad, a.Name+" is behind: it has not taken what it was sent")
			}
		}
	}
	f.good = fmt.Sprintf("all %d agents are connected and current", len(told))
	if len(told) == 0 {
		f.warns = append(f.warns, "no agent serves any of the resources")
	}
}

func (r *Rollouts) checkConflicts(p *Plan, f *findings) {
	f.good = "no command in force is about the same calls"
	for i := range p.Steps {
		for _, line := range r.opt.Commands.Conflicts(p.Steps[i].Command) {
			if !slices.Contains(f.bad, line) {
				f.bad = append(f.bad, line)
			}
		}
	}
}
