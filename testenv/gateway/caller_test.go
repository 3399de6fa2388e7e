package gateway

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/grpc"
	"github.com/sluice-mesh/sluice/testenv/motan"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// ruled is an agent with services of three kinds that can be called in another protocol. Each refuses one application, and has another one
// make five calls, and then one in a minute.
const ruled = `
agent: { admin: {{addr "admin"}}, application: gateway-test, drain: { wait: 0s } }
resources:
  peers:
    kind: motan2
    listen: {{addr "peers"}}
    accept: { http: { listen: {{.http}} } }
    settings: { service: {{.service}} }
    groups: { {{.group}}: { endpoints: ["{{.server}}"] } }
    policy: &rules { timeout: 5s, acl: { deny: [{ caller: "evil" }] }, limits: [{ match: { caller: "batch*" }, rate: 1/m, burst: 5 }] }
  web:
    kind: http
    listen: {{addr "web"}}
    accept: { motan2: { listen: {{addr "peers"}}, service: com.weibo.Web, version: "1.0", groups: [yf-web] } }
    settings: { hosts: [web.local], caller: MOTAN-s }
    groups: { yf: { endpoints: ["{{.web}}"] } }
    policy: *rules
  test:
    kind: grpc
    listen: {{addr "test"}}
    accept: { motan2: { listen: {{addr "peers"}} } }
    settings: { services: [grpc.testing.TestService], caller: motan-s }
    groups: { g: { endpoints: ["{{.grpc}}"] } }
    policy: *rules
`

// A rule for one application by its name holds for this one and no other, through each gateway, and who is refused is told so in the
// protocol that it speaks, also on a connection on which others call.
func TestRulesForOneCaller(t *testing.T) {
	const burst, calls = 5, 15
	m, g := motan.Serve(t, motan.Server{}), grpc.Serve(t, grpc.Server{})
	vars := motanVars(t, m)
	vars["web"], vars["grpc"] = strings.TrimPrefix(web(t).URL, "http://"), g.Addr
	policy := ruled[strings.Index(ruled, "&rules ")+len("&rules "):]
	policy, _, _ = strings.Cut(policy, "\n")
	config := strings.ReplaceAll(strings.Replace(ruled, "&rules ", "", 1), "*rules", policy)
	a := server.Start(t, server.Agent{Config: config, Vars: vars})

	limit := `(limit 1: caller=batch*)`
	// Each way says what became of a call of an application: "ok", "denied", "limited", or what else it was.
	said := func(r motan.Result, resource string, ok bool) string {
		e := r.Exception
		switch {
		case e == nil && ok:
			return "ok"
		case e == nil:
			return fmt.Sprintf("a wrong answer: %v", r.Value)
		case e.Code == 10002 && e.Type == 1 && strings.HasPrefix(e.Message, "sluice: "+resource+": over 1/m") && strings.HasSuffix(e.Message, limit):
			return "limited"
		case e.Type == 1 && e.Message == "sluice: "+resource+": denied by rule 1 (caller=evil)":
			return fmt.Sprint("denied ", e.Code)
		}
		return fmt.Sprintf("%+v", *e)
	}
	clients := map[string]*motan.ClientProcess{}
	for _, app := range []string{"evil", "batch-7", "friend"} {
		clients[app] = motan.Dial(t, motan.Client{Application: app, Registry: motan.Direct(a.Addr("peers")),
			Parameters: map[string]string{"errorCountThreshold": "1000000"}})
	}
	for _, way := range []struct {
		name, denied string
		call         func(app string) string
	}{
		{"HTTP to Motan", "denied 403", func(app string) string {
			got := curl(t, "http://"+vars["http"]+"/name", "-H", "Motan-S: "+app)
			switch {
			case got == `200 "`+m.Name+`"`:
				return "ok"
			case strings.HasPrefix(got, `429 limited {"error":{"code":10002,"type":"service","message":"sluice: peers: over 1/m`) && strings.Contains(got, limit):
				return "limited"
			case strings.HasPrefix(got, `403 denied {"error":{`) && strings.Contains(got, `"message":"sluice: peers: denied by rule 1 (caller=evil)"`):
				return "denied 403"
			}
			return got
		}},
		{"Motan to HTTP", "denied 10024", func(app string) string {
			r := clients[app].Do(toWeb("/x", nil))
			return said(r, "web", strings.HasPrefix(fmt.Sprint(r.Value), "GET web.local /x|") && strings.Contains(fmt.Sprint(r.Value), "|"+app+"|"))
		}},
		{"Motan to gRPC", "denied 10024", func(app string) string {
			r := clients[app].Do(motan.Call{Service: "grpc.testing.TestService", Group: "g", Method: "UnaryCall", Args: []any{sized(5)}, Returns: "bytes", Timeout: 5 * time.Second})
			b, _ := r.Value.([]byte)
			return said(r, "test", string(b) == string(payload(5)))
		}},
	} {
		t.Run(way.name, func(t *testing.T) {
			began, got := time.Now(), map[string]map[string]int{"evil": {}, "batch-7": {}, "friend": {}}
			for range calls {
				for app := range got {
					got[app][way.call(app)]++
				}
			}
			if n := got["friend"]["ok"]; n != calls {
				t.Errorf("an application without rules: %v", got["friend"])
			}
			if n := got["evil"][way.denied]; n != calls {
				t.Errorf("the one that is refused: %v", got["evil"])
			}
			most := burst + 1 + int(time.Since(began).Minutes())
			if ok, limited := got["batch-7"]["ok"], got["batch-7"]["limited"]; ok < burst || ok > most || ok+limited != calls {
				t.Errorf("the one that is limited, of whose calls %d to %d may pass: %v", burst, most, got["batch-7"])
			}
		})
	}
}
