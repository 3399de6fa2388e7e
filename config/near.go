package config

import (
	"fmt"
	"slices"
	"strings"
)

// near returns the word closest to the one that was written, or "". Case, `_` and `-` do not count as differences.
func near(word string, words []string) string {
	folded := fold(word)
	best, least := "", max(1, len(folded)/3)+1
	for _, w := range words {
		if d := distance(folded, fold(w), least); d < least {
			best, least = w, d
		}
	}
	return best
}

func fold(s string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(s))
}

// distance is the number of characters to insert, remove, change or swap with their neighbour, or limit if it is not
// below limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit || len(a) > 64 {
		return limit
	}
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	last := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			same := 1
			if a[i-1] == b[j-1] {
				same = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+same)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return min(row[len(b)], limit)
}

// orNear is `did you mean "x"?`, or else the list of what there is.
func orNear(word string, words []string) string {
	if w := near(word, words); w != "" {
		return fmt.Sprintf("did you mean %q?", w)
	}
	if len(words) == 0 {
		return "nothing is expected here"
	}
	words = slices.Clone(words)
	slices.Sort(words)
	return "use one of " + strings.Join(words, ", ")
}
