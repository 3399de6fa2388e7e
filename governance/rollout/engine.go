package rollout

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
)

// move is what the engine would do next with a plan or release: commit the work, which it has changed, or wait.
type move struct {
	commit bool
	what   string    // in words, for the logs
	txn    store.Txn // what is changed beside the record, and under which conditions
	wait   time.Duration
}

func wait(d time.Duration) *move { return &move{wait: max(d, time.Millisecond)} }

func done(format string, args ...any) *move {
	return &move{commit: true, what: fmt.Sprintf(format, args...)}
}

// next decides what to do with a plan or release. It changes w, and nothing else but what Documents.Back does. nil: nothing
// until somebody changes the record.
func (r *Rollouts) next(ctx context.Context, w work) (*move, error) {
	c, now := w.course(), r.opt.Now().UTC()
	if end := w.expires(); end != nil && c.State != Undoing {
		if p := w.(*Plan); (c.State == Running || c.State == Paused || c.State == Done) && !p.Expired {
			if !now.Before(*end) {
				return expire(p, now), nil
			}
			if c.State != Running {
				return wait(min(end.Sub(now), forever)), nil
			}
		}
	}
	switch c.State {
	case Running:
		m, err := r.forward(ctx, w, now)
		if m != nil && !m.commit && w.expires() != nil {
			m.wait = min(m.wait, max(w.expires().Sub(now), time.Millisecond))
		}
		return m, err
	case Undoing:
		return r.backward(ctx, w, now)
	}
	return nil, nil
}

// expire ends a plan whose commands are over.
func expire(p *Plan, now time.Time) *move {
	unfinished := p.State != Done
	p.State, p.Expired, p.Ended = Done, true, &now
	p.Reason = "its time was over, and all its commands expired"
	if unfinished {
		p.Reason += " before all steps were done"
	}
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.Given != "" && s.State != StepEnded {
			s.State = StepExpired
		}
		s.Agents = nil
	}
	return done("expired")
}

// forward goes on with a plan or release that is running.
func (r *Rollouts) forward(ctx context.Context, w work, now time.Time) (*move, error) {
	for i := range w.steps() {
		s := w.step(i)
		if s.State == StepDone || s.State == StepEnded {
			continue
		}
		return r.stepForward(ctx, w, i, now)
	}
	c := w.course()
	c.State, c.Reason, c.Ended = Done, "", &now
	m := done("all of it is done")
	release(w, &m.txn)
	return m, nil
}

// release lets go of the resource that a release has pinned.
func release(w work, t *store.Txn) {
	if rel, ok := w.(*Release); ok {
		t.Then = append(t.Then, store.Op{Key: pinPrefix + rel.Resource, Delete: true})
	}
}

// stepForward goes on with one step.
func (r *Rollouts) stepForward(ctx context.Context, w work, i int, now time.Time) (*move, error) {
	s, stages := w.step(i), w.course().stages()
	if s.State == StepRunning {
		held, err := r.held(ctx, w, i)
		if err != nil {
			return nil, err
		}
		if !held {
			s.State, s.Ended, s.Agents = StepEnded, &now, nil
			s.Error = "somebody ended its command by hand"
			c := w.course()
			c.State, c.Reason = Paused, fmt.Sprintf("command %s of step %d was ended by hand: continue with the next step, or undo the others", s.Given, i+1)
			return done("step %d was ended by hand", i+1), nil
		}
	}
	k := len(s.Stages) - 1
	if k >= 0 && s.Stages[k].State == StageWaiting {
		return r.await(w, i, k, now)
	}
	if k >= 0 && s.Stages[k].State == StageBaking {
		return r.bake(w, i, k, now)
	}
	if k+1 < len(stages) {
		return r.begin(ctx, w, i, k+1, now)
	}
	s.State, s.Ended = StepDone, &now
	if _, plan := w.(*Plan); plan {
		s.Agents = nil // they may be many, and the record is bounded; the command names them
	}
	return done("step %d is done", i+1), nil
}

// begin gives a stage what it is to have.
func (r *Rollouts) begin(ctx context.Context, w work, i, k int, now time.Time) (*move, error) {
	s, stage := w.step(i), w.course().stages()[k]
	if d := r.grace(w, now); d > 0 {
		return wait(d), nil
	}
	if m := r.blind(w, i, k, now, r.opt.Fleet.Whole()); m != nil { // a stage of some agents would leave out those that are not seen
		return m, nil
	}
	agents, all := r.choose(w, i, k)
	if s.State == StepWaiting {
		s.State, s.Started = StepRunning, &now
	}
	_, away := r.connected(agents)
	p := StageProgress{Name: stage.Name, State: StageWaiting, Started: &now, Of: len(agents), Away: away}
	if !all && len(agents) == len(s.Agents) { // stages only add
		p.State, p.Ended = StageSkipped, &now
		s.Stages = append(s.Stages, p)
		return done("stage %d of step %d is for no other agents", k+1, i+1), nil
	}
	m := done("stage %d of step %d begins", k+1, i+1)
	s.Agents, s.All = agents, all
	s.Stages = append(s.Stages, p)
	if plan, ok := w.(*Plan); ok {
		refused, err := r.give(ctx, plan, i, k, now, &m.txn)
		if err != nil {
			return nil, err
		}
		if refused != "" {
			return r.fail(w, i, k, now, refused), nil
		}
	}
	return m, nil
}

// await waits until the agents of a stage have answered.
func (r *Rollouts) await(w work, i, k int, now time.Time) (*move, error) {
	s := w.step(i)
	st := &s.Stages[k]
	c := w.course()
	if d := r.grace(w, now); d > 0 {
		return wait(d), nil
	}
	unseen := r.opt.Fleet.Whole() // before anything is read of the agents
	here, away := r.connected(s.Agents)
	acks := r.acks(w, i)
	refused := refusalsOf(acks.Refused, here)
	if len(refused) > c.Guards.Refusals {
		st.Guards = append(st.Guards, GuardState{Name: "refusals", Value: fmt.Sprint(len(refused)), Limit: fmt.Sprint(c.Guards.Refusals), Detail: refused[0]})
		return r.fail(w, i, k, now, "refused: "+strings.Join(refused[:min(len(refused), 3)], "; ")), nil
	}
	if m := r.blind(w, i, k, now, unseen); m != nil {
		return m, nil
	}
	var behind []string
	for _, a := range acks.Behind {
		if _, ok := here[a]; ok {
			behind = append(behind, a)
		}
	}
	// A command's holders are of this stage alone, so that their number says that none is missing. What the fleet says right
	// after a commit may not know of it yet; and some agents have nothing to answer, as their own file lacks the group.
	waited := now.Sub(r.sinceSeen(*st.Started))
	_, plan := w.(*Plan)
	if lost := away > st.Away || len(here) == 0 && len(s.Agents) > 0; lost && waited < r.opt.AckWait {
		return wait(r.opt.Poll), nil // they went since it began, and may come back
	}
	if len(here) == 0 && len(s.Agents) > 0 {
		c.State, c.Reason = Paused, fmt.Sprintf("none of the %d agents of stage %d of step %d is connected", len(s.Agents), k+1, i+1)
		return done("no agent is there"), nil
	}
	if len(behind) == 0 && (waited >= r.opt.Settle || plan && acks.Applied+len(refused) >= len(here)) {
		st.State, st.Acked = StageBaking, &now
		st.Of, st.Applied, st.Away = len(s.Agents), max(len(here)-len(refused), 0), away
		st.Guards = append(st.Guards, GuardState{Name: "refusals", OK: true, Value: fmt.Sprint(len(refused)), Limit: fmt.Sprint(c.Guards.Refusals)})
		return done("all agents of stage %d of step %d answered", k+1, i+1), nil
	}
	if waited >= r.opt.AckWait && len(behind) > 0 {
		slices.Sort(behind)
		who := strings.Join(behind[:min(len(behind), 3)], ", ")
		if more := len(behind) - 3; more > 0 {
			who += fmt.Sprintf(" and %d more", more)
		}
		return r.fail(w, i, k, now, fmt.Sprintf("%s did not answer within %s", who, r.opt.AckWait)), nil
	}
	return wait(r.opt.Poll), nil
}

// blind returns what to do while not all agents are seen, and err says why: a rollout waits, and pauses in the end. nil: go on.
func (r *Rollouts) blind(w work, i, k int, now time.Time, err error) *move {
	if err == nil {
		r.unseen = [2]time.Time{}
		return nil
	}
	if since, last := r.unseen[0], r.unseen[1]; since.IsZero() || now.Sub(last) > r.opt.AckWait { // nobody looked meanwhile
		r.unseen[0] = now
	}
	r.unseen[1] = now
	if now.Sub(r.unseen[0]) < r.opt.AckWait {
		return wait(r.opt.Poll)
	}
	c := w.course()
	c.State, c.Reason = Paused, fmt.Sprintf("not all agents are seen, and stage %d of step %d does not pass unseen: %v", k+1, i+1, err)
	return done("not all agents are seen")
}

// grace is how much longer a centre that has taken over leaves a rollout alone: agents have to find their way to it first, and
// a stage must not be taken for one of no agents.
func (r *Rollouts) grace(w work, now time.Time) time.Duration {
	since := time.Unix(0, r.since.Load())
	if started := w.course().Started; started == nil || !started.Before(since) {
		return 0
	}
	return min(since.Add(r.opt.Grace).Sub(now), r.opt.Grace)
}

// sinceSeen is the time from which agents could answer this centre: those that are silent while nobody listens are not late.
func (r *Rollouts) sinceSeen(began time.Time) time.Time {
	if since := time.Unix(0, r.since.Load()); began.Before(since) {
		return since.Add(r.opt.Grace)
	}
	return began
}

// bake looks at the guards until the time of a stage is over.
func (r *Rollouts) bake(w work, i, k int, now time.Time) (*move, error) {
	st := &w.step(i).Stages[k]
	length := bake(w, i, k)
	end := st.Acked.Add(length)
	guards := w.course().Guards
	if !guards.measured() || length == 0 {
		if now.Before(end) {
			return wait(end.Sub(now)), nil
		}
		st.State, st.Ended = StageDone, &now
		return done("stage %d of step %d is done", k+1, i+1), nil
	}
	end = end.Add(r.opt.Late)
	last := !now.Before(end)
	if !last && now.Sub(*st.Acked) < r.opt.Late {
		return wait(min(end.Sub(now), r.opt.Late-now.Sub(*st.Acked))), nil
	}
	seen, breach, err := r.look(w, i, k, now, last)
	switch {
	case err != nil && last:
		c := w.course()
		c.State, c.Reason = Paused, fmt.Sprintf("the guards cannot be looked at, and nothing passes unseen: %v", err)
		return done("the guards cannot be looked at"), nil
	case err != nil:
		r.opt.Log.Warn("the guards of a rollout cannot be looked at for now", "id", w.course().ID, "error", err)
	case breach != "":
		st.Guards = append(st.Guards, seen...)
		return r.fail(w, i, k, now, breach), nil
	case last:
		st.Guards = append(st.Guards, seen...)
		st.State, st.Ended = StageDone, &now
		return done("stage %d of step %d is done", k+1, i+1), nil
	}
	return wait(min(end.Sub(now), lookEvery)), nil
}

// lookEvery is how often guards are looked at before a bake is over.
const lookEvery = 5 * time.Second

// fail begins to take everything back, because of a stage.
func (r *Rollouts) fail(w work, i, k int, now time.Time, why string) *move {
	s, c := w.step(i), w.course()
	st := &s.Stages[k]
	st.State, st.Ended = StageFailed, &now
	s.Error = why
	name := st.Name
	if name == "" {
		name = fmt.Sprint(k + 1)
	}
	c.State, c.Fails = Undoing, true
	c.Reason = fmt.Sprintf("step %d, stage %s: %s", i+1, name, why)
	if _, ok := w.(*Release); ok {
		c.Reason = fmt.Sprintf("stage %s: %s", name, why)
	}
	return done("it goes back")
}

// backWait is how long taking back waits for agents before it goes on with the next step: those that hang must not keep it.
const backWait = 10 * time.Second

// backward goes on taking a plan or release back: the last step first.
func (r *Rollouts) backward(ctx context.Context, w work, now time.Time) (*move, error) {
	c := w.course()
	for i := w.steps() - 1; i >= 0; i-- {
		s := w.step(i)
		switch s.State {
		case StepWaiting, StepEnded, StepUndone, StepExpired:
		case StepUndoing:
			since := now.Sub(*s.Back)
			if since < r.opt.Settle || since < min(r.opt.AckWait, backWait) && r.anyBehind(w, i) {
				return wait(r.opt.Poll), nil
			}
			s.State, s.Ended, s.Agents = StepUndone, &now, nil
			return done("step %d is taken back", i+1), nil
		default:
			m := done("step %d is being taken back", i+1)
			if plan, ok := w.(*Plan); ok {
				if err := r.take(ctx, plan, i, now, &m.txn); err != nil {
					return nil, err
				}
			}
			s.State, s.Back, s.All = StepUndoing, &now, false
			return m, nil
		}
	}
	if rel, ok := w.(*Release); ok {
		as := r.opt.Actor(ctx, "center "+r.opt.Me, "back", rel.ID, c.Reason)
		if err := r.opt.Documents.Back(as, rel.Resource, rel.From, rel.To, rel.Author, "release "+rel.ID+" was taken back: "+c.Reason); err != nil {
			return nil, fmt.Errorf("version %d cannot be made the newest again: %w", rel.From, err)
		}
	}
	c.State, c.Ended = Undone, &now
	if c.Fails {
		c.State = Failed
	}
	m := done("it was taken back")
	release(w, &m.txn)
	return m, nil
}
