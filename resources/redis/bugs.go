package redis

// bug brings known bugs back, one for each build tag bug_m1 ... bug_m10: the ways in which proxies and clients have
// given a reply to the wrong request or executed a write twice. Each must be caught by the test of its number, such as
//
//	go test -tags bug_m4 -run TestIntegrityM4 ./resources/redis
//
// and TestLongEachBugIsCaught runs them all. A file bug_mN.go replaces one method of noBugs. Without tags these are
// constants, and the compiler removes the branches that ask for them.
var bug bugs

type bugs struct{ noBugs }

type noBugs struct{}

// reusesDirty (M1): a connection goes back to the pool although not everything written on it was answered.
func (noBugs) reusesDirty(*upstream) bool { return false }

// keepsLateLogin (M2): a connection whose login was not answered in time is used all the same.
func (noBugs) keepsLateLogin(error) bool { return false }

// forgetsLate (M3): a request that timed out leaves no expectation behind.
func (noBugs) forgetsLate() bool { return false }

// forgetsCanceled (M4): a request whose client left leaves no expectation behind.
func (noBugs) forgetsCanceled(*upstream, uint64) bool { return false }

// keepsSilent (M5): a connection whose head stays silent is kept, with everybody who waits behind.
func (noBugs) keepsSilent() bool { return false }

// keepsHalfSent (M6): after an early answer to a large request, both connections go on as if the request were whole.
func (noBugs) keepsHalfSent(*session) bool { return false }

// miscounts (M7): where a part of a large reply ends with a buffer of n bytes, the count is off by the result.
func (noBugs) miscounts(int) int { return 0 }

// claimsUnsent (M8): a request that was written and not answered counts as not sent, so that a write is repeated.
func (noBugs) claimsUnsent() bool { return false }

// sharesModes (M9): a connection in a transaction, with watches or with subscriptions goes back to the pool.
func (noBugs) sharesModes() bool { return false }

// ignoresExtra (M10): a reply that nobody asked for is dropped and the connection kept.
func (noBugs) ignoresExtra() bool { return false }
