// Package standard links the filters that every agent has. Programs import it for its side effect:
//
//	import _ "github.com/sluice-mesh/sluice/agent/filter/standard"
//
// Each imported package registers one filter.Definition. In the order of the chain:
//
//	accesslog   a line for sampled, slow and failed calls
//	metrics     calls, latencies, bytes, calls in flight
//	tap         live calls for observers
//	trace       spans of sampled calls
//	acl         access rules
//	ratelimit   limits of the policy and of limit commands
//	switcher    degrade commands
//	mock        mock commands
//	breaker     a circuit breaker for each operation
//	fault       fault commands
//
// An own filter is linked the same way, by an import beside this one; see package filter/example.
package standard

import (
	_ "github.com/sluice-mesh/sluice/agent/filter/accesslog"
	_ "github.com/sluice-mesh/sluice/agent/filter/acl"
	_ "github.com/sluice-mesh/sluice/agent/filter/breaker"
	_ "github.com/sluice-mesh/sluice/agent/filter/fault"
	_ "github.com/sluice-mesh/sluice/agent/filter/metrics"
	_ "github.com/sluice-mesh/sluice/agent/filter/mock"
	_ "github.com/sluice-mesh/sluice/agent/filter/ratelimit"
	_ "github.com/sluice-mesh/sluice/agent/filter/switcher"
	_ "github.com/sluice-mesh/sluice/agent/filter/tap"
	_ "github.com/sluice-mesh/sluice/agent/filter/trace"
)
