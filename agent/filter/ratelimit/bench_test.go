package ratelimit_test

import (
	"testing"

	"github.com/sluice-mesh/sluice/agent/filter/conformance"
	"github.com/sluice-mesh/sluice/agent/filter/ratelimit"
	"github.com/sluice-mesh/sluice/resources"
)

// BenchmarkPerCaller is BenchmarkFilter for a limit that each caller has to itself.
func BenchmarkPerCaller(b *testing.B) {
	conformance.Benchmark(b, ratelimit.Definition, limits(perCaller(1e9, 1000000)))
}

func BenchmarkFilter(b *testing.B) {
	conformance.Benchmark(b, ratelimit.Definition, &resources.Policy{Limits: []resources.Limit{{Rate: 1e9, Burst: 1000000}}})
}
