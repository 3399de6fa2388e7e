//go:build long

package governance

import (
	"os/exec"
	"testing"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// The pages' sources have the types that they say, and their own tests pass.
func TestLongPagesSources(t *testing.T) {
	const dir = "../../governance/ui"
	server.NodeModules(t, dir)
	for _, script := range []string{"check", "test"} {
		cmd := exec.CommandContext(t.Context(), "npm", "run", script)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("npm run %s: %v\n%s", script, err, out)
		}
	}
}
