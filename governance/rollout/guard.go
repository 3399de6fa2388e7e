package rollout

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

const (
	// minCalls is how many calls a p99 needs to mean anything, and a share of errors before the end of a bake.
	minCalls = 50
	// minFailed is how many calls must fail: one that does is no trend.
	minFailed = 3
	// minBefore is the shortest time before a step that is compared with.
	minBefore = time.Minute
)

// compared is what guards look at: the calls of a stage's agents to a resource, and those of all other agents meanwhile.
type compared struct {
	resource                               string
	before, after, otherBefore, otherAfter Numbers
	hasOthers                              bool
}

// look compares the calls of a stage's agents with those before the step. breach says what is wrong; it is "" while all is
// well. last says that the bake is over: then few calls count too.
func (r *Rollouts) look(w work, i, k int, now time.Time, last bool) (seen []GuardState, breach string, err error) {
	s, g := w.step(i), w.course().Guards
	st := &s.Stages[k]
	length := bake(w, i, k)
	after := Window{From: *st.Acked, To: st.Acked.Add(length)}
	if now.Before(after.To) {
		after.To = now
	}
	before := Window{From: s.Started.Add(-max(length, minBefore)), To: *s.Started}
	errs, p99 := GuardState{Name: "errors", OK: true, Limit: g.Errors.String()}, GuardState{Name: "p99", OK: true, Limit: g.P99.String()}
	worstErrs, worstP99 := math.Inf(-1), math.Inf(-1)
	for _, name := range r.targets(w, i) {
		c, err := r.compare(name, before, after, r.narrow(w, i), r.control(w, i))
		if err != nil {
			return nil, "", fmt.Errorf("resource %s: %w", name, err)
		}
		if last && c.after.Calls == 0 && c.before.Calls >= minCalls {
			return nil, "", fmt.Errorf("resource %s: no call was counted since, and %d were before", name, c.before.Calls)
		}
		if rise := c.rise(); g.Errors > 0 && rise > worstErrs {
			worstErrs = rise
			enough := c.after.Failed >= minFailed && (last || c.after.Calls >= minCalls)
			errs.OK = errs.OK && !(enough && 100*rise > float64(g.Errors))
			errs.Value = points(rise)
			errs.Detail = fmt.Sprintf("%s: %s of %d calls failed, %s of %d before", name, percent(c.after), c.after.Calls, percent(c.before), c.before.Calls)
		}
		if ratio, ok := c.slower(); g.P99 > 0 && ok && ratio > worstP99 {
			worstP99 = ratio
			p99.OK = p99.OK && ratio <= float64(g.P99)
			p99.Value = Ratio(math.Round(ratio*1e3) / 1e3).String()
			p99.Detail = fmt.Sprintf("%s: p99 is %s, and was %s", name, c.after.P99.Round(time.Microsecond), c.before.P99.Round(time.Microsecond))
		}
	}
	p99.Value = cmp.Or(p99.Value, "too few calls to say")
	errs.Value = cmp.Or(errs.Value, "no resource")
	for _, on := range []struct {
		on bool
		s  GuardState
	}{{g.Errors > 0, errs}, {g.P99 > 0, p99}} {
		if !on.on {
			continue
		}
		seen = append(seen, on.s)
		if !on.s.OK {
			breach = fmt.Sprintf("guard %s: %s, more than %s (%s)", on.s.Name, on.s.Value, on.s.Limit, on.s.Detail)
		}
	}
	return seen, breach, nil
}

// narrow returns the agents whose calls show what a step does; nil for all.
func (r *Rollouts) narrow(w work, i int) []string {
	s := w.step(i)
	if p, ok := w.(*Plan); s.All && (!ok || len(p.Steps[i].Command.Agents) == 0 && len(p.Steps[i].Command.IDCs) == 0) {
		return nil
	}
	return s.Agents
}

// control reports whether there are agents that the step's stage is not for.
func (r *Rollouts) control(w work, i int) bool { return r.narrow(w, i) != nil }

func (r *Rollouts) compare(resource string, before, after Window, agents []string, control bool) (compared, error) {
	c := compared{resource: resource, hasOthers: control}
	before.Resource, after.Resource = resource, resource
	var errs []error
	get := func(w Window, in, out []string) Numbers {
		w.Agents, w.NotAgents = slices.Clone(in), slices.Clone(out)
		n, err := r.opt.Series.Window(w)
		errs = append(errs, err)
		return n
	}
	c.before, c.after = get(before, agents, nil), get(after, agents, nil)
	if control {
		c.otherBefore, c.otherAfter = get(before, nil, agents), get(after, nil, agents)
	}
	return c, errors.Join(errs...)
}

func failed(n Numbers) float64 {
	if n.Calls == 0 {
		return 0
	}
	return float64(n.Failed) / float64(n.Calls)
}

// rise is by how much the share of failed calls rose, less what it rose where the step has not come.
func (c *compared) rise() float64 {
	rise := failed(c.after) - failed(c.before)
	if c.hasOthers && c.otherAfter.Calls >= minCalls && c.otherBefore.Calls >= minCalls {
		rise -= max(failed(c.otherAfter)-failed(c.otherBefore), 0)
	}
	return rise
}

// slower is the p99 to what it was, less what it became slower where the step has not come; false when too few calls say so.
func (c *compared) slower() (float64, bool) {
	if c.after.Calls < minCalls || c.before.Calls < minCalls || c.before.P99 <= 0 {
		return 0, false
	}
	ratio := float64(c.after.P99) / float64(c.before.P99)
	if c.hasOthers && c.otherAfter.Calls >= minCalls && c.otherBefore.Calls >= minCalls && c.otherBefore.P99 > 0 {
		ratio /= max(float64(c.otherAfter.P99)/float64(c.otherBefore.P99), 1)
	}
	return ratio, true
}

func points(v float64) string {
	return strconv.FormatFloat(math.Round(v*1e4)/100, 'f', -1, 64) + " points"
}

func percent(n Numbers) string {
	return strconv.FormatFloat(math.Round(failed(n)*1e4)/100, 'f', -1, 64) + "%"
}
