package registry

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/protocols/control"
	"github.com/sluice-mesh/sluice/resources"
)

// exported is what agents export of one resource. Everything here is guarded by Registry.mu.
type exported struct {
	// kind is that of the first service that came, for a resource without a document.
	kind   string
	groups map[string]*pool
	// base is what config makes of the kind alone, for a resource without a document; remade when the kind is another.
	base *config.Resource
}

// pool is one group of an exported resource.
type pool struct {
	name  string
	slots map[string]*slot // by address
	left  []departure      // of the last window
}

// slotKey is an endpoint within a resource.
type slotKey struct{ group, address string }

// slot is an endpoint that agents vouch for: one, or several at the same address.
type slot struct {
	slotKey
	members map[string]*member // by agent
	last    control.Service    // as it was when it was last up
	in      bool               // it is in the effective spec
	since   time.Time          // of in
	held    *hold              // it would have left
}

// hold says why a slot that should leave is still there.
type hold struct {
	since time.Time
	why   string
}

// departure is a stay of an endpoint that is over.
type departure struct {
	address  string
	from, to time.Time
}

// memberKey is an endpoint of an agent.
type memberKey struct {
	resource string
	slotKey
}

// member is what one agent says of an endpoint.
type member struct {
	agent   string
	boot    string
	service control.Service
	refused string    // why it cannot be used
	leaves  time.Time // its agent is gone; zero while it is linked
}

// leave is when a member of an agent that is gone leaves. The time of grace is the same for all, so a queue keeps the order.
type leave struct {
	at    time.Time
	agent string
	key   memberKey
}

// maxServices is what one agent may export.
const maxServices = 4096

// Export replaces what an agent exports. boot tells two processes of one name apart: what an earlier process exported, and
// this one does not, stays for the time of grace. The error names the services that are refused; all others are taken.
func (r *Registry) Export(agent, boot string, services []control.Service) error {
	if len(services) > maxServices {
		return fmt.Errorf("agent %s exports %d services: the limit is %d", agent, len(services), maxServices)
	}
	refused := r.checkServices(agent, services)
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	touched := make(map[string]bool)
	mine := r.agents[agent]
	if mine == nil {
		mine = make(map[memberKey]*member)
		r.agents[agent] = mine
	}
	next := make(map[memberKey]bool, len(services))
	var errs []error
	for i, s := range services {
		key := memberKey{s.Resource, slotKey{s.Group, s.Address}}
		if why := refused[i]; why != nil {
			errs = append(errs, fmt.Errorf("service %d, %s of resource %s: %w", i, s.Address, s.Resource, why))
			if checkName("resource", s.Resource) != nil || checkName("group", s.Group) != nil || s.Address == "" {
				continue // nowhere to show it
			}
		}
		if next[key] {
			errs = append(errs, fmt.Errorf("service %d, %s of resource %s: it is exported twice in group %s", i, s.Address, s.Resource, s.Group))
			continue
		}
		next[key] = true
		m := &member{agent: agent, boot: boot, service: s}
		if refused[i] != nil {
			m.refused = refused[i].Error()
		}
		mine[key] = m
		r.slot(key).members[agent] = m
		touched[s.Resource] = true
	}
	for key, m := range mine {
		switch {
		case next[key]:
		case m.boot == boot: // withdrawn by the process that had exported it
			r.drop(key, m)
			touched[key.resource] = true
		case m.leaves.IsZero():
			r.expire(key, m, now)
		}
	}
	if len(r.agents[agent]) == 0 {
		delete(r.agents, agent)
	}
	r.settleAll(touched, now)
	return errors.Join(errs...)
}

// Gone says that the link of an agent's process broke. Its services stay for the time of grace, or until another process of
// the agent exports them.
func (r *Registry) Gone(agent, boot string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	for key, m := range r.agents[agent] {
		if m.boot == boot && m.leaves.IsZero() {
			r.expire(key, m, now)
		}
	}
	r.signal()
}

// expire gives a member the time of grace. mu is held.
func (r *Registry) expire(key memberKey, m *member, now time.Time) {
	m.leaves = now.Add(r.opt.Grace)
	r.leaving = append(r.leaving, leave{at: m.leaves, agent: m.agent, key: key})
}

// endGrace removes the members whose time is over.
func (r *Registry) endGrace() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	touched := make(map[string]bool)
	n := 0
	for ; n < len(r.leaving) && !r.leaving[n].at.After(now); n++ {
		l := r.leaving[n]
		m := r.agents[l.agent][l.key]
		if m == nil || !m.leaves.Equal(l.at) {
			continue // it came back
		}
		r.drop(l.key, m)
		touched[l.key.resource] = true
	}
	r.leaving = slices.Delete(r.leaving, 0, n)
	r.settleAll(touched, now)
}

// untilNextLeave is how long keep may sleep.
func (r *Registry) untilNextLeave() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.leaving) == 0 {
		return time.Hour
	}
	return max(0, r.leaving[0].at.Sub(r.now()))
}

// slot returns the slot of a key, new if there is none. mu is held.
func (r *Registry) slot(key memberKey) *slot {
	e := r.exports[key.resource]
	if e == nil {
		e = &exported{groups: make(map[string]*pool)}
		r.exports[key.resource] = e
	}
	p := e.groups[key.group]
	if p == nil {
		p = &pool{name: key.group, slots: make(map[string]*slot)}
		e.groups[key.group] = p
	}
	s := p.slots[key.address]
	if s == nil {
		s = &slot{slotKey: key.slotKey, members: make(map[string]*member)}
		p.slots[key.address] = s
	}
	return s
}

// drop removes a member. mu is held; the resource is settled afterwards.
func (r *Registry) drop(key memberKey, m *member) {
	delete(r.agents[m.agent], key)
	if len(r.agents[m.agent]) == 0 {
		delete(r.agents, m.agent)
	}
	delete(r.slot(key).members, m.agent)
}

// settleAll decides for the slots of some resources which are in. mu is held.
func (r *Registry) settleAll(names map[string]bool, now time.Time) {
	for name := range names {
		var doc *document
		if v := r.view(name); v != nil {
			doc = v.doc
		}
		r.settle(name, doc, now)
		r.dirty[name] = struct{}{}
	}
	r.signal()
}

// settle decides which slots of a resource with this document, or none, are in. mu is held.
func (r *Registry) settle(name string, doc *document, now time.Time) {
	e := r.exports[name]
	if e == nil {
		return
	}
	for _, group := range sortedKeys(e.groups) {
		p := e.groups[group]
		p.settle(r.opt.Protect, doc, now)
		if len(p.slots) == 0 && len(p.left) == 0 {
			delete(e.groups, group)
		}
	}
	if len(e.all()) == 0 {
		delete(r.exports, name)
		return
	}
	if e.kind == "" {
		e.kind = e.firstKind()
	}
}

// settle lets slots in and out of a group. Of several that leave at once those with the smaller addresses go first, so that
// all centres hold the same ones.
func (p *pool) settle(protect Protection, doc *document, now time.Time) {
	var leaving []*slot
	for _, address := range sortedKeys(p.slots) {
		s := p.slots[address]
		best := s.best()
		switch {
		case best != nil:
			s.last = best.service
			s.held = nil
			if !s.in {
				p.enter(s, now)
			}
		case s.in && doc.lists(s.slotKey): // it stays as the document's
			s.in, s.held = false, nil
		case s.in && s.held == nil:
			leaving = append(leaving, s)
		}
	}
	if len(leaving) > 0 {
		c := p.count(protect, doc, now)
		for _, s := range leaving {
			if why := c.refuses(s); why != "" {
				s.held = &hold{since: now, why: why}
				continue
			}
			c.leave(s)
			p.leave(s, now)
		}
	}
	for address, s := range p.slots {
		if !s.in && len(s.members) == 0 {
			delete(p.slots, address)
		}
	}
	p.forget(protect, now)
}

// best returns the member whose word counts: of those that are up the one of the first agent by name.
func (s *slot) best() *member {
	var best *member
	for agent, m := range s.members {
		if m.service.Up && m.refused == "" && (best == nil || agent < best.agent) {
			best = m
		}
	}
	return best
}

// firstKind returns the kind of the slot that has been in for longest.
func (e *exported) firstKind() string {
	var first *slot
	for _, s := range e.all() {
		if s.in && (first == nil || s.since.Before(first.since)) {
			first = s
		}
	}
	if first == nil {
		return ""
	}
	return first.last.Kind
}

// all returns the slots by group and address.
func (e *exported) all() []*slot {
	if e == nil {
		return nil
	}
	var out []*slot
	for _, p := range e.groups {
		for _, s := range p.slots {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b *slot) int {
		return cmp.Or(cmp.Compare(a.group, b.group), cmp.Compare(a.address, b.address))
	})
	return out
}

// exportedGroups returns the groups of a resource that have exported endpoints.
func (r *Registry) exportedGroups(name string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, s := range r.exports[name].all() {
		if s.in {
			out = append(out, s.group)
		}
	}
	return slices.Compact(out)
}

// exporters returns the agents that export an endpoint.
func (r *Registry) exporters(name string, key slotKey) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.exports[name]; e != nil && e.groups[key.group] != nil && e.groups[key.group].slots[key.address] != nil {
		return sortedKeys(e.groups[key.group].slots[key.address].members)
	}
	return nil
}

// checkServices says for each service why it is refused, by the rules that config has for what people write.
func (r *Registry) checkServices(agent string, services []control.Service) []error {
	out := make([]error, len(services))
	for i, s := range services {
		if r.known(agent, s) {
			continue
		}
		out[i] = checkService(r.opt.Parse, s)
	}
	return out
}

// known reports that the agent exported the very same before, so that it need not be checked again.
func (r *Registry) known(agent string, s control.Service) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.agents[agent][memberKey{s.Resource, slotKey{s.Group, s.Address}}]
	return m != nil && m.refused == "" && m.service.Kind == s.Kind && m.service.Role == s.Role &&
		m.service.Weight == s.Weight && m.service.IDC == s.IDC
}

func checkService(opt config.Options, s control.Service) error {
	if err := checkName("group", s.Group); err != nil {
		return err
	}
	if strings.ContainsFunc(s.IDC, func(c rune) bool { return c <= ' ' || c == 0x7f }) || len(s.IDC) > 255 {
		return fmt.Errorf("the IDC %q has spaces or control characters, or more than 255 bytes", s.IDC)
	}
	group := resources.Group{IDC: s.IDC, Endpoints: []resources.EndpointSpec{endpointSpec(s)}}
	opt.ListenOptional = true
	js, err := encodeJSON(map[string]any{"kind": s.Kind, "groups": map[string]any{s.Group: group}})
	if err != nil {
		return err
	}
	_, err = opt.ParseResource(s.Resource, js)
	var all *config.Errors
	if !errors.As(err, &all) {
		return err
	}
	for _, p := range all.Problems {
		if strings.HasPrefix(p.Path, "settings") || strings.HasPrefix(p.Path, "policy") {
			continue // of the resource, which a document may define
		}
		if p.Path == "" {
			return errors.New(p.Message)
		}
		return fmt.Errorf("%s: %s", strings.TrimPrefix(p.Path, "groups."+s.Group+"."), p.Message)
	}
	return nil
}

// endpointSpec is a service as a spec has it.
func endpointSpec(s control.Service) resources.EndpointSpec {
	e := resources.EndpointSpec{Address: s.Address, Role: s.Role}
	if s.Weight != 0 {
		w := s.Weight
		e.Weight = &w
	}
	return e
}
