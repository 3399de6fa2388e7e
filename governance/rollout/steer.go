package rollout

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-mesh/sluice/governance/store"
)

// attempts bounds how often an order is tried anew when the record changed meanwhile.
const attempts = 10

// ErrState is that of an order which a plan or release cannot take in the state that it is in.
var ErrState = errors.New("not possible now")

// ChecksError says that a plan was not run because checks failed.
type ChecksError struct {
	Checks []Check // all of them
	Failed []string
}

func (e *ChecksError) Error() string {
	var out []string
	for _, c := range e.Checks {
		if !c.OK && c.Override == "" {
			out = append(out, c.Name+": "+c.Detail)
		}
	}
	return "checks failed: " + strings.Join(out, "; ") + "; override them by name, with a reason, to run it all the same"
}

// Start is how a plan is run.
type Start struct {
	By  string
	Why string
	// Override names checks that may fail, and why.
	Override map[string]string
}

// AddPlan keeps a plan as a draft and returns it with its id. Progress that it holds is dropped.
func (r *Rollouts) AddPlan(ctx context.Context, p Plan) (Plan, error) {
	if err := r.checkPlan(&p); err != nil {
		return Plan{}, err
	}
	for range attempts {
		var b [4]byte
		rand.Read(b[:]) // never fails: crypto/rand
		p.ID, p.Created = "p-"+hex.EncodeToString(b[:]), r.opt.Now().UTC()
		err := r.write(ctx, &p, store.Txn{If: []store.Cond{{Key: p.key()}}})
		if isKey(err, p.key()) {
			continue // the id is taken
		}
		return p, err
	}
	return Plan{}, fmt.Errorf("no id is free: %w", store.ErrConflict)
}

// SavePlan changes a plan that is not on its way. p.Revision is what the editor has seen: another one is store.ErrConflict.
func (r *Rollouts) SavePlan(ctx context.Context, p Plan) (Plan, error) {
	w, err := r.fresh(ctx, p.ID)
	if err != nil {
		return Plan{}, err
	}
	old, ok := w.(*Plan)
	if !ok {
		return Plan{}, fmt.Errorf("%s is a release, no plan", p.ID)
	}
	if c := old.Course; c.State != Draft && c.State != Undone && c.State != Failed {
		return Plan{}, fmt.Errorf("plan %s is %s: undo it before it is changed: %w", p.ID, c.State, ErrState)
	}
	seen := p.Revision
	if err := r.checkPlan(&p); err != nil {
		return Plan{}, err
	}
	p.Created, p.Run = old.Created, old.Run
	return p, r.write(ctx, &p, store.Txn{If: []store.Cond{{Key: p.key(), Revision: seen}}})
}

// checkPlan validates a plan and makes it a draft.
func (r *Rollouts) checkPlan(p *Plan) error {
	if err := p.Validate(); err != nil {
		return err
	}
	steps := make([]Step, len(p.Steps))
	for i, s := range p.Steps {
		c := s.Command
		c.Author, c.ID, c.Plan, c.Step, c.Revision = p.Author, "", "", 0, 0
		checked, _, err := r.opt.Commands.Check(c)
		if err != nil {
			return fmt.Errorf("steps[%d].command: %w", i, err)
		}
		steps[i] = Step{Command: checked, Wait: s.Wait}
	}
	p.Course = Course{ID: p.ID, Author: p.Author, Why: p.Why, Stages: p.Stages, Guards: p.Guards, State: Draft}
	p.Steps, p.Checks, p.Overrides, p.Expires, p.Expired = steps, nil, nil, nil, false
	return nil
}

// RunPlan makes the checks and starts a plan that is a draft or was taken back. A check that fails and is not overridden makes
// the error a *ChecksError.
func (r *Rollouts) RunPlan(ctx context.Context, id string, s Start) (Plan, error) {
	if s.By == "" {
		return Plan{}, errors.New("by: somebody must answer for the run")
	}
	w, err := r.fresh(ctx, id)
	if err != nil {
		return Plan{}, err
	}
	p, ok := w.(*Plan)
	if !ok {
		return Plan{}, fmt.Errorf("%s is a release, no plan", id)
	}
	if p.State != Draft && p.State != Undone && p.State != Failed {
		return Plan{}, fmt.Errorf("plan %s is %s: only a draft, or one that was taken back, can be run: %w", id, p.State, ErrState)
	}
	old, started := p.Course, r.opt.Now().UTC()
	if err := r.checkPlan(p); err != nil {
		return Plan{}, err
	}
	p.Checks, err = r.override(r.checks(p), s.Override)
	if err != nil {
		return Plan{}, err
	}
	p.Overrides = s.Override
	p.Created, p.Run, p.Started = old.Created, old.Run+1, &started
	p.State, p.By, p.Reason = Running, s.By, s.Why
	if p.For > 0 {
		end := started.Add(p.For.D())
		p.Expires = &end
	}
	err = r.write(ctx, p, store.Txn{If: []store.Cond{{Key: p.key(), Revision: old.Revision}}})
	return *p, err
}

// AddRelease pins a resource to the version that agents run, before the new one is published: from its return until RunRelease
// every agent gets version From, whatever is published. The error is store.ErrConflict when another release of it is on its way.
func (r *Rollouts) AddRelease(ctx context.Context, rel Release) (Release, error) {
	if r.opt.Documents == nil {
		return Release{}, errors.New("this centre has no documents to release")
	}
	if err := rel.Validate(); err != nil {
		return Release{}, err
	}
	rel.Course = Course{Author: rel.Author, Why: rel.Why, Stages: rel.Stages, Guards: rel.Guards, State: Draft, Created: r.opt.Now().UTC()}
	rel.ID, rel.Step = fmt.Sprintf("%s@%d", rel.Resource, rel.To), Progress{}
	pin := pinPrefix + rel.Resource
	err := r.write(ctx, &rel, store.Txn{If: []store.Cond{{Key: rel.key()}, {Key: pin}}, Then: []store.Op{{Key: pin, Value: []byte(rel.ID)}}})
	if isKey(err, pin) {
		return Release{}, fmt.Errorf("another release of %s is on its way: end it first: %w", rel.Resource, store.ErrConflict)
	}
	return rel, err
}

// RunRelease starts a release, once its version is published.
func (r *Rollouts) RunRelease(ctx context.Context, id, by string) (Release, error) {
	w, err := r.steer(ctx, id, func(w work) error {
		rel, ok := w.(*Release)
		if !ok {
			return fmt.Errorf("%s is a plan, no release", id)
		}
		if rel.State != Draft {
			return fmt.Errorf("release %s is %s already: %w", id, rel.State, ErrState)
		}
		if v, ok := r.opt.Documents.Newest(rel.Resource); !ok || v != rel.To {
			return fmt.Errorf("the newest version of %s is %d: publish version %d first: %w", rel.Resource, v, rel.To, ErrState)
		}
		now := r.opt.Now().UTC()
		rel.State, rel.By, rel.Run, rel.Started = Running, by, 1, &now
		return nil
	})
	if err != nil {
		return Release{}, err
	}
	return *w.(*Release), nil
}

// Pause stops a plan or release where it is. What was done stays.
func (r *Rollouts) Pause(ctx context.Context, id, by, why string) error {
	_, err := r.steer(ctx, id, func(w work) error {
		c := w.course()
		if c.State != Running {
			return fmt.Errorf("%s is %s: only what is running can be paused: %w", id, c.State, ErrState)
		}
		c.State, c.By, c.Reason = Paused, by, why
		return nil
	})
	return err
}

// Continue goes on where Pause, or a rollout that waits by itself, stopped.
func (r *Rollouts) Continue(ctx context.Context, id, by, why string) error {
	_, err := r.steer(ctx, id, func(w work) error {
		c := w.course()
		if c.State != Paused {
			return fmt.Errorf("%s is %s: only what is paused can go on: %w", id, c.State, ErrState)
		}
		c.State, c.By, c.Reason = Running, by, why
		restart(w, r.opt.Now().UTC())
		return nil
	})
	return err
}

// Undo takes a plan or release back, in the reverse order. It goes on in the background.
func (r *Rollouts) Undo(ctx context.Context, id, by, why string) error {
	_, err := r.steer(ctx, id, func(w work) error {
		c := w.course()
		if p, ok := w.(*Plan); ok && p.Expired {
			return fmt.Errorf("the commands of %s are over already: they expired: %w", id, ErrState)
		}
		if rel, ok := w.(*Release); ok && c.State == Done {
			if v, _ := r.opt.Documents.Newest(rel.Resource); v != rel.To {
				return fmt.Errorf("version %d of %s was published since: bring version %d back from the history instead: %w",
					v, rel.Resource, rel.From, ErrState)
			}
		}
		switch c.State {
		case Running, Paused, Done:
		case Undoing:
			return nil
		default:
			return fmt.Errorf("%s is %s: there is nothing to take back: %w", id, c.State, ErrState)
		}
		c.State, c.By, c.Reason, c.Ended = Undoing, by, why, nil
		return nil
	})
	return err
}

// Remove forgets a plan or release that is not on its way. Removing the draft of a release lets go of the resource.
func (r *Rollouts) Remove(ctx context.Context, id string) error {
	w, err := r.fresh(ctx, id)
	if err != nil {
		return err
	}
	c := w.course()
	p, isPlan := w.(*Plan)
	if c.State == Running || c.State == Paused || c.State == Undoing || c.State == Done && isPlan && !p.Expired && p.Given() {
		return fmt.Errorf("%s is %s: undo it before it is removed: %w", id, c.State, ErrState)
	}
	t := store.Txn{If: []store.Cond{{Key: w.key(), Revision: c.Revision}}, Then: []store.Op{{Key: w.key(), Delete: true}}}
	if rel, ok := w.(*Release); ok && !rel.over() {
		t.Then = append(t.Then, store.Op{Key: pinPrefix + rel.Resource, Delete: true})
	}
	revision, err := r.opt.Store.Commit(ctx, t)
	if err != nil {
		return fmt.Errorf("remove %s: %w", id, err)
	}
	r.put(w.key(), nil, revision)
	return nil
}

// Given reports whether commands of the plan are in force, as far as the plan knows.
func (p *Plan) Given() bool {
	for i := range p.Steps {
		if s := &p.Steps[i]; s.Given != "" && s.State != StepUndone && s.State != StepExpired && s.State != StepEnded {
			return true
		}
	}
	return false
}
