package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/internal/httpapi"
	"github.com/sluice-mesh/sluice/resources"
)

const token = "0123456789abcdef0123"

func newServer(f *fake) *Server {
	return New(Options{Backend: f, Token: token, Hosts: []string{"agent.internal"}})
}

// ask sends one request; header is K, V pairs.
func ask(s *Server, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "127.0.0.1:8002"
	r.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// errorOf decodes the shape of errors, and fails if the answer has another.
func errorOf(t *testing.T, w *httptest.ResponseRecorder) *httpapi.Error {
	t.Helper()
	var v struct {
		Error *httpapi.Error `json:"error"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || v.Error == nil || v.Error.Code == "" || v.Error.Message == "" {
		t.Fatalf("status %d, not the shape of an error: %s", w.Code, w.Body)
	}
	return v.Error
}

func TestTokenGuardsAllButTheOpenPaths(t *testing.T) {
	s := newServer(newFake())
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		if w := ask(s, "GET", path, "", "Authorization", ""); w.Code != 200 {
			t.Errorf("GET %s without a token: %d", path, w.Code)
		}
	}
	locked := []string{
		"GET /v1/status", "GET /v1/agents", "GET /v1/resources", "GET /v1/resources/cache", "GET /v1/resources/cache/endpoints",
		"GET /v1/resources/cache/operations", "GET /v1/resources/cache/sessions", "GET /v1/resources/cache/config", "GET /v1/commands",
		"GET /v1/observe?resource=cache", "POST /v1/commands", "DELETE /v1/commands/c-1", "PUT /v1/resources/x", "PATCH /v1/resources/cache",
		"DELETE /v1/resources/cache", "POST /v1/debug/pprof", "DELETE /v1/debug/pprof", "GET /debug/pprof/", "GET /debug/pprof/heap",
	}
	for _, l := range locked {
		method, path, _ := strings.Cut(l, " ")
		for _, auth := range []string{"", "Bearer", "Bearer x", "Bearer " + token + "x", "Bearer " + token[1:], "Basic " + token, token} {
			w := ask(s, method, path, "{}", "Authorization", auth)
			if w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" {
				t.Errorf("%s with %q: %d", l, auth, w.Code)
			}
			if e := errorOf(t, w); strings.Contains(w.Body.String(), token) || e.Code != "unauthorized" {
				t.Errorf("%s: %s", l, w.Body)
			}
		}
	}
	if w := ask(s, "GET", "/v1/status", "", "Authorization", "bearer "+token); w.Code != 200 {
		t.Errorf("the scheme is case-insensitive: %d", w.Code)
	}
}

func TestForeignHostsAndOriginsAreRefused(t *testing.T) {
	s := newServer(newFake())
	for host, want := range map[string]int{
		"127.0.0.1:8002": 200, "localhost:8002": 200, "LOCALHOST": 200, "[::1]:8002": 200, "10.1.2.3:8002": 200, "agent.internal:8002": 200,
		"Agent.Internal": 200, "evil.example:8002": 403, "127.0.0.1.evil.example": 403, "": 403, "localhost.evil.example:8002": 403,
	} {
		for _, path := range []string{"/v1/status", "/metrics"} {
			if w := ask(s, "GET", path, "", "Host", host); w.Code != want {
				t.Errorf("Host %q %s: %d, want %d", host, path, w.Code, want)
			}
		}
	}
	for origin, want := range map[string]int{
		"http://127.0.0.1:8002": 200, "http://127.0.0.1:9999": 403, "http://evil.example": 403, "null": 403, "http://localhost:8002": 403,
	} {
		if w := ask(s, "GET", "/v1/status", "", "Origin", origin); w.Code != want {
			t.Errorf("Origin %q: %d, want %d", origin, w.Code, want)
		}
	}
	if w := ask(s, "GET", "/v1/status", "", "Sec-Fetch-Site", "cross-site"); w.Code != 403 {
		t.Errorf("cross-site: %d", w.Code)
	}
}

func TestReadiness(t *testing.T) {
	f := newFake()
	s := newServer(f)
	f.ready = "draining"
	w := ask(s, "GET", "/readyz", "")
	if w.Code != 503 || !strings.Contains(w.Body.String(), "draining") {
		t.Errorf("readyz: %d %s", w.Code, w.Body)
	}
	if w := ask(s, "GET", "/healthz", ""); w.Code != 200 {
		t.Errorf("healthz while draining: %d", w.Code)
	}
}

func TestUnknownPathsAndMethodsHaveTheShapeOfErrors(t *testing.T) {
	s := newServer(newFake())
	if e := errorOf(t, ask(s, "GET", "/v2/nothing", "")); e.Code != "not_found" {
		t.Errorf("%+v", e)
	}
	w := ask(s, "POST", "/v1/status", "")
	if e := errorOf(t, w); w.Code != 405 || e.Code != "method_not_allowed" || !strings.Contains(w.Header().Get("Allow"), "GET") {
		t.Errorf("%d %v %+v", w.Code, w.Header(), e)
	}
	if w := ask(s, "GET", "/v1/resources/none", ""); w.Code != 404 {
		t.Errorf("%d", w.Code)
	}
	if e := errorOf(t, ask(s, "GET", "/v1/resources/none/sessions", "")); !strings.Contains(e.Message, "none") {
		t.Errorf("%+v", e)
	}
}

func TestListsAreNeverNull(t *testing.T) {
	s := newServer(newFake())
	for _, path := range []string{"/v1/resources/cache/operations", "/v1/resources/cache/sessions", "/v1/commands"} {
		if w := ask(s, "GET", path, ""); !strings.Contains(w.Body.String(), "[]") {
			t.Errorf("%s: %s", path, w.Body)
		}
	}
}

func TestChangesOfResources(t *testing.T) {
	f := newFake()
	s := newServer(f)
	w := ask(s, "GET", "/v1/resources/cache", "")
	tag := w.Header().Get("ETag")
	if w.Code != 200 || tag != `"1"` || !strings.Contains(w.Body.String(), `"timeout":"1s"`) {
		t.Fatalf("%d %s %s", w.Code, tag, w.Body)
	}
	if w := ask(s, "GET", "/v1/resources/cache/config", "", "If-None-Match", tag); w.Code != 304 {
		t.Errorf("If-None-Match: %d", w.Code)
	}

	w = ask(s, "PATCH", "/v1/resources/cache", `{"policy": {"timeout": "2s", "reads": null}}`, "If-Match", tag)
	if w.Code != 200 || w.Header().Get("ETag") != `"2"` || f.specs["cache"] != `{"kind":"redis","policy":{"timeout":"2s"}}` {
		t.Fatalf("patch: %d %s %s", w.Code, w.Body, f.specs["cache"])
	}
	w = ask(s, "PATCH", "/v1/resources/cache", `{"policy": {"timeout": "3s"}}`, "If-Match", "*")
	if w.Code != 200 || !strings.Contains(f.specs["cache"], "3s") {
		t.Errorf("If-Match *: %d %s", w.Code, w.Body)
	}
	w = ask(s, "PUT", "/v1/resources/cache", `{"kind":"redis"}`, "If-Match", tag)
	if e := errorOf(t, w); w.Code != 412 || e.Code != "changed" || !strings.Contains(e.Message, `"3"`) {
		t.Errorf("a lost race: %d %+v", w.Code, e)
	}
	if w := ask(s, "DELETE", "/v1/resources/cache", "", "If-Match", tag); w.Code != 412 {
		t.Errorf("a lost race of DELETE: %d", w.Code)
	}
	if w := ask(s, "PUT", "/v1/resources/new", `{"kind":"redis"}`, "If-Match", "*"); w.Code != 412 {
		t.Errorf("If-Match * on nothing: %d", w.Code)
	}
	if w := ask(s, "PUT", "/v1/resources/new", `{"kind":"redis"}`, "If-None-Match", "*"); w.Code != 201 || w.Header().Get("Location") != "/v1/resources/new" {
		t.Errorf("create: %d", w.Code)
	}
	if w := ask(s, "PUT", "/v1/resources/new", `{"kind":"redis"}`, "If-None-Match", "*"); w.Code != 412 {
		t.Errorf("create again: %d", w.Code)
	}
	if w := ask(s, "DELETE", "/v1/resources/new", ""); w.Code != 204 {
		t.Errorf("delete: %d", w.Code)
	}
	if w := ask(s, "DELETE", "/v1/resources/new", ""); w.Code != 404 {
		t.Errorf("delete again: %d", w.Code)
	}
	if w := ask(s, "PATCH", "/v1/resources/new", `{}`); w.Code != 404 {
		t.Errorf("patch of nothing: %d", w.Code)
	}
	for _, body := range []string{"", "  ", "[1]", `"text"`, "{", "a: 1", "{}{}"} {
		if w := ask(s, "PATCH", "/v1/resources/cache", body); w.Code != 400 {
			t.Errorf("patch %q: %d", body, w.Code)
		}
	}
	if e := errorOf(t, ask(s, "PUT", "/v1/resources/cache", "bad")); e.Path != "policy.timeout" {
		t.Errorf("path: %+v", e)
	}
	if w := ask(s, "PUT", "/v1/resources/cache?dry-run=true", `{}`); w.Code != 400 {
		t.Errorf("unknown query parameter: %d", w.Code)
	}
}

func TestOfRacingChangesOneWins(t *testing.T) {
	s := newServer(newFake())
	var wg sync.WaitGroup
	var mu sync.Mutex
	codes := map[int]int{}
	for range 16 {
		wg.Go(func() {
			w := ask(s, "PATCH", "/v1/resources/cache", `{"policy":{"timeout":"9s"}}`, "If-Match", `"1"`)
			mu.Lock()
			defer mu.Unlock()
			codes[w.Code]++
		})
	}
	wg.Wait()
	if codes[200] != 1 || codes[412] != 15 {
		t.Fatalf("%v: want one 200 and fifteen 412", codes)
	}
}

func TestCommands(t *testing.T) {
	f := newFake()
	s := newServer(f)
	body := `{"type":"switch","resource":"cache","weights":{"tc":100},"for":"10m","author":"ana","why":"test"}`
	w := ask(s, "POST", "/v1/commands?dry-run=true", body)
	if w.Code != 200 || f.previews != 1 || len(f.commands) != 0 || !strings.Contains(w.Body.String(), "would move") {
		t.Fatalf("dry run: %d %s", w.Code, w.Body)
	}
	before := time.Now()
	w = ask(s, "POST", "/v1/commands", body)
	if w.Code != 201 || w.Header().Get("Location") != "/v1/commands/c-1" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	var got Command
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Summary != "tc=100" || got.Author != "ana" {
		t.Fatalf("%v %+v", err, got)
	}
	if left := got.Expires.Sub(before); left < 9*time.Minute || left > 11*time.Minute {
		t.Errorf("expires in %v", left)
	}
	if w := ask(s, "DELETE", "/v1/commands/c-1?by=ana", ""); w.Code != 200 {
		t.Errorf("undo: %d", w.Code)
	}
	if w := ask(s, "DELETE", "/v1/commands/c-1", ""); w.Code != 404 {
		t.Errorf("undo again: %d", w.Code)
	}
	for name, c := range map[string]struct{ query, body, path string }{
		"a mistyped dry run":  {"?dryrun=true", body, "dryrun"},
		"dry-run=maybe":       {"?dry-run=maybe", body, "dry-run"},
		"no resource":         {"", `{"type":"switch"}`, "resource"},
		"unknown key":         {"", `{"type":"switch","resource":"cache","wieghts":{}}`, "wieghts"},
		"both ends":           {"", `{"type":"switch","resource":"cache","for":"1m","expires":"2030-01-01T00:00:00Z"}`, "for"},
		"two values":          {"", body + body, ""},
		"a bad duration":      {"", `{"type":"switch","resource":"cache","for":"soon"}`, ""},
		"a bare number":       {"", `{"type":"degrade","resource":"cache","percent":50}`, "percent"},
		"a number for a text": {"", `{"type":1,"resource":"cache"}`, "type"},
		"two lines":           {"", `{"type":"switch","resource":"cache","why":"a\nb"}`, "why"},
		"nothing":             {"", ``, ""},
	} {
		w := ask(s, "POST", "/v1/commands"+c.query, c.body)
		if e := errorOf(t, w); w.Code != 400 || e.Path != c.path {
			t.Errorf("%s: %d %+v, want path %q", name, w.Code, e, c.path)
		}
	}
	if len(f.commands) != 0 || f.previews != 1 {
		t.Errorf("a refused command was run: %d commands, %d previews", len(f.commands), f.previews)
	}
}

func TestNothingChangesOnAGet(t *testing.T) {
	f := newFake()
	s := newServer(f)
	for _, path := range []string{"/v1/commands?dry-run=false", "/v1/resources/cache", "/v1/debug/pprof", "/v1/commands/c-1"} {
		ask(s, "GET", path, `{"type":"switch","resource":"cache"}`)
	}
	if len(f.commands) != 0 || f.tags["cache"] != 1 || s.pprof.on(time.Now()) {
		t.Error("a GET changed something")
	}
}

func TestBodiesAreBounded(t *testing.T) {
	s := newServer(newFake())
	w := ask(s, "PUT", "/v1/resources/big", strings.Repeat("x", maxBody+1))
	if e := errorOf(t, w); w.Code != 413 || e.Code != "too_large" {
		t.Errorf("%d %+v", w.Code, e)
	}
}

func TestPprofIsOffUnlessSwitchedOn(t *testing.T) {
	s := newServer(newFake())
	if w := ask(s, "GET", "/debug/pprof/heap", ""); w.Code != 404 {
		t.Errorf("off: %d", w.Code)
	}
	for _, d := range []string{"2h", "0s", "-1m", "soon"} {
		if w := ask(s, "POST", "/v1/debug/pprof?for="+d, ""); w.Code != 400 {
			t.Errorf("for=%s: %d", d, w.Code)
		}
	}
	if w := ask(s, "POST", "/v1/debug/pprof?for=5m", ""); w.Code != 200 {
		t.Fatalf("on: %d", w.Code)
	}
	if w := ask(s, "GET", "/debug/pprof/heap?debug=1", ""); w.Code != 200 {
		t.Errorf("heap: %d", w.Code)
	}
	if w := ask(s, "GET", "/debug/pprof/cmdline", ""); w.Code != 404 {
		t.Errorf("cmdline: %d", w.Code)
	}
	if s.pprof.on(time.Now().Add(6 * time.Minute)) {
		t.Error("it stays on")
	}
	if w := ask(s, "DELETE", "/v1/debug/pprof", ""); w.Code != 204 || s.pprof.on(time.Now()) {
		t.Errorf("off again: %d", w.Code)
	}
}

// serve runs a server on a socket.
func serve(t *testing.T, s *Server) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		s.Shutdown(context.Background())
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return "http://" + ln.Addr().String()
}

func get(t *testing.T, url string) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestObserveStreamsUntilTheReaderLeaves(t *testing.T) {
	f := newFake()
	s := newServer(f)
	base := serve(t, s)
	for _, q := range []string{"", "?resource=cache&match=nonsense", "?resource=cache&slower-than=soon", "?resource=cache&sample=some", "?resource=cache&sample=200%25", "?resource=none"} {
		resp := get(t, base+"/v1/observe"+q)
		resp.Body.Close()
		if resp.StatusCode/100 != 4 {
			t.Errorf("%q: %d", q, resp.StatusCode)
		}
	}
	resp := get(t, base+"/v1/observe?resource=cache&match=op=GET&slower-than=5ms")
	lines := bufio.NewScanner(resp.Body)
	next := func(prefix string) string {
		t.Helper()
		for lines.Scan() {
			if rest, ok := strings.CutPrefix(lines.Text(), prefix); ok {
				return rest
			}
		}
		t.Fatalf("no line %q: %v", prefix, lines.Err())
		return ""
	}
	if got := next("event: "); got != "call" {
		t.Fatalf("event %q", got)
	}
	var ev Event
	if err := json.Unmarshal([]byte(next("data: ")), &ev); err != nil || ev.Op != "GET" || ev.Latency != resources.Duration(5*time.Millisecond) {
		t.Fatalf("%v %+v", err, ev)
	}
	f.mu.Lock()
	f.dropped = 7
	f.mu.Unlock()
	f.events <- Event{Op: "SET", Text: "SET a\r\n\r\nevent: forged"}
	// The drop may be told before or after the event.
	seen := map[string]string{}
	for len(seen) < 2 {
		event := next("event: ")
		seen[event] = next("data: ")
	}
	if seen["dropped"] != `{"calls":7}` || !strings.Contains(seen["call"], `"op":"SET"`) {
		t.Fatalf("%v: an event was forged or a drop not told", seen)
	}
	resp.Body.Close()
	select {
	case <-f.canceled:
	case <-time.After(5 * time.Second):
		t.Fatal("the observation goes on after its reader left")
	}
}

func TestShutdownEndsStreams(t *testing.T) {
	f := newFake()
	s := newServer(f)
	base := serve(t, s)
	resp := get(t, base+"/v1/observe?resource=cache")
	defer resp.Body.Close()
	start := time.Now()
	s.Shutdown(context.Background())
	if took := time.Since(start); took > shutdownTimeout-500*time.Millisecond {
		t.Errorf("Shutdown took %v: it waited for the stream to end by itself", took)
	}
	<-f.canceled
}

func TestTokenFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	made, err := LoadToken(dir)
	if err != nil || len(made) < 40 {
		t.Fatalf("%q %v", made, err)
	}
	name := filepath.Join(dir, TokenFile)
	st, err := os.Stat(name)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v %v", st.Mode(), err)
	}
	again, err := LoadToken(dir)
	if err != nil || again != made {
		t.Errorf("a second start: %q %v", again, err)
	}
	if left, _ := filepath.Glob(name + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	os.Chmod(name, 0o644)
	if _, err := LoadToken(dir); err == nil || !strings.Contains(err.Error(), "chmod") {
		t.Errorf("a token that others can read: %v", err)
	}
	os.WriteFile(name, []byte("short\n"), 0o600)
	os.Chmod(name, 0o600)
	if _, err := LoadToken(dir); err == nil || strings.Contains(err.Error(), "short\"") {
		t.Errorf("a short token: %v", err)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b := &bounded{Listener: ln, slots: make(chan struct{}, 1), stop: ctx}
	defer ln.Close()
	for range 2 {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	first, err := b.Accept()
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan error, 1)
	go func() {
		c, err := b.Accept()
		if err == nil {
			c.Close()
		}
		second <- err
	}()
	select {
	case <-second:
		t.Fatal("two connections of one slot")
	case <-time.After(50 * time.Millisecond):
	}
	first.Close()
	first.Close() // gives back one slot, not two
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	b.slots <- struct{}{}
	cancel()
	if _, err := b.Accept(); err == nil {
		t.Fatal("accepts after the end")
	}
}
