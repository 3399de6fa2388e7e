package governance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// TestBrowser drives the pages in the distribution's Chromium: browser/*.test.mjs. SLUICE_SHOTS=FOLDER keeps screenshots.
func TestBrowser(t *testing.T) {
	t.Parallel()
	server.NodeModules(t, "browser")
	caches, dbs := places(t)
	l := newLab(t)
	l.put("feed-cache", redisSpec(caches["yf"], caches["tc"]))
	l.put("orders-db", dbSpec(dbs["yf"], dbs["tc"]))
	agent := l.shop()
	l.agent("web-2", "tc", "", "feed-cache")
	l.settled("web-1", "web-2")
	a := startApp(t, agent)
	l.await(5*time.Second, "both to be answered by yf", func() error { return a.answeredBy("yf") })
	l.await(30*time.Second, "the first figures", func() error {
		if at := l.center.Must("GET", "/v1/resources/orders-db/operations", ""); !strings.Contains(at, "SELECT") {
			return fmt.Errorf("they are %s", at)
		}
		return nil
	})

	inBrowser(l, a.states(l), "shapes.test.mjs", "pages.test.mjs", "tabs.test.mjs")
	if !t.Failed() {
		a.unharmed(t)
	}
}

// inBrowser runs tests of browser/ against a lab's centre, and returns what they wrote. They find at application what is around it.
func inBrowser(l *lab, application string, files ...string) string {
	t := l.T
	t.Helper()
	path := t.TempDir() // where the program has the name that command lines have
	if err := os.Symlink(server.Build(t, "github.com/sluice-mesh/sluice/cmd/sluice", false), filepath.Join(path, "sluice")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	node := exec.CommandContext(ctx, "node", append([]string{"--test", "--test-reporter=tap", "--test-concurrency=1"}, files...)...)
	node.Dir = "browser"
	node.Env = append(os.Environ(), "CENTER="+l.center.URL(), "CENTER_TOKEN="+l.center.Token(), "APPLICATION="+application,
		"SLUICE_BIN="+path, "SHOTS="+os.Getenv("SLUICE_SHOTS"))
	node.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the browser ends with it
	node.Cancel = func() error { return syscall.Kill(-node.Process.Pid, syscall.SIGKILL) }
	node.WaitDelay = 10 * time.Second
	out, err := node.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for _, line := range []string{"# fail 0", "# cancelled 0", "# skipped 0", "# todo 0"} {
		if !strings.Contains(string(out), "\n"+line+"\n") {
			t.Errorf("not every test was made: there is no line %q", line)
		}
	}
	return string(out)
}

// states serves what the application sees to the browser's tests, which kill the centre and start it again here, too.
func (a *app) states(l *lab) string {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		out := map[string]any{"calls": a.calls.Load(), "errors": a.errors.Load(), "cache": a.cacheAt.Load(), "db": a.dbAt.Load(),
			"lastError": a.lastError.Load()}
		_ = json.NewEncoder(w).Encode(out) // whoever asked notices
	})
	mux.HandleFunc("POST /center/kill", func(http.ResponseWriter, *http.Request) { l.center.Kill() })
	mux.HandleFunc("POST /center/restart", func(http.ResponseWriter, *http.Request) { l.center.Restart() })
	s := httptest.NewServer(mux)
	l.Cleanup(s.Close)
	return s.URL
}
