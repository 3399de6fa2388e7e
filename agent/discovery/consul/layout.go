package consul

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-mesh/sluice/agent/discovery"
	"github.com/sluice-mesh/sluice/protocols/motanurl"
	"github.com/sluice-mesh/sluice/resources"
)

// The layout of Java's motan-registry-consul (ConsulConstants, ConsulUtils). See the package comment.
const (
	servicePrefix = "motanrpc_"
	protocolTag   = "protocol_"
	urlTag        = "URL_"
	commandKeys   = "motan/command/"
	agentKeys     = commandKeys + "agent/" // ours: Java has commands for groups alone
)

// ownerMeta is the metadata by which a source knows what it announced itself: no two have the same value.
const ownerMeta = "sluice"

// Statuses of checks, and how Consul's text begins for a check that nobody has updated in time.
const (
	passing  = "passing"
	critical = "critical"
	expired  = "TTL expired"
)

// service is a service as Consul's agent takes it (Name, Check) and tells it (Service).
type service struct {
	ID      string
	Name    string `json:",omitempty"`
	Service string `json:",omitempty"`
	Tags    []string
	Address string
	Port    int
	Meta    map[string]string
	Check   *ttlCheck `json:",omitempty"`
}

type ttlCheck struct {
	TTL    string
	Status string
	// DeregisterCriticalServiceAfter is for services of agents that died.
	DeregisterCriticalServiceAfter string `json:",omitempty"`
}

// instance is a service in the catalog, with its checks and those of its node.
type instance struct {
	Node    struct{ Address string }
	Service service
	Checks  []struct{ ServiceID, Status, Output string }
}

// idOf names a node in Consul's agent. It begins as Java's, HOST:PORT-PATH, of which Motan's console reads what stands between the
// first two hyphens; what follows keeps services apart that Java takes for one, those of two groups. No name holds a question
// mark.
func idOf(n discovery.Node) string { return n.Address + "-" + n.Path + "-?" + n.Group }

func commandKey(s discovery.Scope) string {
	if s.Application != "" {
		return agentKeys + s.Application
	}
	return commandKeys + servicePrefix + s.Group
}

// write makes a service of a node, without its check.
func write(n discovery.Node, owner string) (service, error) {
	text, err := n.URL()
	if err != nil {
		return service{}, err
	}
	host, digits, err := net.SplitHostPort(n.Address)
	if err != nil {
		return service{}, err
	}
	port, err := strconv.Atoi(digits)
	if err != nil {
		return service{}, err
	}
	return service{
		ID: idOf(n), Name: servicePrefix + n.Group, Address: host, Port: port,
		Tags: []string{protocolTag + n.Protocol, urlTag + url.QueryEscape(text)},
		Meta: map[string]string{ownerMeta: owner},
	}, nil
}

// same reports whether Consul's agent has a service as it should be.
func (want service) same(got service) bool {
	return got.Service == want.Name && got.Address == want.Address && got.Port == want.Port && slices.Equal(got.Tags, want.Tags) &&
		maps.Equal(got.Meta, want.Meta)
}

// content is what a group has of one path.
type content struct {
	nodes  []discovery.Node
	unread int
}

// read makes nodes of the services of a group, by path. A service whose check has expired counts for nothing: its process is
// gone. It is kept in the result, empty, because the registry knows of it.
func read(group string, instances []instance) map[string]content {
	out := make(map[string]content)
	for _, i := range instances {
		path, text := i.path()
		c := out[path]
		if gone, available := i.state(); !gone {
			if n, err := i.node(discovery.Service{Group: group, Path: path}, text, available); err == nil {
				c.add(n)
			} else {
				c.unread++
			}
		}
		out[path] = c
	}
	return out
}

// add adds a node. Of two at one address, such as one that moved to another of Consul's agents, it keeps the one that serves.
func (c *content) add(n discovery.Node) {
	i := slices.IndexFunc(c.nodes, func(o discovery.Node) bool { return o.Address == n.Address })
	switch {
	case i < 0:
		c.nodes = append(c.nodes, n)
	case n.Available && !c.nodes[i].Available:
		c.nodes[i] = n
	}
}

// path returns the service that an instance serves, and its node's URL; "" where it has none. Without one the path is in the ID,
// as for Java.
func (i *instance) path() (path, text string) {
	for _, t := range i.Service.Tags {
		if escaped, ok := strings.CutPrefix(t, urlTag); ok {
			if text, err := url.QueryUnescape(escaped); err == nil {
				if u, err := motanurl.Parse(text); err == nil && u.Path != "" {
					return u.Path, text
				}
			}
		}
	}
	_, path, _ = strings.Cut(i.Service.ID, "-")
	path, _, _ = strings.Cut(path, "-?")
	return path, ""
}

// state reports whether the instance's process is gone, and otherwise whether it serves: Java's clients ask for those alone of
// which every check passes.
func (i *instance) state() (gone, available bool) {
	available = true
	for _, c := range i.Checks {
		if c.Status != passing {
			available = false
		}
		if c.ServiceID != "" && c.Status == critical && strings.HasPrefix(c.Output, expired) {
			gone = true
		}
	}
	return gone, available
}

// node makes the node. One without a URL that can be read is at the address that Consul has for it.
func (i *instance) node(s discovery.Service, text string, available bool) (discovery.Node, error) {
	if text != "" {
		if n, err := discovery.FromURL(s, text, available); err == nil {
			return n, nil
		}
	}
	host := cmp.Or(i.Service.Address, i.Node.Address)
	if host == "" || i.Service.Port < 1 || i.Service.Port > 65535 || s.Path == "" {
		return discovery.Node{}, fmt.Errorf("service %q has no address or no path", i.Service.ID)
	}
	for _, t := range i.Service.Tags {
		if protocol, ok := strings.CutPrefix(t, protocolTag); ok {
			s.Protocol = protocol
			break
		}
	}
	return discovery.Node{Service: s, Address: net.JoinHostPort(host, strconv.Itoa(i.Service.Port)), Weight: resources.DefaultWeight, Available: available}, nil
}
