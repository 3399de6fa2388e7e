package breaker_test

import (
	"testing"

	"github.com/sluice-mesh/sluice/agent/filter/breaker"
	"github.com/sluice-mesh/sluice/agent/filter/conformance"
	"github.com/sluice-mesh/sluice/resources"
)

func BenchmarkFilter(b *testing.B) {
	conformance.Benchmark(b, breaker.Definition, &resources.Policy{Breaker: &resources.Breaker{}})
}
