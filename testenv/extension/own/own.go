// Package own extends an agent: a balance, a strategy for failures and a serialization of one's own, to copy and change. A program that
// imports it has them all; see the program beside it.
//
//	policy: { balance: first, failover: { strategy: fail-fast } }
//
// A filter of one's own is agent/filter/example. A kind of resource, with its endpoints and its server, is a
// resources.Driver, and a registry a discovery.Opener: they are registered in the same way, by resources.Register and
// discovery.RegisterKind.
package own

import (
	"slices"
	"strings"

	"github.com/sluice-mesh/sluice/agent/balance"
	"github.com/sluice-mesh/sluice/agent/ha"
	"github.com/sluice-mesh/sluice/protocols/serial"
	"github.com/sluice-mesh/sluice/resources"
)

func init() {
	balance.Register("first", func(nodes []*balance.Node) balance.Picker {
		slices.SortFunc(nodes, func(a, b *balance.Node) int { return strings.Compare(a.Endpoint.Address, b.Endpoint.Address) })
		return first(nodes)
	})
	ha.Register("fail-fast", func(*resources.Policy) (ha.Strategy, error) { return failFast{}, nil })
	serial.Register(json{})
}

// first sends all calls to the first endpoint that may be used, in the order of their addresses.
type first []*balance.Node

// Pick implements balance.Picker.
func (f first) Pick(_ uint64, _ int64, avoid *balance.Node) *balance.Node {
	for _, n := range f {
		if n != avoid {
			return n
		}
	}
	return avoid // nil, or the only one
}

// failFast leaves it to the application to try again.
type failFast struct{}

// Again implements ha.Strategy.
func (failFast) Again(*resources.Call) bool { return false }

// BackUp implements ha.Strategy.
func (failFast) BackUp(*resources.Call, int64) int64 { return 0 }

// json is serialization 3 of Motan, of which this one knows values of JSON.
type json struct{}

// ID implements serial.Codec.
func (json) ID() serial.ID { return serial.IDJSON }

// Append implements serial.Codec.
func (json) Append(dst []byte, values ...any) ([]byte, error) {
	if len(values) == 1 {
		return serial.AppendJSON(dst, values[0])
	}
	return serial.AppendJSON(dst, values)
}

// Decode implements serial.Codec. The arguments of a request are an array, the value of a reply stands alone.
func (json) Decode(body []byte, kinds ...serial.Kind) ([]any, error) {
	if len(body) > 0 && body[0] == '[' {
		return serial.ParseJSONArgs(body, serial.Limits{}, kinds...)
	}
	v, err := serial.ParseJSON(body, serial.Limits{})
	if err != nil {
		return nil, err
	}
	return []any{v}, nil
}
