package rollout

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/sluice-mesh/sluice/governance/command"
	"github.com/sluice-mesh/sluice/governance/say"
	"github.com/sluice-mesh/sluice/resources"
)

// Preview is what a plan would do now.
type Preview struct {
	Checks   []Check        `json:"checks"`
	Warnings []say.Sentence `json:"warnings,omitempty"`
	Steps    []StepPreview  `json:"steps"`
}

// StepPreview is what one step would do.
type StepPreview struct {
	Command   command.Command `json:"command"`
	Summary   string          `json:"summary"`
	Resources []string        `json:"resources"`
	Agents    []string        `json:"agents"`
	Stages    []StagePreview  `json:"stages"`
	Effects   []Effect        `json:"effects"`
}

// StagePreview is who gets a step in a stage that did not have it before.
type StagePreview struct {
	Name   string   `json:"name"`
	Agents []string `json:"agents"`
}

// Effect is what a command does to the calls of a resource, per second, by group. For commands with a match it is at most that.
type Effect struct {
	Resource string             `json:"resource"`
	Calls    float64            `json:"calls"`
	Before   map[string]float64 `json:"before"`
	After    map[string]float64 `json:"after"`
	Moves    float64            `json:"moves"` // calls that go to another group
}

// Preview says what a plan, kept or not, would do if it were run now. The shares of a plan that is not kept are of other agents
// than they will be, and as many.
func (r *Rollouts) Preview(p Plan) (Preview, error) {
	if err := r.checkPlan(&p); err != nil {
		return Preview{}, err
	}
	infos := make(map[string]Info)
	for _, i := range r.opt.Resources() {
		infos[i.Name] = i
	}
	out := Preview{Checks: r.checks(&p)}
	for i := range p.Steps {
		c := &p.Steps[i].Command
		s := StepPreview{Command: *c, Summary: c.Summary(), Resources: r.targets(&p, i), Agents: []string{}, Effects: []Effect{}}
		for _, a := range r.concerned(&p, i) {
			s.Agents = append(s.Agents, a.Name)
		}
		s.Stages = stagePreviews(&p.Course, s.Agents)
		for _, name := range s.Resources {
			e, err := r.effect(&c.Command, infos[name])
			if err != nil {
				out.Warnings = append(out.Warnings, say.Of("plan.calls.unread", say.With{"step": i + 1, "resource": name, "problem": err.Error()}))
				continue
			}
			s.Effects = append(s.Effects, e)
		}
		if len(s.Agents) == 0 {
			out.Warnings = append(out.Warnings, say.Of("plan.step.nobody", say.With{"step": i + 1}))
		}
		out.Steps = append(out.Steps, s)
	}
	for k, st := range p.Stages {
		if len(st.Agents) > 0 && !slices.ContainsFunc(out.Steps, func(s StepPreview) bool { return len(s.Stages[k].Agents) > 0 }) {
			out.Warnings = append(out.Warnings, say.Of("plan.stage.nobody", say.With{"stage": k + 1}))
		}
	}
	if n := len(p.Stages); n > 0 && p.Stages[n-1].Share != 100 {
		out.Warnings = append(out.Warnings, say.Of("plan.stage.part", nil))
	}
	return out, nil
}

func stagePreviews(c *Course, names []string) []StagePreview {
	out := []StagePreview{}
	var have []string
	for k, st := range c.stages() {
		now, _ := chosen(c, k, names, have)
		s := StagePreview{Name: cmp.Or(st.Name, fmt.Sprint(k+1)), Agents: []string{}}
		for _, a := range now {
			if !slices.Contains(have, a) {
				s.Agents = append(s.Agents, a)
			}
		}
		have = now
		out = append(out, s)
	}
	return out
}

// effect says what a command would do to a resource, from the calls of the last minutes.
func (r *Rollouts) effect(c *resources.Command, info Info) (Effect, error) {
	e := Effect{Resource: info.Name, Before: make(map[string]float64), After: make(map[string]float64)}
	to := r.opt.Now()
	for _, g := range info.Groups {
		n, err := r.opt.Series.Window(Window{Resource: info.Name, Group: g.Name, From: to.Add(-rateTime), To: to})
		if err != nil {
			return e, err
		}
		e.Before[g.Name] = float64(n.Calls) / rateTime.Seconds()
		e.Calls += e.Before[g.Name]
	}
	sum := 0
	for _, g := range info.Groups {
		sum += c.Weights[g.Name]
	}
	for _, g := range info.Groups {
		e.After[g.Name] = e.Before[g.Name]
		if c.Type == resources.CommandSwitch && sum > 0 {
			e.After[g.Name] = e.Calls * float64(c.Weights[g.Name]) / float64(sum)
		}
		e.Moves += max(e.Before[g.Name]-e.After[g.Name], 0)
	}
	return e, nil
}
