package server

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Graphite describes a carbon-cache and the web application over its files. The zero value keeps a second for an hour and
// a minute for sixty days, and joins counts by their sum and quantiles by the highest, as docs/governance.md tells people
// to.
type Graphite struct {
	Schemas     string // storage-schemas.conf
	Aggregation string // storage-aggregation.conf
}

// GraphiteServer is a running Graphite.
type GraphiteServer struct {
	Carbon *Process
	Web    *Process
	Addr   string // of carbon's plaintext listener
	URL    string // of the web application

	t TB
}

// What a Graphite that is fed by agents needs; see docs/governance.md.
const (
	graphiteSchemas     = "[all]\npattern = .*\nretentions = 1s:1h,1m:60d\n"
	graphiteAggregation = `[sluice-counts]
pattern = sluice-agent\..*_count$
xFilesFactor = 0
aggregationMethod = sum
[sluice-quantiles]
pattern = sluice-agent\..*\.p\d+$
xFilesFactor = 0
aggregationMethod = max
`
)

func (spec Graphite) start(t TB) *GraphiteServer {
	t.Helper()
	if spec.Schemas == "" {
		spec.Schemas = graphiteSchemas
	}
	if spec.Aggregation == "" {
		spec.Aggregation = graphiteAggregation
	}
	dir := newDir(t, "carbon")
	g := &GraphiteServer{Addr: FreeAddr(t), t: t}
	query, web := FreeAddr(t), FreeAddr(t)
	for _, sub := range []string{"whisper", "logs"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatalf("graphite: %v", err)
		}
	}
	writeFile(t, filepath.Join(dir, "carbon.conf"), carbonConfig(dir, g.Addr, FreeAddr(t), query))
	writeFile(t, filepath.Join(dir, "storage-schemas.conf"), spec.Schemas)
	writeFile(t, filepath.Join(dir, "storage-aggregation.conf"), spec.Aggregation)
	g.Carbon = newProcess(t, "carbon-cache", dir, Command{
		Program: "carbon-cache", Args: []string{"--nodaemon", "--config=" + filepath.Join(dir, "carbon.conf"), "start"},
	}, func() error {
		c, err := net.DialTimeout("tcp", g.Addr, time.Second)
		if err == nil {
			err = c.Close()
		}
		return err
	})
	g.Carbon.launch()

	g.URL = "http://" + web
	dirWeb := newDir(t, "graphite-web")
	writeFile(t, filepath.Join(dirWeb, "sluice_graphite.py"), webConfig(dir, query))
	g.Web = newProcess(t, "graphite-web", dirWeb, Command{
		Program: "graphite-manage", Args: []string{"runserver", "--noreload", web},
		Env: []string{"PYTHONPATH=" + dirWeb, "GRAPHITE_SETTINGS_MODULE=sluice_graphite", "PYTHONDONTWRITEBYTECODE=1"},
	}, func() error {
		r, err := http.Get(g.URL + "/render?format=json")
		if err == nil {
			err = r.Body.Close()
		}
		return err
	})
	g.Web.launch()
	g.Carbon.awaitReady()
	g.Web.awaitReady()
	return g
}

func carbonConfig(dir, line, pickle, query string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[cache]\nSTORAGE_DIR = %[1]s\nLOCAL_DATA_DIR = %[1]s/whisper/\nCONF_DIR = %[1]s\nLOG_DIR = %[1]s/logs\nPID_DIR = %[1]s\n", dir)
	for name, addr := range map[string]string{"LINE_RECEIVER": line, "PICKLE_RECEIVER": pickle, "CACHE_QUERY": query} {
		host, port, _ := net.SplitHostPort(addr) // of FreeAddr
		fmt.Fprintf(&b, "%[1]s_INTERFACE = %[2]s\n%[1]s_PORT = %[3]s\n", name, host, port)
	}
	b.WriteString("USER =\nMAX_CREATES_PER_MINUTE = inf\nMAX_UPDATES_PER_SECOND = 10000\nCARBON_METRIC_INTERVAL = 0\n" +
		"ENABLE_LOGROTATION = False\nENABLE_TAGS = False\n")
	return b.String()
}

// webConfig is the web application's settings. Answers are not cached: tests wait for what is new in them.
func webConfig(dir, query string) string {
	return fmt.Sprintf(`SECRET_KEY = 'of a test'
ALLOWED_HOSTS = ['127.0.0.1']
TIME_ZONE = 'UTC'
STORAGE_DIR = CONF_DIR = %[1]q
LOG_DIR = %[1]q + '/logs'
INDEX_FILE = %[1]q + '/index'
WHISPER_DIR = %[1]q + '/whisper'
STANDARD_DIRS = [WHISPER_DIR]
CARBONLINK_HOSTS = [%[2]q]
CACHES = {'default': {'BACKEND': 'django.core.cache.backends.dummy.DummyCache'}}
DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}}
`, dir, query)
}

// Send writes lines to carbon: name, value, Unix time in seconds.
func (g *GraphiteServer) Send(lines ...string) {
	g.t.Helper()
	c, err := net.DialTimeout("tcp", g.Addr, 5*time.Second)
	if err != nil {
		g.t.Fatalf("carbon: %v", err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(strings.Join(lines, "\n") + "\n")); err != nil {
		g.t.Fatalf("carbon: %v", err)
	}
}
