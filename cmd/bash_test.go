package cmd

import (
	"os/exec"
	"strings"
	"testing"
)

// checkBash loads the script into bash and completes with it.
func checkBash(t *testing.T, script string) {
	t.Helper()
	for line, want := range map[string]string{
		"sluice sw":              "switch",
		"sluice get endp":        "endpoints",
		"sluice switch x --dry":  "--dry-run",
		"sluice get x --output ": "json",
		"sluice completion z":    "zsh",
	} {
		words := strings.Split(line, " ")
		probe := script + "\nCOMP_WORDS=(" + strings.Join(words, " ") + ")\n"
		if words[len(words)-1] == "" {
			probe += "COMP_WORDS+=('')\n"
		}
		probe += "COMP_CWORD=$((${#COMP_WORDS[@]}-1))\n_sluice\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n"
		out, err := exec.Command("bash", "--norc", "-c", probe).CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%q completes to %q (%v), want %q in it", line, out, err, want)
		}
	}
}
