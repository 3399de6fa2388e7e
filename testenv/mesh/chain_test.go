package mesh

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/motan"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// config is that of an agent whose application calls one service, with servers in group testenv.
const config = `
agent: { admin: {{addr "admin"}}, idc: yf, application: mesh-test, drain: { wait: 0s } }
resources:
  peers:
    kind: motan2
    listen: {{addr "forward"}}
    settings: { service: sluice.testenv.PeerService, idempotent: [echo, name, bytes] }
    groups: { testenv: { endpoints: [{{.servers}}] } }
    policy: { timeout: 3s }
`

// forward starts an agent before servers.
func forward(t *testing.T, servers ...string) *server.AgentProcess {
	t.Helper()
	return server.Start(t, server.Agent{Config: config, Vars: map[string]string{"servers": `"` + strings.Join(servers, `", "`) + `"`}})
}

// exercise makes calls of every sort, whose results must be what they are without agents. name is the server's.
func exercise(t *testing.T, c *motan.ClientProcess, name string) {
	t.Helper()
	is(t, c, motan.Name(), name)
	values := []any{
		nil, "", "text: Grüße 你好", true, int64(math.MinInt64), int64(300), 0.1, []string{"a", ""}, map[string]string{"k": "v", "": "empty"},
		[]any{"a", int64(1), true, []any{2.5}}, map[any]any{"a": int64(1), int64(2): "b"}, strings.Repeat("long ", 100_000),
	}
	if c.Peer != motan.PHP { // which has one kind of number and of text
		values = append(values, byte(200), int16(-2), int32(-1), float32(1.5), []byte{0, 1, 127, 255})
	}
	for _, v := range values {
		is(t, c, motan.Echo(v), v)
	}
	is(t, c, motan.Join("a", -7, true), "a -7 true")
	for _, n := range []int{0, 70_000, 3 << 20} {
		pattern(t, c, n)
	}
	attached := motan.Attachments()
	attached.Attachments = map[string]string{"Traced-By": "a b=c;d"}
	if got, ok := c.Must(attached).(map[string]string); !ok || got["Traced-By"] != "a b=c;d" || got["M_g"] != motan.Group && got["group"] != motan.Group {
		t.Errorf("the request arrived with %v", got)
	}
	id := fmt.Sprint(t.Name(), time.Now().UnixNano())
	is(t, c, motan.Count(id, 0), int64(1))
	is(t, c, motan.Count(id, 0), int64(2))
	is(t, c, motan.Counted(id), int64(2))
	fails(t, c, motan.Fail("as asked"), motan.BusinessException, "as asked")
	fails(t, c, motan.Call{Method: "nope"}, motan.ServiceException, "")
	var calls []motan.Call
	for n := range 50 {
		calls = append(calls, motan.Join("multi", int64(n), n%2 == 0))
	}
	for i, r := range c.Multi(calls...) {
		if want := fmt.Sprint("multi ", i, " ", i%2 == 0); r.Value != want || r.Stray {
			t.Errorf("call %d of many: %v, %v, not %q", i, r.Value, r.Exception, want)
		}
	}
}

func is(t *testing.T, c *motan.ClientProcess, call motan.Call, want any) {
	t.Helper()
	r := c.Do(call)
	if r.Exception != nil || r.Stray || !reflect.DeepEqual(r.Value, want) {
		t.Errorf("%s: %s(%.100v) is %T %.100v, %v, not %T %.100v", c.Peer, call.Method, call.Args, r.Value, r.Value, r.Exception, want, want)
	}
}

func fails(t *testing.T, c *motan.ClientProcess, call motan.Call, kind int, says string) {
	t.Helper()
	if r := c.Do(call); r.Exception == nil || r.Exception.Type != kind || !strings.Contains(r.Exception.Message, says) {
		t.Errorf("%s: %s is %v, %v, not an exception of type %d: %s", c.Peer, call.Method, r.Value, r.Exception, kind, says)
	}
}

func pattern(t *testing.T, c *motan.ClientProcess, n int) {
	t.Helper()
	b, ok := c.Must(motan.Bytes(n)).([]byte)
	if !ok || len(b) != n {
		t.Errorf("%s: %d bytes are %d", c.Peer, n, len(b))
	}
	for i := range b {
		if b[i] != byte(i%251) {
			t.Fatalf("%s: byte %d of %d is %d", c.Peer, i, n, b[i])
		}
	}
}

// Every client through our agent to every server.
func TestThroughTheAgent(t *testing.T) {
	t.Parallel()
	for _, s := range []*motan.ServerProcess{motan.Serve(t, motan.Server{Peer: motan.Go}), motan.Serve(t, motan.Server{Peer: motan.Java})} {
		a := forward(t, s.Addr)
		for _, peer := range []motan.Peer{motan.Go, motan.Java, motan.PHP} {
			t.Run(string(peer)+" to "+s.Name, func(t *testing.T) {
				exercise(t, motan.Dial(t, motan.Client{Peer: peer, Registry: motan.Direct(a.Addr("peers"))}), s.Name)
			})
		}
	}
}

// Our agent and motan-go's in a row, either first: beside the caller, beside the server, or both.
func TestTwoAgents(t *testing.T) {
	t.Parallel()
	for _, k := range []struct {
		server  motan.Peer
		clients []motan.Peer
	}{{motan.Java, []motan.Peer{motan.Go, motan.PHP}}, {motan.Go, []motan.Peer{motan.Java}}} {
		s := motan.Serve(t, motan.Server{Peer: k.server})
		beside := forward(t, s.Addr)
		theirs := motan.StartAgent(t, motan.Agent{
			Refers: []motan.Refer{{Registry: motan.Direct(beside.Addr("peers"))}}, Exports: []motan.Export{{Local: s.Addr}}, Filters: "accessLog,metrics",
		})
		ours := forward(t, theirs.Export)
		three := motan.StartAgent(t, motan.Agent{Refers: []motan.Refer{{Registry: motan.Direct(ours.Addr("peers"))}}, Filters: "accessLog,metrics"})
		for first, addr := range map[string]string{
			"ours and ours": forward(t, beside.Addr("peers")).Addr("peers"), "ours and theirs": ours.Addr("peers"),
			"theirs and ours": theirs.Forward, "theirs, ours and theirs": three.Forward,
		} {
			for _, peer := range k.clients {
				t.Run(fmt.Sprint(peer, " through ", first, " to ", s.Name), func(t *testing.T) {
					exercise(t, motan.Dial(t, motan.Client{Peer: peer, Registry: motan.Direct(addr)}), s.Name)
				})
			}
		}
	}
}

// Java's first protocol passes both ways.
func TestMotan1(t *testing.T) {
	for _, s := range []*motan.ServerProcess{motan.Serve(t, motan.Server{Peer: motan.Java, Serialization: motan.Hessian2})} {
		a := forward(t, s.Addr)
		c := motan.Dial(t, motan.Client{Peer: motan.Java, Protocol: motan.Motan1, Registry: motan.Direct(a.Addr("peers"))})
		is(t, c, motan.Name(), s.Name)
		is(t, c, motan.Echo(map[any]any{"a": int64(1)}), map[any]any{"a": int64(1)})
		pattern(t, c, 100_000)
		fails(t, c, motan.Fail("as asked"), motan.BusinessException, "as asked")
	}
}

// What the agent itself says reaches each client as an exception with its code.
func TestTheAgentsOwnWords(t *testing.T) {
	s := motan.Serve(t, motan.Server{})
	a := forward(t, s.Addr)
	for _, peer := range []motan.Peer{motan.Go, motan.Java, motan.PHP} {
		t.Run(string(peer), func(t *testing.T) {
			c := motan.Dial(t, motan.Client{Peer: peer, Registry: motan.Direct(a.Addr("peers"))})
			is(t, c, motan.Name(), s.Name)
			other := motan.Name()
			other.Service = "nobody.Serves"
			coded(t, c, other, 10101, "no resource here serves nobody.Serves")
			for _, k := range []struct {
				command, path string
				code          int
				says          string
			}{
				{"degrade", `{"type":"degrade","resource":"peers","match":{"op":"name"},"why":"test"}`, 10021, "degraded"},
				{"limit", `{"type":"limit","resource":"peers","match":{"op":"name"},"rate":"0/s","why":"test"}`, 10002, "over 0/s"},
			} {
				id := command(t, a, k.path)
				coded(t, c, motan.Name(), k.code, k.says)
				undo(t, a, id)
				is(t, c, motan.Name(), s.Name)
			}
			id := command(t, a, `{"type":"mock","resource":"peers","match":{"op":"name"},"reply":"mocked","why":"test"}`)
			is(t, c, motan.Name(), "mocked")
			undo(t, a, id)
			fallback(t, a, c, s.Name)
		})
	}
}

// fallback degrades one method at a time with what its callers get in its stead: a text, null, or a number. No call of it reaches
// the server, and all other methods go on.
func fallback(t *testing.T, a *server.AgentProcess, c *motan.ClientProcess, name string) {
	t.Helper()
	id := fmt.Sprint(t.Name(), time.Now().UnixNano())
	others := func(calls ...motan.Call) {
		t.Helper()
		for _, r := range c.Multi(append(calls, motan.Name(), motan.Counted(id), motan.Echo("x"))...) {
			if r.Exception != nil || r.Stray {
				t.Errorf("%s: %v beside a degraded method, %v", c.Peer, r.Value, r.Exception)
			}
		}
		is(t, c, motan.Name(), name)
		is(t, c, motan.Echo("x"), "x")
	}
	given := command(t, a, `{"type":"degrade","resource":"peers","match":{"op":"join"},"reply":"Grüße, as long as it is away","why":"test"}`)
	others(motan.Join("a", 1, true))
	is(t, c, motan.Join("a", 1, true), "Grüße, as long as it is away")
	is(t, c, motan.Count(id, 0), int64(1))
	undo(t, a, given)
	is(t, c, motan.Join("a", 1, true), "a 1 true")
	given = command(t, a, `{"type":"degrade","resource":"peers","match":{"op":"count"},"reply":"empty","why":"test"}`)
	others(motan.Count(id, 0))
	is(t, c, motan.Count(id, 0), nil)
	is(t, c, motan.Join("a", 1, true), "a 1 true")
	undo(t, a, given)
	given = command(t, a, `{"type":"degrade","resource":"peers","match":{"op":"count"},"reply":"json:-7","why":"test"}`)
	others(motan.Count(id, 0))
	is(t, c, motan.Count(id, 0), int64(-7))
	undo(t, a, given)
	is(t, c, motan.Count(id, 0), int64(2))
}

func coded(t *testing.T, c *motan.ClientProcess, call motan.Call, code int, says string) {
	t.Helper()
	if r := c.Do(call); r.Exception == nil || r.Exception.Code != code || !strings.Contains(r.Exception.Message, says) {
		t.Errorf("%s: %s is %v, %v, not exception %d: %s", c.Peer, call.Method, r.Value, r.Exception, code, says)
	}
}
