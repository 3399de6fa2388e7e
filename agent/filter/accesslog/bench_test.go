package accesslog_test

import (
	"testing"

	"github.com/sluice-mesh/sluice/agent/filter/accesslog"
	"github.com/sluice-mesh/sluice/agent/filter/conformance"
	"github.com/sluice-mesh/sluice/resources"
)

func BenchmarkFilter(b *testing.B) {
	conformance.Benchmark(b, accesslog.Definition, &resources.Policy{AccessLog: &resources.AccessLog{Sample: 1}})
}
