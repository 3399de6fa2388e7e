package command

import (
	"context"
	"errors"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
)

// office is what the centres elect the one for that moves expired commands.
const office = "commands"

// tidyEvery is how often the leader forgets what is beyond the history's bound.
const tidyEvery = time.Minute

// lead moves the records of expired commands to the history whenever this process leads.
func (s *Commands) lead(ctx context.Context) {
	store.Reign(ctx, s.opt.Store, office, s.opt.Me, "moving expired commands to the history", s.log, s.reign)
}

// reign does the leader's work until the leadership is lost, which is no error, or something fails.
func (s *Commands) reign(ctx context.Context, l store.Leadership) error {
	tidy := time.NewTicker(tidyEvery)
	defer tidy.Stop()
	if err := s.tidy(ctx, l); err != nil {
		return err
	}
	for {
		if err := s.moveExpired(ctx, l); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.Lost():
			return nil
		case <-s.overdue:
		case <-tidy.C:
			if err := s.tidy(ctx, l); err != nil {
				return err
			}
		}
	}
}

// moveExpired writes down what has expired. A command that somebody undoes at this very moment is his.
func (s *Commands) moveExpired(ctx context.Context, l store.Leadership) error {
	var over []Command
	s.mu.Lock()
	for _, a := range s.records {
		if a.over {
			over = append(over, a.Command)
		}
	}
	s.mu.Unlock()
	for _, c := range over {
		at := *c.Expires
		ops, err := endOps(Ended{Command: c, How: Expired, At: at.UTC()})
		if err != nil {
			return err
		}
		_, err = s.opt.Store.Commit(ctx, store.Txn{If: []store.Cond{l.Guard(), {Key: prefix + c.ID, Revision: c.Revision}}, Then: ops})
		var lost *store.ConflictError
		switch {
		case err == nil:
		case errors.As(err, &lost) && lost.Key == prefix+c.ID:
		case errors.As(err, &lost): // another one leads
			return nil
		default:
			return err
		}
	}
	return nil
}

// tidy forgets the oldest ended commands beyond the bound.
func (s *Commands) tidy(ctx context.Context, l store.Leadership) error {
	const batch = 100
	entries, _, err := s.opt.Store.List(ctx, endedPrefix)
	if err != nil {
		return err
	}
	for n := len(entries) - kept; n > 0; n -= batch {
		t := store.Txn{If: []store.Cond{l.Guard()}}
		for _, e := range entries[:min(n, batch)] {
			t.Then = append(t.Then, store.Op{Key: e.Key, Delete: true})
		}
		entries = entries[min(n, batch):]
		if _, err := s.opt.Store.Commit(ctx, t); err != nil {
			if errors.Is(err, store.ErrConflict) {
				return nil // another one leads
			}
			return err
		}
	}
	return nil
}
