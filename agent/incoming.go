package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-mesh/sluice/agent/control"
	"github.com/sluice-mesh/sluice/config"
	wire "github.com/sluice-mesh/sluice/protocols/control"
	"github.com/sluice-mesh/sluice/resources"
)

// Apply implements link.Local. It brings an Update into force one resource at a time, so that one that is refused leaves the
// others, and its own last good one, in force; then it keeps the whole on disk, and answers.
func (c *center) Apply(_ context.Context, cluster string, u *wire.Update) (wire.Result, error) {
	c.a.changing.Lock()
	in, err := c.apply(cluster, u)
	c.a.changing.Unlock()
	if err != nil {
		return wire.Result{}, err
	}
	_ = c.keep.Save() // it holds all the same: the Center says so, and tries again
	return in.result(), nil
}

// longestError keeps a Result small: one resource can have hundreds of problems.
const longestError = 2000

// incoming is an Update on its way.
type incoming struct {
	c         *center
	u         *wire.Update
	foreign   bool // the centre has another history than the state that is here
	state     control.CenterState
	resources map[string]control.CenterResource // of state
	touched   map[string]bool                   // resources whose commands may have changed
	why       map[string]error
	lines     []wire.Line
	orders    []resources.Command // the commands of the Update, to be answered for
}

// apply is Apply with changing held.
func (c *center) apply(cluster string, u *wire.Update) (*incoming, error) {
	in := &incoming{c: c, u: u, state: c.keep.State(), resources: map[string]control.CenterResource{}, touched: map[string]bool{}, why: map[string]error{}}
	if c.a.draining.Load() {
		in.refuseAll(errDraining)
		return in, nil
	}
	known := in.state.Cluster != ""
	in.foreign = known && (in.state.Cluster != cluster || u.Full && u.Revision < in.state.Revision)
	switch {
	case u.Full:
	case !in.foreign && u.Revision < in.state.Revision:
		return nil, fmt.Errorf("the agent is at revision %d already: this centre is behind the others", in.state.Revision)
	case in.foreign || c.full:
		c.full = true
		return nil, fmt.Errorf("it is a change of cluster %s, and the agent has the state of %q: all of it is needed", cluster, in.state.Cluster)
	}
	c.full = false
	if u.Full && in.foreign {
		c.a.log.Warn("the centre has another history than the one before: what it does not define is kept",
			"cluster", cluster, "revision", u.Revision, "before", in.state.Cluster, "had", in.state.Revision)
	}
	for _, r := range in.state.Resources {
		if c.a.file.Wants[r.Name] != nil {
			in.resources[r.Name] = r
		}
	}
	in.commands()
	in.put() // commands hold from here on: each resource that comes is compiled with its own
	in.removals()
	for i := range u.Resources {
		in.resource(&u.Resources[i])
	}
	in.state.Cluster, in.state.Revision = cluster, u.Revision // not before: what is on disk must not claim it sooner
	in.put()
	in.recompile()
	in.answer()
	c.publish(in.why)
	c.a.changed()
	return in, nil
}

// put brings the state, as it is so far, into force in memory.
func (in *incoming) put() {
	in.state.Resources = slices.SortedFunc(maps.Values(in.resources), func(a, b control.CenterResource) int { return strings.Compare(a.Name, b.Name) })
	in.state.Refused = slices.Sorted(maps.Keys(in.c.refused))
	in.state.Wants = slices.Sorted(maps.Keys(in.c.a.file.Wants))
	in.c.keep.Put(in.state)
}

func (in *incoming) line(l wire.Line, err error) {
	if err != nil {
		l.Path, l.Error = explain(err)
		if len(l.Error) > longestError {
			l.Error = strings.ToValidUTF8(l.Error[:longestError], "") + " ..."
		}
		in.c.a.log.Warn("refused what the centre says", "resource", l.Resource, "command", l.Command, "path", l.Path, "error", l.Error)
	}
	in.lines = append(in.lines, l)
}

// refuseAll answers for everything with one error.
func (in *incoming) refuseAll(err error) {
	for _, r := range in.u.Resources {
		in.line(wire.Line{Resource: r.Name, Hash: in.c.hashOf(r.Name)}, err)
	}
	for _, raw := range in.u.Commands {
		var c resources.Command
		_ = json.Unmarshal(raw, &c) // the line then names none
		in.line(wire.Line{Command: c.ID, Resource: c.Resource}, err)
	}
}

// explain splits an error into the field that is wrong, as in groups.yf.endpoints[0], and what is wrong with it.
func explain(err error) (path, message string) {
	var problems *config.Errors
	var taken *listenError
	switch {
	case errors.As(err, &problems):
		var text []string
		for _, p := range problems.Problems {
			if p.Path != "" && p.Path != problems.Problems[0].Path {
				text = append(text, p.Path+": "+p.Message)
				continue
			}
			text = append(text, p.Message)
		}
		return problems.Problems[0].Path, strings.Join(text, "; ")
	case errors.As(err, &taken):
		return taken.path, taken.err.Error()
	case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, syscall.EADDRNOTAVAIL): // only binding says so
		return "listen", err.Error()
	}
	return "", err.Error()
}

// hashOf returns the hash of what runs under a name; "" when nothing does.
func (c *center) hashOf(name string) string {
	if m := c.a.set.get(name); m != nil {
		return m.hash
	}
	return ""
}

// commands takes the commands of the Update into the state. Those that cannot be read are answered for here.
func (in *incoming) commands() {
	list := in.state.Commands
	touch := func(c *resources.Command) { in.touched[c.Resource] = true }
	if in.u.Full {
		for i := range list {
			touch(&list[i])
		}
		list = nil
	}
	list = slices.DeleteFunc(list, func(c resources.Command) bool {
		gone := slices.Contains(in.u.Undone, c.ID)
		if gone {
			touch(&c)
		}
		return gone
	})
	now := in.c.clock.Now() // theirs: they wrote when it ends
	for _, raw := range in.u.Commands {
		c, err := readCommand(raw, now)
		at := slices.IndexFunc(list, func(have resources.Command) bool { return have.ID == c.ID && have.Resource == c.Resource })
		if err == nil && at < 0 && len(list) >= control.MostCommands {
			err = fmt.Errorf("%d commands of the centre are active already", len(list))
		}
		switch {
		case err != nil:
			in.line(wire.Line{Command: c.ID, Resource: c.Resource}, err)
			continue
		case at >= 0:
			list[at] = c
		default:
			list = append(list, c)
		}
		touch(&c)
		in.orders = append(in.orders, c)
	}
	in.state.Commands = list
}

// readCommand reads a command of the centre.
func readCommand(raw []byte, now time.Time) (resources.Command, error) {
	var c resources.Command
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, fmt.Errorf("the command cannot be read: %w", err)
	}
	switch {
	case !strings.HasPrefix(c.ID, centerPrefix):
		return c, fmt.Errorf("the id of a command of the centre begins with %s, and this is %q", centerPrefix, c.ID)
	case c.Resource == "":
		return c, errors.New("a command needs a resource")
	case c.Expired(now):
		return c, fmt.Errorf("it ended %s, and it is %s here", c.Expires.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return c, nil
}

// removals takes away what the centre does not define any more. What a centre with another history does not know is kept:
// a centre that lost its store must not take the fleet's resources with it.
func (in *incoming) removals() {
	gone := in.u.Removed
	if in.u.Full {
		gone = nil
		for _, name := range slices.Sorted(maps.Keys(in.resources)) {
			if !slices.ContainsFunc(in.u.Resources, func(r wire.Resource) bool { return r.Name == name }) {
				gone = append(gone, name)
			}
		}
		clear(in.c.also)
		clear(in.c.refused)
	}
	for _, name := range gone {
		delete(in.c.also, name)
		if in.c.a.file.Wants[name] == nil {
			continue
		}
		l := wire.Line{Resource: name, Hash: in.c.hashOf(name)}
		if in.u.Full && (in.foreign || in.resources[name].Orphan) {
			r := in.resources[name]
			r.Orphan = true
			in.resources[name] = r
			in.line(l, errors.New("this centre does not define it, and the one before did: it is kept until this one defines or removes it"))
			continue
		}
		if err := in.remove(name); err != nil {
			in.line(l, err)
			continue
		}
		in.line(wire.Line{Resource: name}, nil)
	}
}

func (in *incoming) remove(name string) error {
	a := in.c.a
	next := a.running()
	delete(next, name)
	if err := a.set.apply(next); err != nil {
		return err
	}
	delete(in.resources, name)
	delete(in.c.refused, name)
	a.log.Info("the centre removed a resource", "resource", name)
	return nil
}

// resource brings one resource of the Update into force, or says why not.
func (in *incoming) resource(r *wire.Resource) {
	c := in.c
	l := wire.Line{Resource: r.Name, Hash: c.hashOf(r.Name)}
	if c.a.file.Wants[r.Name] == nil {
		err := errors.New("the agent did not ask for it")
		if c.a.set.get(r.Name) != nil {
			c.also[r.Name] = true
			err = errors.New("the agent's own file or HTTP interface defines it, which wins")
		}
		in.line(l, err)
		return
	}
	fresh := asSent(r)
	if err := in.use(r, &fresh); err != nil {
		c.refused[r.Name], in.why[r.Name] = *r, err
		in.line(l, err)
		return
	}
	delete(c.refused, r.Name)
	in.resources[r.Name] = fresh
	l.Hash = fresh.Hash
	in.line(l, nil)
}

// asSent is a resource as it came, with the hash that it has.
func asSent(r *wire.Resource) control.CenterResource {
	return control.CenterResource{Name: r.Name, Revision: r.Revision, Hash: wire.HashOf(r.Spec, r.Secrets), Spec: r.Spec, Secrets: r.Secrets}
}

// use is resource without the books.
func (in *incoming) use(r *wire.Resource, fresh *control.CenterResource) error {
	if r.Hash != "" && r.Hash != fresh.Hash {
		return fmt.Errorf("the spec came damaged: its hash is %s and not %s", fresh.Hash, r.Hash)
	}
	if have, ok := in.resources[r.Name]; ok && have.Hash == fresh.Hash && in.c.hashOf(r.Name) == fresh.Hash {
		return nil // it runs
	}
	if err := in.c.bring(fresh); err != nil {
		return err
	}
	in.c.a.log.Info("resource changed by the centre", "resource", r.Name, "revision", r.Revision, "hash", fresh.Hash)
	return nil
}

// recompile brings changed commands into resources that were not compiled anew anyway.
func (in *incoming) recompile() {
	for name := range in.touched {
		if m := in.c.a.set.get(name); m != nil {
			if err := in.c.a.set.recompile(m); err != nil {
				in.why["command "+name] = err
			}
		}
	}
}

// answer says of each command whether it is in force.
func (in *incoming) answer() {
	for i := range in.orders {
		o := &in.orders[i]
		l, m := wire.Line{Command: o.ID, Resource: o.Resource}, in.c.a.set.get(o.Resource)
		switch {
		case m == nil:
			in.line(l, fmt.Errorf("the agent has no resource %q now; the command holds when it has", o.Resource))
		case slices.ContainsFunc(m.run.Commands(), func(c resources.Command) bool { return c.ID == o.ID }):
			in.line(l, nil)
		default:
			err := o.Validate(m.run.Spec())
			if err == nil {
				err = in.why["command "+o.Resource]
			}
			if err == nil {
				err = errors.New("it is not in force: its time may be over")
			}
			in.line(l, err)
		}
	}
}

// result is the answer to the centre.
func (in *incoming) result() wire.Result {
	r := wire.Result{Revision: in.u.Revision, Lines: in.lines}
	names := maps.Clone(in.touched)
	for _, changed := range in.u.Resources {
		names[changed.Name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		m := in.c.a.set.get(name)
		if m == nil {
			continue
		}
		n := int64(0)
		for _, pinned := range m.run.Status().Pinned {
			n += pinned
		}
		if n > 0 {
			r.Pinned = append(r.Pinned, wire.Count{Resource: name, N: int(n)})
		}
	}
	return r
}

// retry tries again what was refused: what stood in the way may be gone. State tells the centre.
func (c *center) retry() {
	c.a.changing.Lock()
	changed := false
	why := map[string]error{}
	for _, name := range slices.Sorted(maps.Keys(c.refused)) {
		if c.a.draining.Load() || c.a.file.Wants[name] == nil {
			continue
		}
		r := c.refused[name]
		fresh := asSent(&r)
		if r.Hash != "" && r.Hash != fresh.Hash {
			continue
		}
		if why[name] = c.bring(&fresh); why[name] != nil {
			continue
		}
		c.a.log.Info("a resource of the centre that was refused before is in force now", "resource", name, "revision", r.Revision)
		delete(c.refused, name)
		state := c.keep.State()
		state.Resources = slices.DeleteFunc(state.Resources, func(have control.CenterResource) bool { return have.Name == name })
		state.Resources = append(state.Resources, fresh)
		state.Refused = slices.Sorted(maps.Keys(c.refused))
		c.keep.Put(state)
		changed = true
	}
	c.publish(why)
	if changed {
		c.a.changed()
	}
	c.a.changing.Unlock()
	if changed {
		_ = c.keep.Save() // as in Apply
		c.link.Kick()
	}
}
