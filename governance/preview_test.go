package governance

import (
	"encoding/json"
	"net/http"
	"reflect"
	"testing"
)

// A preview warns of what is worth a warning, and says each sentence twice: in English, and by its code for the pages.
func TestPreviewOfACommand(t *testing.T) {
	z := opened(t)
	z.put(t, "feed", cacheYAML)
	preview := func(body string) (p struct {
		Warnings, Text []string
		TextSay        []struct {
			Code string
			With map[string]any
		}
	}) {
		t.Helper()
		w := z.ask(http.MethodPost, "/v1/commands?dry-run", body, bearer(z.adminToken(t))...)
		mustStatus(t, w, http.StatusOK, `"warnings"`)
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	const order = `{"type": "switch", "resource": "feed", "weights": {"tc": 100}, "for": "1m"}`
	p := preview(order)
	if len(p.Warnings) != 0 || !reflect.DeepEqual(p.Text, []string{"feed: no connected agent carries it; the command waits for one."}) {
		t.Errorf("%+v", p)
	}
	if len(p.TextSay) != 1 || p.TextSay[0].Code != "order.waits" || p.TextSay[0].With["resource"] != "feed" {
		t.Errorf("%+v", p.TextSay)
	}
	mustStatus(t, z.ask(http.MethodPost, "/v1/commands", order, bearer(z.adminToken(t))...), http.StatusCreated, `"id"`)
	if p := preview(order); len(p.Warnings) != 1 {
		t.Errorf("with another command about the same calls: %q", p.Warnings)
	}
}
