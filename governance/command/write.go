package command

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/internal/clock"
)

// MostAtOnce is how many commands one call of AddAll or UndoAll takes: they are one transaction.
const MostAtOnce = 32

// attempts bounds how often an Add looks for an id that is free.
const attempts = 5

// Check says what Add would do: the command with its defaults, and the names of the resources that it selects now. Nothing is
// changed.
func (s *Commands) Check(c Command) (Command, []string, error) {
	now := s.now()
	c.Created = now.UTC()
	c.ID, c.Revision = "", 0
	names, err := c.check(now, s.opt.Resources())
	return c, names, err
}

// Add gives a command, and returns it with its id. It is refused unless every resource that it selects can take it.
func (s *Commands) Add(ctx context.Context, c Command) (Command, error) {
	out, err := s.AddAll(ctx, []Command{c})
	if err != nil {
		return Command{}, err
	}
	return out[0], nil
}

// AddAll gives several commands at once: all of them, at one revision, or none.
func (s *Commands) AddAll(ctx context.Context, list []Command) ([]Command, error) {
	return s.add(ctx, list, store.Txn{}, nil)
}

// Replace ends a command and gives another in its place, in one: no call falls between them. The error is store.ErrNotFound
// if the old one has ended.
func (s *Commands) Replace(ctx context.Context, id string, c Command) (Command, error) {
	old, err := s.current(ctx, id)
	if err != nil {
		return Command{}, err
	}
	with := store.Txn{If: []store.Cond{{Key: prefix + id, Revision: old.Revision}}}
	out, err := s.add(ctx, []Command{c}, with, func(added []Command) ([]store.Op, error) {
		return endOps(Ended{Command: *old, How: Replaced, By: c.Author, Why: c.Why, Next: added[0].ID, At: s.now().UTC()})
	})
	if err != nil {
		return Command{}, err
	}
	return out[0], nil
}

// add checks and commits commands, together with what else there is.
func (s *Commands) add(ctx context.Context, list []Command, with store.Txn, also func(added []Command) ([]store.Op, error)) ([]Command, error) {
	if len(list) == 0 || len(list) > MostAtOnce {
		return nil, fmt.Errorf("%d commands at once: give 1 to %d", len(list), MostAtOnce)
	}
	out := slices.Clone(list)
	for i := range out {
		c, _, err := s.Check(out[i])
		if err != nil {
			if len(list) > 1 {
				err = fmt.Errorf("command %d of %d: %w", i+1, len(list), err)
			}
			return nil, err
		}
		out[i] = c
	}
	for attempt := 1; ; attempt++ {
		t := store.Txn{If: slices.Clone(with.If)}
		for i := range out {
			out[i].ID = newID()
			value, err := encode(&out[i])
			if err != nil {
				return nil, err
			}
			t.If = append(t.If, store.Cond{Key: prefix + out[i].ID})
			t.Then = append(t.Then, store.Op{Key: prefix + out[i].ID, Value: value})
		}
		if also != nil {
			ops, err := also(out)
			if err != nil {
				return nil, err
			}
			t.Then = append(t.Then, ops...)
		}
		revision, err := s.opt.Store.Commit(ctx, t)
		var lost *store.ConflictError
		if errors.As(err, &lost) && lost.Want == 0 && attempt < attempts {
			continue // the id is taken: one in four billion
		}
		if err != nil {
			return nil, fmt.Errorf("the command could not be kept: %w", err)
		}
		for i := range out {
			out[i].Revision = revision
		}
		s.await(ctx, revision)
		return out, nil
	}
}

// newID returns "g-" and 8 hexadecimal digits.
func newID() string {
	var b [4]byte
	rand.Read(b[:]) // never fails: crypto/rand
	return "g-" + hex.EncodeToString(b[:])
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("the command: %w", err)
	}
	if b.Len() > store.MaxValue {
		return nil, fmt.Errorf("the command takes %d bytes in the store: the limit is %d", b.Len(), store.MaxValue)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Undo ends a command. by is who does, why is optional. The error is store.ErrNotFound if it has ended, and says how.
func (s *Commands) Undo(ctx context.Context, id, by, why string) (Ended, error) {
	out, err := s.UndoAll(ctx, []string{id}, by, why)
	if err != nil {
		return Ended{}, err
	}
	return out[0], nil
}

// UndoAll ends several commands at once: all of them, at one revision, or none.
func (s *Commands) UndoAll(ctx context.Context, ids []string, by, why string) ([]Ended, error) {
	switch {
	case len(ids) == 0 || len(ids) > MostAtOnce:
		return nil, fmt.Errorf("%d commands at once: name 1 to %d", len(ids), MostAtOnce)
	case by == "":
		return nil, errors.New("undo needs to know who asks for it")
	case len(by) > maxNote || len(why) > maxNote:
		return nil, fmt.Errorf("author and reason have at most %d bytes each", maxNote)
	}
	now := s.now().UTC()
	var t store.Txn
	var out []Ended
	for i, id := range ids {
		if slices.Contains(ids[:i], id) {
			return nil, fmt.Errorf("command %s is named twice", id)
		}
		c, err := s.current(ctx, id)
		if err != nil {
			return nil, err
		}
		e := Ended{Command: *c, How: Undone, By: by, Why: why, At: now}
		ops, err := endOps(e)
		if err != nil {
			return nil, err
		}
		t.If = append(t.If, store.Cond{Key: prefix + id, Revision: c.Revision})
		t.Then = append(t.Then, ops...)
		out = append(out, e)
	}
	revision, err := s.opt.Store.Commit(ctx, t)
	if errors.Is(err, store.ErrConflict) { // somebody else ended one of them
		for _, id := range ids {
			if _, gone := s.current(ctx, id); gone != nil {
				return nil, gone
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("undo: %w", err)
	}
	s.await(ctx, revision)
	return out, nil
}

// current reads a command that is in force from the store.
func (s *Commands) current(ctx context.Context, id string) (*Command, error) {
	e, err := s.opt.Store.Get(ctx, prefix+id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, s.ended(ctx, id)
	}
	if err != nil {
		return nil, fmt.Errorf("command %s: %w", id, err)
	}
	c := &Command{}
	if err := json.Unmarshal(e.Value, c); err != nil {
		return nil, fmt.Errorf("command %s: the record is damaged: %w", id, err)
	}
	c.ID, c.Revision = id, e.Revision
	s.mu.Lock()
	a := s.records[id]
	over := a != nil && (a.over || !a.holds(clock.Now()))
	s.mu.Unlock()
	if over {
		return nil, fmt.Errorf("command %s expired at %s: %w", id, c.Expires.UTC().Format(time.RFC3339), store.ErrNotFound)
	}
	return c, nil
}

// ended is the error for a command that is not there: it says how it ended, if that is still known.
func (s *Commands) ended(ctx context.Context, id string) error {
	history, err := s.History(ctx)
	if err != nil {
		return err
	}
	for _, e := range history {
		if e.Command.ID != id {
			continue
		}
		how := e.How
		if e.By != "" {
			how += " by " + e.By
		}
		return fmt.Errorf("command %s was %s at %s: %w", id, how, e.At.UTC().Format(time.RFC3339), store.ErrNotFound)
	}
	return fmt.Errorf("there is no command %s: %w", id, store.ErrNotFound)
}

// endOps moves a command from those in force to those that ended.
func endOps(e Ended) ([]store.Op, error) {
	value, err := encode(&e)
	if err != nil {
		return nil, err
	}
	return []store.Op{
		{Key: prefix + e.Command.ID, Delete: true},
		{Key: fmt.Sprintf("%s%020d-%s", endedPrefix, e.At.UnixNano(), e.Command.ID), Value: value},
	}, nil
}

// History returns the last 1,000 commands that ended, the newest first.
func (s *Commands) History(ctx context.Context) ([]Ended, error) {
	entries, _, err := s.opt.Store.List(ctx, endedPrefix)
	if err != nil {
		return nil, fmt.Errorf("history of commands: %w", err)
	}
	entries = entries[max(0, len(entries)-kept):]
	out := make([]Ended, 0, len(entries))
	for _, entry := range slices.Backward(entries) {
		var e Ended
		if err := json.Unmarshal(entry.Value, &e); err != nil {
			return nil, fmt.Errorf("history of commands: %s: the record is damaged: %w", entry.Key, err)
		}
		out = append(out, e)
	}
	return out, nil
}
