package governance

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/governance/series"
)

func load(t *testing.T, text string) (Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "center.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return LoadConfig(file)
}

func TestLoadConfig(t *testing.T) {
	c, err := load(t, "center: {}\n")
	if err != nil || !reflect.DeepEqual(c, DefaultConfig()) {
		t.Errorf("an empty section: %+v, %v", c, err)
	}
	c, err = load(t, `center:
  listen: 0.0.0.0:9980
  etcd: { endpoints: ["https://etcd:2379"], password: "${file:/run/secrets/etcd}" }
  protection: { share: 10% }
`)
	if err != nil || c.Listen != "0.0.0.0:9980" || c.Etcd.Endpoints[0] != "https://etcd:2379" || c.Protection.Share != 10 || c.Protection.Window.D() != time.Minute {
		t.Errorf("got %+v, %v", c, err)
	}
}

// Each mistake is named with its place.
func TestLoadConfigRefuses(t *testing.T) {
	_, err := load(t, "center:\n  listn: x\n  etcd: {}\n  protection: { share: 200% }\n")
	var problems *config.Errors
	if !errors.As(err, &problems) || len(problems.Problems) != 3 {
		t.Fatalf("got %v", err)
	}
	for i, want := range []string{"center", "center.etcd", "center.protection.share"} {
		if p := problems.Problems[i]; p.Path != want || p.Line != i+2 {
			t.Errorf("problem %d: %+v", i, p)
		}
	}
	if _, err := LoadConfig(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// What is older than the centre's own history is read from Graphite.
func TestOlderHistory(t *testing.T) {
	z := opened(t)
	admin := bearer(z.adminToken(t))
	at := time.Now().Add(-30 * 24 * time.Hour).Truncate(time.Minute)
	graphite := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || !strings.Contains(r.Form.Encode(), "feed-cache") {
			t.Errorf("graphite is asked %v, %v", r.Form, err)
		}
		fmt.Fprintf(w, `[{"target": "total_count", "datapoints": [[600, %d]]}]`, at.Unix())
	}))
	defer graphite.Close()
	z.api.Graphite = &series.Reader{URL: graphite.URL}
	path := fmt.Sprintf("/v1/series?resource=feed-cache&from=%d&to=%d", at.UnixMilli(), at.Add(time.Minute).UnixMilli())
	mustStatus(t, z.ask("GET", path, "", admin...), http.StatusOK, `"points":[`)
	graphite.Close()
	mustStatus(t, z.ask("GET", path, "", admin...), http.StatusServiceUnavailable, "graphite")
	mustStatus(t, z.ask("GET", "/v1/series?from=-5m", "", admin...), http.StatusOK, `"points":[`)
}
