package mock_test

import (
	"testing"

	"github.com/sluice-mesh/sluice/agent/filter/conformance"
	"github.com/sluice-mesh/sluice/agent/filter/mock"
	"github.com/sluice-mesh/sluice/resources"
)

func BenchmarkFilter(b *testing.B) {
	conformance.Benchmark(b, mock.Definition, nil, resources.Command{ID: "c-7f3a", Percent: 100, Match: resources.Match{Op: "KEYS"}, Reply: "17", Error: "no", Type: resources.CommandMock})
}
