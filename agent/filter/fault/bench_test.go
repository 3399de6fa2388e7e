package fault_test

import (
	"testing"

	"github.com/sluice-mesh/sluice/agent/filter/conformance"
	"github.com/sluice-mesh/sluice/agent/filter/fault"
	"github.com/sluice-mesh/sluice/resources"
)

func BenchmarkFilter(b *testing.B) {
	conformance.Benchmark(b, fault.Definition, nil, resources.Command{ID: "c-7f3a", Percent: 100, Match: resources.Match{Op: "KEYS"}, Reply: "17", Error: "no", Type: resources.CommandFault})
}
