package extension

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What docs/architecture.md shows of package own is the package's own text, which compiles and is tested.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, page, ok := strings.Cut(string(text), "\n## Adding to it\n")
	if !ok {
		t.Fatal(`there is no section "Adding to it"`)
	}
	sources := map[string]string{}
	for _, pattern := range []string{"own/*.go", "own/sluice/*.go"} {
		files, _ := filepath.Glob(pattern) // the pattern is sound
		for _, f := range files {
			source, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			sources[filepath.Base(f)] = string(source)
		}
	}
	snippets := strings.Split(page, "```go\n")[1:]
	if len(snippets) < 5 {
		t.Errorf("%d snippets are shown: how to register, the program, a server and two tests are to be", len(snippets))
	}
	for _, s := range snippets {
		s, _, _ = strings.Cut(s, "```")
		found := false
		for _, source := range sources {
			found = found || strings.Contains(source, s)
		}
		if !found {
			t.Errorf("no file of own has this:\n%s", s)
		}
	}
	for _, name := range []string{"filter.go", "ha.go", "balance.go", "driver.go", "session.go", "serial.go", "discovery.go"} {
		if sources[name] == "" || !strings.Contains(page, "`"+name+"`") {
			t.Errorf("the section does not say where %s is, or it is gone", name)
		}
	}
}
