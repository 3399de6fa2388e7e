package load

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// TB is the part of testing.TB that this package uses.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
}

// Step is the width of a step of Report.Timeline.
const Step = 100 * time.Millisecond

// Count is what happened in a stretch of time.
type Count struct{ OK, Errors int64 }

// Report is the outcome of a load.
type Report struct {
	Elapsed time.Duration    // from the start of the load to its last reply
	OK      int64            // requests answered right
	Errors  map[string]int64 // by word
	QPS     float64          // OK per second

	Wrong, Lost, Repeated, Reordered, Late int64
	Violations                             []string // the first 20 of them, in words

	P50, P90, P99, P999, Max time.Duration // of requests answered right, from their (intended) start
	Timeline                 []Count       // by reply time, one for each Step
	Connections              int64         // opened
	Verified                 int64         // keys that the final check read
	Unverified               int64         // keys that it could not read in time
}

// ErrorCount returns the number of errors of all words, or of the given ones.
func (r *Report) ErrorCount(words ...string) int64 {
	var n int64
	for w, c := range r.Errors {
		if len(words) == 0 || slices.Contains(words, w) {
			n += c
		}
	}
	return n
}

// Unsound returns the number of replies that break a rule: it must be 0.
func (r *Report) Unsound() int64 { return r.Wrong + r.Lost + r.Repeated + r.Reordered }

// LongestGap returns the longest stretch without a good reply, in steps of Step.
func (r *Report) LongestGap() time.Duration {
	longest, run := 0, 0
	for _, c := range r.Timeline {
		if c.OK > 0 {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	return time.Duration(longest) * Step
}

// Check fails the test unless every reply obeyed the rules, the final check could read everything, at least floorQPS
// good replies came in a second, and errors have only the words of allow; "*" allows all.
func (r *Report) Check(t TB, floorQPS float64, allow ...string) {
	t.Helper()
	t.Logf("%v", r)
	if n := r.Unsound(); n > 0 {
		t.Errorf("load: %d unsound replies:\n%s", n, strings.Join(r.Violations, "\n"))
	}
	if r.OK == 0 || r.QPS < floorQPS {
		t.Errorf("load: %.0f good replies per second, want %.0f: the load was too low to prove anything", r.QPS, floorQPS)
	}
	if r.Unverified > 0 {
		t.Errorf("load: the final check could not read %d keys", r.Unverified)
	}
	for _, w := range sortedWords(r.Errors) {
		if !slices.Contains(allow, w) && !slices.Contains(allow, "*") {
			t.Errorf("load: %d errors %s, only %q are expected here", r.Errors[w], w, allow)
		}
	}
}

func sortedWords(m map[string]int64) []string {
	words := make([]string, 0, len(m))
	for w := range m {
		words = append(words, w)
	}
	slices.Sort(words)
	return words
}

// String is a summary of two lines.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "load: %d ok in %v (%.0f/s), p50 %v p90 %v p99 %v p99.9 %v max %v\n", r.OK, r.Elapsed.Round(time.Millisecond), r.QPS,
		round(r.P50), round(r.P90), round(r.P99), round(r.P999), round(r.Max))
	fmt.Fprintf(&b, "wrong %d lost %d repeated %d reordered %d late %d; %d connections, longest gap %v, %d keys verified; errors:",
		r.Wrong, r.Lost, r.Repeated, r.Reordered, r.Late, r.Connections, r.LongestGap(), r.Verified)
	for _, w := range sortedWords(r.Errors) {
		fmt.Fprintf(&b, " %s %d", w, r.Errors[w])
	}
	if len(r.Errors) == 0 {
		b.WriteString(" none")
	}
	return b.String()
}

func round(d time.Duration) time.Duration { return d.Round(time.Microsecond) }
