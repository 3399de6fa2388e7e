package discovery

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sluice-mesh/sluice/resources"
)

// Service names a service in a registry. To look for one, Version and Protocol may be empty, which means any.
type Service = resources.Service

// DefaultVersion is that of services and nodes without one, as both Motans have it.
const DefaultVersion = "1.0"

// Node is one address that serves a service.
type Node struct {
	Service
	Address   string // host:port
	Weight    int    // share of the group's traffic, 0 to 10000; 100 is usual
	Available bool
	Params    map[string]string // whatever else is said of it; see reserved for what is not
}

// MaxWeight is the greatest weight of a node.
const MaxWeight = 10000

// reserved are parameters that fields stand for.
var reserved = []string{"group", "version", "nodeType", "META_WEIGHT", "sluice.weight"}

// String names the node in logs.
func (n Node) String() string { return n.Address + " of " + n.Group + "/" + n.Path }

// Check refuses a service that has no place in a registry: names become parts of paths.
func Check(s Service) error {
	if err := checkName("group", s.Group); err != nil {
		return err
	}
	return checkName("path", s.Path)
}

// checkName refuses what is no single element of a path in every registry.
func checkName(what, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("a service needs a %s", what)
	case name == "." || name == ".." || len(name) > 255:
		return fmt.Errorf("%q cannot be the %s of a service", name, what)
	}
	for _, r := range name {
		if r <= ' ' || r == '/' || r == '?' || r >= 0x7f && r <= 0x9f || r >= 0xd800 && r <= 0xf8ff || r >= 0xfff0 {
			return fmt.Errorf("%q cannot be the %s of a service: it has the character %q", name, what, r)
		}
	}
	return nil
}

// Check refuses a scope that names not exactly one thing.
func (s Scope) Check() error {
	if (s.Group == "") == (s.Application == "") {
		return errors.New("commands are for a group or for an application: name one of the two")
	}
	return checkName("group", cmp.Or(s.Group, s.Application))
}

// Accepts reports whether callers of a service may use a node: the same version, the same protocol, where a node of motan2
// also serves callers of motan.
func Accepts(s Service, n Node) bool {
	if s.Version != "" && s.Version != cmp.Or(n.Version, DefaultVersion) {
		return false
	}
	return s.Protocol == "" || s.Protocol == n.Protocol || s.Protocol == "motan" && n.Protocol == "motan2"
}

// Check refuses a node that cannot be announced.
func (n Node) Check() error {
	if err := Check(n.Service); err != nil {
		return err
	}
	if n.Protocol == "" {
		return fmt.Errorf("node %s needs a protocol", n)
	}
	host, port, err := net.SplitHostPort(n.Address)
	if err != nil || host == "" || strings.ContainsAny(host, "/?% ") {
		return fmt.Errorf("%q cannot be the address of a node: write host:port", n.Address)
	}
	if p, err := strconv.Atoi(port); err != nil || p < 1 || p > 65535 {
		return fmt.Errorf("%q cannot be the address of a node: the port is 1 to 65535", n.Address)
	}
	if n.Weight < 0 || n.Weight > MaxWeight {
		return fmt.Errorf("node %s: weight %d is not between 0 and %d", n, n.Weight, MaxWeight)
	}
	for _, name := range reserved {
		if _, ok := n.Params[name]; ok {
			return fmt.Errorf("node %s: the parameter %s is a field of nodes", n, name)
		}
	}
	for name, v := range n.Params {
		if !utf8.ValidString(name) || !utf8.ValidString(v) {
			return fmt.Errorf("node %s: the parameter %q is no UTF-8", n, name)
		}
	}
	_, err = n.URL() // whatever the registry: other sources and people see the same node
	return err
}

// Equal reports whether two nodes are the same in every field.
func (n Node) Equal(o Node) bool {
	return n.Service == o.Service && n.Address == o.Address && n.Weight == o.Weight && n.Available == o.Available &&
		maps.Equal(n.Params, o.Params)
}

// Members are the nodes as a cluster knows its endpoints. Those that are not available are left out, and so are those of weight
// 0, which get no calls: a weight of 0 means something else there.
func Members(nodes []Node) []resources.Member {
	members := make([]resources.Member, 0, len(nodes))
	for _, n := range nodes {
		if n.Available && n.Weight > 0 {
			members = append(members, resources.Member{Address: n.Address, Weight: n.Weight})
		}
	}
	return members
}

// key is what makes two nodes the same entry of a registry.
func (n Node) key() [3]string { return [3]string{n.Group, n.Path, n.Address} }
