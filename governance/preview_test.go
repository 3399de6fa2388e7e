package governance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
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

// Each rule of a resource says where it comes from.
func TestOrigins(t *testing.T) {
	t.Parallel()
	z := opened(t)
	admin := bearer(z.adminToken(t))
	z.put(t, "feed", cacheYAML)
	order := `{"type": "switch", "resource": "feed", "weights": {"tc": 100}, "why": "test"}`
	if w := z.ask("POST", "/v1/commands", order, admin...); w.Code != 201 {
		t.Fatal(w.Code, w.Body)
	}
	var out struct {
		Origins []struct {
			Path, From string
			Value      any
		}
	}
	w := z.ask("GET", "/v1/resources/feed", "", admin...)
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatal(err, w.Body)
	}
	found := map[string]string{}
	for _, o := range out.Origins {
		found[o.Path] = fmt.Sprintf("%v from %s", o.Value, o.From)
	}
	for path, want := range map[string]string{
		"kind": "redis from the centre, version 1 by admin.token", "policy.timeout": "1s from default", "labels.team": "feed from the centre, version 1 by admin.token",
	} {
		if found[path] != want {
			t.Errorf("%s is %q, want %q; all: %v", path, found[path], want, found)
		}
	}
	if o := out.Origins[0]; o.Path != "groups.*.weight" || !strings.HasPrefix(o.From, "command g-") {
		t.Errorf("the first is %+v", o)
	}
}
