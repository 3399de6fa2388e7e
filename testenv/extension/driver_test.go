package extension

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/agent/discovery"
	"github.com/sluice-mesh/sluice/testenv/server"
)

const notesConfig = `agent:
  admin: {{addr "admin"}}
  drain: { wait: 0s }
  exports: [{ resource: notes, kind: note, group: west, address: "{{.c}}", registry: "dir://{{.dir}}" }]
resources:
  notes:
    kind: note
    listen: {{addr "notes"}}
    settings: { longest: 8KiB }
    groups: { main: { registry: "dir://{{.dir}}" }, other: { weight: 0, endpoints: ["{{.c}}", "{{.d}}"] } }
    policy:
      balance: first
      access-log: { sample: 100%, path: "{{.log}}" }
      breaker: { min-calls: 5, open: 10m }
      filters: { longest: { bytes: 1KiB } }
`

// A kind of one's own has what all kinds have, and its endpoints come from a registry of one's own.
func TestDriver(t *testing.T) {
	t.Parallel()
	a, b, c, d := newNoteServer(t, "a"), newNoteServer(t, "b"), newNoteServer(t, "c"), newNoteServer(t, "d")
	dir, log := t.TempDir(), filepath.Join(t.TempDir(), "access.log")
	node := func(s *noteServer) string { return filepath.Join(dir, "main", "notes", s.addr) }
	write := func(s *noteServer) {
		t.Helper()
		n := discovery.Node{Service: discovery.Service{Group: "main", Path: "notes", Protocol: "note"}, Address: s.addr, Weight: 100}
		url, err := n.URL()
		if err == nil {
			err = os.MkdirAll(filepath.Dir(node(s)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(node(s), []byte(url+"\n"), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write(a)
	agent := server.Start(t, server.Agent{Config: notesConfig, Binary: sluice(t), Vars: map[string]string{"dir": dir, "log": log, "c": c.addr, "d": d.addr}})
	verb := func(args ...string) string {
		t.Helper()
		token, err := agent.Token()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), sluice(t), args...)
		cmd.Env = append(os.Environ(), "SLUICE_AT=http://"+agent.Admin, "SLUICE_TOKEN="+token)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	undo := func(said string) { verb("undo", strings.Fields(said)[0]) }
	client := dialNote(t, agent.Addr("notes"))
	expect := func(request, want string) {
		t.Helper()
		if got := client.ask(request); !strings.HasPrefix(got, want) {
			t.Fatalf("%.40s: %q, want %q", request, got, want)
		}
	}
	eventually := func(what, request, want string) {
		t.Helper()
		server.Wait(t, time.Minute, what, func() error {
			if got := client.ask(request); !strings.HasPrefix(got, want) {
				return fmt.Errorf("%q, want %q", got, want)
			}
			return nil
		})
	}

	// The registry brings endpoints and takes them.
	eventually("the endpoint of the file", "get who", "=a")
	write(b)
	server.Wait(t, time.Minute, "the second file", func() error {
		if out := verb("get", "endpoints", "notes"); !strings.Contains(out, b.addr) {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	if err := os.Remove(node(a)); err != nil {
		t.Fatal(err)
	}
	a.kill()
	eventually("the other endpoint", "get who", "=b")
	server.Wait(t, time.Minute, "the endpoint to go with its file", func() error {
		if out := verb("get", "endpoints", "notes"); strings.Contains(out, a.addr) {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	server.Wait(t, time.Minute, "the announcement of what is exported", func() error {
		text, err := os.ReadFile(filepath.Join(dir, "west", "notes", c.addr))
		if err == nil && !strings.HasPrefix(string(text), "note://"+c.addr+"/notes") {
			err = fmt.Errorf("%s", text)
		}
		return err
	})

	// The chain.
	expect("put k 1", "=ok")
	expect("get k", "=1")
	expect("get none", "-none")
	expect("put k "+strings.Repeat("x", 2000), "!TOO_LARGE sluice: notes: the request is longer than 1KiB (filter longest)")
	expect("put k "+strings.Repeat("x", 9000), "!TOO_LARGE sluice: notes: a line is longer than 8KiB (settings.longest)")
	limit := verb("limit", "notes", "0/s", "--match", "op=put", "--why", "test")
	expect("put k 2", "!LIMITED sluice: notes: over 0/s by command ")
	expect("get k", "=1")
	undo(limit)
	expect("put k 2", "=ok")
	moved := verb("switch", "notes", "main=0", "other=100", "--why", "test")
	first, second := c, d
	if d.addr < c.addr {
		first, second = d, c
	}
	who := map[*noteServer]string{c: "=c", d: "=d"}
	expect("get who", who[first])

	// Failover, then a breaker: reads go elsewhere, and when there is nowhere calls are refused without being tried.
	first.kill()
	for range 20 {
		expect("get who", who[second])
	}
	second.kill()
	eventually("the breaker to open", "get who", "!BREAKER sluice: notes: ")
	undo(moved)
	expect("put k 3", "=ok") // the breaker of another operation is closed

	_, metrics, err := agent.Get("/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`op="get",class="read",outcome="ok"`, `op="get",class="read",outcome="error"`, `op="put",class="write",outcome="limited"`,
		`op="put",class="write",outcome="too_large"`, `op="get",class="read",outcome="breaker"`} {
		found := false
		for line := range strings.Lines(metrics) {
			found = found || strings.HasPrefix(line, `sluice_calls_total{resource="notes",kind="note",`) && strings.Contains(line, want)
		}
		if !found {
			t.Errorf("no metric counts %s", want)
		}
	}
	if out := verb("get", "resources"); !strings.Contains(out, "note ") {
		t.Errorf("get resources: %s", out)
	}
	if _, answer, err := agent.Call("GET", "/v1/resources/notes", ""); err != nil || !strings.Contains(answer, `"longest"`) || !strings.Contains(answer, `"refused":1`) && !strings.Contains(answer, `"refused": 1`) {
		t.Errorf("the filter's status: %s, %v", answer, err)
	}

	// A drain answers what is under way, all of it, and loses nothing that a server did.
	const clients = 20
	var all sync.WaitGroup
	answers := make([]string, clients)
	before := b.executed.Load()
	for i := range clients {
		c := dialNote(t, agent.Addr("notes"))
		all.Go(func() { answers[i] = c.ask("put slow " + fmt.Sprint(i)) })
	}
	server.Wait(t, time.Minute, "all calls to be under way", func() error {
		if n := b.waiting.Load(); n != clients {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
	stopped := make(chan struct{})
	go func() { agent.Stop(); close(stopped) }() // SIGTERM
	if n, err := client.in.ReadByte(); err == nil {
		t.Errorf("the client without a request was sent %q", n)
	}
	close(b.slow)
	all.Wait()
	for i, answer := range answers {
		if answer != "=ok" {
			t.Errorf("client %d: %q", i, answer)
		}
	}
	if n := b.executed.Load() - before; n != clients {
		t.Errorf("%d calls were executed, and %d answered", n, clients)
	}
	<-stopped
	if text, err := os.ReadFile(log); err != nil || strings.Count(string(text), "notes") < 40 || !strings.Contains(string(text), "limited") {
		t.Errorf("access log: %s, %v", text, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "west", "notes", c.addr)); !os.IsNotExist(err) {
		t.Errorf("the announcement is left: %v", err)
	}
}
