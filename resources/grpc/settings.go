package grpc

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-mesh/sluice/resources"
)

// Settings are the `settings:` of a resource of kind grpc.
type Settings struct {
	Services    []string           `yaml:"services,omitempty" json:"services,omitempty" doc:"full names of the services that calls here are for, as in /package.Service/Method; the first one is its name in registries; empty: all" reload:"drain"`
	Authorities []string           `yaml:"authorities,omitempty" json:"authorities,omitempty" doc:"names by which callers call (:authority), with the port if they write one; empty: any" reload:"drain"`
	Idempotent  []string           `yaml:"idempotent,omitempty" json:"idempotent,omitempty" doc:"methods that repeat without harm, such as /package.Service/Get*: only these are sent again after they were sent, or sent twice as backup; their class is read" reload:"drain"`
	Streams     []string           `yaml:"streams,omitempty" json:"streams,omitempty" doc:"methods whose calls may be silent for long, such as /package.Service/Watch*: policy.timeout does not end them, only policy.idle-timeout; their class is stream" reload:"drain"`
	MaxTimeout  resources.Percent  `yaml:"max-timeout,omitempty" json:"max-timeout" doc:"how long nothing may move on a call whose caller gives it more time (grpc-timeout), as a share of policy.timeout" default:"200%" bounds:"1% to 100000%" reload:"drain"`
	Connections int                `yaml:"connections,omitempty" json:"connections" doc:"most connections of an event loop to an endpoint; a further one is opened when a server takes no more streams on those that there are" default:"4" bounds:"1 to 64" reload:"drain"`
	Window      resources.Size     `yaml:"window,omitempty" json:"window" doc:"how much of a call may be under way in the agent, each way, before its sender has to wait" default:"256KiB" bounds:"64KiB to 16MiB" reload:"drain"`
	Heartbeat   resources.Duration `yaml:"heartbeat,omitempty" json:"heartbeat" doc:"a server that has calls and says nothing for this long is asked whether it lives (PING)" default:"10s" bounds:"100ms to 1h" reload:"drain"`
	Health      string             `yaml:"health,omitempty" json:"health,omitempty" doc:"the service that health checks ask for (grpc.health.v1); empty: the server as a whole" reload:"drain"`
	Caller      string             `yaml:"caller,omitempty" json:"caller,omitempty" doc:"metadata that names the calling application; empty: agent.application calls" reload:"drain"`
	Hash        string             `yaml:"hash,omitempty" json:"hash,omitempty" doc:"metadata by whose value balance hash chooses; empty: calls have no key" reload:"drain"`
}

const (
	longest            = 512 // of names that come from callers, in bytes
	defaultWindow      = 256 << 10
	defaultConnections = 4
)

func (s *Settings) fill() error {
	if s.MaxTimeout == 0 {
		s.MaxTimeout = 200
	}
	if s.Connections == 0 {
		s.Connections = defaultConnections
	}
	if s.Window == 0 {
		s.Window = defaultWindow
	}
	if s.Heartbeat == 0 {
		s.Heartbeat = 10e9
	}
	var errs []error
	refuse := func(field, format string, args ...any) {
		errs = append(errs, resources.At(field, fmt.Errorf(format, args...)))
	}
	for i, n := range s.Services {
		if n == "" || len(n) > longest || strings.ContainsAny(n, "/ \n\r\x00") {
			refuse(fmt.Sprintf("services[%d]", i), "%q is no name of a service: write package.Service", n)
		}
	}
	for i, n := range s.Authorities {
		if n == "" || len(n) > longest || strings.ContainsAny(n, "/ \n\r\x00") {
			refuse(fmt.Sprintf("authorities[%d]", i), "%q is no authority: write HOST or HOST:PORT", n)
		}
	}
	for i, m := range s.Idempotent {
		if !isPattern(m) {
			refuse(fmt.Sprintf("idempotent[%d]", i), "%q matches no method: write /package.Service/Method, in which * stands for anything", m)
		}
	}
	for i, m := range s.Streams {
		if !isPattern(m) {
			refuse(fmt.Sprintf("streams[%d]", i), "%q matches no method: write /package.Service/Method, in which * stands for anything", m)
		}
	}
	if s.Caller != strings.ToLower(s.Caller) || strings.HasPrefix(s.Caller, ":") {
		refuse("caller", "%q is no key of metadata: keys are in lower case", s.Caller)
	}
	if s.Hash != strings.ToLower(s.Hash) || strings.HasPrefix(s.Hash, ":") {
		refuse("hash", "%q is no key of metadata: keys are in lower case", s.Hash)
	}
	return errors.Join(errs...)
}

// isPattern reports whether s can match a method: its path begins with / or with *.
func isPattern(s string) bool {
	return s != "" && len(s) <= longest && (s[0] == '/' || s[0] == '*') && !strings.ContainsAny(s, " \n\r\x00")
}

// CalledAs implements resources.Called: the first authority, if callers must name one.
func (s *Settings) CalledAs(resource string) string {
	if len(s.Authorities) > 0 {
		return s.Authorities[0]
	}
	return resource
}

// RegisteredAs implements resources.Registered.
func (s *Settings) RegisteredAs(resource, group string) resources.Service {
	path := resource
	if len(s.Services) > 0 {
		path = s.Services[0]
	}
	return resources.Service{Group: group, Path: path, Protocol: Kind}
}

// Apart implements resources.Sharing: calls for two resources are told apart by their service or by their authority. A
// resource that names none takes what no other one names.
func (d *Driver) Apart(a, b resources.Declared) error {
	theirs := map[target]bool{}
	for _, t := range b.Settings.(*Settings).targets() {
		theirs[t] = true
	}
	for _, t := range a.Settings.(*Settings).targets() {
		if theirs[t] {
			return fmt.Errorf("both take calls of %s: give one of them other settings.services or settings.authorities", t)
		}
	}
	return nil
}
