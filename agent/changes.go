package agent

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-mesh/sluice/agent/admin"
	"github.com/sluice-mesh/sluice/agent/control"
	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/internal/httpapi"
	"github.com/sluice-mesh/sluice/resources"
)

// Change implements admin.Changes. The change is in force and on disk when it returns, or neither.
func (b *backend) Change(name, by string, check admin.Check, edit func([]byte) ([]byte, error)) (string, bool, error) {
	b.changing.Lock()
	defer b.changing.Unlock()
	old, err := b.checked(name, check)
	if err != nil {
		return "", false, err
	}
	var current []byte
	if old != nil {
		current = old.json
	}
	data, err := edit(current)
	if err != nil {
		return "", false, err
	}
	r, err := b.opt.Config.ParseResource(name, data)
	if err != nil {
		return "", false, invalid(err)
	}
	d, err := declare(r, fromHTTP)
	if err != nil {
		return "", false, err
	}
	next := b.running()
	next[name] = d
	if err := b.put(next, func() error { return b.store.PutResource(name, data) }); err != nil {
		return "", false, err
	}
	b.ownedChanged()
	b.log.Info("resource changed over HTTP", "resource", name, "by", by, "etag", d.etag, "created", old == nil)
	return d.etag, old == nil, nil
}

// Remove implements admin.Changes.
func (b *backend) Remove(name, by string, check admin.Check) error {
	b.changing.Lock()
	defer b.changing.Unlock()
	old, err := b.checked(name, check)
	if err != nil {
		return err
	}
	if old == nil {
		_, err := b.member(name)
		return err
	}
	next := b.running()
	delete(next, name)
	persist := b.store.ForgetResource
	if _, inFile := b.fileJSON[name]; inFile {
		persist = b.store.DeleteResource // the file still has it, and must not bring it back
	}
	if err := b.put(next, func() error { return persist(name) }); err != nil {
		return err
	}
	b.ownedChanged()
	b.log.Info("resource removed over HTTP", "resource", name, "by", by)
	return nil
}

// ownedChanged tells the centre that what the agent itself defines is different now.
func (b *backend) ownedChanged() {
	if b.center != nil {
		b.center.link.Restart()
	}
}

// checked asks whether a change may go on. changing is held.
func (b *backend) checked(name string, check admin.Check) (*member, error) {
	if b.draining.Load() {
		return nil, httpapi.Unavailable("%v", errDraining)
	}
	if b.file.Wants[name] != nil {
		return nil, httpapi.Conflict("%s comes from the centre: change it there, at %s", name, b.center.urls())
	}
	m := b.set.get(name)
	if m != nil && m.source == fromApplication {
		return nil, httpapi.Conflict("%s was registered by an application, which can take it back", name)
	}
	etag := ""
	if m != nil {
		etag = m.etag
	}
	return m, check(m != nil, etag)
}

// running returns the declarations of what runs, to be changed. changing is held.
func (a *Agent) running() map[string]*declared {
	next := make(map[string]*declared)
	for _, m := range a.set.list() {
		next[m.Spec.Name] = m.declared
	}
	return next
}

// put brings next into force and keeps it. When it cannot be kept, what ran before comes back. changing is held.
func (b *backend) put(next map[string]*declared, persist func() error) error {
	before := b.running()
	if err := b.set.apply(next); err != nil {
		return invalid(err)
	}
	if err := persist(); err != nil {
		if undo := b.set.apply(maps.Clone(before)); undo != nil {
			b.log.Error("a change that could not be kept could not be undone either", "error", undo)
		}
		return httpapi.Unavailable("%v", err)
	}
	b.changed()
	return nil
}

// invalid turns what is wrong with a resource into an answer that names the field.
func invalid(err error) error {
	var problems *config.Errors
	var taken *listenError
	switch {
	case errors.As(err, &problems):
		var text []string
		for _, p := range problems.Problems {
			text = append(text, fmt.Sprintf("line %d: %s: %s", p.Line, p.Path, p.Message))
		}
		return httpapi.Invalid(problems.Problems[0].Path, "%s", strings.Join(text, "; "))
	case errors.As(err, &taken):
		return httpapi.Conflict("%v", err)
	}
	return httpapi.Invalid("", "%v", err)
}

// AddCommand implements admin.Changes.
func (b *backend) AddCommand(c resources.Command) (admin.Command, error) {
	m, err := b.valid(&c)
	if err != nil {
		return admin.Command{}, err
	}
	added, err := b.store.Add(c) // tells recompile, which brings it into force
	if err != nil {
		return admin.Command{}, httpapi.Unavailable("%v", err)
	}
	if err := b.recompile(c.Resource); err != nil && !b.inForce(added.ID) {
		if _, undo := b.store.Undo(added.ID); undo != nil {
			err = errors.Join(err, undo)
		}
		return admin.Command{}, httpapi.Invalid("", "%v", err)
	}
	b.log.Info("command", "id", added.ID, "type", added.Type, "resource", m.Spec.Name, "does", added.Summary(),
		"match", added.Match.String(), "by", added.Author, "why", added.Why, "expires", added.Expires)
	return admin.NewCommand(added), nil
}

// inForce reports whether a command is compiled into its resource.
func (b *backend) inForce(id string) bool {
	for _, m := range b.set.list() {
		for _, c := range m.run.Commands() {
			if c.ID == id {
				return true
			}
		}
	}
	return false
}

// valid checks a command against its resource and fills in defaults.
func (b *backend) valid(c *resources.Command) (*member, error) {
	if b.draining.Load() {
		return nil, httpapi.Unavailable("%v", errDraining)
	}
	m, err := b.member(c.Resource)
	if err != nil {
		return nil, err
	}
	if err := c.Validate(m.run.Spec()); err != nil {
		return nil, httpapi.Invalid("", "%v", err)
	}
	if c.Type != resources.CommandDrain {
		return m, nil
	}
	var have []string
	for _, e := range m.run.Endpoints() {
		if c.Drains(e.Address) {
			return m, nil
		}
		have = append(have, e.Address)
	}
	return nil, httpapi.Invalid("endpoint", "resource %s has no endpoint %q: it has %s", c.Resource, c.Endpoint, strings.Join(have, ", "))
}

// Preview implements admin.Changes.
func (b *backend) Preview(c resources.Command) (admin.Preview, error) {
	m, err := b.valid(&c)
	if err != nil {
		return admin.Preview{}, err
	}
	p, err := m.run.Preview(c)
	if err != nil {
		return admin.Preview{}, httpapi.Invalid("", "%v", err)
	}
	return admin.Preview{Command: admin.NewCommand(p.Command), Effect: p, Text: previewText(&p)}, nil
}

// Undo implements admin.Changes.
func (b *backend) Undo(id, by string) (admin.Command, error) {
	if b.center != nil && slices.ContainsFunc(b.center.keep.Commands(""), func(c resources.Command) bool { return c.ID == id }) {
		return admin.Command{}, httpapi.Conflict("command %s comes from the centre: undo it there, at %s", id, b.center.urls())
	}
	for _, o := range b.console.of("") {
		if o.Command.ID == id {
			return admin.Command{}, httpapi.Conflict("command %s is Motan's: take it back where it is, at %s", id, o.Origin)
		}
	}
	c, err := b.store.Undo(id)
	switch {
	case errors.Is(err, control.ErrNotFound):
		return admin.Command{}, httpapi.NotFound("%v", err)
	case err != nil:
		return admin.Command{}, httpapi.Unavailable("%v", err)
	}
	b.log.Info("command undone", "id", id, "type", c.Type, "resource", c.Resource, "by", by)
	return admin.NewCommand(c), nil
}
