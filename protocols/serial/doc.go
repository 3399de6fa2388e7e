// Package serial reads and writes the values in the bodies of Motan's frames, for what must look inside: replies that
// are made up, gateways, a command line. It has no sockets, no clocks and no state. The data path passes bodies on as
// they are and never comes here.
//
//	JSON ──> ParseJSONArgs, Convert ──> values ──> Codec.Append ──> body of a request
//	body of a reply ──> DecodeOne, Codec.Decode ──> values ──> AppendJSON, AppendPlainJSON ──> JSON
//
// A body says nothing about how it was written: the header of its frame does, by an [ID]. There are four codecs with one
// model of values ([Kind] lists it): [Simple], [Breeze], [Protobuf] and [GRPC]. The arguments of a request are several
// values one after another, a reply is one.
//
// Values keep what the wire tells apart and JSON does not: the size of integers, strings and bytes, lists of strings
// and lists of anything, the order of maps. What is decoded and appended again is the same value, but not always the same
// bytes: a number may be written in more bytes than it needs, and Breeze has two forms of lists and maps.
//
// # Decoding
//
// Bodies come from anyone. Those of Simple and Breeze are read in two passes: the first checks all and takes no memory, but
// for a number for each message, and the second builds what is then known to be there. What is taken depends on the bytes
// that are there: at most 32 times as many and 1 KiB, whatever lengths and counts they declare. [Limits] bound depth and
// number.
//
// Reading is strict where peers differ or look away: sizes must be met exactly, bools are 0 or 1, numbers fit their type,
// maps have a value for each key, nothing follows the last value. Strings may hold any bytes, since PHP's do.
//
// # Invariants
//
//   - No input makes a function panic, and none makes it recurse deeper than Limits.Depth.
//   - Values share no memory with the body. Append changes dst behind its length only, and not at all if it fails.
//   - Decode(Append(v)) is v for every value that the codec has; ParseJSON(AppendJSON(v)) is v for every value.
//
// Sources: motan-go 1.2.0 and breeze-go 0.1.1, Motan 1.2.6 and breeze-core 0.1.5 for Java, motan-php 1.1.10, whose bytes
// are in testdata; the encoding of Protocol Buffers (protobuf.dev/programming-guides/encoding).
package serial
