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
	// Sometimes says that it depends on timing: the test may pass as well.
	Sometimes bool
}

// differences is the whole list. A difference that is a mistake of the agent is mended, not listed.
var differences = []difference{
	{
		Profiles: "both", Test: "TestFullDuplexRecoversFromConnKill", Sometimes: true,
		Reason: "The test ends the server's connections with `CLIENT KILL` under load and expects the library to send each unanswered " +
			"command again, which it does when its own connection ends. The agent keeps the client's connection and answers `UNKNOWN` " +
			"to what was sent and not answered: a write may have been executed, and to repeat it is the application's decision. " +
			"It passes when all clients share the connection that sent `CLIENT KILL`, which spares itself.",
	},
}

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
