package clients

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// difference is a test of go-redis that passes direct and fails through the agent, because the agent means to answer
// something else there.
type difference struct {
	Profiles string // "multiplexed", "transparent" or "both"
	Test     string // as Ginkgo or `go test` names it
	Reason   string // for users, one sentence or two
}

// differences is the whole list. A difference that is a mistake of the agent is mended, not listed.
var differences = []difference{}

func (d difference) of(profile string) bool { return d.Profiles == "both" || d.Profiles == profile }

// table is differences in Markdown, as docs/redis-clients.md has it.
func table() string {
	if len(differences) == 0 {
		return "There are none.\n"
	}
	var b strings.Builder
	b.WriteString("| Test | Profile | Why |\n|---|---|---|\n")
	for _, d := range differences {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", strings.ReplaceAll(d.Test, "|", "›"), d.Profiles, d.Reason)
	}
	return b.String()
}

// TestDifferencesAreDocumented compares the table with its copy in the documentation.
func TestDifferencesAreDocumented(t *testing.T) {
	const begin, end = "<!-- differences -->\n", "<!-- end of differences -->"
	text, err := os.ReadFile("../../docs/redis-clients.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), begin)
	got, _, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("docs/redis-clients.md lacks the lines %q and %q", begin, end)
	}
	if want := "\n" + table() + "\n"; got != want {
		t.Errorf("docs/redis-clients.md: between %q and %q should stand:\n%s\nbut it is:\n%s", begin, end, want, got)
	}
	for _, d := range differences {
		if d.Profiles != "both" && d.Profiles != "multiplexed" && d.Profiles != "transparent" || d.Test == "" || d.Reason == "" {
			t.Errorf("incomplete or wrong entry: %+v", d)
		}
	}
}
