package agent_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-mesh/sluice/agent"
	"github.com/sluice-mesh/sluice/agent/admin/admintest"
	_ "github.com/sluice-mesh/sluice/agent/filter/standard"
)

func TestMain(m *testing.M) {
	admintest.Register()
	goleak.VerifyTestMain(m)
}

// one is the resource of most tests.
const one = `
  cache:
    kind: echo
    listen: 127.0.0.1:0
    groups:
      yf: { weight: 100, endpoints: ["10.0.0.1:6379"] }
      tc: { weight: 0, endpoints: ["10.1.0.1:6379"] }
`

// running is an agent under test.
type running struct {
	*agent.Agent
	t       *testing.T
	file    string
	data    string
	token   string
	signals chan os.Signal
	ended   chan error
	log     *buffer
	client  *http.Client
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// write writes the file of an agent in dir; drain is its drain section.
func write(t *testing.T, dir, resources, drain string) string {
	t.Helper()
	text := fmt.Sprintf("agent:\n  name: test\n  idc: yf\n  admin: 127.0.0.1:0\n  data: %s\n  drain: %s\nresources:%s", filepath.Join(dir, "data"), drain, resources)
	if strings.TrimSpace(resources) == "" {
		text = strings.TrimSuffix(text, "resources:"+resources)
	}
	name := filepath.Join(dir, "sluice.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

const quick = "{ wait: 0s, timeout: 5s }"

// start runs an agent in dir until the test ends.
func start(t *testing.T, dir, resources, drain string) *running {
	t.Helper()
	r := &running{t: t, file: write(t, dir, resources, drain), data: filepath.Join(dir, "data"), signals: make(chan os.Signal, 4),
		ended: make(chan error, 1), log: &buffer{}, client: &http.Client{Transport: &http.Transport{}}}
	cfg, err := agent.ConfigOptions().Load(r.file)
	if err != nil {
		t.Fatal(err)
	}
	r.Agent, err = agent.New(cfg, agent.Options{Version: "test", Signals: r.signals, Log: slog.New(slog.NewTextHandler(r.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(r.data, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	r.token = strings.TrimSpace(string(raw))
	go func() { r.ended <- r.Run(context.Background()) }()
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		r.stop()
		if t.Failed() {
			t.Log(r.log.String())
		}
	})
	r.until("ready", func() bool { return r.status("/readyz") == 200 })
	return r
}

// stop ends the agent at once, if it still runs, and returns what Run said.
func (r *running) stop() error {
	select {
	case err := <-r.ended:
		r.ended <- err
		return err
	default:
	}
	r.signals <- syscall.SIGTERM
	r.signals <- syscall.SIGTERM
	err := <-r.ended
	r.ended <- err
	return err
}

func (r *running) until(what string, ok func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("not in time: %s", what)
		}
	}
}

// do sends a request and returns status, header and body. header is K, V pairs.
func (r *running) do(method, path, body string, header ...string) (int, http.Header, string) {
	r.t.Helper()
	req, err := http.NewRequest(method, "http://"+r.AdminAddr().String()+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(text)
}

func (r *running) status(path string) int {
	code, _, _ := r.do("GET", path, "")
	return code
}

// dial connects to a resource.
func (r *running) dial(resource string) *client {
	r.t.Helper()
	addresses := r.Listening(resource)
	if len(addresses) == 0 {
		r.t.Fatalf("no resource %s", resource)
	}
	c, err := net.Dial("tcp", addresses[0])
	if err != nil {
		r.t.Fatal(err)
	}
	cl := &client{Conn: c, in: bufio.NewReader(c)}
	r.t.Cleanup(func() { c.Close() })
	return cl
}

type client struct {
	net.Conn
	in *bufio.Reader
}

// ask sends a line and returns the answer; "" when the connection ended.
func (c *client) ask(line string) string {
	c.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintln(c, line)
	return c.read()
}

func (c *client) read() string {
	answer, _ := c.in.ReadString('\n')
	return strings.TrimSpace(answer)
}

func TestCommandsTakeEffectAtOnceAndSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir, one, quick)
	c := r.dial("cache")
	if got := c.ask("GET a"); got != "ok yf 10.0.0.1:6379" {
		t.Fatalf("before: %q", got)
	}
	code, _, body := r.do("POST", "/v1/commands?dry-run=true", `{"type":"switch","resource":"cache","weights":{"tc":100}}`)
	if code != 200 || !strings.Contains(body, "Group tc: weight 0 -\\u003e 100") && !strings.Contains(body, "Group tc: weight 0 -> 100") {
		t.Fatalf("dry run: %d %s", code, body)
	}
	if got := c.ask("GET a"); got != "ok yf 10.0.0.1:6379" {
		t.Fatalf("after a dry run: %q", got)
	}
	code, _, body = r.do("POST", "/v1/commands", `{"type":"switch","resource":"cache","weights":{"tc":100},"author":"ana"}`)
	if code != 201 {
		t.Fatalf("switch: %d %s", code, body)
	}
	if got := c.ask("GET a"); got != "ok tc 10.1.0.1:6379" {
		t.Fatalf("after the switch: %q", got)
	}
	var cmd struct{ ID string }
	json.Unmarshal([]byte(body), &cmd)
	r.stop()

	r = start(t, dir, one, quick)
	c = r.dial("cache")
	if got := c.ask("GET a"); got != "ok tc 10.1.0.1:6379" {
		t.Fatalf("after a restart: %q", got)
	}
	if code, _, body := r.do("DELETE", "/v1/commands/"+cmd.ID, ""); code != 200 {
		t.Fatalf("undo: %d %s", code, body)
	}
	if got := c.ask("GET a"); got != "ok yf 10.0.0.1:6379" {
		t.Fatalf("after undo: %q", got)
	}
	if code, _, _ := r.do("DELETE", "/v1/commands/"+cmd.ID, ""); code != 404 {
		t.Errorf("undo again: %d", code)
	}
}

func TestACommandExpiresByItself(t *testing.T) {
	r := start(t, t.TempDir(), one, quick)
	c := r.dial("cache")
	if code, _, body := r.do("POST", "/v1/commands", `{"type":"degrade","resource":"cache","match":{"op":"GET"},"for":"300ms","author":"ana"}`); code != 201 {
		t.Fatalf("%d %s", code, body)
	}
	if got := c.ask("GET a"); !strings.HasPrefix(got, "error DEGRADED sluice: cache: ") {
		t.Fatalf("degraded: %q", got)
	}
	if got := c.ask("SET a"); got != "ok yf 10.0.0.1:6379" {
		t.Fatalf("what does not match: %q", got)
	}
	r.until("the command expired", func() bool { return c.ask("GET a") == "ok yf 10.0.0.1:6379" })
	if _, _, body := r.do("GET", "/v1/commands", ""); !strings.Contains(body, `"commands":[]`) {
		t.Errorf("still listed: %s", body)
	}
}

func TestCommandsThatCannotHoldAreRefused(t *testing.T) {
	r := start(t, t.TempDir(), one, quick)
	for body, want := range map[string]int{
		`{"type":"switch","resource":"none","weights":{"tc":1}}`:            404,
		`{"type":"switch","resource":"cache","weights":{"mars":1}}`:         400,
		`{"type":"switch","resource":"cache","weights":{"yf":0}}`:           400,
		`{"type":"explode","resource":"cache"}`:                             400,
		`{"type":"drain","resource":"cache","endpoint":"10.9.9.9:1"}`:       400,
		`{"type":"fault","resource":"cache"}`:                               400,
		`{"type":"degrade","resource":"cache","match":{"class":"unheard"}}`: 400,
	} {
		code, _, answer := r.do("POST", "/v1/commands", body)
		if code != want || !strings.Contains(answer, `"error"`) {
			t.Errorf("%s: %d %s", body, code, answer)
		}
	}
	if _, _, body := r.do("GET", "/v1/commands", ""); !strings.Contains(body, `"commands":[]`) {
		t.Errorf("a refused command is kept: %s", body)
	}
}

func TestDrainInOrder(t *testing.T) {
	r := start(t, t.TempDir(), one, "{ wait: 3s, timeout: 30s }")
	busy, idle := r.dial("cache"), r.dial("cache")
	idle.ask("GET a")
	begun := time.Now()
	fmt.Fprintln(busy, "WAIT 5s")
	r.until("the call began", func() bool {
		_, _, body := r.do("GET", "/v1/resources/cache", "")
		return strings.Contains(body, `"inflight":1`)
	})
	r.signals <- syscall.SIGTERM

	r.until("not ready", func() bool { return r.status("/readyz") == 503 })
	if r.status("/healthz") != 200 {
		t.Error("a draining agent is healthy")
	}
	late := r.dial("cache") // not ready, but still accepting
	if got := late.ask("GET b"); got != "ok yf 10.0.0.1:6379" {
		t.Errorf("while waiting to be noticed: %q", got)
	}
	if code, _, _ := r.do("POST", "/v1/commands", `{"type":"degrade","resource":"cache"}`); code != 503 {
		t.Errorf("a command while draining: %d", code)
	}
	idle.SetDeadline(time.Now().Add(20 * time.Second))
	if got := idle.read(); got != "" {
		t.Errorf("an idle session gets %q, want its end", got)
	}
	busy.SetDeadline(time.Now().Add(20 * time.Second))
	if got := busy.read(); got != "ok yf 10.0.0.1:6379" {
		t.Errorf("the call in flight got %q", got)
	}
	if took := time.Since(begun); took < 4900*time.Millisecond {
		t.Errorf("answered after %v", took)
	}
	if err := <-r.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	r.ended <- nil
	if !strings.Contains(r.log.String(), "msg=drained") {
		t.Error("not logged")
	}
}

func TestDrainCutsAtTheDeadlineAndASecondSignalCutsNow(t *testing.T) {
	for name, drain := range map[string]string{"deadline": "{ wait: 0s, timeout: 300ms }", "second signal": "{ wait: 1m, timeout: 5m }"} {
		t.Run(name, func(t *testing.T) {
			r := start(t, t.TempDir(), one, drain)
			c := r.dial("cache")
			fmt.Fprintln(c, "WAIT 1m")
			r.until("the call began", func() bool {
				_, _, body := r.do("GET", "/v1/resources/cache", "")
				return strings.Contains(body, `"inflight":1`)
			})
			began := time.Now()
			r.signals <- syscall.SIGTERM
			if name != "deadline" {
				r.until("draining", func() bool { return r.status("/readyz") == 503 })
				r.signals <- syscall.SIGTERM
			}
			err := <-r.ended
			r.ended <- err
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("took %v", took)
			}
			if (err != nil) != (name != "deadline") {
				t.Errorf("Run: %v", err)
			}
			if got := c.read(); got != "" {
				t.Errorf("a cut call got %q", got)
			}
		})
	}
}

func TestReload(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir, one, quick)
	c := r.dial("cache")
	reload := func(resources, logged string) {
		t.Helper()
		write(t, dir, resources, quick)
		n := strings.Count(r.log.String(), logged)
		r.signals <- syscall.SIGHUP
		r.until(logged, func() bool { return strings.Count(r.log.String(), logged) > n })
	}

	reload(strings.Replace(one, "kind: echo", "kind: echo\n    polisy: {}", 1), "is refused")
	if !strings.Contains(r.log.String(), "polisy") || !strings.Contains(r.log.String(), "sluice.yaml:") {
		t.Errorf("the problem is not named: %s", r.log.String())
	}
	reload(one+"  broken: { kind: echo, listen: \"127.0.0.1:0\", settings: { greeting: refuse }, groups: { yf: { endpoints: [\"10.0.0.1:1\"] } } }\n", "is refused")
	if got := c.ask("GET a"); got != "ok yf 10.0.0.1:6379" {
		t.Fatalf("after refused reloads: %q", got)
	}
	if len(r.Listening("broken")) != 0 {
		t.Error("a refused resource listens")
	}

	swapped := strings.NewReplacer("weight: 100", "weight: 0", "weight: 0", "weight: 100").Replace(one)
	reload(swapped, "config read again")
	if got := c.ask("GET a"); got != "ok tc 10.1.0.1:6379" {
		t.Fatalf("new weights on an old connection: %q", got)
	}

	// Changed settings open the resource anew behind the same listener: old sessions end, new ones are greeted.
	address := r.Listening("cache")[0]
	reload(strings.Replace(one, "kind: echo", "kind: echo\n    settings: { greeting: hello }", 1), "config read again")
	if r.Listening("cache")[0] != address {
		t.Error("the listener was bound anew")
	}
	if got := r.dial("cache").read(); got != "hello" {
		t.Errorf("a new session: %q", got)
	}
	r.until("the old session ended", func() bool { return c.ask("GET a") == "" })

	reload("", "config read again")
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("a removed resource still listens")
	}
	r.until("its metrics are gone", func() bool {
		_, _, body := r.do("GET", "/metrics", "")
		return !strings.Contains(body, `resource="cache"`)
	})
	reload(one, "config read again")
	if got := r.dial("cache").ask("GET a"); got != "ok yf 10.0.0.1:6379" {
		t.Errorf("back again: %q", got)
	}
}

func TestResourcesOverHTTP(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir, one, quick)
	c := r.dial("cache")
	code, h, spec := r.do("GET", "/v1/resources/cache/config", "")
	tag := h.Get("ETag")
	if code != 200 || tag == "" || !strings.Contains(spec, `"kind":"echo"`) {
		t.Fatalf("%d %q %s", code, tag, spec)
	}
	code, h, body := r.do("PATCH", "/v1/resources/cache", `{"groups":{"yf":{"weight":0},"tc":{"weight":100}}}`, "If-Match", tag)
	if code != 200 || h.Get("ETag") == tag {
		t.Fatalf("patch: %d %s", code, body)
	}
	if got := c.ask("GET a"); got != "ok tc 10.1.0.1:6379" {
		t.Fatalf("after the patch: %q", got)
	}
	if code, _, _ := r.do("PUT", "/v1/resources/cache", spec, "If-Match", tag); code != 412 {
		t.Errorf("a lost race: %d", code)
	}
	for bad, want := range map[string]int{
		`{"kind":"echo","listen":"127.0.0.1:0","groups":{"yf":{"endpoints":["10.0.0.1:1"]}},"polisy":{}}`:                              400,
		`{"kind":"nosuch","listen":"127.0.0.1:0","groups":{"yf":{"endpoints":["10.0.0.1:1"]}}}`:                                        400,
		`{"kind":"echo","listen":"127.0.0.1:0","groups":{"yf":{"endpoints":["10.0.0.1:1"]}},"settings":{"password":"literal-s3cret"}}`: 400,
		`{"kind":"echo","listen":"127.0.0.1:0","groups":{"yf":{"endpoints":["10.0.0.1:1"]}},"settings":{"greeting":"refuse"}}`:         400,
		`{"kind":"echo","listen":"` + r.AdminAddr().String() + `","groups":{"yf":{"endpoints":["10.0.0.1:1"]}}}`:                       400,
	} {
		code, _, body := r.do("PUT", "/v1/resources/other", bad)
		if code != want || !strings.Contains(body, `"error"`) || strings.Contains(body, "s3cret") {
			t.Errorf("%s: %d %s", bad, code, body)
		}
	}
	other := `{"kind":"echo","listen":"127.0.0.1:0","groups":{"yf":{"endpoints":["10.0.0.9:1"]}},"settings":{"password":"${env:PW}"}}`
	if code, _, body := r.do("PUT", "/v1/resources/other", other); code != 201 || strings.Contains(body, "listen\":null") {
		t.Fatalf("put: %d %s", code, body)
	}
	if got := r.dial("other").ask("GET a"); got != "ok yf 10.0.0.9:1" {
		t.Errorf("the new resource: %q", got)
	}
	if _, _, body := r.do("GET", "/v1/resources/other/config", ""); !strings.Contains(body, "${env:PW}") {
		t.Errorf("the reference is lost: %s", body)
	}
	r.stop()

	// What was changed over HTTP outlives a restart, and stands above a file that nobody edited.
	r = start(t, dir, one, quick)
	if got := r.dial("cache").ask("GET a"); got != "ok tc 10.1.0.1:6379" {
		t.Errorf("after a restart: %q", got)
	}
	if got := r.dial("other").ask("GET a"); got != "ok yf 10.0.0.9:1" {
		t.Errorf("after a restart: %q", got)
	}
	if code, _, _ := r.do("DELETE", "/v1/resources/cache", ""); code != 204 {
		t.Errorf("delete: %d", code)
	}
	if code := r.status("/v1/resources/cache"); code != 404 {
		t.Errorf("after the delete: %d", code)
	}

	// A reload of the file as it was changes nothing; an edit of its entry is the last word.
	reloads := func(resources string) {
		t.Helper()
		write(t, dir, resources, quick)
		n := strings.Count(r.log.String(), "config read again")
		r.signals <- syscall.SIGHUP
		r.until("the reload", func() bool { return strings.Count(r.log.String(), "config read again") > n })
	}
	reloads(one)
	if code := r.status("/v1/resources/cache"); code != 404 {
		t.Errorf("a reload brought back what was deleted: %d", code)
	}
	reloads(strings.Replace(one, "10.0.0.1", "10.0.0.5", 1))
	if got := r.dial("cache").ask("GET a"); got != "ok yf 10.0.0.5:6379" {
		t.Errorf("after the edit: %q", got)
	}
	if got := r.dial("other").ask("GET a"); got != "ok yf 10.0.0.9:1" {
		t.Errorf("what the file does not know is left alone: %q", got)
	}
}

func TestACommandThatNoLongerFitsWaits(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir, one, quick)
	if code, _, body := r.do("POST", "/v1/commands", `{"type":"switch","resource":"cache","weights":{"tc":100}}`); code != 201 {
		t.Fatalf("%d %s", code, body)
	}
	r.stop()
	alone := strings.Replace(one, `      tc: { weight: 0, endpoints: ["10.1.0.1:6379"] }`+"\n", "", 1)
	r = start(t, dir, alone, quick)
	if got := r.dial("cache").ask("GET a"); got != "ok yf 10.0.0.1:6379" {
		t.Fatalf("without the group: %q", got)
	}
	if _, _, body := r.do("GET", "/v1/resources/cache", ""); !strings.Contains(body, "not in force") {
		t.Errorf("the resource does not say so: %s", body)
	}
	r.stop()
	r = start(t, dir, one, quick)
	if got := r.dial("cache").ask("GET a"); got != "ok tc 10.1.0.1:6379" {
		t.Errorf("the group is back: %q", got)
	}
}

func TestTwoAgentsDoNotShareADataFolder(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir, one, quick)
	cfg, err := agent.ConfigOptions().Load(r.file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := agent.New(cfg, agent.Options{}); err == nil || !strings.Contains(err.Error(), "another agent") {
		t.Fatalf("a second agent: %v", err)
	}
	r.stop()
	a, err := agent.New(cfg, agent.Options{})
	if err != nil {
		t.Fatalf("after the first one ended: %v", err)
	}
	a.Close() // never run
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, c := range map[string]struct{ resources, want string }{
		"a taken port":  {strings.Replace(one, "127.0.0.1:0", taken.Addr().String(), 1), "address already in use"},
		"a bad driver":  {strings.Replace(one, "kind: echo", "kind: echo\n    settings: { greeting: refuse }", 1), "for tests of failing drivers"},
		"a missing key": {strings.Replace(one, "kind: echo", "kind: echo\n    tls: { cert: /nonexistent, key: /nonexistent }", 1), "nonexistent"},
	} {
		cfg, err := agent.ConfigOptions().Load(write(t, t.TempDir(), c.resources, quick))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, err = agent.New(cfg, agent.Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "cache") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
