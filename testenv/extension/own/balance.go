package own

import (
	"slices"
	"strings"

	"github.com/sluice-mesh/sluice/agent/balance"
)

// first sends all calls to the first endpoint that may be used, in the order of their addresses.
type first []*balance.Node

func newFirst(nodes []*balance.Node) balance.Picker {
	slices.SortFunc(nodes, func(a, b *balance.Node) int { return strings.Compare(a.Endpoint.Address, b.Endpoint.Address) })
	return first(nodes)
}

// Pick implements balance.Picker.
func (f first) Pick(_ uint64, _ int64, avoid *balance.Node) *balance.Node {
	for _, n := range f {
		if n != avoid {
			return n
		}
	}
	return avoid // nil, or the only one
}
