package agent_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/agent"
	wire "github.com/sluice-mesh/sluice/protocols/control"
)

func TestTheCentreAsksTheAgent(t *testing.T) {
	c := newCenter(t)
	r := launch(t, t.TempDir(), c, wanted, "")
	conn := accepted(t, c)
	ask := func(method, path, body string) (a wire.Answer) {
		t.Helper()
		q := &wire.Ask{ID: 1, Method: method, Path: path}
		if body != "" {
			q.Body = json.RawMessage(body)
		}
		conn.Send(wire.TypeAsk, q)
		if err := conn.Receive(wire.TypeAnswer, &a, patience); err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, q := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/v1/status", "", 200, `"name":"web-1"`},
		{"GET", "/v1/resources/own/sessions", "", 200, `"sessions":[]`},
		{"GET", "/v1/resources/none", "", 404, `there is no resource`},
		{"POST", "/v1/commands?dry-run=true", `{"type":"degrade","resource":"own"}`, 200, `"text":[`},
		{"POST", "/v1/commands?dry-run=false", `{"type":"degrade","resource":"own"}`, 405, `"error"`},
		{"POST", "/v1/commands", `{"type":"degrade","resource":"own"}`, 405, `"error"`},
		{"DELETE", "/v1/resources/own", "", 405, `"error"`},
		{"PUT", "/v1/resources/own", `{}`, 405, `"error"`},
		{"POST", "/v1/debug/pprof", "", 405, `"error"`},
		{"GET", "/debug/pprof/heap", "", 404, `"error"`},
		{"GET", "/v1/../debug/pprof/heap", "", 404, `"error"`},
		{"GET", "http://other/v1/status", "", 200, `"name":"web-1"`},
		{"G T", "/v1/status", "", 400, `"error"`},
		{"GET", "/v1/%zz", "", 400, `"error"`},
	} {
		a := ask(q.method, q.path, q.body)
		if a.Status != q.status || !strings.Contains(string(a.Body), q.want) || a.More {
			t.Errorf("%s %s: %d %s", q.method, q.path, a.Status, a.Body)
		}
	}
	if len(r.statusOf().Commands) != 0 {
		t.Error("a question changed something")
	}

	conn.Send(wire.TypeAsk, &wire.Ask{ID: 9, Method: "GET", Path: "/v1/observe?resource=own"})
	var a wire.Answer
	if err := conn.Receive(wire.TypeAnswer, &a, patience); err != nil || a.Status != 200 || !a.More {
		t.Fatalf("%+v %v", a, err)
	}
	r.dial("own").ask("GET a")
	for !strings.Contains(string(a.Body), `"op":"GET"`) {
		if err := conn.Receive(wire.TypeAnswer, &a, patience); err != nil {
			t.Fatal(err)
		}
	}
	conn.Send(wire.TypeCancel, &wire.Cancel{ID: 9})
	if got := ask("GET", "/v1/commands", ""); got.Status != 200 {
		t.Errorf("after a stream: %+v", got)
	}
}

func TestExportsAndReports(t *testing.T) {
	c := newCenter(t)
	c.Report = 100 * time.Millisecond
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	launch(t, t.TempDir(), c, wanted, fmt.Sprintf("  exports: [{ resource: user, kind: motan2, address: %q }]", ln.Addr()))
	conn := accepted(t, c)
	var e wire.Export
	if err := conn.Receive(wire.TypeExport, &e, patience); err != nil || len(e.Services) != 1 || !e.Services[0].Up || e.Services[0].Group != "yf" || e.Services[0].Weight != 100 {
		t.Errorf("%+v %v", e, err)
	}
	ln.Close()
	e = wire.Export{}
	if err := conn.Receive(wire.TypeExport, &e, patience); err != nil || e.Services[0].Up || !strings.Contains(e.Services[0].Detail, "refused") {
		t.Errorf("%+v %v", e, err)
	}
	if payload, err := conn.Next(wire.TypeReport, patience); err != nil || len(payload) == 0 {
		t.Errorf("%q %v", payload, err)
	}
}

func TestAnAgentWhoseDiskIsFullGoesOnAndSaysSo(t *testing.T) {
	c := newCenter(t)
	r := launch(t, t.TempDir(), c, wanted, "")
	conn := accepted(t, c)
	block := filepath.Join(r.data, "center.json.tmp") // a folder in the place of the file: nobody can write there
	if err := os.MkdirAll(filepath.Join(block, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	same(t, "in force", tell(t, conn, &wire.Update{Revision: 1, Full: true, Resources: []wire.Resource{spec("feed", 1, "10.0.0.1:1")}}), []string{"feed"})
	same(t, "feed", r.dial("feed").ask("GET a"), "ok yf 10.0.0.1:1")
	if s := r.statusOf().Center; s.Unkept == "" {
		t.Errorf("%+v", s)
	}
	if err := os.RemoveAll(block); err != nil {
		t.Fatal(err)
	}
	same(t, "again", tell(t, conn, &wire.Update{Revision: 2}), []string(nil))
	if s := r.statusOf().Center; s.Unkept != "" {
		t.Errorf("%+v", s)
	}
}

// A draining agent says so, stays linked until its sessions ended, and takes nothing new from the centre.
func TestTheCentreHearsOfADrain(t *testing.T) {
	c := newCenter(t)
	r := launch(t, t.TempDir(), c, wanted, "")
	conn := accepted(t, c)
	tell(t, conn, &wire.Update{Revision: 1, Full: true, Resources: []wire.Resource{spec("feed", 1, "10.0.0.1:1")}})
	busy := r.dial("feed")
	fmt.Fprintln(busy, "WAIT 3s")
	r.until("the call began", func() bool {
		_, _, body := r.do("GET", "/v1/resources/feed", "")
		return strings.Contains(body, `"inflight":1`)
	})
	r.signals <- syscall.SIGTERM
	for draining := false; !draining; {
		var s wire.State
		if err := conn.Receive(wire.TypeState, &s, patience); err != nil {
			t.Fatal(err)
		}
		draining = s.Draining
	}
	same(t, "refused", tell(t, conn, &wire.Update{Revision: 2, Resources: []wire.Resource{spec("feed", 2, "10.0.0.2:1")},
		Commands: []json.RawMessage{command("g-1", "feed", `"type":"degrade"`)}}), []string{"feed : the agent is draining", "g-1 feed : the agent is draining"})
	if got := busy.read(); got != "ok yf 10.0.0.1:1" {
		t.Errorf("the call in flight got %q", got)
	}
	<-conn.Ended
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
	r.ended <- nil
}

func TestTheTokenMayComeFromTheEnvironment(t *testing.T) {
	c := newCenter(t)
	t.Setenv(agent.JoinVariable, c.Token())
	dir := t.TempDir()
	file := filepath.Join(dir, "sluice.yaml")
	text := fmt.Sprintf("agent: { name: web-1, admin: \"127.0.0.1:0\", data: %q, center: [%q], drain: %s }", filepath.Join(dir, "data"), c.URL(), quick)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := agent.ConfigOptions().Load(file)
	if err != nil {
		t.Fatal(err)
	}
	a, err := agent.New(cfg, agent.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	accepted(t, c)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
