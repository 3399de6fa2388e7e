package trace_test

import (
	"testing"

	"github.com/sluice-mesh/sluice/agent/filter/conformance"
	"github.com/sluice-mesh/sluice/agent/filter/trace"
	"github.com/sluice-mesh/sluice/resources"
)

func BenchmarkFilter(b *testing.B) {
	conformance.Benchmark(b, trace.Definition, &resources.Policy{Trace: &resources.Trace{Sample: 0.1, OTLP: "http://127.0.0.1:4318"}})
}
