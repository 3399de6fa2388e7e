package zookeeper

import (
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/sluice-mesh/sluice/agent/discovery"
	"github.com/sluice-mesh/sluice/protocols/motanurl"
	"github.com/sluice-mesh/sluice/resources"
)

// The layout. See the package comment.
const (
	motan       = "/motan"
	serving     = "server"
	unavailable = "unavailableServer"
	client      = "client"
	command     = "command"
	agents      = "agent"
)

func (s *Source) folder(of discovery.Service, state string) string {
	return s.opt.Root + motan + "/" + of.Group + "/" + of.Path + "/" + state
}

// entryOf is where a node is announced as serving or as unavailable.
func (s *Source) entryOf(n discovery.Node, available bool) string {
	state := unavailable
	if available {
		state = serving
	}
	return s.folder(n.Service, state) + "/" + n.Address
}

func (s *Source) commandPath(of discovery.Scope) string {
	if of.Application != "" {
		return s.opt.Root + motan + "/" + agents + "/" + of.Application + "/" + command
	}
	return s.opt.Root + motan + "/" + of.Group + "/" + command
}

// readNode makes a node of an entry.
func readNode(s discovery.Service, name string, data []byte, available bool) (discovery.Node, error) {
	text, err := motanurl.Text(data)
	if err == nil {
		var n discovery.Node
		if n, err = discovery.FromURL(s, text, available); err == nil {
			return n, nil
		}
	}
	host, port, bad := net.SplitHostPort(name)
	if p, e := strconv.Atoi(port); bad != nil || e != nil || p < 1 || p > 65535 || host == "" {
		return discovery.Node{}, fmt.Errorf("entry %q: %w", name, errors.Join(bad, err))
	}
	return discovery.Node{Service: s, Address: name, Weight: resources.DefaultWeight, Available: available}, nil
}
