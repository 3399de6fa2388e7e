// Package conformance checks that a filter keeps the rules of the chain. Each standard filter is run through it, and
// the author of an own filter does the same in a test of three lines:
//
//	func TestConformance(t *testing.T) {
//		conformance.Run(t, office.Definition, conformance.Case{Name: "closed", Policy: policy})
//	}
//
// For each case it checks:
//
//	allocs      OnCall and OnDone allocate nothing once the filter has seen each operation
//	protocol    OnDone follows each OnCall exactly once, in reverse order, in a chain where others stop calls too; the
//	            filter changes nothing of the call that is not a filter's to change; what it counts as in flight is 0
//	            when all calls ended
//	stops       a Stop is the same object for every call, says one thing, and its fault has the text's fixed form
//	rebuild     Build with equal rules keeps the state: a filter that is rebuilt again and again decides as one that
//	            was not
//	concurrent  calls on several goroutines while the filter is rebuilt and closed (meaningful with -race)
//	blocking    calls end although log files, the agent's log, the collector and observers take nothing
//
// The package also has the [Fixture] that these checks use: a resource with operations, endpoints, a session, sinks
// and a clock that the test moves, for tests of a filter's own behaviour.
package conformance
