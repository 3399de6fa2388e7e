package registry

import (
	"fmt"
	"slices"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/resources"
)

// enter takes a slot in.
func (p *pool) enter(s *slot, now time.Time) { s.in, s.since = true, now }

// leave takes a slot out and remembers that it left.
func (p *pool) leave(s *slot, now time.Time) {
	s.in, s.held = false, nil
	p.left = append(p.left, departure{address: s.address, from: s.since, to: now})
}

// forget drops the departures that are older than the window.
func (p *pool) forget(protect Protection, now time.Time) {
	p.left = slices.DeleteFunc(p.left, func(d departure) bool { return !d.to.After(now.Add(-protect.Window)) })
}

// counts is a group within the window that ends now.
type counts struct {
	Protection
	wasThere map[string]bool // by address: at the window's beginning (true), or at some later time in it (false)
	old, all int             // how many were there at the beginning; how many at any time
	oldGone  int             // of old, how many are not there now
	allGone  int
}

// count looks at a group. Endpoints of the document count as there all the time; they never leave by themselves.
func (p *pool) count(protect Protection, doc *document, now time.Time) *counts {
	start := now.Add(-protect.Window)
	c := &counts{Protection: protect, wasThere: make(map[string]bool)}
	for _, d := range p.left {
		if d.to.After(start) {
			c.wasThere[d.address] = c.wasThere[d.address] || !d.from.After(start)
		}
	}
	for _, s := range p.slots {
		if s.in {
			c.wasThere[s.address] = c.wasThere[s.address] || !s.since.After(start)
		}
	}
	if doc != nil {
		for key := range doc.since {
			if key.group == p.name {
				c.wasThere[key.address] = true
			}
		}
	}
	for address, old := range c.wasThere {
		s := p.slots[address]
		gone := (s == nil || !s.in) && !doc.lists(slotKey{p.name, address})
		c.add(old, gone)
	}
	return c
}

func (c *counts) add(old, gone bool) {
	c.all++
	if gone {
		c.allGone++
	}
	if old {
		c.old++
		if gone {
			c.oldGone++
		}
	}
}

// refuses says why a slot must not leave now; "" when it may. Two shares are looked at: of the endpoints that were there at
// the beginning of the window, and of all that it saw, without which a group that is younger than the window would have no
// protection.
func (c *counts) refuses(s *slot) string {
	if c.wasThere[s.address] && c.beyond(c.oldGone+1, c.old) {
		return c.why(c.oldGone, c.old)
	}
	if c.beyond(c.allGone+1, c.all) {
		return c.why(c.allGone, c.all)
	}
	return ""
}

func (c *counts) beyond(gone, of int) bool { return float64(gone)*100 > float64(c.Share)*float64(of) }

func (c *counts) why(gone, of int) string {
	return fmt.Sprintf("more than %s of the group's %d endpoints would leave within %s (%d did)", c.Share, of, c.Window, gone)
}

// leave counts a slot as gone.
func (c *counts) leave(s *slot) {
	c.allGone++
	if c.wasThere[s.address] {
		c.oldGone++
	}
}

// Held is an endpoint that stays in a spec although no agent vouches for it any more, because too many left with it.
type Held struct {
	Resource string
	Group    string
	Spec     resources.EndpointSpec
	Agents   []string // that last exported it, and still say that it is down; empty when they are gone
	Since    time.Time
	Why      string
}

// Protected returns the endpoints of a resource that are held, by group and address; those of all resources for "".
func (r *Registry) Protected(name string) []Held {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Held
	for _, resource := range sortedKeys(r.exports) {
		if name != "" && name != resource {
			continue
		}
		for _, s := range r.exports[resource].all() {
			if s.held != nil {
				out = append(out, Held{Resource: resource, Group: s.group, Spec: endpointSpec(s.last),
					Agents: sortedKeys(s.members), Since: s.held.since, Why: s.held.why})
			}
		}
	}
	return out
}

// Release lets endpoints go that are held: one address of a group, or all of the group for "". It returns how many went; the
// error is store.ErrNotFound when nothing was held there. What is let go counts as having left.
func (r *Registry) Release(name, group, address string) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, n := r.now(), 0
	for _, s := range r.exports[name].all() {
		if s.held != nil && s.group == group && (address == "" || s.address == address) {
			r.exports[name].groups[group].leave(s, now)
			n++
		}
	}
	if n == 0 {
		what := "endpoint"
		if address != "" {
			what += " " + address
		}
		return 0, fmt.Errorf("resource %s: no %s of group %q is held: %w", name, what, group, store.ErrNotFound)
	}
	r.settleAll(map[string]bool{name: true}, now)
	return n, nil
}
