package governance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sluice-mesh/sluice/governance/store"
)

// lossy is a store that makes a change and loses the answer, as an etcd does whose connection breaks.
type lossy struct {
	store.Store
	loses atomic.Bool
}

func (l *lossy) Commit(ctx context.Context, t store.Txn) (int64, error) {
	revision, err := l.Store.Commit(ctx, t)
	if err == nil && l.loses.Load() {
		return 0, store.Failed(errors.New("commit: it is not known whether it was made: the connection broke"))
	}
	return revision, err
}

// A change whose outcome the store does not tell may have been made: whoever asked for it is told 503, and not that it was wrong (400), gone
// (404) or too late (412).
func TestAChangeWithoutAnOutcomeIsNotTheClientsMistake(t *testing.T) {
	t.Parallel()
	var l *lossy
	z := openedOver(t, t.TempDir(), func(s store.Store) store.Store {
		l = &lossy{Store: s}
		return l
	})
	admin := bearer(z.adminToken(t))
	made := func(method, path, body string) (id string) {
		t.Helper()
		w := z.ask(method, path, body, admin...)
		if w.Code > 299 {
			t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
		var out struct{ ID string }
		if w.Body.Len() > 0 {
			if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
				t.Fatal(err)
			}
		}
		return out.ID
	}
	order := `{"type": "switch", "resource": "feed", "weights": {"tc": 100}, "why": "test"}`
	plan := `{"name": "move", "why": "test", "for": "1h", "steps": [{"type": "switch", "resource": "feed", "weights": {"tc": 100}}], "stages": [{"name": "all", "share": "100%"}]}`
	z.put(t, "feed", cacheYAML)
	z.put(t, "feed", strings.Replace(cacheYAML, "team: feed", "team: food", 1))
	z.put(t, "old", cacheYAML)
	made("PUT", "/v1/resources/new/draft", cacheYAML)
	command := made("POST", "/v1/commands", order)
	token := made("POST", "/v1/tokens", `{"name": "one", "roles": [{"role": "viewer"}]}`)
	join := made("POST", "/v1/joins", `{"uses": 1}`)
	made("PUT", "/v1/users/ann", `{"roles": [{"role": "viewer"}]}`)
	made("PUT", "/v1/secrets/key", `{"value": "sesame"}`)
	l.loses.Store(true)
	for _, c := range []struct{ method, path, body string }{
		{"PUT", "/v1/resources/other", cacheYAML},
		{"PATCH", "/v1/resources/feed", `{"labels": {"team": "dba"}}`},
		{"POST", "/v1/resources/feed/endpoints", `{"group": "yf", "address": "127.0.0.1:9"}`},
		{"DELETE", "/v1/resources/feed/endpoints?group=yf&address=127.0.0.1:1", ""},
		{"POST", "/v1/resources/feed/revert", `{"version": 1}`},
		{"DELETE", "/v1/resources/old", ""},
		{"PUT", "/v1/resources/feed/draft", cacheYAML},
		{"POST", "/v1/resources/new/publish", `{}`},
		{"DELETE", "/v1/resources/feed/draft", ""},
		{"POST", "/v1/commands", order},
		{"DELETE", "/v1/commands/" + command, ""},
		{"POST", "/v1/plans", plan},
		{"POST", "/v1/agents/web-1/block", `{}`},
		{"DELETE", "/v1/agents/web-1/block", ""},
		{"POST", "/v1/login-links", `{}`},
		{"PUT", "/v1/users/bob", `{"roles": [{"role": "viewer"}]}`},
		{"DELETE", "/v1/users/ann", ""},
		{"POST", "/v1/tokens", `{"name": "two", "roles": [{"role": "viewer"}]}`},
		{"DELETE", "/v1/tokens/" + token, ""},
		{"POST", "/v1/joins", `{"uses": 1}`},
		{"DELETE", "/v1/joins/" + join, ""},
		{"PUT", "/v1/secrets/other", `{"value": "sesame"}`},
		{"DELETE", "/v1/secrets/key", ""},
	} {
		w := z.ask(c.method, c.path, c.body, admin...)
		if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "not known whether it was made") {
			t.Errorf("%s", fmt.Sprintf("%s %s: %d %s", c.method, c.path, w.Code, w.Body))
		}
	}
}
