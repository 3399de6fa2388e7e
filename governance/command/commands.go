package command

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/resources"
)

// Options say what Commands work with. Store and Resources are required.
type Options struct {
	Store store.Store
	// Resources returns the resources that there are, whoever defines them: one that files of agents define in different ways
	// comes once for each. It is called from any goroutine, with no lock held.
	Resources func() []ResourceInfo
	Log       *slog.Logger     // default: slog.Default()
	Now       func() time.Time // the wall clock; default: time.Now
	Me        string           // name of this process among the centres; default: "center"
}

// Commands are the commands of the mesh. All methods may be called from any goroutine.
type Commands struct {
	opt Options
	log *slog.Logger
	now func() time.Time

	stop   context.CancelFunc
	closed <-chan struct{} // stop was called
	done   sync.WaitGroup

	snap    atomic.Pointer[snapshot]
	wake    chan struct{} // of keep; holds one
	overdue chan struct{} // of lead; holds one

	mu      sync.Mutex
	seen    chan struct{} // closed and replaced with each snapshot
	records map[string]*active
	pending map[string]Selector // ids that came or went, and what they are for: to be told
	subs    map[int]func(ids []string, targets []Selector, revision int64)
	nextSub int
}

// snapshot is the commands at a revision. It is never changed.
type snapshot struct {
	revision int64
	list     []*active // in order
}

// active is a command whose record is in the store.
type active struct {
	Command
	deadline int64 // by internal/clock; 0: it has none
	over     bool  // its time has come; mu guards it
}

const (
	prefix      = "commands/"
	endedPrefix = "ended/"
	kept        = 1000 // ended commands

	forever     = int64(100 * 365 * 24 * time.Hour)
	seenTimeout = 2 * time.Second
)

// Open reads the commands and follows their changes. ctx bounds the first reading alone; Close ends it.
func Open(ctx context.Context, opt Options) (*Commands, error) {
	if opt.Store == nil || opt.Resources == nil {
		return nil, errors.New("commands: no store, or no resources to check them against")
	}
	if opt.Log == nil {
		opt.Log = slog.Default()
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	opt.Me = cmp.Or(opt.Me, "center")
	run, stop := context.WithCancel(context.Background())
	s := &Commands{
		opt: opt, log: opt.Log, now: opt.Now, stop: stop, closed: run.Done(),
		wake: make(chan struct{}, 1), overdue: make(chan struct{}, 1), seen: make(chan struct{}),
		records: make(map[string]*active), pending: make(map[string]Selector),
		subs: make(map[int]func([]string, []Selector, int64)),
	}
	s.snap.Store(&snapshot{})
	follower := store.Follower{Store: opt.Store, Prefix: prefix, Known: s.known, Apply: s.apply, What: "commands", Log: s.log}
	if err := follower.List(ctx); err != nil {
		stop()
		return nil, fmt.Errorf("commands: %w", err)
	}
	s.done.Go(func() { follower.Follow(run) })
	s.done.Go(func() { s.keep(run) })
	s.done.Go(func() { s.lead(run) })
	return s, nil
}

// Close ends the goroutines and waits for them. What was read can still be read.
func (s *Commands) Close() {
	s.stop()
	s.done.Wait()
}

// Revision is the store's revision of the newest change that is seen here.
func (s *Commands) Revision() int64 { return s.snap.Load().revision }

// List returns the commands in force, in the order in which they came.
func (s *Commands) List() []Command {
	now := clock.Now()
	var out []Command
	for _, a := range s.snap.Load().list {
		if a.holds(now) {
			out = append(out, a.Command)
		}
	}
	return out
}

// Get returns a command that is in force, or store.ErrNotFound.
func (s *Commands) Get(id string) (Command, error) {
	now := clock.Now()
	for _, a := range s.snap.Load().list {
		if a.ID == id && a.holds(now) {
			return a.Command, nil
		}
	}
	return Command{}, fmt.Errorf("command %s: %w", id, store.ErrNotFound)
}

// holds reports whether the time of a command has not come. The timer that ends it may be late by a moment.
func (a *active) holds(now int64) bool { return a.deadline == 0 || now < a.deadline }

// For returns the commands that hold for a resource at an agent, each with Resource filled in, in the same order on every
// centre. Those that the resource cannot take are not among them: see Misfits. What the commands hold is shared and must not
// be changed.
func (s *Commands) For(r ResourceInfo, a AgentInfo) []resources.Command {
	var now int64
	var out []resources.Command
	for _, c := range s.snap.Load().list {
		if !c.Selects(r) || !c.Concerns(a) || c.fits(r) != nil {
			continue
		}
		if now == 0 {
			now = clock.Now()
		}
		if !c.holds(now) {
			continue
		}
		one := c.Command.Command
		one.Resource = r.Name
		out = append(out, one)
	}
	return out
}

// Misfit is a command that selects a resource which cannot take it.
type Misfit struct {
	ID  string
	Err error
}

// Misfits returns the commands that select a resource and are left out for it, and why.
func (s *Commands) Misfits(r ResourceInfo) []Misfit {
	var out []Misfit
	now := clock.Now()
	for _, c := range s.snap.Load().list {
		if !c.Selects(r) || !c.holds(now) {
			continue
		}
		if err := c.fits(r); err != nil {
			out = append(out, Misfit{ID: c.ID, Err: err})
		}
	}
	return out
}

// known returns the keys of all commands, and the revision at which they were.
func (s *Commands) known() (keys []string, after int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.records {
		keys = append(keys, prefix+id)
	}
	return keys, s.Revision()
}

// apply takes over what changed at one revision.
func (s *Commands) apply(b store.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wall, now := s.now(), clock.Now()
	for _, c := range b.Changes {
		id := strings.TrimPrefix(c.Key, prefix)
		old := s.records[id]
		switch {
		case c.Deleted:
			if old != nil && !old.over {
				s.pending[id] = old.Target()
			}
			delete(s.records, id)
		case old != nil: // a record is written once
		default:
			a := &active{}
			if err := json.Unmarshal(c.Value, &a.Command); err != nil {
				s.log.Error("a command in the store cannot be read and is left out", "command", id, "error", err)
				continue
			}
			a.ID, a.Revision = id, c.Revision
			if a.Expires != nil {
				left := a.Expires.Sub(wall)
				a.deadline, a.over = now+min(int64(left), forever), left <= 0
			}
			s.records[id] = a
			if !a.over {
				s.pending[id] = a.Target()
			}
		}
	}
	s.publish(max(b.Revision, s.Revision()))
}

// publish makes the snapshot anew and wakes who waits. mu is held.
func (s *Commands) publish(revision int64) {
	next := &snapshot{revision: revision}
	overdue := false
	for _, a := range s.records {
		if a.over {
			overdue = true
		} else {
			next.list = append(next.list, a)
		}
	}
	slices.SortFunc(next.list, func(a, b *active) int {
		return cmp.Or(cmp.Compare(a.Revision, b.Revision), cmp.Compare(a.ID, b.ID))
	})
	s.snap.Store(next)
	close(s.seen)
	s.seen = make(chan struct{})
	signal(s.wake)
	if overdue {
		signal(s.overdue)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// await waits until what changed at a revision is seen, or for long enough.
func (s *Commands) await(ctx context.Context, revision int64) {
	t := time.NewTimer(seenTimeout)
	defer t.Stop()
	for {
		s.mu.Lock()
		seen := s.seen
		s.mu.Unlock()
		if s.Revision() >= revision {
			return
		}
		select {
		case <-seen:
		case <-s.closed:
			return
		case <-ctx.Done():
			return
		case <-t.C:
			return
		}
	}
}
