package resources

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Service is what a service is called in a registry.
type Service struct {
	Group    string
	Path     string // the interface
	Version  string // "" where it has none
	Protocol string // what its nodes speak
}

// String returns the service for people: "user-rpc/com.weibo.UserService 1.0 (motan2)".
func (s Service) String() string {
	out := s.Group + "/" + s.Path
	if s.Version != "" {
		out += " " + s.Version
	}
	return out + " (" + s.Protocol + ")"
}

// Registered is an optional capability of [Settings]: resources of the kind can be found in registries of services.
type Registered interface {
	// RegisteredAs returns what a group of a resource is called there.
	RegisteredAs(resource, group string) Service
}

// Finder finds the endpoints of groups that are in a registry.
type Finder interface {
	// Find reports all members of a group each time they change, until ctx is done. registry is what Group.Registry says. It
	// reports nothing for as long as the registry cannot be reached, and returns early only with an error that no waiting
	// mends.
	Find(ctx context.Context, registry string, s Service, report func([]Member)) error
}

var registries struct {
	sync.Mutex
	kinds []string // sorted
	local []string // those of them that are a place on this machine
}

// RegisterRegistry adds a kind of registry that a [Group] may name: servers, KIND://HOST:PORT, or, if local, a place on this machine,
// KIND:///PATH.
func RegisterRegistry(kind string, local bool) {
	registries.Lock()
	defer registries.Unlock()
	registries.kinds = append(registries.kinds, kind)
	slices.Sort(registries.kinds)
	if local {
		registries.local = append(registries.local, kind)
	}
}

// LocalRegistry reports whether registries of a kind are places on this machine.
func LocalRegistry(kind string) bool {
	registries.Lock()
	defer registries.Unlock()
	return slices.Contains(registries.local, kind)
}

// Registries returns the kinds of registries that there are, sorted.
func Registries() []string {
	registries.Lock()
	defer registries.Unlock()
	return slices.Clone(registries.kinds)
}

// CheckRegistry checks the address of a registry: KIND://HOST:PORT,HOST:PORT/ROOT, or KIND:///PATH of a kind that is local.
func CheckRegistry(text string) error {
	kind, rest, ok := strings.Cut(text, "://")
	if kinds := Registries(); !ok || !slices.Contains(kinds, kind) {
		for i, k := range kinds {
			if kinds[i] += "://HOST:PORT"; LocalRegistry(k) {
				kinds[i] = k + ":///PATH"
			}
		}
		return fmt.Errorf("%q is no registry: write %s", text, strings.Join(kinds, " or "))
	}
	if LocalRegistry(kind) {
		if path, ok := strings.CutPrefix(rest, "/"); !ok || strings.Trim(path, "/") == "" {
			return fmt.Errorf("%q names no place of a %s registry: write %s:///PATH", text, kind, kind)
		}
		return nil
	}
	hosts, _, _ := strings.Cut(rest, "/")
	if strings.Contains(hosts, "@") {
		return fmt.Errorf("the address of a %s registry holds a user or password: they would be shown wherever the address is", kind)
	}
	for _, h := range strings.Split(hosts, ",") {
		if host, port, ok := cutPort(h); !ok || host == "" || port == "" {
			return fmt.Errorf("%q in the address of a %s registry is not HOST:PORT", h, kind)
		}
	}
	return nil
}

// cutPort cuts an address at its last colon.
func cutPort(a string) (host, port string, ok bool) {
	i := strings.LastIndexByte(a, ':')
	if i < 0 {
		return a, "", false
	}
	return a[:i], a[i+1:], strings.Trim(a[i+1:], "0123456789") == ""
}
