package governance

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/governance/api"
)

// A reason that is too long is refused wherever one can be given, in the same words, and nothing is kept of it.
func TestReasonsAreBounded(t *testing.T) {
	z := opened(t)
	z.put(t, "feed-cache", cacheYAML)
	const says = "author and reason have at most 4096 bytes each"
	longest, longer := strings.Repeat("x", 4<<10), strings.Repeat("x", 4<<10+1)
	admin := bearer(z.adminToken(t))
	_, before, err := z.store.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	inBody := 0
	for pattern := range api.Routes() {
		method, path := concrete(pattern)
		if method == http.MethodGet {
			continue
		}
		mustStatus(t, z.ask(method, path+"?why="+longer, "{}", admin...), http.StatusBadRequest, says)
		if method == http.MethodDelete || strings.HasSuffix(pattern, "/draft") || strings.HasSuffix(path, "/resources/feed-cache") || pattern == "POST /v1/logout" {
			continue // no body, or one that is a document
		}
		w := z.ask(method, path, `{"why": "`+longer+`"}`, admin...)
		if pattern == "POST /v1/login-links" {
			mustStatus(t, w, http.StatusBadRequest, "why") // has no reason
			continue
		}
		inBody++
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s: %d %s", pattern, w.Code, w.Body)
		}
	}
	if inBody < 12 {
		t.Errorf("only %d paths take a reason in their body", inBody)
	}
	mustStatus(t, z.ask("POST", "/v1/plans", `{"name": "move", "steps": [{"type": "switch", "resource": "feed-cache", "weights": {"tc": 1}, "why": "`+longer+`"}]}`, admin...),
		http.StatusBadRequest, says)
	if _, after, err := z.store.List(t.Context(), ""); err != nil || after != before {
		t.Errorf("what was refused changed the store: revision %d, then %d, %v", before, after, err)
	}

	mustStatus(t, z.ask("PUT", "/v1/users/bob", `{"roles": [{"role": "viewer"}], "why": "`+longest+`"}`, admin...), http.StatusOK, "bob")
	mustStatus(t, z.ask("DELETE", "/v1/users/bob?why="+longest, "", admin...), http.StatusNoContent, "")
}
