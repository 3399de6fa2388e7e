package ratelimit_test

import (
	"testing"

	"github.com/sluice-mesh/sluice/agent/filter/conformance"
	"github.com/sluice-mesh/sluice/agent/filter/ratelimit"
	"github.com/sluice-mesh/sluice/resources"
)

func BenchmarkFilter(b *testing.B) {
	conformance.Benchmark(b, ratelimit.Definition, &resources.Policy{Limits: []resources.Limit{{Rate: 1e9, Burst: 1000000}}})
}
