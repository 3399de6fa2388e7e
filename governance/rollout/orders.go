package rollout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-mesh/sluice/governance/command"
	"github.com/sluice-mesh/sluice/governance/store"
)

// Keys of package command: commands in force, and those that ended, by time.
const (
	commandPrefix = "commands/"
	endedPrefix   = "ended/"
)

// give adds to a transaction what gives a stage its command, in place of that of the stage before it. What it returns says why
// the command cannot be given any more; the work is changed.
func (r *Rollouts) give(ctx context.Context, p *Plan, i, k int, now time.Time, t *store.Txn) (refused string, err error) {
	s := &p.Steps[i]
	c := s.Command
	c.Author, c.ID, c.Plan, c.Step, c.Revision, c.Expires = p.Author, "", "", 0, 0, p.Expires
	if c.Why == "" {
		c.Why = p.Why
	}
	checked, _, err := r.opt.Commands.Check(c)
	if err != nil { // the resources changed since the plan was run
		return fmt.Sprintf("the command cannot be given any more: %v", err), nil
	}
	c = checked
	c.ID, c.Plan, c.Step, c.Created = commandID(p, i, k), p.ID, i+1, now
	if !s.All {
		c.Agents = s.Agents
	}
	value, err := encodeJSON(&c)
	if err != nil {
		return "", fmt.Errorf("the command of step %d: %w", i+1, err)
	}
	t.If = append(t.If, store.Cond{Key: commandPrefix + c.ID})
	t.Then = append(t.Then, store.Op{Key: commandPrefix + c.ID, Value: value})
	if s.Given != "" {
		over := command.Ended{How: command.Replaced, By: p.Author, Why: "the next stage", Next: c.ID, At: now}
		if was, err := r.end(ctx, s.Given, over, t); err != nil {
			return "", err
		} else if !was { // this very moment: the next look says so
			return "", fmt.Errorf("command %s has ended", s.Given)
		}
	}
	s.Given = c.ID
	return "", nil
}

// take adds to a transaction what ends a step's command, if it has not ended.
func (r *Rollouts) take(ctx context.Context, p *Plan, i int, now time.Time, t *store.Txn) error {
	s := &p.Steps[i]
	if s.Given == "" {
		return nil
	}
	by := p.By
	if p.Fails || by == "" {
		by = p.Author
	}
	_, err := r.end(ctx, s.Given, command.Ended{How: command.Undone, By: by, Why: p.Reason, At: now}, t)
	return err
}

// end adds to a transaction what ends a command, and reports whether it was in force.
func (r *Rollouts) end(ctx context.Context, id string, over command.Ended, t *store.Txn) (bool, error) {
	e, err := r.opt.Store.Get(ctx, commandPrefix+id)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(e.Value, &over.Command); err != nil {
		return false, fmt.Errorf("command %s: the record is damaged: %w", id, err)
	}
	over.Command.ID, over.Command.Revision = id, e.Revision
	value, err := encodeJSON(&over)
	if err != nil {
		return false, fmt.Errorf("command %s: %w", id, err)
	}
	t.If = append(t.If, store.Cond{Key: e.Key, Revision: e.Revision})
	t.Then = append(t.Then, store.Op{Key: e.Key, Delete: true},
		store.Op{Key: fmt.Sprintf("%s%020d-%s", endedPrefix, over.At.UnixNano(), id), Value: value})
	return true, nil
}

// held reports whether the command of a running step is in force still. A release has none.
func (r *Rollouts) held(ctx context.Context, w work, i int) (bool, error) {
	given := w.step(i).Given
	if given == "" {
		return true, nil
	}
	_, err := r.opt.Store.Get(ctx, commandPrefix+given)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
