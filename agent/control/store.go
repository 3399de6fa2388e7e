package control

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

// MostCommands bounds the active commands of an agent: far more than operators keep in mind, few enough to compile.
const MostCommands = 1000

// ErrNotFound is wrapped by the errors of Undo for an id that is not active.
var ErrNotFound = errors.New("not found")

// ErrClosed is returned by changes after Close.
var ErrClosed = errors.New("the store is closed")

// Store holds commands and changed resources, in memory and on disk. Its methods may be called from any goroutine.
type Store struct {
	log      *slog.Logger
	problems []string // of Open

	writing  sync.Mutex // held by whoever changes something, until it is on disk
	commands file       // guarded by writing
	saved    file       // guarded by writing
	closed   bool       // guarded by writing

	mu        sync.Mutex
	active    []entry          // guarded by mu; oldest first
	resources map[string]Saved // guarded by mu
	revision  uint64           // guarded by mu
	listeners []func(string)   // guarded by mu

	wake chan struct{} // the earliest deadline may have changed
	quit chan struct{}
	done chan struct{}
}

// entry is an active command and when it ends by the monotonic clock; the zero time: never by itself.
type entry struct {
	command resources.Command
	ends    time.Time
}

// Saved is a resource that was changed over HTTP, and stands above the one in the file.
type Saved struct {
	Name    string    `json:"name"`
	Data    []byte    `json:"data,omitempty"` // as it was put: YAML or JSON
	Deleted bool      `json:"deleted,omitempty"`
	Changed time.Time `json:"changed"`
}

// Open reads the store in dir, which it makes (mode 0700) if need be. Broken files do not fail it: see [Store.Problems].
// It starts one goroutine, which Close ends.
func Open(dir string, log *slog.Logger) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	s := &Store{
		log:       log,
		commands:  file{dir: dir, name: "commands.json"},
		saved:     file{dir: dir, name: "resources.json"},
		resources: make(map[string]Saved),
		wake:      make(chan struct{}, 1),
		quit:      make(chan struct{}),
		done:      make(chan struct{}),
	}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("data folder %s: %w", dir, err)
	}
	go s.expire()
	return s, nil
}

func (s *Store) load() error {
	now := time.Now()
	var commands []resources.Command
	var saved []Saved
	revision, problems, err := s.commands.load(now, &commands)
	if err != nil {
		return err
	}
	other, more, err := s.saved.load(now, &saved)
	if err != nil {
		return err
	}
	s.revision = max(revision, other)
	s.problems = append(problems, more...)
	for _, p := range s.problems {
		s.log.Error("control state", "problem", p)
	}
	if len(s.problems) > 0 {
		// The revisions of the lost generations are not known. Nobody makes a change a second for years, so the time is
		// beyond all of them.
		s.revision = max(s.revision+1, uint64(max(0, now.Unix())))
	}
	for _, c := range commands {
		if c.Expired(now) {
			s.log.Info("command expired while the agent was down", "id", c.ID, "resource", c.Resource, "expired", c.Expires)
			s.revision++
			continue
		}
		s.active = append(s.active, entry{command: c, ends: ends(c, now)})
	}
	for _, r := range saved {
		s.resources[r.Name] = r
	}
	return nil
}

// ends turns the persisted wall time of a command into a deadline of the monotonic clock; the zero time: never.
func ends(c resources.Command, now time.Time) time.Time {
	if c.Expires == nil {
		return time.Time{}
	}
	return now.Add(left(c, now))
}

// left returns how long a command that ends by itself is in force yet, by the clock that its times were written by. A clock
// that was set back meanwhile cannot make it last longer than it was given.
func left(c resources.Command, now time.Time) time.Duration {
	d := c.Expires.Sub(now)
	if !c.Created.IsZero() {
		d = min(d, c.Expires.Sub(c.Created))
	}
	return d
}

// Problems says what Open found broken and what it did about it, one sentence each; nil when all was well.
func (s *Store) Problems() []string { return slices.Clone(s.problems) }

// Revision returns a number that grows with every change.
func (s *Store) Revision() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision
}

// OnChange adds a function that is called with a resource's name after its commands changed, by Add, Undo or expiry.
// Changes of resources themselves do not call it: who makes them knows. Calls may overlap; read the commands anew.
func (s *Store) OnChange(f func(resource string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners, f)
}

// Commands returns the active commands of a resource, or of all resources for "", oldest first. The caller owns them.
func (s *Store) Commands(resource string) []resources.Command {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []resources.Command
	for _, e := range s.active {
		if resource == "" || e.command.Resource == resource {
			out = append(out, clone(e.command))
		}
	}
	return out
}

func clone(c resources.Command) resources.Command {
	c.Weights = maps.Clone(c.Weights)
	if c.Expires != nil {
		at := *c.Expires
		c.Expires = &at
	}
	return c
}

// Add puts a command in force. It assigns ID and Created, and persists before it returns. The caller has validated the
// command against its resource. The command is refused when its time is over, or when there are MostCommands already.
func (s *Store) Add(c resources.Command) (resources.Command, error) {
	c = clone(c)
	if c.Resource == "" {
		return c, errors.New("a command needs a resource")
	}
	now := time.Now()
	c.Created = now.Round(0).UTC()
	e := entry{}
	if c.Expires != nil {
		if !c.Expires.After(now) {
			return c, fmt.Errorf("adding a command for %s: expires %s is in the past: it is %s here",
				c.Resource, c.Expires.Format(time.RFC3339), now.Format(time.RFC3339))
		}
		e.ends = now.Add(c.Expires.Sub(now))
		wall := c.Expires.Round(0).UTC()
		c.Expires = &wall
	}
	c.ID = s.newID()
	e.command = clone(c)
	err := s.change(func(list []entry) ([]entry, error) {
		if len(list) >= MostCommands {
			return nil, fmt.Errorf("%d commands are active already: undo some first", len(list))
		}
		return append(slices.Clone(list), e), nil
	})
	if err != nil {
		return c, fmt.Errorf("adding a command for %s: %w", c.Resource, err)
	}
	s.notify(c.Resource)
	return c, nil
}

// newID returns an id that no active command has.
func (s *Store) newID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		var b [3]byte
		rand.Read(b[:]) // never fails: it ends the program instead
		id := "c-" + hex.EncodeToString(b[:])
		if !slices.ContainsFunc(s.active, func(e entry) bool { return e.command.ID == id }) {
			return id
		}
	}
}

// Undo takes a command back and returns it. For an id that is not active the error wraps ErrNotFound and names those
// that are.
func (s *Store) Undo(id string) (resources.Command, error) {
	var gone resources.Command
	err := s.change(func(list []entry) ([]entry, error) {
		i := slices.IndexFunc(list, func(e entry) bool { return e.command.ID == id })
		if i < 0 {
			return nil, fmt.Errorf("command %q %w: %s", id, ErrNotFound, idsOf(list))
		}
		gone = list[i].command
		return slices.Delete(slices.Clone(list), i, i+1), nil
	})
	if err != nil {
		return resources.Command{}, fmt.Errorf("undo: %w", err)
	}
	s.notify(gone.Resource)
	return clone(gone), nil
}

// idsOf lists commands for an error.
func idsOf(list []entry) string {
	const most = 20
	var ids []string
	for _, e := range list {
		ids = append(ids, fmt.Sprintf("%s (%s %s)", e.command.ID, e.command.Type, e.command.Resource))
	}
	switch {
	case len(ids) == 0:
		return "no command is active"
	case len(ids) > most:
		return fmt.Sprintf("active are %s and %d more", strings.Join(ids[:most], ", "), len(ids)-most)
	}
	return "active are " + strings.Join(ids, ", ")
}

// change plans the next list of commands, writes it, and only then shows it. plan must not change the list it is given.
// It runs a second time on what is active after the write, since commands may have ended meanwhile.
func (s *Store) change(plan func([]entry) ([]entry, error)) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.closed {
		return ErrClosed
	}
	now := time.Now()
	before, revision := s.state()
	after, err := plan(before)
	if err != nil {
		return err
	}
	if err := s.commands.save(revision+1, now, commandsOf(after)); err != nil {
		return fmt.Errorf("not done, since it cannot be kept: %w", err)
	}
	s.mu.Lock()
	if list, err := plan(s.active); err == nil {
		s.active = list
	}
	s.revision++
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default: // a wake-up is pending
	}
	return nil
}

// state returns the active commands, which must not be changed, and the revision.
func (s *Store) state() ([]entry, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active, s.revision
}

func commandsOf(list []entry) []resources.Command {
	out := make([]resources.Command, len(list))
	for i, e := range list {
		out[i] = e.command
	}
	return out
}

// notify calls the OnChange functions. No lock is held.
func (s *Store) notify(names ...string) {
	s.mu.Lock()
	listeners := slices.Clone(s.listeners)
	s.mu.Unlock()
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		for _, f := range listeners {
			f(name)
		}
	}
}

// Resources returns the resources that were changed over HTTP, by name. Deleted ones are among them, so that one of the
// file stays away after a restart.
func (s *Store) Resources() []Saved {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Saved, 0, len(s.resources))
	for _, r := range s.resources {
		r.Data = slices.Clone(r.Data)
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Saved) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// PutResource keeps a resource as it was put over HTTP: checked, and without literal secrets.
func (s *Store) PutResource(name string, data []byte) error {
	return s.changeResource(name, func(all map[string]Saved, now time.Time) {
		all[name] = Saved{Name: name, Data: slices.Clone(data), Changed: now.UTC()}
	})
}

// DeleteResource keeps in mind that a resource is deleted, even if the file has it.
func (s *Store) DeleteResource(name string) error {
	return s.changeResource(name, func(all map[string]Saved, now time.Time) {
		all[name] = Saved{Name: name, Deleted: true, Changed: now.UTC()}
	})
}

// ForgetResource drops what was changed over HTTP, so that the file alone says what the resource is.
func (s *Store) ForgetResource(name string) error {
	return s.changeResource(name, func(all map[string]Saved, _ time.Time) { delete(all, name) })
}

func (s *Store) changeResource(name string, apply func(all map[string]Saved, now time.Time)) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.closed {
		return fmt.Errorf("resource %s: %w", name, ErrClosed)
	}
	now := time.Now()
	s.mu.Lock()
	all, revision := maps.Clone(s.resources), s.revision+1
	s.mu.Unlock()
	apply(all, now)
	list := slices.SortedFunc(maps.Values(all), func(a, b Saved) int { return cmp.Compare(a.Name, b.Name) })
	if err := s.saved.save(revision, now, list); err != nil {
		return fmt.Errorf("resource %s: not done, since it cannot be kept: %w", name, err)
	}
	s.mu.Lock()
	s.resources, s.revision = all, revision
	s.mu.Unlock()
	return nil
}

// Close ends the expiry and waits for it. Commands stay readable; changes are refused.
func (s *Store) Close() error {
	s.writing.Lock()
	already := s.closed
	s.closed = true
	s.writing.Unlock()
	if !already {
		close(s.quit)
	}
	<-s.done
	return nil
}

// expire takes commands back at their time. One timer serves all of them.
func (s *Store) expire() {
	defer close(s.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if next, any := s.nextEnd(); any {
			timer.Reset(time.Until(next))
		} else {
			timer.Stop()
		}
		select {
		case <-timer.C:
			s.dropEnded()
		case <-s.wake:
		case <-s.quit:
			return
		}
	}
}

// nextEnd returns when the next command ends.
func (s *Store) nextEnd() (next time.Time, any bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.active {
		if !e.ends.IsZero() && (!any || e.ends.Before(next)) {
			next, any = e.ends, true
		}
	}
	return next, any
}

// dropEnded takes back what is past its time: in memory, then for the resources, and on disk last, so that a slow disk
// does not keep a command in force.
func (s *Store) dropEnded() {
	now := time.Now()
	var keep, gone []entry
	s.mu.Lock()
	for _, e := range s.active {
		if e.ends.IsZero() || now.Before(e.ends) {
			keep = append(keep, e)
		} else {
			gone = append(gone, e)
		}
	}
	if len(gone) > 0 {
		s.active = keep
		s.revision++
	}
	s.mu.Unlock()
	if len(gone) == 0 {
		return
	}
	var names []string
	for _, e := range gone {
		c := &e.command
		s.log.Info("command expired", "id", c.ID, "resource", c.Resource, "what", string(c.Type)+" "+c.Summary())
		names = append(names, c.Resource)
	}
	s.notify(names...)

	s.writing.Lock()
	defer s.writing.Unlock()
	list, revision := s.state()
	if err := s.commands.save(revision, now, commandsOf(list)); err != nil {
		s.log.Error("expired commands are out of force, but that cannot be written; the next start drops them", "error", err)
	}
}
