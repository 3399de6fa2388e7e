package control

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
	wire "github.com/sluice-mesh/sluice/protocols/control"
	"github.com/sluice-mesh/sluice/resources"
)

// CenterState is what a centre said, as far as it is in force.
type CenterState struct {
	Cluster   string              `json:"cluster"` // whose revisions these are
	Revision  uint64              `json:"revision"`
	Wants     []string            `json:"wants,omitempty"` // what the agent had asked for, sorted
	Resources []CenterResource    `json:"resources,omitempty"`
	Refused   []string            `json:"refused,omitempty"` // resources whose newest spec the agent could not use
	Commands  []resources.Command `json:"commands,omitempty"`
	Saved     time.Time           `json:"saved"`          // by the centre's clock: when it was known to be what the centre says
	Clock     clock.Mark          `json:"clock,omitzero"` // of the centre, when this was written
}

// CenterResource is a resource as a centre defined it, with the secrets that its spec refers to.
type CenterResource struct {
	Name     string          `json:"name"`
	Revision uint64          `json:"revision"`
	Hash     string          `json:"hash"`
	Spec     json.RawMessage `json:"spec"`
	Secrets  []wire.Secret   `json:"secrets,omitempty"`
	Orphan   bool            `json:"orphan,omitempty"` // a centre with another history does not have it
}

// clone copies what may be changed.
func (s CenterState) clone() CenterState {
	s.Wants, s.Resources, s.Refused = slices.Clone(s.Wants), slices.Clone(s.Resources), slices.Clone(s.Refused)
	commands := make([]resources.Command, len(s.Commands))
	for i, c := range s.Commands {
		commands[i] = clone(c)
	}
	s.Commands = commands
	return s
}

// Times of keeping the centre's state.
const (
	keepAgain = 4 * time.Second  // after a save that failed
	keepFresh = 10 * time.Minute // a state that is still true is saved again, so that the next start knows how old it is
)

// Center keeps what the centre said, in memory and on disk, so that an agent starts with it before it reaches a centre. It
// takes the centre's commands back when their time is over, whether the centre is there or not. Unlike a [Store] what it
// is given holds even when it cannot be written: the centre has it, and it is tried again.
//
// When commands end is written by the centre's clock. What is left is counted by that clock as it is known when they come, and
// then by the monotonic one: see [clock.Followed]. A start without a centre goes on from the clock that was kept, and
// counts anew when the centre is heard.
type Center struct {
	log      *slog.Logger
	clock    *clock.Followed // the centre's
	found    bool
	problems []string

	writing sync.Mutex // serialises saves
	file    file       // guarded by writing
	kept    uint64     // guarded by writing: number of the state on disk
	closed  bool       // guarded by writing

	mu       sync.Mutex
	state    CenterState           // guarded by mu
	number   uint64                // guarded by mu: rises with each state
	changes  uint64                // guarded by mu: likewise, but not when a state is only confirmed
	ends     map[string]deadline   // guarded by mu: by key of a command
	guessed  bool                  // guarded by mu: a command was ended by a clock that is a guess
	failed   error                 // guarded by mu: of the last save
	listener func(resource string) // guarded by mu

	wake chan struct{}
	quit chan struct{}
	done chan struct{}
}

// deadline is when a command ends: as it is written, and by the monotonic clock, which counts. Zero: never by itself.
type deadline struct {
	written, at time.Time
	sure        bool // it was not counted by a guess at the centre's clock
}

// OpenCenter reads the newest state in dir, which exists. A state that is broken is kept aside and said so in the log and
// in [Center.Problems]; the one before it is used, or none. The clock is the centre's; it goes on from where the state's was, until
// somebody sets it. OpenCenter starts one goroutine, which Close ends.
func OpenCenter(dir string, theirs *clock.Followed, log *slog.Logger) (*Center, error) {
	c := &Center{
		log: log, clock: theirs, file: file{dir: dir, name: "center.json"}, ends: map[string]deadline{}, listener: func(string) {},
		wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
	revision, problems, err := c.file.load(time.Now(), &c.state)
	if err != nil {
		return nil, fmt.Errorf("what the centre said: %s: %w", dir, err)
	}
	c.problems = problems
	for _, p := range problems {
		log.Error("what the centre said", "problem", p)
	}
	c.found = !c.state.Saved.IsZero()
	if revision != c.state.Revision {
		log.Warn("what the centre said has two revisions", "file", revision, "state", c.state.Revision)
	}
	c.clock.Restore(c.state.Clock)
	c.adopt(c.state.Commands)
	go c.run()
	return c, nil
}

// OnChange sets the function that is called with a resource's name after commands of it ended by themselves. It is called
// with no lock held and must not call Close.
func (c *Center) OnChange(f func(resource string)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listener = f
}

// Found reports whether a state was on disk.
func (c *Center) Found() bool { return c.found }

// Problems says what was broken on disk, one sentence each; nil when all was well.
func (c *Center) Problems() []string { return slices.Clone(c.problems) }

// State returns what is in force. The caller owns it.
func (c *Center) State() CenterState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.clone()
}

// Changes rises with each Put and each command that ends.
func (c *Center) Changes() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changes
}

// Commands returns the centre's active commands for a resource, or all for "", oldest first. The caller owns them.
func (c *Center) Commands(resource string) []resources.Command {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []resources.Command
	for _, cmd := range c.state.Commands {
		if resource == "" || cmd.Resource == resource {
			out = append(out, clone(cmd))
		}
	}
	return out
}

// commandKey names a command: the centre gives one id to a command over several resources.
func commandKey(c *resources.Command) string { return c.ID + " " + c.Resource }

// Put brings a state into force in memory; Save keeps it. Commands whose time is over are left out. A command that is in
// force already keeps the end that it had by the monotonic clock, unless it was changed, or was counted by a guess at the
// centre's clock, which was heard since.
func (c *Center) Put(s CenterState) {
	s = s.clone()
	s.Saved = c.clock.Now().UTC()
	c.mu.Lock()
	c.state = s
	c.number++
	c.changes++
	c.adopt(s.Commands)
	c.mu.Unlock()
	c.poke()
}

// adopt gives commands their ends. mu is held, or nobody else has the Center yet.
func (c *Center) adopt(commands []resources.Command) {
	before, here, theirs, sure := c.ends, time.Now(), c.clock.Now(), !c.clock.Guess()
	c.ends = make(map[string]deadline, len(commands))
	keep := commands[:0]
	for _, cmd := range commands {
		key, d := commandKey(&cmd), deadline{}
		if cmd.Expires != nil {
			d = deadline{*cmd.Expires, here.Add(left(cmd, theirs)), sure}
			if was, ok := before[key]; ok && was.written.Equal(d.written) && (was.sure || !sure) {
				d = was
			}
			if !here.Before(d.at) {
				c.guessed = c.guessed || !d.sure
				c.log.Info("a command of the centre is past its time", "id", cmd.ID, "resource", cmd.Resource, "expired", cmd.Expires)
				continue
			}
		}
		c.ends[key] = d
		keep = append(keep, cmd)
	}
	c.state.Commands = keep
}

// Guessed reports whether commands were ended by a clock that may not have been the centre's, so that more may be in force than
// is known here, and forgets it: the caller asks the centre for all.
func (c *Center) Guessed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.guessed
	c.guessed = false
	return was
}

// Confirm says that what is in force is still what the centre says. It is written now and then.
func (c *Center) Confirm() {
	now := c.clock.Now()
	c.mu.Lock()
	old := now.Sub(c.state.Saved).Abs() >= keepFresh && !c.state.Saved.IsZero()
	if old {
		c.state.Saved = now.UTC()
		c.number++
	}
	c.mu.Unlock()
	if old {
		c.poke()
	}
}

// Save writes what is in force. An error says that it is in force and not kept; it is tried again until it is.
func (c *Center) Save() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.closed {
		return ErrClosed
	}
	return c.save()
}

// save is Save with writing held.
func (c *Center) save() error {
	c.mu.Lock()
	state, number, before := c.state.clone(), c.number, c.failed
	c.mu.Unlock()
	if number == c.kept {
		return nil
	}
	state.Clock = c.clock.Mark()
	err := c.file.save(state.Revision, time.Now(), state)
	if err == nil {
		c.kept = number
	}
	switch {
	case err != nil && before == nil:
		c.log.Error("what the centre said is in force and cannot be kept: the next start would not know it; trying again", "error", err)
	case err == nil && before != nil:
		c.log.Info("what the centre said is kept again", "revision", state.Revision)
	}
	c.mu.Lock()
	c.failed = err
	c.mu.Unlock()
	if err != nil {
		c.poke() // the next try is sooner than whatever run waits for
	}
	return err
}

// Unkept says why what is in force is not on disk; nil when it is.
func (c *Center) Unkept() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

func (c *Center) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Close writes what is not written yet, ends the goroutine and waits for it.
func (c *Center) Close() error {
	c.writing.Lock()
	already := c.closed
	c.closed = true
	c.writing.Unlock()
	if already {
		<-c.done
		return nil
	}
	close(c.quit)
	<-c.done
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.save()
}

// run takes commands back at their time, and saves again what could not be saved.
func (c *Center) run() {
	defer close(c.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(c.untilNext())
		select {
		case <-timer.C:
			c.dropEnded()
			_ = c.Save() // it said so
		case <-c.wake:
		case <-c.quit:
			return
		}
	}
}

// untilNext returns when there is something to do.
func (c *Center) untilNext() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := keepFresh
	if c.failed != nil {
		d = keepAgain
	}
	for _, end := range c.ends {
		if !end.at.IsZero() {
			d = min(d, max(0, time.Until(end.at)))
		}
	}
	return d
}

// dropEnded takes back what is past its time.
func (c *Center) dropEnded() {
	now := time.Now()
	names := map[string]bool{}
	c.mu.Lock()
	c.state.Commands = slices.DeleteFunc(c.state.clone().Commands, func(cmd resources.Command) bool {
		end := c.ends[commandKey(&cmd)]
		if end.at.IsZero() || now.Before(end.at) {
			return false
		}
		c.guessed = c.guessed || !end.sure
		delete(c.ends, commandKey(&cmd))
		c.log.Info("a command of the centre expired", "id", cmd.ID, "resource", cmd.Resource, "what", string(cmd.Type)+" "+cmd.Summary())
		names[cmd.Resource] = true
		return true
	})
	if len(names) > 0 {
		c.number++
		c.changes++
	}
	listener := c.listener
	c.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(names)) {
		listener(name)
	}
}

// CenterSummary says of what a state is.
type CenterSummary struct {
	Cluster  string
	Revision uint64
	Saved    time.Time
}

// Summary returns what State is of, without its content.
func (c *Center) Summary() CenterSummary {
	c.mu.Lock()
	defer c.mu.Unlock()
	return CenterSummary{c.state.Cluster, c.state.Revision, c.state.Saved}
}
