package governance

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-mesh/sluice/governance/auth"
	"github.com/sluice-mesh/sluice/governance/store"
	_ "github.com/sluice-mesh/sluice/resources/mysql"
	_ "github.com/sluice-mesh/sluice/resources/redis"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// opened is a centre that is asked without a socket; it does listen.
func opened(t *testing.T) *Center {
	t.Helper()
	return openedAt(t, t.TempDir())
}

func openedAt(t testing.TB, dir string) *Center {
	t.Helper()
	return openedOver(t, dir, nil)
}

// openedOver is openedAt with something before the store.
func openedOver(t testing.TB, dir string, over func(store.Store) store.Store) *Center {
	t.Helper()
	c := DefaultConfig()
	c.Listen, c.Data, c.Name = "127.0.0.1:0", dir, "c1"
	z, err := Open(t.Context(), c, Options{Version: "test", Log: slog.New(slog.NewTextHandler(io.Discard, nil)), over: over})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := z.close(); err != nil {
			t.Error(err)
		}
	})
	return z
}

// adminToken is that of the file.
func (z *Center) adminToken(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(z.config.Data, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// token is one with some rights.
func (z *Center) token(t *testing.T, grants ...auth.Grant) string {
	t.Helper()
	_, text, err := z.auth.AddToken(context.Background(), "test", grants, 0, "test")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// ask sends a request from this machine; headers are pairs of name and value.
func (z *Center) ask(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1:9980"+path, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:4711"
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	z.api.ServeHTTP(w, r)
	return w
}

func bearer(token string) []string { return []string{"Authorization", "Bearer " + token} }

func mustStatus(t *testing.T, w *httptest.ResponseRecorder, want int, says string) {
	t.Helper()
	if w.Code != want || !strings.Contains(w.Body.String(), says) {
		t.Errorf("status %d, %s; want %d and %q", w.Code, strings.TrimSpace(w.Body.String()), want, says)
	}
}

// put publishes a resource.
func (z *Center) put(t *testing.T, name, yaml string) {
	t.Helper()
	w := z.ask(http.MethodPut, "/v1/resources/"+name, yaml, bearer(z.adminToken(t))...)
	if w.Code > 299 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
}

const cacheYAML = "kind: redis\nlabels: { team: feed }\ngroups:\n  yf: { endpoints: [\"127.0.0.1:1\"] }\n  tc: { weight: 0, endpoints: [\"127.0.0.1:2\"] }\n"
