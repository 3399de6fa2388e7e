// Package motan turns configurations of motan-go's agent into ours. `sluice import motan` calls it.
//
//	one file                          Read ──> sections ──> Convert ──> text for package config, notes
//	a folder: basic.yaml, http/, services/, applications/, pools/
//
// What a folder means is as motan-go v1.2.0 has it (core/globalContext.go): a pool a-b takes applications/a.yaml, then
// pools/a.yaml and pools/a-b.yaml over it; applications name the services/ that they import; ${name} is from dynamic-param, for
// the pool where it is a map.
//
// # What holds
//
//   - What comes out is a configuration that package config takes, or Convert says why there is none.
//   - Every key that is not taken over is in the notes, with where it was and what to do instead: nothing is lost in silence.
//   - Keys that say how motan-go itself works (pools of goroutines, logs) are in one note.
package motan
