package motan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/resources"
)

// index finds the resource, or the guest, that a request is for. It is never changed.
type index struct{ byService map[string][]target }

// target is what a request can be for: a resource or a guest.
type target struct {
	set    *Settings
	name   string
	groups func() []string  // their names here
	r      *Resource        // nil: a guest
	guest  *resources.Guest // nil: a resource
}

func newIndex(of []resources.Resource, guests []*resources.Guest) *index {
	ix := &index{byService: make(map[string][]target, len(of))}
	for _, m := range of {
		r := m.(*Resource)
		ix.byService[r.service] = append(ix.byService[r.service], target{set: r.set, name: r.rt.Name(), groups: r.rt.Groups, r: r})
	}
	for _, g := range guests {
		set := g.Settings.(*Settings)
		service := set.service(g.Spec.Name)
		ix.byService[service] = append(ix.byService[service], target{set: set, name: g.Spec.Name, groups: g.Spec.GroupNames, guest: g})
	}
	return ix
}

// find returns the target of a request; nil when there is none. A request that names no group or version may go to the
// only one that fits it otherwise.
func (ix *index) find(c *motan2.Call) *target {
	var found *target
	same := ix.byService[string(c.Service)]
	for i := range same {
		e := &same[i]
		if !e.takes(c) {
			continue
		}
		if found != nil {
			return nil
		}
		found = e
	}
	return found
}

// takes reports whether the version and the group of a request are those of e.
func (e *target) takes(c *motan2.Call) bool {
	if len(c.Version) > 0 && e.set.Version != "" && string(c.Version) != e.set.Version {
		return false
	}
	if len(c.Group) == 0 {
		return true
	}
	for _, g := range e.groups() {
		if e.set.group(g) == string(c.Group) {
			return true
		}
	}
	return false
}

// explain says why find found nothing, and what would be right.
func (ix *index) explain(c *motan2.Call) string {
	service := clip(c.Service)
	if len(c.Service) == 0 {
		return "the request names no service (M_p)"
	}
	same := ix.byService[string(c.Service)]
	if len(same) == 0 {
		return fmt.Sprintf("no resource here serves %s", service)
	}
	var have []string
	fit := 0
	for _, e := range same {
		what := e.name + " in "
		var groups []string
		for _, g := range e.groups() {
			groups = append(groups, e.set.group(g))
		}
		what += strings.Join(groups, ", ")
		if e.set.Version != "" {
			what += ", version " + e.set.Version
		}
		have = append(have, what)
		if e.takes(c) {
			fit++
		}
	}
	slices.Sort(have)
	if fit > 1 {
		return fmt.Sprintf("several resources here serve %s, and the request does not say which it is for (M_g, M_v): %s", service, strings.Join(have, "; "))
	}
	return fmt.Sprintf("%s is not served in group %q, version %q; there is %s", service, clip(c.Group), clip(c.Version), strings.Join(have, "; "))
}

// clip bounds what a caller wrote, for an error.
func clip(b []byte) []byte { return b[:min(len(b), 200)] }
