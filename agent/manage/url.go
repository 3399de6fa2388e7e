package manage

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// Service is a service of a request.
type Service struct {
	Group    string
	Path     string // the interface
	Version  string // "" where there is none
	Registry string // address of one of those that the configuration names
	Port     int    // at which it is served on this machine; 0 in subscriptions
}

// URL is how the Motan world describes a service, in JSON.
type URL struct {
	Protocol   string            `json:"protocol"`
	Host       string            `json:"host"`
	Port       int               `json:"port"`
	Path       string            `json:"path"`
	Group      string            `json:"group"`
	Parameters map[string]string `json:"parameters"`
}

const (
	longest    = 512 // of names, in bytes
	mostGroups = 32  // in one request
)

// Parse reads the body of a request. It may name several groups with commas between them, and is then for as many services.
// registries are those that it may name: address by name. served says that it must have a port.
func Parse(body []byte, registries map[string]string, served bool) ([]Service, error) {
	var u URL
	if err := json.Unmarshal(body, &u); err != nil {
		return nil, fmt.Errorf("the body is no URL in JSON: %w", err)
	}
	if u.Protocol != "motan2" {
		return nil, fmt.Errorf("protocol %.40q cannot be registered here: use motan2", u.Protocol)
	}
	if served && (u.Port < 1 || u.Port > 65535) {
		return nil, fmt.Errorf("port: %d is no port: write the one at which the service is served here, from 1 to 65535", u.Port)
	}
	if !served {
		u.Port = 0
	}
	registry, err := find(&u, registries)
	if err != nil {
		return nil, err
	}
	groups := u.Group
	if groups == "" {
		groups = u.Parameters["group"]
	}
	var out []Service
	for g := range strings.SplitSeq(groups, ",") {
		s := Service{Group: strings.TrimSpace(g), Path: u.Path, Version: u.Parameters["version"], Registry: registry, Port: u.Port}
		if err := s.check(); err != nil {
			return nil, err
		}
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
		if len(out) > mostGroups {
			return nil, fmt.Errorf("group: there are more than %d: send several requests", mostGroups)
		}
	}
	return out, nil
}

func (s *Service) check() error {
	for _, n := range []struct {
		what, text string
		empty      bool
	}{{"group", s.Group, false}, {"path", s.Path, false}, {"version", s.Version, true}} {
		control := func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' }
		if n.text == "" && !n.empty || len(n.text) > longest || !utf8.ValidString(n.text) || strings.ContainsFunc(n.text, control) {
			return fmt.Errorf("%s %.60q cannot be used: write one word without a slash, of at most %d bytes", n.what, n.text, longest)
		}
	}
	return nil
}

// find returns the address of the registry that a URL means: by the name that it has in the configuration, by KIND://HOST:PORT, or
// by the whole URL of a registry, escaped, as Java writes it. With none, it is the only one that there is.
func find(u *URL, registries map[string]string) (string, error) {
	for _, said := range []string{u.Parameters["proxyRegistry"], u.Parameters["meshRegistryName"]} {
		if address, ok := named(said, registries); ok {
			return address, nil
		}
	}
	said, err := url.QueryUnescape(u.Parameters["proxyRegistryUrlString"])
	if err != nil {
		return "", fmt.Errorf("proxyRegistryUrlString: %w", err)
	}
	if address, ok := named(said, registries); ok {
		return address, nil
	}
	told := cmp.Or(u.Parameters["proxyRegistry"], u.Parameters["meshRegistryName"], said)
	if told == "" && len(registries) == 1 {
		for _, address := range registries {
			return address, nil
		}
	}
	names := strings.Join(slices.Sorted(maps.Keys(registries)), ", ")
	switch {
	case names == "":
		return "", errors.New("there is no registry: agent.motan.registries names those that requests may use")
	case told == "":
		return "", fmt.Errorf("the request names no registry: write one of agent.motan.registries as proxyRegistry: %s", names)
	}
	return "", fmt.Errorf("the registry %.100q is none of those in agent.motan.registries: write one of %s", told, names)
}

// named finds a registry by what was said of it.
func named(said string, registries map[string]string) (address string, ok bool) {
	if address, ok := registries[said]; ok || said == "" {
		return address, ok
	}
	kind, hosts, ok := split(said)
	if !ok {
		return "", false
	}
	for _, name := range slices.Sorted(maps.Keys(registries)) {
		k, h, _ := split(registries[name])
		if k == kind && slices.ContainsFunc(hosts, func(host string) bool { return slices.Contains(h, host) }) {
			return registries[name], true
		}
	}
	return "", false
}

// split cuts the address or the URL of a registry into its kind and its servers. Java has a second name for ZooKeeper.
func split(text string) (kind string, hosts []string, ok bool) {
	kind, rest, ok := strings.Cut(text, "://")
	if kind == "zk" {
		kind = "zookeeper"
	}
	rest, query, _ := strings.Cut(rest, "?")
	rest, _, _ = strings.Cut(rest, "/")
	hosts = strings.Split(rest, ",")
	if q, err := url.ParseQuery(query); err == nil && q.Get("address") != "" {
		hosts = append(hosts, strings.Split(q.Get("address"), ",")...)
	}
	for i, h := range hosts {
		if host, port, err := net.SplitHostPort(h); err == nil && host == "localhost" {
			hosts[i] = net.JoinHostPort("127.0.0.1", port)
		}
	}
	return kind, hosts, ok
}
