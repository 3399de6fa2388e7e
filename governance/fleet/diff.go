package fleet

import (
	"encoding/json"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// diff works out what the agent lacks, and notes it as sent with the sequence number that the update will have. Call with
// e.mu held; full: all that the agent should have, whatever it has.
func (e *entry) diff(revision uint64, full bool) *update {
	u := &update{Update: control.Update{Revision: revision, Full: full}}
	e.seq++
	var undone []string
	visit := func(name string) { undone = e.visit(u, name, undone) }
	switch {
	case full:
		e.items = make(map[string]*item, len(e.agent.Wants)+len(e.agent.Owns))
		e.agent.names(visit)
	case e.dirtyAll:
		e.agent.names(visit)
	default:
		names := make([]string, 0, len(e.dirty))
		for name := range e.dirty {
			names = append(names, name)
		}
		slices.Sort(names) // so that agents that lack the same get the same bytes
		for _, name := range names {
			if it := e.items[name]; it != nil && !it.want && !e.agent.owns(name) {
				e.expel(u, name) // a State showed it, and the agent does not ask for it
				continue
			}
			visit(name)
		}
	}
	e.end(u, undone)
	e.dirtyAll, e.dirty, e.have = false, nil, true
	return u
}

// visit compares what the agent has of one resource with what it should have.
func (e *entry) visit(u *update, name string, undone []string) []string {
	it := e.item(name)
	it.want = e.agent.wants(name)
	if it.want {
		spec, hash, revision, ok := e.f.o.Source.Resource(name, e.agent)
		secrets := e.f.o.Source.Secrets(name, spec)
		if len(secrets) > 0 { // one may have changed since
			hash = control.HashOf(spec, secrets)
		}
		switch {
		case ok && (it.sent != hash || it.again):
			u.resource(control.Resource{Name: name, Revision: uint64(revision), Hash: hash, Spec: spec, Secrets: secrets})
			it.sent, it.seq, it.refused = hash, e.seq, nil
		case !ok && (it.sent != "" || it.again):
			u.Removed = append(u.Removed, name)
			it.sent, it.seq, it.refused = "", e.seq, nil
		}
		it.again = false
	}
	return e.visitOrders(u, name, it, undone)
}

// expel removes a resource that the agent has from a centre and does not want.
func (e *entry) expel(u *update, name string) {
	u.Removed = append(u.Removed, name)
	delete(e.items, name)
}

func (e *entry) visitOrders(u *update, name string, it *item, undone []string) []string {
	now := e.f.o.Source.Commands(name, e.agent)
	if len(now) == 0 && len(it.orders) == 0 {
		return undone
	}
	ids := make([]string, 0, len(now))
	for _, text := range now {
		id := idOf(text)
		if id == "" {
			e.f.o.Log.Error("a command without an id is not sent", "resource", name, "agent", e.name)
			continue
		}
		ids = append(ids, id)
		sum := xxhash.Sum64(text)
		o := it.orders[id]
		if o != nil && !o.gone && o.sum == sum && !o.again {
			continue
		}
		if it.orders == nil {
			it.orders = make(map[string]*order)
		}
		it.orders[id] = &order{sum: sum, seq: e.seq}
		u.command(text)
	}
	var gone []string
	for id, o := range it.orders {
		if !slices.Contains(ids, id) && (!o.gone || o.again) {
			o.gone, o.again, o.seq, o.err = true, false, e.seq, ""
			gone = append(gone, id)
		}
	}
	slices.Sort(gone)
	return append(undone, gone...)
}

// end adds the ids of commands that are over. An id ends for all resources of the agent; where its command still holds for
// another one, it is sent again with it: an agent ends commands before it takes new ones.
func (e *entry) end(u *update, undone []string) {
	slices.Sort(undone)
	u.Undone = slices.Compact(undone)
	for _, id := range u.Undone {
		e.agent.names(func(name string) {
			it := e.items[name]
			if it == nil {
				return
			}
			o := it.orders[id]
			if o == nil || o.gone || o.seq == e.seq {
				return
			}
			for _, text := range e.f.o.Source.Commands(name, e.agent) {
				if idOf(text) == id {
					*o = order{sum: xxhash.Sum64(text), seq: e.seq}
					u.command(text)
				}
			}
		})
	}
}

func idOf(command json.RawMessage) string {
	var c struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(command, &c) != nil {
		return ""
	}
	return c.ID
}
