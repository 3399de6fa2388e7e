// Package discoverytest is the conformance suite of discovery.Source: what every source must do, with its real registry and with
// one that fails.
//
//	func TestSource(t *testing.T) { discoverytest.Run(t, discoverytest.Back{Open: ...}) }
//	func TestFaults(t *testing.T) { discoverytest.RunFaults(t, func(t *testing.T) discoverytest.Registry { ... }) }
//
// The tests of the sources call it; each adds what only it can go wrong with, such as its layout. The tests of Run use groups of
// their own and share one registry, those of RunFaults have one each, with a fault proxy before it. Watch, which the sources' own
// tests use as well, keeps every report that a watch made: most tests are about lists that must never have been seen.
//
// # What it rests on
//
// Waiting is for a condition, with a deadline (Patience); nothing sleeps for luck. Whether something does not happen is decided
// by making something happen afterwards and looking at all that was reported until then.
package discoverytest
