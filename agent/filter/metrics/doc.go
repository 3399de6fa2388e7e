// Package metrics counts calls: how many by group, operation, class and outcome, how long they took, how many were
// slow, their bytes, and how many are in flight.
//
// It is second in the chain, after the access log, so that calls which later filters refuse are counted with their
// outcome; they have the group "none", since they were never routed. It also marks slow calls (Call.Slow) for the
// filters that run OnDone after it.
//
// # Cells
//
// A cell of package metrics counts one {group, operation, class}. The filter keeps pointers to cells in arrays by
// group and operation, which calls read without a lock:
//
//	groups[Endpoint.GroupID] --> ops[Call.Op] --> classes[Call.Class] --> cell
//
// The first call of a group and operation makes its entry: that call takes the registry's lock and allocates, and is
// the only one. The arrays have room for some operations that are learnt after the filter was compiled; what is learnt beyond
// that counts as the catch-all operation until the next compilation. The arrays are kept across compilations while groups
// and operations are the same.
//
// Streams (ClassStream) last as long as their clients like and are never slow.
package metrics
