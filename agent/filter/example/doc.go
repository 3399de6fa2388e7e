// Package example is a filter of one's own, to copy and change: it keeps calls to hours of the day. Batch jobs may
// run at night only, say:
//
//	resources:
//	  feed-cache:
//	    policy:
//	      filters:
//	        office-hours: { match: { caller: "batch-*" }, from: "22:00", to: "06:00", zone: Asia/Shanghai }
//
// # How to make a filter
//
//  1. A folder with doc.go, settings.go and filter.go, in this repository or in your own.
//  2. Settings: a struct with json and yaml tags for the keys, and doc, default, bounds and reload tags, from which
//     the reference is generated. Fill the defaults in Definition.Settings. Units that resources has (Duration, Rate,
//     Percent, Match) read and write themselves; a new one needs UnmarshalText, whose error says what would be right.
//  3. Build: check the settings, and make all that a call will need: selectors, faults with their text, slots. Return
//     nil when there is nothing to do for this resource.
//  4. OnCall and OnDone: no clock (the times are in the call), no lock, no map, no allocation.
//  5. An init function that calls filter.Register, and an import where the program is put together:
//     import _ "example.com/you/officehours" beside that of package filter/standard.
//  6. A test that calls conformance.Run, which checks the rules above.
//
// This package is not part of the agent: nothing but its tests imports it.
package example
