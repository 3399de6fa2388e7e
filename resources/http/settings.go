package http

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-mesh/sluice/protocols/http1"
	"github.com/sluice-mesh/sluice/resources"
)

// Settings are the `settings:` of a resource of kind http.
type Settings struct {
	Service    string             `yaml:"service,omitempty" json:"service,omitempty" doc:"name of the service in registries; default: the resource's name" reload:"drain"`
	Groups     map[string]string  `yaml:"groups,omitempty" json:"groups,omitempty" doc:"the name that a group has in registries, by its name here; default: the same" reload:"drain"`
	Hosts      []string           `yaml:"hosts,omitempty" json:"hosts,omitempty" doc:"hosts that requests for the service name (Host), without a port, such as user-service or *.feed.local; default: the service's name, or any host when no other service has the address" reload:"drain"`
	Host       string             `yaml:"host,omitempty" json:"host,omitempty" doc:"Host that servers get; default: the client's" reload:"drain"`
	Routes     []string           `yaml:"routes,omitempty" json:"routes,omitempty" doc:"paths that are operations of their own, such as /users/* or GET /users/*/posts: the first that matches; * stands for anything. Others are operations by their method alone" reload:"drain"`
	Idempotent []string           `yaml:"idempotent,omitempty" json:"idempotent,omitempty" doc:"requests besides GET, HEAD, OPTIONS and TRACE that repeat without harm, such as POST /search or PUT /users/*: they are sent again after they were sent, or sent twice as backup; their class is read" reload:"drain"`
	Key        string             `yaml:"key,omitempty" json:"key,omitempty" doc:"field of the head that decides, with balance hash and between groups, where a request goes; default: requests are balanced one by one" reload:"drain"`
	Caller     string             `yaml:"caller,omitempty" json:"caller,omitempty" doc:"field of the head that names the calling application, which the agent adds where it is missing; default: all calls are the agent's application's" reload:"drain"`
	Forwarded  string             `yaml:"forwarded,omitempty" json:"forwarded" doc:"what becomes of X-Forwarded-For, -Proto and -Host: append the client to what it sends, replace that, or pass it on" default:"append" bounds:"append, replace, pass" reload:"drain"`
	Health     string             `yaml:"health,omitempty" json:"health,omitempty" doc:"path that a sound server answers with a status from 200 to 399; empty: it is enough that it takes connections" reload:"drain"`
	MaxBody    resources.Size     `yaml:"max-body,omitempty" json:"max-body" doc:"longest body of a request" bounds:"1KiB to 1TiB; 0 means any" default:"0" reload:"drain"`
	Stall      resources.Duration `yaml:"stall,omitempty" json:"stall" doc:"longest time in which nothing of a body moves" default:"1m" bounds:"100ms to 1h" reload:"drain"`
	Idle       resources.Duration `yaml:"idle,omitempty" json:"idle" doc:"a connection to a server that is idle this long is closed; it should be less than what servers wait, so that they do not close one that is being used" default:"4s" bounds:"100ms to 1h" reload:"drain"`

	routes, idempotent []route
}

// The values of Forwarded.
const (
	forwardAppend  = "append"
	forwardReplace = "replace"
	forwardPass    = "pass"
)

// longest is how long names, hosts and paths of settings may be, in bytes.
const longest = 512

func (s *Settings) fill() error {
	if s.Forwarded == "" {
		s.Forwarded = forwardAppend
	}
	if s.Stall == 0 {
		s.Stall = 60e9
	}
	if s.Idle == 0 {
		s.Idle = 4e9
	}
	var errs []error
	refuse := func(field, format string, args ...any) {
		errs = append(errs, resources.At(field, fmt.Errorf(format, args...)))
	}
	if !isText(s.Service) {
		refuse("service", "%q is no name of a service: write one line of at most %d bytes", s.Service, longest)
	}
	theirs := map[string]bool{}
	for _, ours := range slices.Sorted(maps.Keys(s.Groups)) {
		g := s.Groups[ours]
		if g == "" || !isText(g) || theirs[g] {
			refuse("groups."+ours, "%q is no name of a group, or another one has it", g)
		}
		theirs[g] = true
	}
	for i, h := range s.Hosts {
		if !isHostPattern(h) {
			refuse(fmt.Sprintf("hosts[%d]", i), "%q is no host: write a name without a port, *.NAME for all below it, or *", h)
		}
		s.Hosts[i] = strings.ToLower(h)
	}
	if s.Host != "" && (!http1.IsHost(s.Host) || len(s.Host) > longest) {
		refuse("host", "%q is no host: write NAME or NAME:PORT", s.Host)
	}
	for _, f := range []struct{ field, name string }{{"key", s.Key}, {"caller", s.Caller}} {
		if f.name != "" && (!http1.IsToken(f.name) || len(f.name) > longest) {
			refuse(f.field, "%q is no name of a field", f.name)
		}
	}
	if s.Health != "" && (s.Health[0] != '/' || !http1.IsTarget(s.Health) || len(s.Health) > longest) {
		refuse("health", "%q is no path: write one that begins with /", s.Health)
	}
	var err error
	s.routes, err = parseRoutes("routes", s.Routes)
	errs = append(errs, err)
	s.idempotent, err = parseRoutes("idempotent", s.Idempotent)
	errs = append(errs, err)
	return errors.Join(errs...)
}

func isText(s string) bool { return len(s) <= longest && !strings.ContainsAny(s, "\r\n\x00") }

func isHostPattern(h string) bool {
	if h == "*" {
		return true
	}
	h = strings.TrimPrefix(h, "*.")
	return h != "" && len(h) <= longest && http1.IsHost(h) && !strings.ContainsAny(h, "*") && (!strings.Contains(h, ":") || h[0] == '[')
}

// service returns the name of the service.
func (s *Settings) service(resource string) string {
	if s.Service != "" {
		return s.Service
	}
	return resource
}

// hosts returns the hosts that name the service, in lower case.
func (s *Settings) hosts(resource string) []string {
	if len(s.Hosts) > 0 {
		return s.Hosts
	}
	return []string{strings.ToLower(s.service(resource))}
}

// CalledAs implements resources.Called: the first host that names the service; one below the name where all are patterns.
func (s *Settings) CalledAs(resource string) string {
	hosts := s.hosts(resource)
	for _, h := range hosts {
		if !strings.HasPrefix(h, "*") {
			return h
		}
	}
	if hosts[0] == "*" {
		return strings.ToLower(s.service(resource))
	}
	return "any" + hosts[0][1:]
}

// RegisteredAs implements resources.Registered.
func (s *Settings) RegisteredAs(resource, group string) resources.Service {
	if g := s.Groups[group]; g != "" {
		group = g
	}
	return resources.Service{Group: group, Path: s.service(resource), Protocol: Kind}
}

// Apart implements resources.Sharing: requests for two resources differ by their hosts.
func (d *Driver) Apart(a, b resources.Declared) error {
	theirs := b.Settings.(*Settings).hosts(b.Spec.Name)
	for _, h := range a.Settings.(*Settings).hosts(a.Spec.Name) {
		if slices.Contains(theirs, h) {
			return fmt.Errorf("both are for host %s: give one of them other settings.hosts", h)
		}
	}
	return nil
}
