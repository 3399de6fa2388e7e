package mesh

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// command gives an agent a command and returns its id.
func command(t *testing.T, a *server.AgentProcess, body string) string {
	t.Helper()
	status, answer, err := a.Call("POST", "/v1/commands", body)
	var c struct{ ID string }
	if err != nil || status != http.StatusCreated || json.Unmarshal([]byte(answer), &c) != nil {
		t.Fatalf("command %s: %d %s %v", body, status, answer, err)
	}
	return c.ID
}

func undo(t *testing.T, a *server.AgentProcess, id string) {
	t.Helper()
	if status, answer, err := a.Call("DELETE", "/v1/commands/"+id, ""); err != nil || status/100 != 2 {
		t.Fatalf("undo: %d %s %v", status, answer, err)
	}
}
