package governance

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// A dry run with a condition says what the change would: the same refusal of a document that is another one by now, whether or not the
// new text is right, and nothing is written.
func TestDryRunIsConditional(t *testing.T) {
	z := opened(t)
	z.put(t, "feed-cache", cacheYAML)
	const path = "/v1/resources/feed-cache"
	admin := bearer(z.adminToken(t))
	seen := z.ask(http.MethodGet, path+"/config", "", admin...).Header().Get("ETag")
	z.put(t, "feed-cache", cacheYAML+"policy: { timeout: 2s }\n") // somebody else's
	now := z.ask(http.MethodGet, path+"/config", "", admin...).Header().Get("ETag")
	if seen == "" || now == "" || seen == now {
		t.Fatalf("the ETag was %q and is %q", seen, now)
	}

	next := cacheYAML + "policy: { timeout: 3s }\n"
	for name, c := range map[string]struct {
		condition []string
		text      string
		status    int
	}{
		"older":             {[]string{"If-Match", seen}, next, http.StatusPreconditionFailed},
		"older, wrong text": {[]string{"If-Match", seen}, "kind: redis\n", http.StatusPreconditionFailed},
		"must be new":       {[]string{"If-None-Match", "*"}, next, http.StatusPreconditionFailed},
		"no ETag of ours":   {[]string{"If-Match", `"x"`}, next, http.StatusPreconditionFailed},
	} {
		t.Run(name, func(t *testing.T) {
			headers := append(c.condition, admin...)
			dry, real := z.ask(http.MethodPut, path+"?dry-run", c.text, headers...), z.ask(http.MethodPut, path, c.text, headers...)
			mustStatus(t, dry, c.status, "")
			if dry.Code != real.Code || message(t, dry.Body.Bytes()) != message(t, real.Body.Bytes()) {
				t.Errorf("the dry run says %d %s, the change %d %s", dry.Code, dry.Body, real.Code, real.Body)
			}
		})
	}

	for _, condition := range [][]string{nil, {"If-Match", now}, {"If-Match", "*"}} {
		mustStatus(t, z.ask(http.MethodPut, path+"?dry-run", next, append(condition, admin...)...), http.StatusOK, `"valid":true`)
	}
	if after := z.ask(http.MethodGet, path+"/config", "", admin...).Header().Get("ETag"); after != now {
		t.Errorf("a dry run changed the document: %s, not %s", after, now)
	}
	mustStatus(t, z.ask(http.MethodPut, path, next, append([]string{"If-Match", now}, admin...)...), http.StatusOK, "feed-cache")
}

// message is that of a refusal.
func message(t *testing.T, body []byte) string {
	t.Helper()
	var refused struct{ Error struct{ Message string } }
	if err := json.Unmarshal(body, &refused); err != nil || strings.TrimSpace(refused.Error.Message) == "" {
		t.Fatalf("%s is no refusal: %v", body, err)
	}
	return refused.Error.Message
}
