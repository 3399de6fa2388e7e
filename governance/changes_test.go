package governance

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// A dry run of a document says of a revision that is not the newest what the change itself would say.
func TestDryRunChecksTheRevision(t *testing.T) {
	t.Parallel()
	z := opened(t)
	admin := bearer(z.adminToken(t))
	w := z.ask(http.MethodPut, "/v1/resources/feed", cacheYAML, admin...)
	mustStatus(t, w, http.StatusCreated, "feed")
	newest := w.Header().Get("ETag")
	n, err := strconv.ParseInt(strings.Trim(newest, `"`), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	other := fmt.Sprintf("%q", strconv.FormatInt(n+1, 10))
	for _, c := range []struct {
		name, header, value string
		status              int
	}{
		{"feed", "If-Match", newest, http.StatusOK},
		{"feed", "If-Match", other, http.StatusPreconditionFailed},
		{"feed", "If-Match", `"0"`, http.StatusPreconditionFailed},
		{"feed", "If-None-Match", "*", http.StatusPreconditionFailed},
		{"new", "If-None-Match", "*", http.StatusOK},
		{"new", "If-Match", newest, http.StatusPreconditionFailed},
	} {
		with := append([]string{c.header, c.value}, admin...)
		dry := z.ask(http.MethodPut, "/v1/resources/"+c.name+"?dry-run", cacheYAML, with...)
		if dry.Code != c.status {
			t.Errorf("%s, %s %s: the dry run says %d %s, want %d", c.name, c.header, c.value, dry.Code, dry.Body, c.status)
		}
		if c.status != http.StatusOK {
			if real := z.ask(http.MethodPut, "/v1/resources/"+c.name, cacheYAML, with...); real.Code != dry.Code || real.Body.String() != dry.Body.String() {
				t.Errorf("%s, %s %s: the dry run says %s, the change %d %s", c.name, c.header, c.value, dry.Body, real.Code, real.Body)
			}
		}
	}
}

// The reason of a change goes into the audit log for ever, so it has a bound, wherever it is given.
func TestReasonsAreBounded(t *testing.T) {
	t.Parallel()
	z := opened(t)
	admin := bearer(z.adminToken(t))
	z.put(t, "feed", cacheYAML)
	ask := func(method, path, body, why string) {
		t.Helper()
		if body == "" {
			path += "?why=" + url.QueryEscape(why)
		} else {
			body = fmt.Sprintf(body, why)
		}
		w := z.ask(method, path, body, admin...)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "4096") {
			t.Errorf("%s %.60s: a reason of %d bytes gives %d %.200s", method, path, len(why), w.Code, w.Body)
		}
	}
	long := strings.Repeat("x", 4097)
	ask("PUT", "/v1/users/ann", `{"roles": [{"role": "viewer"}], "why": %q}`, long)
	ask("POST", "/v1/tokens", `{"name": "ci", "roles": [{"role": "viewer"}], "why": %q}`, long)
	ask("POST", "/v1/joins", `{"uses": 1, "why": %q}`, long)
	ask("PUT", "/v1/secrets/key", `{"value": "sesame", "why": %q}`, long)
	ask("POST", "/v1/agents/web-1/block", `{"why": %q}`, long)
	ask("POST", "/v1/commands", `{"type": "switch", "resource": "feed", "weights": {"tc": 100}, "why": %q}`, long)
	ask("POST", "/v1/plans", `{"name": "move", "for": "1h", "why": %q, "steps": [{"type": "switch", "resource": "feed", "weights": {"tc": 100}}], "stages": [{"share": "100%%"}]}`, long)
	for _, path := range []string{"/v1/resources/feed", "/v1/resources/feed/draft", "/v1/users/ann", "/v1/tokens/1", "/v1/joins/1", "/v1/secrets/key", "/v1/agents/web-1/block", "/v1/commands/1", "/v1/plans/1"} {
		ask("DELETE", path, "", long)
	}
	mustStatus(t, z.ask("PUT", "/v1/users/ann", `{"roles": [{"role": "viewer"}], "why": "`+long[1:]+`"}`, admin...), http.StatusOK, "ann")
}
