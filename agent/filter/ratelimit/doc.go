// Package ratelimit refuses calls over a rate: the limits of the policy and the limit commands of operators. A call
// must pass all that select it.
//
// # Algorithm
//
// Each limit is a virtual scheduler (GCRA, ITU-T I.371; a leaky bucket that is kept as one number). It holds the
// theoretical arrival time: the time at which the calls that passed so far would be used up at the exact rate. A call
// that comes at `now` moves it on by one interval, from now if it lies in the past, and passes if it then lies at
// most burst intervals ahead. So `burst` calls pass at once after a pause, and the rate holds from then on. One
// int64, one compare-and-swap for a call that passes, none for one that is refused, and no clock: now is Call.Start.
//
// Times are kept in sixteenths of a nanosecond, so that the rate is exact to better than 0.1 % up to a million per
// second.
//
// # Each caller by itself
//
// A limit that is per: caller has such a number for each caller, by the name that rules match (Session.Identity: clients that do not
// name themselves are the agent's application). Calls without any name share one. The numbers are in a table of 256 sets of 16 slots,
// at a place that nobody outside can know: what callers invent costs no memory. A caller whose bucket is full again loses its slot to
// the next one, which changes nothing for either. One whose set has no such slot shares one more bucket of the same rate with all that
// find none. So k callers get at most k + 1 times the rate, plus their bursts, and never more than 4,098 times of it. A set overflows
// when more than 16 callers of it called within the last (calls / rate) seconds: with 1,000 such callers once in 10,000 processes.
//
// # Rules
//
//   - A call that passes one limit and is refused by a later one gives its place in the earlier ones back.
//   - A rate of 0/s refuses every call that is selected.
//   - A limit whose mode is observe never refuses. It counts in sluice_would_refuse_total{resource, filter, rule} and
//     says so in the agent's log, at most every ten seconds.
//   - State is kept across compilations by identity {match, rate, burst, per}: changing one limit leaves the others as
//     full as they were. Two limits of the same identity are told apart by their order.
package ratelimit
