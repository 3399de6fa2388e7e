package mesh

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	grpcgo "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	load "github.com/sluice-mesh/sluice/testenv/load/grpc"
	"github.com/sluice-mesh/sluice/testenv/load/resp"

	"github.com/sluice-mesh/sluice/testenv/grpc"
	"github.com/sluice-mesh/sluice/testenv/motan"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// near is an agent in yf that prefers what is there.
const near = `
agent: { admin: {{addr "admin"}}, idc: yf, application: mesh-test, drain: { wait: 0s } }
resources:
  peers:
    kind: motan2
    listen: {{addr "forward"}}
    settings: { service: sluice.testenv.PeerService, idempotent: [name], groups: { yf: testenv, tc: far } }
    groups: { yf: { weight: 1, endpoints: ["{{.yf}}"] }, tc: { weight: 99, endpoints: ["{{.tc}}"] } }
    policy: { timeout: 3s, reads: nearest, failover: { budget: 100% }, probe: { every: 200ms }, eject: { base: 200ms, max: 1s } }
  pages:
    kind: http
    listen: {{addr "http"}}
    groups: { yf: { weight: 1, endpoints: ["{{.web}}"] }, tc: { weight: 99, endpoints: ["{{.other}}"] } }
    policy: { timeout: 3s, reads: nearest, failover: { budget: 100% }, probe: { every: 200ms }, eject: { base: 200ms, max: 1s } }
`

// Calls that may be repeated stay in their own data centre while a server is well there, whatever the weights say, go to the other
// one when it is gone, without one that fails where the budget allows for it, and come back.
func TestOwnDataCentreFirst(t *testing.T) {
	t.Parallel()
	yf, tc := motan.Serve(t, motan.Server{}), motan.Serve(t, motan.Server{Group: "far"})
	web, other := server.Start(t, server.Nginx{Name: "yf"}), server.Start(t, server.Nginx{Name: "tc"})
	a := server.Start(t, server.Agent{Config: near, Vars: map[string]string{"yf": yf.Addr, "tc": tc.Addr, "web": web.Addr, "other": other.Addr}})
	var clients []*motan.ClientProcess
	for _, peer := range []motan.Peer{motan.Go, motan.PHP} {
		clients = append(clients, motan.Dial(t, motan.Client{Peer: peer, Registry: motan.Direct(a.Addr("peers"))}))
	}
	stay := func(motanName, webName string) {
		t.Helper()
		for range 60 {
			for _, c := range clients {
				is(t, c, motan.Name(), motanName)
			}
		}
		for range 10 {
			wantCurl(t, a, "200 "+webName+" GET /x ", "http://pages/x")
		}
	}
	move := func(motanName, webName string) {
		t.Helper()
		server.Wait(t, 20*time.Second, "calls to go to "+webName, func() error {
			for _, c := range clients {
				if r := c.Do(motan.Name()); r.Value != motanName {
					return fmt.Errorf("%s: %v, %v", c.Peer, r.Value, r.Exception)
				}
			}
			if got := curl(t, a, "http://pages/x"); !strings.HasPrefix(got, "200 "+webName+" ") {
				return fmt.Errorf("they are answered %q", got)
			}
			return nil
		})
	}
	move(yf.Name, "yf")
	stay(yf.Name, "yf")
	yf.Kill()
	web.Kill()
	stay(tc.Name, "tc") // at once: the first call finds nobody, and goes on
	yf.Restart()
	web.Restart()
	move(yf.Name, "yf")
	stay(yf.Name, "yf")
}

// quotas is an agent that lets one application make five calls, and then one in a minute, of each service.
const quotas = `
agent: { admin: {{addr "admin"}}, application: mesh-test, drain: { wait: 0s } }
resources:
  peers:
    kind: motan2
    listen: {{addr "forward"}}
    settings: { service: sluice.testenv.PeerService }
    groups: { testenv: { endpoints: ["{{.motan}}"] } }
    policy: { timeout: 3s, limits: [{ match: { caller: "batch*" }, rate: 1/m, burst: 5 }] }
  pages:
    kind: http
    listen: {{addr "http"}}
    settings: { caller: X-App }
    groups: { g: { endpoints: ["{{.web}}"] } }
    policy: { timeout: 3s, limits: [{ match: { caller: "batch*" }, rate: 1/m, burst: 5 }] }
  calls:
    kind: grpc
    listen: {{addr "grpc"}}
    settings: { caller: x-app }
    groups: { g: { endpoints: ["{{.grpc}}"] } }
    policy: { timeout: 3s, limits: [{ match: { caller: "batch*" }, rate: 1/m, burst: 5 }] }
`

// One application is over its limit, of Motan, HTTP and gRPC, and is told so in each protocol's words; another one's calls go on, on
// connections of their own and on the same one.
func TestLimitsOfOneCaller(t *testing.T) {
	t.Parallel()
	const burst, calls = 5, 20
	began := time.Now()
	m, web, g := motan.Serve(t, motan.Server{}), server.Start(t, server.Nginx{Name: "web"}), grpc.Serve(t, grpc.Server{})
	a := server.Start(t, server.Agent{Config: quotas, Vars: map[string]string{"motan": m.Addr, "web": web.Addr, "grpc": g.Addr}})
	passed := map[string]int{} // by protocol and application
	limited := func(protocol, app string, refused bool, detail any) {
		t.Helper()
		switch {
		case !refused:
			passed[protocol+" "+app]++
		case app != "batch-7":
			t.Errorf("%s: a call of %s is refused: %v", protocol, app, detail)
		}
	}
	clients := map[string]*motan.ClientProcess{}
	for _, app := range []string{"batch-7", "web"} {
		clients[app] = motan.Dial(t, motan.Client{Application: app, Registry: motan.Direct(a.Addr("peers")), Parameters: map[string]string{"errorCountThreshold": "1000000"}})
	}
	cc, err := grpcgo.NewClient("passthrough:///"+a.Addr("calls"), grpcgo.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	for range calls {
		for app, c := range clients {
			r := c.Do(motan.Name())
			if r.Exception != nil && r.Exception.Code != 10002 || r.Exception == nil && r.Value != m.Name {
				t.Errorf("motan: a call of %s: %v, %v", app, r.Value, r.Exception)
			}
			limited("motan", app, r.Exception != nil, r.Exception)

			got := curl(t, a, "-H", "X-App: "+app, "http://pages/x")
			if !strings.HasPrefix(got, "429 sluice: pages: ") && !strings.HasPrefix(got, "200 web ") {
				t.Errorf("http: a call of %s: %q", app, got)
			}
			limited("http", app, strings.HasPrefix(got, "429"), got)

			ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "x-app", app), 20*time.Second)
			var out wrapperspb.StringValue
			err := cc.Invoke(ctx, load.Idempotent, wrapperspb.String("x"), &out)
			cancel()
			if err != nil && status.Code(err) != codes.ResourceExhausted || err == nil && out.Value != "x" {
				t.Errorf("grpc: a call of %s: %q, %v", app, out.Value, err)
			}
			limited("grpc", app, err != nil, err)
		}
	}
	most := burst + 1 + int(time.Since(began).Minutes())
	for _, protocol := range []string{"motan", "http", "grpc"} {
		if n := passed[protocol+" batch-7"]; n < burst || n > most {
			t.Errorf("%s: %d calls of the limited application passed, %d to %d may", protocol, n, burst, most)
		}
		if n := passed[protocol+" web"]; n != calls {
			t.Errorf("%s: %d calls of the other application passed, of %d", protocol, n, calls)
		}
	}
}

// rations is an agent that lets each application make five calls, and then one in a minute.
const rations = `
agent: { admin: {{addr "admin"}}, application: mesh-test, drain: { wait: 0s } }
resources:
  peers:
    kind: motan2
    listen: {{addr "forward"}}
    settings: { service: sluice.testenv.PeerService }
    groups: { testenv: { endpoints: ["{{.motan}}"] } }
    policy: { timeout: 3s }
  pages:
    kind: http
    listen: {{addr "http"}}
    settings: { caller: X-App }
    groups: { g: { endpoints: ["{{.web}}"] } }
    policy: { timeout: 3s, limits: [{ per: caller, rate: 1/m, burst: 5 }] }
  cache:
    kind: redis
    listen: {{addr "cache"}}
    groups: { g: { endpoints: ["{{.redis}}"] } }
    policy: { timeout: 3s, limits: [{ match: { op: GET }, per: caller, rate: 1/m, burst: 5 }] }
`

// Each application has the rate to itself, of Motan by a command, of HTTP and Redis by the config: what one uses up, no other one lacks.
func TestEachCallerHasTheRate(t *testing.T) {
	t.Parallel()
	const burst, calls = 5, 12
	m, web, redis := motan.Serve(t, motan.Server{}), server.Start(t, server.Nginx{Name: "web"}), server.Start(t, server.Redis{})
	a := server.Start(t, server.Agent{Config: rations, Vars: map[string]string{"motan": m.Addr, "web": web.Addr, "redis": redis.Primary.Addr}})
	began := time.Now()
	order := `{"type": "limit", "resource": "peers", "rate": "1/m", "burst": 5, "per": "caller", "for": "10m"}`
	if code, answer, err := a.Call("POST", "/v1/commands", order); err != nil || code != 201 {
		t.Fatal(code, answer, err)
	}
	passed := map[string]int{}
	count := func(what string, refused bool) {
		if !refused {
			passed[what]++
		}
	}
	for _, app := range []string{"batch", "web"} {
		for _, peer := range []motan.Peer{motan.Go, motan.PHP} {
			c := motan.Dial(t, motan.Client{Peer: peer, Application: app + "-" + string(peer), Registry: motan.Direct(a.Addr("peers")),
				Parameters: map[string]string{"errorCountThreshold": "1000000"}})
			for range calls {
				r := c.Do(motan.Name())
				if r.Exception != nil && r.Exception.Code != 10002 || r.Exception == nil && r.Value != m.Name {
					t.Errorf("motan: a call of %s: %v, %v", app, r.Value, r.Exception)
				}
				count(fmt.Sprint(peer, " ", app), r.Exception != nil)
			}
		}
		conn, err := resp.Dial(t.Context(), a.Addr("cache"), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		cache := resp.NewConn(conn, 10*time.Second)
		if _, err := cache.Do("CLIENT", "SETNAME", app); err != nil {
			t.Fatal(err)
		}
		for range calls {
			_, err := cache.Do("GET", "k")
			if err != nil && err.Error() != "LIMITED sluice: cache: over 1/m per caller (limit 1: op=GET)" {
				t.Errorf("redis: a call of %s: %v", app, err)
			}
			count("redis "+app, err != nil)
		}
		for range calls {
			got := curl(t, a, "-H", "X-App: "+app, "http://pages/x")
			if !strings.HasPrefix(got, "429 sluice: pages: over 1/m per caller (limit 1)") && !strings.HasPrefix(got, "200 web ") {
				t.Errorf("http: a call of %s: %q", app, got)
			}
			count("http "+app, strings.HasPrefix(got, "429"))
		}
	}
	most := burst + 1 + int(time.Since(began).Minutes())
	for what, n := range passed {
		if n < burst || n > most {
			t.Errorf("%s: %d calls passed, %d to %d may", what, n, burst, most)
		}
	}
}

// hedged is an agent that sends slow calls a second time, where it may: of two resources for the same servers, one marks a method.
const hedged = `
agent: { admin: {{addr "admin"}}, application: mesh-test, drain: { wait: 0s } }
resources:
  marked:
    kind: motan2
    listen: {{addr "marked"}}
    settings: { service: sluice.testenv.PeerService, idempotent: [count] }
    groups: { testenv: { endpoints: ["{{.one}}", "{{.two}}"] } }
    policy: { timeout: 10s, balance: round-robin, backup: { after: 50ms, budget: 100% } }
  plain:
    kind: motan2
    listen: {{addr "plain"}}
    settings: { service: sluice.testenv.PeerService, idempotent: [name] }
    groups: { testenv: { endpoints: ["{{.one}}", "{{.two}}"] } }
    policy: { timeout: 10s, balance: round-robin, backup: { after: 50ms, budget: 100% } }
`

// A call that is slow is sent to a second server as well when its method is marked as idempotent, and to no second one when it is not.
func TestBackupOfMarkedMethods(t *testing.T) {
	t.Parallel()
	one, two := motan.Serve(t, motan.Server{}), motan.Serve(t, motan.Server{Peer: motan.Java})
	a := server.Start(t, server.Agent{Config: hedged, Vars: map[string]string{"one": one.Addr, "two": two.Addr}})
	at := []*motan.ClientProcess{motan.Dial(t, motan.Client{Registry: motan.Direct(one.Addr)}), motan.Dial(t, motan.Client{Registry: motan.Direct(two.Addr)})}
	counted := func(id string) (n [2]int64) {
		for i, c := range at {
			n[i], _ = c.Must(motan.Counted(id)).(int64)
		}
		return n
	}
	for _, peer := range []motan.Peer{motan.Go, motan.PHP} {
		marked := motan.Dial(t, motan.Client{Peer: peer, Registry: motan.Direct(a.Addr("marked"))})
		plain := motan.Dial(t, motan.Client{Peer: peer, Registry: motan.Direct(a.Addr("plain"))})
		for n := range 2 {
			id := fmt.Sprint(t.Name(), peer, n, time.Now().UnixNano())
			slow := motan.Count(id+" marked", 800*time.Millisecond)
			is(t, marked, slow, int64(1)) // from whoever was first: each counts for itself
			server.Wait(t, 10*time.Second, "both servers to have got it", func() error {
				if n := counted(id + " marked"); n != [2]int64{1, 1} {
					return fmt.Errorf("they counted %v", n)
				}
				return nil
			})
			is(t, plain, motan.Count(id+" plain", 800*time.Millisecond), int64(1))
			if n := counted(id + " plain"); n[0]+n[1] != 1 {
				t.Errorf("%s: the servers counted %v of a call that must not be repeated", peer, n)
			}
		}
	}
}
