// Package config reads what people write: the agent's file and single resources, with the schema, strict parsing, defaults,
// checks and the generated reference.
//
// It is called by the agent (Load at start and on SIGHUP), by `sluice check`, and by the HTTP interfaces of the agent and
// of the centre (ParseResource for a resource that is put there, Resource.JSON for one that is shown).
//
// # Flow
//
//	bytes -> YAML parser -> tree of nodes with line and column -> decoder -> structs -> checks across fields
//	                                                                |
//	                                 Driver.Settings(raw) decodes a kind's settings with the same decoder
//
// JSON is read as the YAML that it is. The decoder works on struct tags by reflection; the meaning of the tags is
// described at resources.Spec. It replaces the YAML library's own because that one stops at the first error: here every
// problem of a file is reported at once, each with file, line, column, the offending text and what would be right.
//
// # Invariants
//
//   - A config is taken whole or not at all: with any problem there is no Config.
//   - Bounds stand in one place, the `bounds` tags, which are checked here and shown in the reference. Defaults stand
//     in SetDefaults and Fill; a test holds the `default` tags to them.
//   - A 0 that is written stays 0: defaults are put first and decoded over.
//   - No secret in an error, an excerpt or JSON: the texts of resources.Secret fields and of unknown keys, which may
//     be misspelt ones, are masked. When the YAML cannot be parsed, nothing is known of it and no line is shown.
//   - The cost of a file is bounded by its size (4 MiB, 64 levels, 500,000 values with aliases counted each time).
//
// Nothing here is kept or shared: no locks, no goroutines. The only global state that is read is the registry of kinds
// in package resources. Own filters come in through Options, so that this package does not import them.
package config
