package metrics_test

import (
	"testing"

	"github.com/sluice-mesh/sluice/agent/filter/conformance"
	"github.com/sluice-mesh/sluice/agent/filter/metrics"
	"github.com/sluice-mesh/sluice/resources"
)

func BenchmarkFilter(b *testing.B) {
	conformance.Benchmark(b, metrics.Definition, &resources.Policy{})
}
