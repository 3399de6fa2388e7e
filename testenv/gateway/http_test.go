package gateway

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/motan"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// overHTTP is an agent with a Motan service that can be called over HTTP as well.
const overHTTP = `
agent: { admin: {{addr "admin"}}, application: gateway-test, drain: { wait: 0s, timeout: 10s } }
resources:
  peers:
    kind: motan2
    listen: {{addr "peers"}}
    accept: { http: { listen: {{.http}}, max-body: 64KiB } }
    settings: { service: {{.service}}, version: "{{.version}}", max-timeout: 1000% }
    groups: { {{.group}}: { endpoints: ["{{.server}}"] } }
    policy: { timeout: 1s, probe: { every: 200ms } }
`

// curl calls a path of an address and returns the status, in a line, before the body.
func curl(t *testing.T, url string, args ...string) string {
	t.Helper()
	out, err := exec.Command("curl", append([]string{"-sS", "-m", "20", "--noproxy", "*", "-o", "-", "-w", "\n%{http_code} %header{sluice-fault}", url}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("curl %s %q: %v: %s", url, args, err, out)
	}
	i := strings.LastIndexByte(string(out), '\n')
	return strings.TrimSpace(string(out[i+1:])) + " " + strings.TrimSpace(string(out[:i]))
}

// motanVars are what a configuration says of a Motan server.
func motanVars(t *testing.T, s *motan.ServerProcess) map[string]string {
	return map[string]string{"service": motan.Service, "version": motan.Version, "group": motan.Group, "server": s.Addr, "http": server.FreeAddr(t)}
}

// Whoever has curl calls a Motan service, with the arguments as JSON, as a form, as text and as bytes.
func TestCurlCallsMotan(t *testing.T) {
	s := motan.Serve(t, motan.Server{})
	vars := motanVars(t, s)
	server.Start(t, server.Agent{Config: overHTTP, Vars: vars})
	at := "http://" + vars["http"]
	for _, c := range []struct {
		what, want string
		path       string
		args       []string
	}{
		{"no arguments", `200 "` + s.Name + `"`, "/name", []string{"-d", "[]", "-H", "Content-Type: application/json"}},
		{"by GET", `200 "` + s.Name + `"`, "/name", nil},
		{"with the service's name", `200 "` + s.Name + `"`, "/" + motan.Service + "/name", nil},
		{"several arguments", `200 "a 7 true"`, "/join", []string{"--json", `["a", 7, true]`}},
		{"an object", `200 {"a":"b"}`, "/echo", []string{"--json", `{"a": "b"}`}},
		{"a hint", `200 300`, "/echo", []string{"--json", `[{"$int32": 300}]`}},
		{"types", `200 300`, "/echo", []string{"--json", `["300"]`, "-H", "Motan-Md: int"}},
		{"a query", `200 {"a":"b c"}`, "/echo?a=b+c", nil},
		{"a form", `200 {"x":"1"}`, "/echo", []string{"-d", "x=1"}},
		{"text", `200 "plain"`, "/echo", []string{"-d", "plain", "-H", "Content-Type: text/plain"}},
		{"bytes", `200 "cGxhaW4="`, "/echo", []string{"-d", "plain", "-H", "Content-Type: application/octet-stream"}},
		{"an exception of the service", `422 {"error":{"code":30001,"type":"business","message":"no"}}`, "/fail", []string{"--json", `["no"]`}},
		{"no path", `404 {"error":{"code":0,"type":"framework","message":"sluice: peers: the path names no method`, "/", nil},
		{"no JSON", `400 {"error":`, "/echo", []string{"--json", `[1`}},
		{"a wrong verb", `405 {"error":`, "/name", []string{"-X", "DELETE"}},
		{"too much", `413 too_large {"error":{"code":10201`, "/echo", []string{"-d", strings.Repeat("x", 70000), "-H", "Content-Type: text/plain"}},
		{"too slow", `504 timeout {"error":{"code":10003`, "/sleep", []string{"--json", `[1500]`}},
		{"more time", `200 1500`, "/sleep", []string{"--json", `[1500]`, "-H", "Motan-Tmo: 5000"}},
	} {
		if got := curl(t, at+c.path, c.args...); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %.300s, want %s", c.what, got, c.want)
		}
	}
	var seen map[string]string
	got := curl(t, at+"/attachments", "-H", "Motan-S: shell", "-H", "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")
	if err := json.Unmarshal([]byte(strings.TrimPrefix(got, "200 ")), &seen); err != nil || seen["M_s"] != "shell" || !strings.HasPrefix(seen["traceparent"], "00-4bf92f3577b34da6a3ce929d0e0e4736-") {
		t.Errorf("the server got %s: %v", got, err)
	}
	s.Kill()
	server.Wait(t, 10*time.Second, "the server to be found away", func() error {
		if got := curl(t, at+"/name"); !strings.HasPrefix(got, "503 unavailable ") {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})
}
