package discovery

import (
	"fmt"
	"maps"
	"net"
	"strconv"

	"github.com/sluice-mesh/sluice/protocols/motanurl"
	"github.com/sluice-mesh/sluice/resources"
)

// Weights of nodes in the Motan world, as the parameter META_WEIGHT has them: 1 to 500, and 10 without one. Ours are ten times
// as large.
const (
	motanWeights   = 10
	motanMinWeight = 1
	motanMaxWeight = 500
)

// URL describes the node as both Motans read it. nodeType is there because Java's clients take no node without it. A weight
// that Motan cannot say is written twice, as near as META_WEIGHT comes and exactly as sluice.weight.
func (n Node) URL() (string, error) {
	host, digits, err := net.SplitHostPort(n.Address)
	if err != nil {
		return "", fmt.Errorf("node %q: %w", n.Address, err)
	}
	port, err := strconv.Atoi(digits)
	if err != nil {
		return "", fmt.Errorf("node %q: %w", n.Address, err)
	}
	u := motanurl.URL{Protocol: n.Protocol, Host: host, Port: port, Path: n.Path, Params: maps.Clone(n.Params)}
	if u.Params == nil {
		u.Params = make(map[string]string)
	}
	u.Params["group"], u.Params["nodeType"] = n.Group, "service"
	if n.Version != "" {
		u.Params["version"] = n.Version
	}
	if n.Weight != resources.DefaultWeight {
		near := min(max((n.Weight+motanWeights/2)/motanWeights, motanMinWeight), motanMaxWeight)
		u.Params["META_WEIGHT"] = strconv.Itoa(near)
		if near*motanWeights != n.Weight {
			u.Params["sluice.weight"] = strconv.Itoa(n.Weight)
		}
	}
	text, err := u.Append(nil)
	if err != nil {
		return "", fmt.Errorf("node %s: %w", n, err)
	}
	return string(text), nil
}

// FromURL reads a node of the service s, found under its group and path. A weight that is no number is the usual one, as it
// is for both Motans.
func FromURL(s Service, text string, available bool) (Node, error) {
	u, err := motanurl.Parse(text)
	if err != nil {
		return Node{}, err
	}
	if u.Host == "" || u.Port == 0 {
		return Node{}, fmt.Errorf("node URL %q has no address", text)
	}
	n := Node{
		Service:   Service{Group: s.Group, Path: s.Path, Version: u.Params["version"], Protocol: u.Protocol},
		Address:   net.JoinHostPort(u.Host, strconv.Itoa(u.Port)),
		Weight:    weight(u.Params),
		Available: available,
		Params:    u.Params,
	}
	for _, name := range reserved {
		delete(n.Params, name)
	}
	if len(n.Params) == 0 {
		n.Params = nil
	}
	return n, nil
}

// weight reads a node's weight in our scale.
func weight(params map[string]string) int {
	if exact, err := strconv.Atoi(params["sluice.weight"]); err == nil && exact >= 0 && exact <= MaxWeight {
		return exact
	}
	if w, err := strconv.Atoi(params["META_WEIGHT"]); err == nil {
		return min(max(w, motanMinWeight), motanMaxWeight) * motanWeights
	}
	return resources.DefaultWeight
}
