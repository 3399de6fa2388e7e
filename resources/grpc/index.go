package grpc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-mesh/sluice/resources"
)

// target is what calls are told apart by; "" is any.
type target struct{ authority, service string }

func (t target) String() string {
	switch {
	case t.authority == "" && t.service == "":
		return "any service"
	case t.authority == "":
		return t.service
	case t.service == "":
		return "any service at " + t.authority
	}
	return t.service + " at " + t.authority
}

// targets are what a resource takes calls for.
func (s *Settings) targets() []target {
	services, authorities := s.Services, s.Authorities
	if len(services) == 0 {
		services = []string{""}
	}
	if len(authorities) == 0 {
		authorities = []string{""}
	}
	var all []target
	for _, a := range authorities {
		for _, n := range services {
			all = append(all, target{a, n})
		}
	}
	return all
}

// index finds the resource that a call is for. It is never changed.
type index struct{ by map[target]*Resource }

func newIndex(of []resources.Resource) *index {
	ix := &index{by: make(map[target]*Resource, len(of))}
	for _, m := range of {
		r := m.(*Resource)
		for _, t := range r.set.targets() {
			ix.by[t] = r
		}
	}
	return ix
}

// find returns the resource for a call; nil when there is none. One that names the authority comes first, then one that names
// the service.
func (ix *index) find(authority, service string) *Resource {
	for _, t := range [...]target{{authority, service}, {authority, ""}, {"", service}, {"", ""}} {
		if r := ix.by[t]; r != nil {
			return r
		}
	}
	return nil
}

// explain says why find found nothing, and what would be right.
func (ix *index) explain(authority, service string) string {
	var have []string
	for t := range ix.by {
		have = append(have, t.String())
	}
	slices.Sort(have)
	return fmt.Sprintf("no resource here serves %s for %s; there is %s", clip(service), clip(authority), strings.Join(have[:min(len(have), 20)], ", "))
}

// clip bounds what a caller wrote, for an error.
func clip(s string) string { return s[:min(len(s), 200)] }
