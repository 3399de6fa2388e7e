package agent

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/agent/admin"
	"github.com/sluice-mesh/sluice/agent/control"
	"github.com/sluice-mesh/sluice/agent/link"
	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/metrics/report"
	wire "github.com/sluice-mesh/sluice/protocols/control"
	"github.com/sluice-mesh/sluice/resources"
)

// JoinVariable is the environment variable that holds the join token when agent.join does not.
const JoinVariable = "SLUICE_JOIN"

// centerPrefix begins the ids of commands that come from the centre.
const centerPrefix = "g-"

// tryAgain is how often what could not be brought into force is tried again: a port may be free by then.
const tryAgain = 5 * time.Second

// center is the agent's dealings with the governance centre. It is what the link asks (link.Local).
//
//	link ─> Apply ─> center.json, set ─> Result       incoming.go
//	     ─> Hello, State                              outgoing.go
//	     ─> Ask ─> the admin interface                ask.go
//	     ─> Export                                    exports.go
type center struct {
	a       *Agent
	keep    *control.Center
	link    *link.Link
	clock   clock.Followed  // the centre's
	reports *report.Encoder // of the link's writer alone
	boot    string          // names this process

	refused map[string]wire.Resource // guarded by Agent.changing: newest specs that cannot be used
	also    map[string]bool          // guarded by Agent.changing: resources of the file that the centre defines too
	full    bool                     // guarded by Agent.changing: what is here is not worth resuming from
	// What others read, replaced whole by publish.
	notes  atomic.Pointer[map[string]string] // what is to be said of resources, by name: "" of most
	awaits atomic.Pointer[[]string]          // resources that are not there yet

	sent sent // of the link's writer alone
}

// openCenter opens what the agent knows of the centre, and the link, which does not connect yet.
func (a *Agent) openCenter() (err error) {
	id := &a.identity
	if len(id.Center) == 0 {
		return nil
	}
	c := &center{a: a, refused: map[string]wire.Resource{}, also: map[string]bool{}, boot: randomName()}
	c.notes.Store(&map[string]string{})
	c.awaits.Store(&[]string{})
	if c.keep, err = control.OpenCenter(id.Data, &c.clock, a.log); err != nil {
		return err
	}
	a.center = c // from here on Close closes it
	c.reports = report.NewEncoder(a.registry)
	join := id.Join
	if join.IsZero() && os.Getenv(JoinVariable) != "" {
		if join, err = resources.NewSecret("${env:" + JoinVariable + "}"); err != nil {
			return err
		}
	}
	c.link, err = link.New(link.Options{
		Centers: id.Center, Join: join, Dir: filepath.Join(id.Data, "center"), Name: id.Name, Local: c, Log: a.log, Clock: &c.clock,
	})
	if err != nil {
		return fmt.Errorf("agent.center: %w", err)
	}
	a.registry.GaugeFunc("sluice_center_connected", "1 while the agent is linked to a centre.", func() float64 {
		if c.link.Status().Connected {
			return 1
		}
		return 0
	})
	a.registry.GaugeFunc("sluice_center_stale_seconds", "How long what the agent runs has not been confirmed by a centre; 0 while it is linked.", c.staleSeconds)
	a.registry.GaugeFunc("sluice_center_clock_seconds", "How far this machine's clock is ahead of the centre's; negative: behind.", func() float64 {
		return c.clock.Ahead().Seconds()
	})
	return nil
}

func randomName() string {
	var b [8]byte
	rand.Read(b[:]) // never fails: it ends the program instead
	return hex.EncodeToString(b[:])
}

// restore brings the snapshot into force. A resource of it that cannot be used is left out and said so; it is tried again,
// and the others run. changing is held, and the set has what the file defines.
func (c *center) restore() {
	state := c.keep.State()
	if c.keep.Found() {
		c.a.log.Warn("starting with what the centre said last; it is stale until the centre is reached",
			"saved", state.Saved, "revision", state.Revision, "cluster", state.Cluster, "resources", len(state.Resources), "commands", len(state.Commands))
	}
	for _, r := range state.Resources {
		if c.a.file.Wants[r.Name] == nil {
			continue
		}
		if err := c.bring(&r); err != nil {
			c.a.log.Error("a resource of the centre cannot be used", "resource", r.Name, "error", err)
			c.refused[r.Name] = wire.Resource{Name: r.Name, Revision: r.Revision, Hash: r.Hash, Spec: r.Spec}
		}
	}
	for _, name := range c.missing() {
		c.a.log.Warn("a resource waits for the centre: nothing listens for it yet", "resource", name)
	}
	c.publish(nil)
}

// missing returns the resources that the file wants from the centre and that are not there. changing is held.
func (c *center) missing() (names []string) {
	for name := range c.a.file.Wants {
		if c.a.set.get(name) == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// declare makes a resource of the centre one of this agent, which says where it listens.
func (c *center) declare(r *control.CenterResource, want *config.Want) (*declared, error) {
	o := c.a.opt.Config
	o.ListenOptional = true
	o.Secrets = func(name string) (string, bool) {
		i := slices.IndexFunc(r.Secrets, func(s wire.Secret) bool { return s.Name == name })
		if i < 0 {
			return "", false
		}
		return r.Secrets[i].Value, true
	}
	parsed, err := o.ParseResource(r.Name, r.Spec)
	if err != nil {
		return nil, err
	}
	parsed.Spec.Listen = slices.Clone(want.Listen)
	parsed.Spec.Labels = merged(parsed.Spec.Labels, want.Labels)
	d, err := declare(parsed, fromCenter)
	if err != nil {
		return nil, err
	}
	d.hash = r.Hash
	return d, nil
}

// merged returns the labels of both, above winning.
func merged(below, above map[string]string) map[string]string {
	if len(above) == 0 {
		return below
	}
	out := make(map[string]string, len(below)+len(above))
	for _, m := range []map[string]string{below, above} {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

// bring puts one resource of the centre in force, and leaves all others alone. changing is held.
func (c *center) bring(r *control.CenterResource) error {
	d, err := c.declare(r, c.a.file.Wants[r.Name])
	if err != nil {
		return err
	}
	next := c.a.running()
	next[r.Name] = d
	return c.a.set.apply(next)
}

// overlay adds what the centre defines to the resources of a file that is read again: what runs now, where the file now
// says that it listens. One that ran as the file had it goes on so until the centre says what it is. changing is held.
func (c *center) overlay(next map[string]*declared, wants map[string]*config.Want) error {
	for _, r := range c.keep.State().Resources {
		want := wants[r.Name]
		if want == nil {
			continue
		}
		d, err := c.declare(&r, want)
		if err != nil {
			continue // as it was when it came: it is among the refused
		}
		next[r.Name] = d
	}
	for name, want := range wants {
		m := c.a.set.get(name)
		if m == nil || next[name] != nil {
			continue
		}
		r := *m.Resource
		spec := *r.Spec
		spec.Listen = slices.Clone(want.Listen)
		r.Spec = &spec
		d, err := declare(&r, fromCenter)
		if err != nil {
			return err
		}
		d.hash = ""
		next[name] = d
	}
	return nil
}

// reloaded follows a file that was read again: the centre has to know what the agent wants and owns now. changing is held.
func (c *center) reloaded() {
	c.publish(nil)
	c.link.Restart()
}

// run looks after what does not come over the link, until ctx ends.
func (c *center) run(ctx context.Context) {
	tick := time.NewTicker(tryAgain)
	defer tick.Stop()
	stale := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if c.link.Status().Synced {
			c.keep.Confirm()
		}
		c.retry()
		since := c.stale()
		if !since.IsZero() && !stale {
			c.a.log.Warn("what the agent runs is stale: no centre has confirmed it", "since", since)
		}
		stale = !since.IsZero()
	}
}

// stale returns since when, by its clock, no centre has confirmed what the agent runs; zero while one does, and when there is nothing of a
// centre to be stale.
func (c *center) stale() time.Time {
	s := c.link.Status()
	switch {
	case s.Synced:
		return time.Time{}
	case !s.Known.IsZero():
		return s.Known
	}
	return c.keep.Summary().Saved
}

func (c *center) staleSeconds() float64 {
	if c.link.Status().Synced {
		return 0
	}
	since := c.stale()
	if since.IsZero() {
		return time.Since(c.a.started).Seconds()
	}
	return max(0, c.clock.Now().Sub(since).Seconds())
}

// view is what GET /v1/status says of the centre; nil when there is none.
func (c *center) view() *admin.Center {
	if c == nil {
		return nil
	}
	s, kept := c.link.Status(), c.keep.Summary()
	v := &admin.Center{Connected: s.Connected, URL: s.URL, Name: s.Center, Cluster: kept.Cluster, Revision: kept.Revision, Since: s.Since.UTC(), Error: s.Error}
	if since := c.stale(); !since.IsZero() {
		since = since.UTC()
		v.Stale = &since
	}
	if !s.Expires.IsZero() {
		at := s.Expires.UTC()
		v.Certificate = &at
	}
	if err := c.keep.Unkept(); err != nil {
		v.Unkept = err.Error()
	}
	return v
}

// urls names the centre for people.
func (c *center) urls() string { return strings.Join(c.a.identity.Center, ", ") }

// commandsOf returns the active commands of a resource, or of all for "": the agent's own and the centre's, oldest first.
func (a *Agent) commandsOf(resource string) []resources.Command {
	out := a.store.Commands(resource)
	if a.center == nil {
		return out
	}
	out = append(out, a.center.keep.Commands(resource)...)
	sortCommands(out)
	return out
}

// sortCommands puts the oldest first.
func sortCommands(list []resources.Command) {
	slices.SortStableFunc(list, func(x, y resources.Command) int { return x.Created.Compare(y.Created) })
}

// note is what is to be said of a resource's relation to the centre; "" mostly.
func (a *Agent) note(resource string) string {
	if a.center == nil {
		return ""
	}
	return (*a.center.notes.Load())[resource]
}

// publish puts the notes together; why are the errors of this round, by resource, and those before stay for what is still
// refused. changing is held.
func (c *center) publish(why map[string]error) {
	before, notes := *c.notes.Load(), map[string]string{}
	for name := range c.refused {
		notes[name] = before[name]
		if err := why[name]; err != nil {
			notes[name] = "the newest that the centre says is refused: " + err.Error()
		}
	}
	for name := range c.also {
		notes[name] = cmp.Or(notes[name], "the centre defines it too, and the file wins")
	}
	for _, r := range c.keep.State().Resources {
		if r.Orphan {
			notes[r.Name] = cmp.Or(notes[r.Name], "the centre of now does not define it: it runs as the one before did")
		}
	}
	missing := c.missing()
	c.notes.Store(&notes)
	c.awaits.Store(&missing)
}

// close ends what openCenter opened, except the link, which Run waits for.
func (c *center) close() error {
	if c == nil {
		return nil
	}
	return c.keep.Close()
}

// awaited returns the resources that the centre has to define before anything listens for them.
func (a *Agent) awaited() []string {
	if a.center == nil {
		return nil
	}
	return *a.center.awaits.Load()
}
