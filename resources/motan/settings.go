package motan

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/resources"
)

// Settings are the `settings:` of a resource of kind motan2.
type Settings struct {
	Service    string             `yaml:"service,omitempty" json:"service,omitempty" doc:"name of the service as callers write it (the interface, M_p); default: the resource's name" reload:"drain"`
	Version    string             `yaml:"version,omitempty" json:"version,omitempty" doc:"version of the service (M_v); empty: whatever callers write" reload:"drain"`
	Groups     map[string]string  `yaml:"groups,omitempty" json:"groups,omitempty" doc:"the name that a group has for callers and servers (M_g), by its name here; default: the same" reload:"drain"`
	Idempotent []string           `yaml:"idempotent,omitempty" json:"idempotent,omitempty" doc:"methods that repeat without harm, such as get*: only these are sent again after they were sent, or sent twice as backup; their class is read" reload:"drain"`
	MaxTimeout resources.Multiple `yaml:"max-timeout,omitempty" json:"max-timeout" doc:"longest time that a caller may ask for (M_tmo), as a share of policy.timeout" default:"200%" bounds:"1% to 100000%" reload:"drain"`
	MaxContent resources.Size     `yaml:"max-content,omitempty" json:"max-content" doc:"longest metadata and longest body of a request or reply" default:"10MiB" bounds:"1KiB to 256MiB" reload:"drain"`
	Heartbeat  resources.Duration `yaml:"heartbeat,omitempty" json:"heartbeat" doc:"a connection to a server that is idle this long is asked whether it lives" default:"10s" bounds:"100ms to 1h" reload:"drain"`
	Weights    *bool              `yaml:"weights,omitempty" json:"weights" doc:"follow the weights that servers say of themselves while they run (META_WEIGHT, asked of their MetaService); a weight in the config goes before it" default:"true" reload:"drain"`
}

const longest = 512 // of names that come from callers, in bytes

func (s *Settings) fill() error {
	if s.MaxTimeout == 0 {
		s.MaxTimeout = 200
	}
	if s.MaxContent == 0 {
		s.MaxContent = motan2.DefaultMax
	}
	if s.Heartbeat == 0 {
		s.Heartbeat = 10e9
	}
	if s.Weights == nil {
		yes := true
		s.Weights = &yes
	}
	var errs []error
	refuse := func(field, format string, args ...any) {
		errs = append(errs, resources.At(field, fmt.Errorf(format, args...)))
	}
	if !isName(s.Service) {
		refuse("service", "%q is no name of a service: write one line of at most %d bytes", s.Service, longest)
	}
	if !isName(s.Version) {
		refuse("version", "%q is no version: write one line of at most %d bytes", s.Version, longest)
	}
	theirs := map[string]string{}
	for _, ours := range slices.Sorted(maps.Keys(s.Groups)) {
		g := s.Groups[ours]
		if g == "" || !isName(g) {
			refuse("groups."+ours, "%q is no name of a group: write one line of at most %d bytes", g, longest)
		}
		if other, dup := theirs[g]; dup {
			refuse("groups."+ours, "group %s has the name %q already: callers who ask for it could mean either", other, g)
		}
		theirs[g] = ours
	}
	for i, m := range s.Idempotent {
		if m == "" || !isName(m) {
			refuse(fmt.Sprintf("idempotent[%d]", i), "%q matches no method: write a name, in which * stands for anything", m)
		}
	}
	return errors.Join(errs...)
}

// isName reports whether metadata can hold s.
func isName(s string) bool { return len(s) <= longest && !strings.ContainsAny(s, "\n\r\x00") }

// service returns the name that callers use.
func (s *Settings) service(resource string) string {
	if s.Service != "" {
		return s.Service
	}
	return resource
}

// group returns the name that a group of the spec has on the wire.
func (s *Settings) group(ours string) string {
	if g := s.Groups[ours]; g != "" {
		return g
	}
	return ours
}

// RegisteredAs implements resources.Registered.
func (s *Settings) RegisteredAs(resource, group string) resources.Service {
	return resources.Service{Group: s.group(group), Path: s.service(resource), Version: s.Version, Protocol: Kind}
}

// Apart implements resources.Sharing: of two resources for one service, callers must be able to say which they mean, by its
// version or by a group that only one of them has.
func (d *Driver) Apart(a, b resources.Declared) error {
	sa, sb := a.Settings.(*Settings), b.Settings.(*Settings)
	service := sa.service(a.Spec.Name)
	if service != sb.service(b.Spec.Name) || sa.Version != "" && sb.Version != "" && sa.Version != sb.Version {
		return nil
	}
	theirs := map[string]bool{}
	for _, g := range b.Spec.GroupNames() {
		theirs[sb.group(g)] = true
	}
	for _, g := range a.Spec.GroupNames() {
		if theirs[sa.group(g)] {
			return fmt.Errorf("both serve %s in group %s: give one of them another settings.service, another settings.version, or other groups", service, sa.group(g))
		}
	}
	return nil
}
