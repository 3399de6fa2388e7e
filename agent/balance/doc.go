// Package balance chooses one endpoint out of a list: random, round-robin, p2c (the better of two by latency and load)
// and hash (a ketama ring).
//
// # Flow
//
// The cluster keeps one [Node] for each endpoint, for as long as the endpoint lives. Whenever the set of usable
// endpoints or their weights change it compiles them into a [Picker], which is immutable, and swaps it in; a call
// then asks the picker for a node and, when it ended, tells the node how long it took:
//
//	cluster: Compile("p2c", usable) -> Picker      rarely
//	route:   Picker.Pick(key, now, avoid) -> Node  each call
//	end:     Node.Observe(latency, now)            each call
//
// Health is not known here: a list holds only nodes that may be used.
//
// # How latency counts
//
// A node's latency is a peak-sensitive moving average: a slower call raises it at once, faster ones lower it with a
// time constant of one second. While a node gets no calls its average halves about every second, so that a node that
// was slow once is tried again. p2c compares latency × (calls in flight + 1) ÷ weight.
//
// # Slow start
//
// A node that comes back ([Node.Rise]) is refused by a coin for part of its turns, beginning with nine of ten and
// ending with none. Hash ignores it: moving a key twice costs more than it saves.
//
// # Adding one
//
// A balance is a type with a Pick method and a call of [Register] in an init function, in this repository or in your own.
//
// # Invariants
//
//   - Pick allocates nothing, takes no lock and returns nil only for an empty list.
//   - Pick returns the node to avoid only when the list holds no other.
//   - A node of weight 0 is never in a list; Compile leaves it out.
//   - The ring of hash places points exactly as twemproxy's `distribution: ketama` does, so that a cache that was
//     filled through twemproxy stays warm. Its key hashes are [FNV1a64] and [MD5]; a ring looks at the low 32 bits of a key.
package balance
