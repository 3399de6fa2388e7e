package etcd

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sluice-mesh/sluice/agent/discovery"
	"github.com/sluice-mesh/sluice/resources"
)

// value is a node as etcd has it; the key says its service and address. See the package comment.
type value struct {
	Protocol  string            `json:"protocol"`
	Version   string            `json:"version,omitempty"`
	Weight    *int              `json:"weight"`
	Available *bool             `json:"available"`
	Params    map[string]string `json:"params,omitempty"`
}

// folder is what the keys of a service's nodes begin with. Groups and paths have no slash.
func (s *Source) folder(service discovery.Service) string {
	return s.prefix + "services/" + service.Group + "/" + service.Path + "/"
}

func (s *Source) commandKey(scope discovery.Scope) string {
	if scope.Application != "" {
		return s.prefix + "commands/application/" + scope.Application
	}
	return s.prefix + "commands/group/" + scope.Group
}

func writeNode(n discovery.Node) ([]byte, error) {
	return json.Marshal(value{Protocol: n.Protocol, Version: n.Version, Weight: &n.Weight, Available: &n.Available, Params: n.Params})
}

// readNode reads the node at an address of a service. What it returns could be announced.
func readNode(service discovery.Service, address string, data []byte) (discovery.Node, error) {
	var v value
	if err := json.Unmarshal(data, &v); err != nil {
		return discovery.Node{}, fmt.Errorf("node %s of %s/%s: %w", address, service.Group, service.Path, err)
	}
	if v.Protocol == "" {
		return discovery.Node{}, errors.New("it has no protocol")
	}
	n := discovery.Node{
		Service:   discovery.Service{Group: service.Group, Path: service.Path, Version: v.Version, Protocol: v.Protocol},
		Address:   address,
		Weight:    resources.DefaultWeight,
		Available: true,
		Params:    v.Params,
	}
	if v.Weight != nil {
		n.Weight = *v.Weight
	}
	if v.Available != nil {
		n.Available = *v.Available
	}
	if len(n.Params) == 0 {
		n.Params = nil
	}
	return n, n.Check()
}
