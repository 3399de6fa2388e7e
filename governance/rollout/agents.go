package rollout

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/sluice-mesh/sluice/resources"
)

// targets returns the names of the resources that a step is about now.
func (r *Rollouts) targets(w work, i int) []string {
	if rel, ok := w.(*Release); ok {
		return []string{rel.Resource}
	}
	cmd := &w.(*Plan).Steps[i].Command
	var out []string
	for _, info := range r.opt.Resources() {
		if cmd.Selects(info.info()) {
			out = append(out, info.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// concerned returns the agents that a step is for when all have it, by name.
func (r *Rollouts) concerned(w work, i int) []Agent {
	names := r.targets(w, i)
	plan, isPlan := w.(*Plan)
	var out []Agent
	for _, a := range r.opt.Fleet.Agents() {
		if isPlan && !plan.Steps[i].Command.Concerns(a.AgentInfo) {
			continue
		}
		serves := slices.ContainsFunc(names, func(n string) bool {
			return slices.Contains(a.Wants, n) || isPlan && slices.Contains(a.Owns, n) // commands hold for what files define too
		})
		if serves {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b Agent) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// choose returns the agents that have a step in a stage: those of this stage and all before it, by name, and with them those
// that have it already. all says that it is for whoever the step concerns, then and later.
func (r *Rollouts) choose(w work, i, k int) (agents []string, all bool) {
	var names []string
	for _, a := range r.concerned(w, i) {
		names = append(names, a.Name)
	}
	return chosen(w.course(), k, names, w.step(i).Agents)
}

func chosen(c *Course, k int, names, have []string) (agents []string, all bool) {
	stages := c.stages()
	in := slices.Clone(have)
	for _, s := range stages[:k+1] {
		switch {
		case s.Share == 100:
			in, all = append(in, names...), true
		case s.Share > 0:
			in = append(in, share(c.ID, names, s.Share)...)
		default:
			for _, n := range names {
				if slices.ContainsFunc(s.Agents, func(p string) bool { return resources.Glob(p, n) }) {
					in = append(in, n)
				}
			}
		}
	}
	slices.Sort(in)
	return slices.Compact(in), all
}

// share returns a share of the agents, at least one of them: the first in the order of a hash that each rollout has its own
// of, so that it is not always the same agents that are first.
func share(id string, names []string, p resources.Percent) []string {
	type ranked struct {
		hash uint64
		name string
	}
	order := make([]ranked, 0, len(names))
	for _, n := range names {
		order = append(order, ranked{xxhash.Sum64String(id + "\x00" + n), n})
	}
	slices.SortFunc(order, func(a, b ranked) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.name, b.name)) })
	n := min(int(math.Ceil(float64(len(names))*float64(p)/100-1e-9)), len(names))
	out := make([]string, 0, n)
	for _, o := range order[:n] {
		out = append(out, o.name)
	}
	return out
}

// connected returns which of some agents are connected, and how many are not.
func (r *Rollouts) connected(names []string) (here map[string]struct{}, away int) {
	in := make(map[string]struct{}, len(names))
	for _, n := range names {
		in[n] = struct{}{}
	}
	here = make(map[string]struct{}, len(names))
	for _, a := range r.opt.Fleet.Agents() {
		if _, ok := in[a.Name]; ok && a.Connected {
			here[a.Name] = struct{}{}
		}
	}
	return here, len(in) - len(here)
}

// acks is what agents said of a step's newest stage.
func (r *Rollouts) acks(w work, i int) Acks {
	if rel, ok := w.(*Release); ok {
		return r.opt.Fleet.Applied(rel.Resource)
	}
	return r.opt.Fleet.Ordered(w.step(i).Given)
}

// refusalsOf says which of some agents refuse, one line for each.
func refusalsOf(all []Refusal, here map[string]struct{}) []string {
	lines := make(map[string]string)
	for _, f := range all {
		if _, ok := here[f.Agent]; !ok {
			continue
		}
		line := fmt.Sprintf("%s says of %s: %s", f.Agent, cmp.Or(f.Resource, "it"), f.Message)
		if old, ok := lines[f.Agent]; !ok || line < old {
			lines[f.Agent] = line
		}
	}
	out := make([]string, 0, len(lines))
	for _, line := range lines {
		out = append(out, line)
	}
	slices.Sort(out)
	return out
}

// anyBehind reports whether an agent that a step is for has still to hear, or to answer.
func (r *Rollouts) anyBehind(w work, i int) bool {
	return slices.ContainsFunc(r.concerned(w, i), func(a Agent) bool { return a.Connected && a.Behind })
}

// restart gives agents their whole time to answer again.
func restart(w work, now time.Time) {
	for i := range w.steps() {
		s := w.step(i)
		if k := len(s.Stages) - 1; k >= 0 && s.Stages[k].State == StageWaiting {
			s.Stages[k].Started = &now
		}
	}
}
