package agent

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/agent/admin"
	"github.com/sluice-mesh/sluice/agent/console"
	"github.com/sluice-mesh/sluice/agent/discovery"
	"github.com/sluice-mesh/sluice/agent/runtime"
	"github.com/sluice-mesh/sluice/protocols/motancommand"
	"github.com/sluice-mesh/sluice/resources"
)

// reviewEvery is how often commands that depend on endpoints are looked at again.
const reviewEvery = 500 * time.Millisecond

// motanConsole brings what Motan's console writes into registries into force: package console says what it means.
//
//	registry ─> WatchCommands ─> heard ─> documents, notes ─┐
//	set.apply, set.recompile ─────────> plan ───────────────┴─> commands, borrowed groups
//	run ─> review: endpoints came or went
//
// A document stands until the registry says otherwise: a registry that is away says nothing, and a restart finds it among
// the notes.
type motanConsole struct {
	a       *Agent
	log     *slog.Logger
	changes atomic.Uint64 // of documents

	running sync.WaitGroup // watches

	mu        sync.Mutex // held for moments, after Agent.changing
	closed    bool
	watches   map[place]*watch
	documents map[place]*console.Document // heard, or remembered; nil: there is none
	plans     map[string]console.Plan     // by resource
}

// place is where a document is.
type place struct {
	registry string
	scope    discovery.Scope
}

// key is that of the note; no resource has a name that begins like it.
func (p place) key() string {
	return " commands " + p.registry + " group=" + p.scope.Group + " application=" + p.scope.Application
}

// watch is a watch of a document that runs.
type watch struct {
	stop context.CancelFunc
}

// remembered is a note.
type remembered struct {
	Document string               `json:"document"`
	Seen     map[string]time.Time `json:"seen"`
	Address  string               `json:"address"`
}

func newMotanConsole(a *Agent) *motanConsole {
	return &motanConsole{
		a: a, log: a.log, watches: map[place]*watch{}, documents: map[place]*console.Document{}, plans: map[string]console.Plan{},
	}
}

// orders returns what a resource should run with: its spec, with the groups that commands of Motan's console borrow, and all
// commands, oldest first. run is the running resource, nil when there is none yet. changing is held.
func (a *Agent) orders(d *declared, run *runtime.Resource) (*resources.Spec, []resources.Command) {
	name := d.Spec.Name
	plan := a.console.plan(d, run)
	spec := d.Spec
	if len(plan.Borrow) > 0 {
		widened := *spec
		widened.Groups = maps.Clone(spec.Groups)
		for name, g := range plan.Borrow {
			none := 0
			widened.Groups[name] = resources.Group{Registry: g.Registry, Weight: &none, Borrowed: true}
		}
		spec = &widened
	}
	list := append(a.commandsOf(name), plan.Commands()...)
	sortCommands(list)
	return spec, list
}

// placesOf returns where documents for the callers of a resource are: of a group, and of the application in its registry. ok is
// false for groups without callers, and where there are none.
func (c *motanConsole) placesOf(d *declared, group string) (ofGroup, ofApplication place, ok bool) {
	named, registered := d.Settings.(resources.Registered)
	g := d.Spec.Groups[group]
	if !registered || g.Registry == "" || g.Share() == 0 {
		return place{}, place{}, false
	}
	s := named.RegisteredAs(d.Spec.Name, group)
	return place{g.Registry, discovery.Scope{Group: s.Group}}, place{g.Registry, discovery.Scope{Application: c.a.identity.Application}}, true
}

// plan makes the plan of a resource, and keeps it for review. changing is held.
func (c *motanConsole) plan(d *declared, run *runtime.Resource) console.Plan {
	named, ok := d.Settings.(resources.Registered)
	if !ok {
		return console.Plan{}
	}
	in := console.Resource{Name: d.Spec.Name, Running: run != nil, Applications: map[string]*console.Document{}}
	spec, addresses := d.Spec, map[string][]string{}
	if run != nil {
		for name, g := range run.Spec().Groups {
			if _, own := spec.Groups[name]; g.Borrowed && !own {
				in.Groups = append(in.Groups, console.Group{Name: name, Registered: name, Registry: g.Registry, Borrowed: true})
			}
		}
		for _, e := range run.Endpoints() {
			if e.Weight > 0 {
				addresses[e.Group] = append(addresses[e.Group], e.Address)
			}
		}
	}
	any := false
	for _, name := range spec.GroupNames() {
		s := named.RegisteredAs(spec.Name, name)
		in.Service = s.Path
		g := console.Group{Name: name, Registered: s.Group, Registry: spec.Groups[name].Registry, Share: spec.Groups[name].Share()}
		if ofGroup, ofApplication, ok := c.placesOf(d, name); ok {
			g.Document = c.document(ofGroup)
			in.Applications[g.Registry] = c.document(ofApplication)
			any = any || g.Document != nil || in.Applications[g.Registry] != nil
		}
		in.Groups = append(in.Groups, g)
	}
	for i := range in.Groups {
		in.Groups[i].Addresses = addresses[in.Groups[i].Name]
	}
	plan := console.Plan{}
	if any {
		plan = console.Compile(in)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.plans[spec.Name] = plan
	return plan
}

// document returns what is known of a place: heard in this process or by one before it; nil: nothing.
func (c *motanConsole) document(p place) *console.Document {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d, known := c.documents[p]; known {
		return d
	}
	var note remembered
	var d *console.Document
	if c.a.notes.Get(p.key(), &note) && note.Document != "" {
		if list, err := motancommand.Parse([]byte(note.Document)); err == nil {
			d = &console.Document{Origin: c.origin(p), Commands: list, Seen: note.Seen, Address: note.Address}
		}
	}
	c.documents[p] = d
	return d
}

// origin names a place for people.
func (c *motanConsole) origin(p place) string {
	if strings.HasPrefix(p.registry, "consul:") { // keys, and named otherwise
		if p.scope.Application != "" {
			return p.registry + "/motan/command/agent/" + p.scope.Application
		}
		return p.registry + "/motan/command/motanrpc_" + p.scope.Group
	}
	if p.scope.Application != "" {
		return p.registry + "/motan/agent/" + p.scope.Application + "/command"
	}
	return p.registry + "/motan/" + p.scope.Group + "/command"
}

// follow watches what the resources of now need, and nothing else. changing is held.
func (c *motanConsole) follow() {
	wanted := map[place]bool{}
	names := map[string]bool{}
	for _, m := range c.a.set.list() {
		names[m.Spec.Name] = true
		for _, group := range m.Spec.GroupNames() {
			if ofGroup, ofApplication, ok := c.placesOf(m.declared, group); ok {
				wanted[ofGroup], wanted[ofApplication] = true, true
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, w := range c.watches {
		if !wanted[p] {
			w.stop()
			delete(c.watches, p)
			delete(c.documents, p)
		}
	}
	maps.DeleteFunc(c.plans, func(name string, _ console.Plan) bool { return !names[name] })
	for p := range wanted {
		if c.watches[p] == nil && !c.closed {
			ctx, stop := context.WithCancel(context.Background())
			w := &watch{stop}
			c.watches[p] = w
			c.running.Go(func() { c.watch(ctx, p, w) })
		}
	}
}

// follows reports whether a note is of a document that is followed.
func (c *motanConsole) follows(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p := range c.watches {
		if p.key() == key {
			return true
		}
	}
	return false
}

// watch hears what a registry says of a place until ctx ends.
func (c *motanConsole) watch(ctx context.Context, p place, w *watch) {
	source, done, err := c.a.registries.use(p.registry)
	if err != nil {
		return // the group says it too
	}
	defer done()
	commander, ok := source.(discovery.Commander)
	if !ok {
		return
	}
	err = commander.WatchCommands(ctx, p.scope, func(document []byte) {
		address := c.addressFor(ctx, p.registry)
		c.mu.Lock()
		current := c.watches[p] == w
		c.mu.Unlock()
		if current {
			c.heard(p, document, address)
		}
	})
	if err != nil && ctx.Err() == nil {
		c.log.Warn("commands of Motan's console are not followed", "from", c.origin(p), "error", err)
	}
}

// addressFor returns the address by which this machine reaches a registry; "" if there is no telling. Nothing is sent.
func (c *motanConsole) addressFor(ctx context.Context, registry string) string {
	a, err := discovery.ParseAddress(registry)
	if err != nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for _, host := range a.Hosts {
		var d net.Dialer
		if conn, err := d.DialContext(ctx, "udp", host); err == nil {
			defer conn.Close()
			return conn.LocalAddr().(*net.UDPAddr).IP.String()
		}
	}
	return ""
}

// heard takes a document; nil: there is none.
func (c *motanConsole) heard(p place, text []byte, address string) {
	before := c.document(p)
	var next *console.Document
	switch list, err := motancommand.Parse(text); {
	case text == nil:
	case err != nil:
		next = &console.Document{Origin: c.origin(p), Seen: map[string]time.Time{}}
		if before != nil {
			kept := *before
			next = &kept
		}
		next.Problem = err.Error()
		c.log.Warn("a document of Motan's console is refused; the commands before it stay", "from", next.Origin, "error", err)
	default:
		next = &console.Document{Origin: c.origin(p), Commands: list, Seen: map[string]time.Time{}, Address: address}
		now := time.Now().Round(0).UTC()
		for i := range list {
			raw := list[i].Raw
			next.Seen[raw] = now
			if before != nil && !before.Seen[raw].IsZero() {
				next.Seen[raw] = before.Seen[raw]
			}
			if list[i].Err != nil {
				c.log.Warn("a command of Motan's console is refused", "from", next.Origin, "index", list[i].Index, "error", list[i].Err)
			}
		}
		_ = c.a.notes.Put(p.key(), remembered{Document: string(text), Seen: next.Seen, Address: address}) // it can always be encoded
	}
	if before == nil && next == nil {
		return
	}
	if next == nil {
		_ = c.a.notes.Put(p.key(), remembered{})
	}
	c.mu.Lock()
	c.documents[p] = next
	c.mu.Unlock()
	c.changes.Add(1)
	for _, m := range c.a.set.list() {
		for _, group := range m.Spec.GroupNames() {
			ofGroup, ofApplication, ok := c.placesOf(m.declared, group)
			if ok && (ofGroup == p || ofApplication == p) {
				c.recompile(m.Spec.Name)
				break
			}
		}
	}
}

// recompile brings the plan of a resource into force, and says what is new in it.
func (c *motanConsole) recompile(name string) {
	before := c.of(name)
	_ = c.a.recompile(name) // logs it, and the resource shows it
	for _, o := range c.of(name) {
		same := func(b console.Order) bool { return b.Command.ID == o.Command.ID && b.Problem == o.Problem }
		if !slices.ContainsFunc(before, same) {
			c.log.Info("command of Motan's console", "id", o.Command.ID, "type", o.Command.Type, "resource", name, "does", orderView(o).Summary,
				"from", o.Origin, "why", o.Command.Why, "not in force", o.Problem)
		}
	}
	for _, b := range before {
		if !slices.ContainsFunc(c.of(name), func(o console.Order) bool { return o.Command.ID == b.Command.ID }) {
			c.log.Info("command of Motan's console withdrawn", "id", b.Command.ID, "type", b.Command.Type, "resource", name, "from", b.Origin)
		}
	}
}

// of returns the orders for a resource; "" is all.
func (c *motanConsole) of(resource string) (out []console.Order) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(c.plans)) {
		if resource == "" || resource == name {
			out = append(out, c.plans[name].Orders...)
		}
	}
	return out
}

// run looks after commands that depend on endpoints until ctx ends.
func (c *motanConsole) run(ctx context.Context) {
	tick := time.NewTicker(reviewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.review()
		}
	}
}

// review makes plans again that depend on endpoints, and brings those into force that changed.
func (c *motanConsole) review() {
	c.mu.Lock()
	var names []string
	for name, p := range c.plans {
		if p.Watching {
			names = append(names, name)
		}
	}
	c.mu.Unlock()
	for _, name := range names {
		c.a.changing.Lock()
		m := c.a.set.get(name)
		if m == nil || c.a.draining.Load() {
			c.a.changing.Unlock()
			continue
		}
		before := c.planned(name)
		changed := !reflect.DeepEqual(before, c.plan(m.declared, m.run))
		if changed {
			c.keep(name, before) // recompile says what is new
		}
		c.a.changing.Unlock()
		if changed {
			c.recompile(name)
		}
	}
}

func (c *motanConsole) planned(name string) console.Plan {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.plans[name]
}

func (c *motanConsole) keep(name string, p console.Plan) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.plans[name] = p
}

// close ends the watches. What they said stays in force as long as the resources run.
func (c *motanConsole) close() {
	c.mu.Lock()
	c.closed = true
	for _, w := range c.watches {
		w.stop()
	}
	c.mu.Unlock()
	c.running.Wait()
}

// orderView is an order as people see it.
func orderView(o console.Order) admin.Command {
	v := admin.NewCommand(o.Command)
	if v.Origin, v.Problem = o.Origin, o.Problem; o.Problem != "" {
		v.Summary = o.Written
	}
	return v
}
