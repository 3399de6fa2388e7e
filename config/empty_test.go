package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file that is being written is empty for a moment: taking it for a configuration would end every resource.
func TestEmptyFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sluice.yaml")
	for _, text := range []string{"", " \n\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "is empty") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
