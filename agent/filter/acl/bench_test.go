package acl_test

import (
	"testing"

	"github.com/sluice-mesh/sluice/agent/filter/acl"
	"github.com/sluice-mesh/sluice/agent/filter/conformance"
	"github.com/sluice-mesh/sluice/resources"
)

func BenchmarkFilter(b *testing.B) {
	conformance.Benchmark(b, acl.Definition, &resources.Policy{ACL: &resources.ACL{Deny: []resources.Match{{Op: "CONFIG|*"}}}})
}
