package agent_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/agent"
	"github.com/sluice-mesh/sluice/agent/link/linktest"
	wire "github.com/sluice-mesh/sluice/protocols/control"
)

const patience = 10 * time.Second

// wanted is what the file of most tests says: one resource of its own, two of the centre.
const wanted = `
  own: { kind: echo, listen: 127.0.0.1:0, groups: { yf: { endpoints: ["10.0.0.9:1"] } } }
  feed: { listen: 127.0.0.1:0, labels: { tier: cache } }
  orders: { listen: 127.0.0.1:0 }
`

func newCenter(t *testing.T) *linktest.Center {
	t.Helper()
	c, err := linktest.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	return c
}

// launch runs an agent of a centre until the test ends. more is added to the agent's section.
func launch(t *testing.T, dir string, c *linktest.Center, resources, more string) *running {
	t.Helper()
	r := &running{t: t, file: filepath.Join(dir, "sluice.yaml"), data: filepath.Join(dir, "data"), signals: make(chan os.Signal, 4),
		ended: make(chan error, 1), log: &buffer{}, client: &http.Client{Transport: &http.Transport{}}}
	writeCenter(t, r.file, r.data, c, resources, more)
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
	return r
}

func writeCenter(t *testing.T, file, data string, c *linktest.Center, resources, more string) {
	t.Helper()
	text := fmt.Sprintf("agent:\n  name: web-1\n  idc: yf\n  admin: 127.0.0.1:0\n  data: %s\n  drain: %s\n  center: [%s]\n  join: %s\n%s\nresources:%s",
		data, quick, c.URL(), c.Token(), more, resources)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func accepted(t *testing.T, c *linktest.Center) *linktest.Conn {
	t.Helper()
	conn, err := c.Accept(patience)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// spec is a resource as a centre sends it.
func spec(name string, revision uint64, endpoint string, more ...string) wire.Resource {
	js := fmt.Sprintf(`{"name":%q,"kind":"echo","groups":{"yf":{"endpoints":[%q]},"tc":{"weight":0,"endpoints":["10.1.0.1:1"]}}%s}`, name, endpoint, strings.Join(more, ""))
	return wire.Resource{Name: name, Revision: revision, Hash: wire.Hash([]byte(js)), Spec: json.RawMessage(js)}
}

func command(id, resource, rest string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"id":%q,"resource":%q,"author":"ana","created":%q,%s}`, id, resource, time.Now().UTC().Format(time.RFC3339Nano), rest))
}

// tell sends an Update and returns the lines of its Result as text.
func tell(t *testing.T, conn *linktest.Conn, u *wire.Update) []string {
	t.Helper()
	res, err := conn.Update(u, patience)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range res.Lines {
		text := strings.TrimSpace(l.Command + " " + l.Resource)
		if l.Error != "" {
			text += " " + l.Path + ": " + l.Error
		}
		out = append(out, text)
	}
	return out
}

// statusOf returns what GET /v1/status says.
func (r *running) statusOf() (s struct {
	Revision uint64
	Ready    bool
	Detail   string
	Center   *struct {
		Connected     bool
		URL, Name     string
		Cluster       string
		Revision      uint64
		Error, Unkept string
		Stale         *time.Time
	}
	Resources []struct{ Name, Source, Detail string }
	Commands  []struct{ ID string }
}) {
	r.t.Helper()
	code, _, body := r.do("GET", "/v1/status", "")
	if err := json.Unmarshal([]byte(body), &s); code != 200 || err != nil {
		r.t.Fatalf("%d %v %s", code, err, body)
	}
	return s
}

func (r *running) metric(name string) string {
	_, _, body := r.do("GET", "/metrics", "")
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestTheCentreDefinesResources(t *testing.T) {
	c := newCenter(t)
	r := launch(t, t.TempDir(), c, wanted, "  labels: { zone: a }")
	if got := r.dial("own").ask("GET a"); got != "ok yf 10.0.0.9:1" {
		t.Errorf("what the file defines: %q", got)
	}
	conn := accepted(t, c)
	h := conn.Hello
	if h.Name != "web-1" || h.IDC != "yf" || h.Labels["zone"] != "a" || h.Boot == "" || h.Started == 0 || h.Have != (wire.Have{}) || len(h.Kinds) == 0 {
		t.Errorf("hello %+v", h)
	}
	same(t, "wants", h.Wants, []string{"feed", "orders"})
	if len(h.Owns) != 1 || h.Owns[0].Name != "own" || h.Owns[0].Hash != wire.Hash(h.Owns[0].Spec) {
		t.Errorf("owns %+v", h.Owns)
	}
	_, _, body := r.do("GET", "/readyz", "")
	same(t, "/readyz", body, "not ready: waiting for the centre to define feed, orders\n")

	same(t, "lines", tell(t, conn, &wire.Update{Revision: 5, Full: true, Resources: []wire.Resource{spec("feed", 3, "10.0.0.1:1"), spec("orders", 5, "10.0.0.2:1")}}),
		[]string{"feed", "orders"})
	same(t, "feed", r.dial("feed").ask("GET a"), "ok yf 10.0.0.1:1")
	same(t, "orders", r.dial("orders").ask("GET a"), "ok yf 10.0.0.2:1")
	r.until("ready", func() bool { return r.status("/readyz") == 200 })
	s := r.statusOf()
	if s.Center == nil || !s.Center.Connected || s.Center.Revision != 5 || s.Center.Stale != nil || s.Center.Name != "center-1" || s.Resources[0].Source != "center" || s.Resources[2].Source != "file" {
		t.Errorf("%+v %+v", s, s.Center)
	}
	same(t, "gauge", r.metric("sluice_center_connected")+r.metric("sluice_center_stale_seconds"), "10")
	_, _, body = r.do("GET", "/v1/resources/feed/config", "")
	if !strings.Contains(body, `"tier":"cache"`) && !strings.Contains(body, `"tier": "cache"`) {
		t.Errorf("the file's labels are missing: %s", body)
	}

	before := r.statusOf().Revision
	client := r.dial("feed")
	client.ask("GET a")
	same(t, "a delta", tell(t, conn, &wire.Update{Revision: 6, Resources: []wire.Resource{spec("feed", 6, "10.0.0.3:1")}}), []string{"feed"})
	same(t, "the session goes on", client.ask("GET a"), "ok yf 10.0.0.3:1")
	same(t, "removed", tell(t, conn, &wire.Update{Revision: 7, Removed: []string{"orders"}}), []string{"orders"})
	if len(r.Listening("orders")) != 0 || r.statusOf().Revision <= before || r.metric("sluice_config_revision") != fmt.Sprint(r.statusOf().Revision) {
		t.Errorf("%v, revision %d -> %d, gauge %s", r.Listening("orders"), before, r.statusOf().Revision, r.metric("sluice_config_revision"))
	}
}

func TestOneThatIsRefusedLeavesTheOthers(t *testing.T) {
	c := newCenter(t)
	r := launch(t, t.TempDir(), c, strings.Replace(wanted, "\n  orders", "\n  third: { listen: 127.0.0.1:0 }\n  orders", 1), "")
	conn := accepted(t, c)
	same(t, "first", tell(t, conn, &wire.Update{Revision: 1, Full: true, Resources: []wire.Resource{spec("feed", 1, "10.0.0.1:1"), spec("orders", 1, "10.0.0.2:1"), spec("third", 1, "10.0.0.3:1")}}),
		[]string{"feed", "orders", "third"})
	damaged := spec("third", 2, "10.0.0.33:1")
	damaged.Hash = "0000000000000000"
	u := &wire.Update{Revision: 2, Resources: []wire.Resource{
		spec("feed", 2, "10.0.0.11:1"), spec("orders", 2, "nowhere"), damaged, spec("own", 2, "10.0.0.4:1"), spec("stranger", 2, "10.0.0.4:1"),
	}}
	got := tell(t, conn, u)
	same(t, "lines", got, []string{
		"feed",
		`orders groups.yf.endpoints[0]: "nowhere" is not an address: write host:port, [IPv6]:port or unix:/path`,
		"third : the spec came damaged: its hash is " + wire.Hash(damaged.Spec) + " and not 0000000000000000",
		"own : the agent's own file or HTTP interface defines it, which wins",
		"stranger : the agent did not ask for it",
	})
	for name, want := range map[string]string{"feed": "10.0.0.11:1", "orders": "10.0.0.2:1", "third": "10.0.0.3:1", "own": "10.0.0.9:1"} {
		same(t, name, r.dial(name).ask("GET a"), "ok yf "+want)
	}
	_, _, body := r.do("GET", "/v1/resources/orders", "")
	if !strings.Contains(body, "the newest that the centre says is refused") {
		t.Errorf("not said: %s", body)
	}
	_, _, body = r.do("GET", "/v1/resources/own", "")
	if !strings.Contains(body, "the centre defines it too, and the file wins") {
		t.Errorf("not said: %s", body)
	}
	// A literal secret is refused, and so is never written.
	same(t, "a secret", tell(t, conn, &wire.Update{Revision: 3, Resources: []wire.Resource{spec("feed", 3, "10.0.0.1:1", `,"settings":{"password":"hunter2"}`)}}),
		[]string{"feed settings.password: over HTTP a secret must be a reference, since resources are kept on disk: write ${env:NAME} or ${file:/path}"})
	same(t, "a driver that fails", tell(t, conn, &wire.Update{Revision: 4, Resources: []wire.Resource{spec("feed", 4, "10.0.0.1:1", `,"settings":{"greeting":"refuse"}`)}}),
		[]string{"feed : resource feed (of the centre): settings.greeting: the word refuse is for tests of failing drivers"})
	data, _ := os.ReadFile(filepath.Join(r.data, "center.json"))
	if strings.Contains(string(data), "hunter2") || !strings.Contains(string(data), "10.0.0.11:1") {
		t.Errorf("on disk: %s", data)
	}
	// What was refused is not resumed from: everything is asked for again.
	conn.Close()
	conn = accepted(t, c)
	if conn.Hello.Have != (wire.Have{}) || !conn.Hello.Owns[0].Also {
		t.Errorf("%+v", conn.Hello)
	}
	same(t, "made good", tell(t, conn, &wire.Update{Revision: 5, Full: true, Resources: []wire.Resource{spec("feed", 5, "10.0.0.1:1"), spec("orders", 5, "10.0.0.2:1"), spec("third", 5, "10.0.0.3:1")}}),
		[]string{"feed", "orders", "third"})
	conn.Close()
	same(t, "resumed", accepted(t, c).Hello.Have, wire.Have{Cluster: "cluster-1", Revision: 5})
}

func TestStateTellsWhatTheAgentSees(t *testing.T) {
	c := newCenter(t)
	launch(t, t.TempDir(), c, wanted, "")
	conn := accepted(t, c)
	var s wire.State
	if err := conn.Receive(wire.TypeState, &s, patience); err != nil || !s.Full || s.Ready || len(s.Resources) != 1 || s.Resources[0].Source != "file" {
		t.Fatalf("%+v %v", s, err)
	}
	feed := spec("feed", 1, "10.0.0.1:1")
	// Results are not waited for: a State may come before them.
	send := func(u *wire.Update) {
		t.Helper()
		if err := conn.Send(wire.TypeUpdate, u); err != nil {
			t.Fatal(err)
		}
	}
	send(&wire.Update{Revision: 1, Full: true, Resources: []wire.Resource{feed, spec("orders", 1, "down.host:1")}})
	seen := map[string]wire.ResourceState{}
	for ready := false; !ready || seen["feed"].Hash == "" || len(seen["orders"].Endpoints) == 0 || seen["orders"].Endpoints[1].State != "down"; {
		var s wire.State // a new one: what is not in a message is not kept
		if err := conn.Receive(wire.TypeState, &s, patience); err != nil {
			t.Fatalf("%v; seen %+v", err, seen)
		}
		if s.Full {
			t.Error("a full state again")
		}
		ready = s.Ready
		for _, r := range s.Resources {
			seen[r.Name] = r
		}
	}
	f := seen["feed"]
	if f.Source != "center" || f.Hash != feed.Hash || len(f.Listen) != 1 || f.Kind != "echo" || len(f.Groups) != 2 || f.Groups[1].Sound != 1 {
		t.Errorf("%+v", f)
	}
	if o := seen["orders"]; o.Ready || !strings.Contains(o.Detail, "no endpoint of group yf is sound") || o.Endpoints[1].Detail == "" {
		t.Errorf("%+v", o)
	}
	send(&wire.Update{Revision: 2, Removed: []string{"feed"}})
	for {
		var s wire.State
		if err := conn.Receive(wire.TypeState, &s, patience); err != nil {
			t.Fatal(err)
		}
		if reflect.DeepEqual(s.Removed, []string{"feed"}) {
			break
		}
	}
}

func TestCommandsOfTheCentre(t *testing.T) {
	c := newCenter(t)
	r := launch(t, t.TempDir(), c, wanted, "")
	conn := accepted(t, c)
	soon := time.Now().Add(1200 * time.Millisecond).UTC().Format(time.RFC3339Nano)
	got := tell(t, conn, &wire.Update{Revision: 1, Full: true, Resources: []wire.Resource{spec("feed", 1, "10.0.0.1:1")}, Commands: []json.RawMessage{
		command("g-1", "feed", `"type":"switch","weights":{"tc":100}`),
		command("g-1", "own", `"type":"degrade","reply":"error"`),
		command("g-2", "orders", `"type":"degrade"`),
		command("g-3", "feed", `"type":"switch","weights":{"mars":1}`),
		command("g-4", "feed", `"type":"degrade","expires":"2020-01-01T00:00:00Z"`),
		command("c-5", "feed", `"type":"degrade"`),
		command("g-6", "feed", `"type":"degrade","match":{"op":"SET"},"expires":"`+soon+`"`),
		json.RawMessage(`{"id":7}`),
	}})
	if len(got) != 9 {
		t.Fatalf("%q", got)
	}
	for i, want := range []string{
		"g-4 feed : it ended 2020-01-01T00:00:00Z, and it is ", `c-5 feed : the id of a command of the centre begins with g-, and this is "c-5"`,
		": the command cannot be read", "feed", "g-1 feed", "g-1 own", `g-2 orders : the agent has no resource "orders" now`,
		"g-3 feed : resource feed has no group \"mars\"", "g-6 feed",
	} {
		if !strings.HasPrefix(strings.TrimLeft(got[i], " "), want) {
			t.Errorf("line %d: %q, want %q", i, got[i], want)
		}
	}
	feed := r.dial("feed")
	same(t, "switched", feed.ask("GET a"), "ok tc 10.1.0.1:1")
	if got := feed.ask("SET a"); !strings.HasPrefix(got, "error DEGRADED") {
		t.Errorf("degraded: %q", got)
	}
	if got := r.dial("own").ask("GET a"); !strings.HasPrefix(got, "error DEGRADED") {
		t.Errorf("of the file: %q", got)
	}
	// Here a command of the centre cannot be undone, and its resource cannot be changed.
	for _, ask := range [][2]string{{"DELETE", "/v1/commands/g-1"}, {"PUT", "/v1/resources/feed"}, {"PATCH", "/v1/resources/orders"}, {"DELETE", "/v1/resources/feed"}} {
		code, _, body := r.do(ask[0], ask[1], `{}`)
		if code != 409 || !strings.Contains(body, "comes from the centre: ") || !strings.Contains(body, c.URL()) {
			t.Errorf("%s %s: %d %s", ask[0], ask[1], code, body)
		}
	}
	// The agent's own commands hold beside them, the newest winning.
	if code, _, body := r.do("POST", "/v1/commands", `{"type":"switch","resource":"feed","weights":{"yf":1}}`); code != 201 {
		t.Fatalf("%d %s", code, body)
	}
	same(t, "the agent's own is newer", feed.ask("GET a"), "ok yf 10.0.0.1:1")

	c.Stop() // expiry needs no centre
	r.until("it expired by itself", func() bool { return feed.ask("SET a") == "ok yf 10.0.0.1:1" })
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	conn = accepted(t, c)
	same(t, "resumed", conn.Hello.Have.Revision, uint64(1))
	same(t, "undone", tell(t, conn, &wire.Update{Revision: 2, Undone: []string{"g-1"}, Resources: []wire.Resource{spec("orders", 2, "10.0.0.2:1")}}), []string{"orders"})
	same(t, "own again", r.dial("own").ask("GET a"), "ok yf 10.0.0.9:1")
	if got := r.dial("orders").ask("GET a"); !strings.HasPrefix(got, "error DEGRADED") {
		t.Errorf("a command that waited for its resource: %q", got)
	}
	var ids []string
	for _, c := range r.statusOf().Commands {
		ids = append(ids, c.ID[:2])
	}
	same(t, "listed", ids, []string{"g-", "g-", "c-"})
}

func TestAnAgentStartsFromItsSnapshot(t *testing.T) {
	c := newCenter(t)
	dir := t.TempDir()
	r := launch(t, dir, c, wanted, "")
	conn := accepted(t, c)
	tell(t, conn, &wire.Update{Revision: 1, Full: true, Resources: []wire.Resource{spec("feed", 1, "10.0.0.1:1"), spec("orders", 1, "10.0.0.2:1")}})
	tell(t, conn, &wire.Update{Revision: 2, Resources: []wire.Resource{spec("feed", 2, "10.0.0.22:1")}, Commands: []json.RawMessage{command("g-1", "orders", `"type":"switch","weights":{"tc":1}`)}})
	r.stop()
	c.Stop()

	r = launch(t, dir, c, wanted, "")
	same(t, "feed", r.dial("feed").ask("GET a"), "ok yf 10.0.0.22:1")
	same(t, "a command", r.dial("orders").ask("GET a"), "ok tc 10.1.0.1:1")
	r.until("ready", func() bool { return r.status("/readyz") == 200 })
	r.until("tried", func() bool { return strings.Contains(r.statusOf().Center.Error, "connection refused") })
	s := r.statusOf()
	if s.Center.Connected || s.Center.Stale == nil || time.Since(*s.Center.Stale) > time.Minute || s.Center.Revision != 2 || s.Center.Cluster != "cluster-1" {
		t.Errorf("%+v", s.Center)
	}
	if !strings.Contains(r.log.String(), "starting with what the centre said last; it is stale until the centre is reached") ||
		r.metric("sluice_center_connected") != "0" || r.metric("sluice_center_stale_seconds") == "0" {
		t.Errorf("gauges %s %s", r.metric("sluice_center_connected"), r.metric("sluice_center_stale_seconds"))
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	conn = accepted(t, c)
	same(t, "resumes", conn.Hello.Have, wire.Have{Cluster: "cluster-1", Revision: 2})
	var st wire.State
	if err := conn.Receive(wire.TypeState, &st, patience); err != nil || st.Stale == 0 {
		t.Errorf("%+v %v", st, err)
	}
	if err := conn.Send(wire.TypeUpdate, &wire.Update{Revision: 1, Removed: []string{"feed"}}); err != nil { // a centre that is behind
		t.Fatal(err)
	}
	conn = accepted(t, c)
	same(t, "still", conn.Hello.Have, wire.Have{Cluster: "cluster-1", Revision: 2})
	same(t, "nothing new", tell(t, conn, &wire.Update{Revision: 2}), []string(nil))
	if s := r.statusOf().Center; s.Stale != nil || !s.Connected {
		t.Errorf("%+v", s)
	}
	r.stop()

	// Damaged: the generation before. Both damaged: what the file defines serves, and the rest waits.
	path := filepath.Join(r.data, "center.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Stop()
	r = launch(t, dir, c, wanted, "")
	same(t, "a generation", r.dial("orders").ask("GET a") != "", true)
	if !strings.Contains(r.log.String(), "using this previous generation") {
		t.Error("not said")
	}
	r.stop()
	for _, p := range []string{path, path + ".1"} {
		if err := os.WriteFile(p, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r = launch(t, dir, c, wanted, "")
	same(t, "own", r.dial("own").ask("GET a"), "ok yf 10.0.0.9:1")
	if len(r.Listening("feed")) != 0 || r.status("/readyz") != 503 || !strings.Contains(r.log.String(), "no generation can be read") {
		t.Error("it serves what it cannot know")
	}
}

// A resource of the snapshot that cannot run now leaves the others; it runs as soon as it can.
func TestASnapshotIsUsedOneResourceAtATime(t *testing.T) {
	c := newCenter(t)
	dir := t.TempDir()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().String()
	free.Close()
	file := strings.Replace(wanted, "orders: { listen: 127.0.0.1:0 }", "orders: { listen: "+port+" }", 1)
	r := launch(t, dir, c, file, "")
	tell(t, accepted(t, c), &wire.Update{Revision: 1, Full: true, Resources: []wire.Resource{spec("feed", 1, "10.0.0.1:1"), spec("orders", 1, "10.0.0.2:1")}})
	r.stop()
	c.Stop()
	taken, err := net.Listen("tcp", port)
	if err != nil {
		t.Fatal(err)
	}
	r = launch(t, dir, c, file, "")
	same(t, "feed", r.dial("feed").ask("GET a"), "ok yf 10.0.0.1:1")
	if len(r.Listening("orders")) != 0 || !strings.Contains(r.log.String(), "a resource of the centre cannot be used") {
		t.Error("orders runs on a port that is taken")
	}
	taken.Close()
	for deadline := time.Now().Add(20 * time.Second); len(r.Listening("orders")) == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it was not tried again")
		}
	}
	same(t, "orders", r.dial("orders").ask("GET a"), "ok yf 10.0.0.2:1")
}

// A centre that lost its store knows nothing of the resources that run; they stay.
func TestACentreWithAnotherHistoryTakesNothingAway(t *testing.T) {
	c := newCenter(t)
	r := launch(t, t.TempDir(), c, wanted, "")
	tell(t, accepted(t, c), &wire.Update{Revision: 50, Full: true, Resources: []wire.Resource{spec("feed", 1, "10.0.0.1:1"), spec("orders", 1, "10.0.0.2:1")},
		Commands: []json.RawMessage{command("g-1", "own", `"type":"degrade"`)}})
	c.Stop()
	c.Cluster = "cluster-2"
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	conn := accepted(t, c)
	same(t, "have", conn.Hello.Have, wire.Have{Cluster: "cluster-1", Revision: 50})
	if err := conn.Send(wire.TypeUpdate, &wire.Update{Revision: 3}); err != nil { // no change of what it has not sent can be meant
		t.Fatal(err)
	}
	conn = accepted(t, c)
	same(t, "have", conn.Hello.Have, wire.Have{})
	if s := r.statusOf().Center; s.Stale == nil {
		t.Errorf("it was told nothing that it could use, and is not stale: %+v", s)
	}
	same(t, "kept", tell(t, conn, &wire.Update{Revision: 3, Full: true, Resources: []wire.Resource{spec("feed", 2, "10.0.0.3:1")}}), []string{
		"orders : this centre does not define it, and the one before did: it is kept until this one defines or removes it", "feed"})
	same(t, "orders", r.dial("orders").ask("GET a"), "ok yf 10.0.0.2:1")
	same(t, "feed", r.dial("feed").ask("GET a"), "ok yf 10.0.0.3:1")
	same(t, "commands of the other centre are gone", r.dial("own").ask("GET a"), "ok yf 10.0.0.9:1")
	same(t, "removed by name", tell(t, conn, &wire.Update{Revision: 4, Removed: []string{"orders"}}), []string{"orders"})
	if len(r.Listening("orders")) != 0 {
		t.Error("it is still there")
	}
}

func TestTheFileDecidesWhoDefinesAResource(t *testing.T) {
	c := newCenter(t)
	r := launch(t, t.TempDir(), c, wanted, "")
	conn := accepted(t, c)
	tell(t, conn, &wire.Update{Revision: 1, Full: true, Resources: []wire.Resource{spec("feed", 1, "10.0.0.1:1"), spec("orders", 1, "10.0.0.2:1")}})
	client := r.dial("own")
	client.ask("GET a")
	address := r.Listening("own")[0]

	// The file's becomes the centre's, and the centre's the file's. Nothing stops meanwhile.
	writeCenter(t, r.file, r.data, c, `
  own: { listen: 127.0.0.1:0 }
  feed: { kind: echo, listen: 127.0.0.1:0, groups: { yf: { endpoints: ["10.0.0.7:1"] } } }
  orders: { listen: 127.0.0.1:0 }
`, "")
	r.signals <- syscall.SIGHUP
	conn = accepted(t, c)
	same(t, "wants", conn.Hello.Wants, []string{"orders", "own"})
	if conn.Hello.Have != (wire.Have{}) || len(conn.Hello.Owns) != 1 || conn.Hello.Owns[0].Name != "feed" {
		t.Errorf("%+v", conn.Hello)
	}
	same(t, "until the centre says", client.ask("GET a"), "ok yf 10.0.0.9:1")
	same(t, "feed", r.dial("feed").ask("GET a"), "ok yf 10.0.0.7:1")
	tell(t, conn, &wire.Update{Revision: 2, Full: true, Resources: []wire.Resource{spec("own", 2, "10.0.0.8:1"), spec("orders", 1, "10.0.0.2:1")}})
	same(t, "the same session", client.ask("GET a"), "ok yf 10.0.0.8:1")
	same(t, "the same listener", r.Listening("own")[0], address)

	// Over HTTP the agent's own resources change as ever, and the centre hears of it.
	if code, _, body := r.do("PATCH", "/v1/resources/feed", `{"policy":{"timeout":"2s"}}`); code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	conn = accepted(t, c)
	if len(conn.Hello.Owns) != 1 || !strings.Contains(string(conn.Hello.Owns[0].Spec), `"timeout":"2s"`) || conn.Hello.Have.Revision != 2 {
		t.Errorf("%+v", conn.Hello)
	}
}
