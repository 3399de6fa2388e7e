package admin

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// serveLocal asks as the centre does: without a token, whatever the Host.
func serveLocal(s *Server, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "not.ours.example"
	w := httptest.NewRecorder()
	s.ServeLocal(w, r)
	return w
}

func TestTheCentreReadsAndTriesAndChangesNothing(t *testing.T) {
	f := newFake()
	s := newServer(f)
	const degrade = `{"type":"degrade","resource":"cache"}`
	for ask, want := range map[string]int{
		"GET /v1/status": 200, "GET /v1/agents": 200, "GET /v1/resources": 200, "GET /v1/resources/cache": 200, "GET /v1/resources/cache/config": 200,
		"GET /v1/resources/none": 404, "GET /v1/nothing": 404, "GET /v1/observe": 400,
		"POST /v1/commands?dry-run": 200, "POST /v1/commands?dry-run=true": 200, "POST /v1/commands?dry-run=1": 200,
		"POST /v1/commands": 405, "POST /v1/commands?dry-run=false": 405, "POST /v1/commands?dry-run=x": 405, "POST /v1/commands/?dry-run": 404,
		"POST /v1/commands?dry-run&dry-run=false": 200, // the first one counts, for both who ask
		"POST /v1/debug/pprof":                    405, "POST /v1/debug/pprof?dry-run": 405, "DELETE /v1/commands/c-1": 405,
		"PUT /v1/resources/cache": 405, "PATCH /v1/resources/cache": 405, "DELETE /v1/resources/cache": 405, "HEAD /v1/status": 405,
		"GET /metrics": 404, "GET /healthz": 404, "GET /debug/pprof/heap": 404, "GET /v1/../debug/pprof/heap": 404, "GET /v1/": 404, "GET /": 404, "GET //v1/status": 404,
	} {
		method, path, _ := strings.Cut(ask, " ")
		w := serveLocal(s, method, path, degrade)
		if w.Code != want {
			t.Errorf("%s: %d %s, want %d", ask, w.Code, w.Body, want)
		}
		if w.Code >= 400 {
			errorOf(t, w)
		}
	}
	if len(f.commands) != 0 || f.previews != 4 || f.tags["cache"] != 1 {
		t.Errorf("%d commands, %d previews, tag %d", len(f.commands), f.previews, f.tags["cache"])
	}
	// The door is that call alone: a header does not open it.
	if w := ask(s, "GET", "/v1/status", "", "Authorization", "", "X-Local", "true"); w.Code != 401 {
		t.Errorf("without a token over HTTP: %d", w.Code)
	}
}

func TestAStreamForTheCentreEndsWithItsContext(t *testing.T) {
	f := newFake()
	s := newServer(f)
	f.events <- Event{Op: "GET"}
	ctx, cancel := context.WithCancel(context.Background())
	w := httptest.NewRecorder()
	done := make(chan struct{})
	go func() {
		s.ServeLocal(w, httptest.NewRequest("GET", "/v1/observe?resource=cache", nil).WithContext(ctx))
		close(done)
	}()
	for deadline := time.Now().Add(10 * time.Second); len(f.events) > 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-done
	<-f.canceled
	if !strings.Contains(w.Body.String(), `"op":"GET"`) {
		t.Errorf("%s", w.Body)
	}
}
