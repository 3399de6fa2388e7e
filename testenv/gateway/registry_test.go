package gateway

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/motan"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// exported is an agent beside a web server, which it announces as a service of Motan; calling is one beside a Motan client.
const (
	exported = `
agent:
  admin: {{addr "admin"}}
  application: web
  drain: { wait: 0s }
  exports: [{ resource: web, kind: motan2, group: yf-web, address: {{.motan}}, registry: "{{.etcd}}/sluice" }]
resources:
  web:
    kind: http
    listen: {{addr "web"}}
    accept: { motan2: { listen: {{.motan}}, service: com.weibo.Web, version: "1.0", groups: [yf-web] } }
    groups: { yf: { endpoints: ["{{.web}}"] } }
`
	calling = `
agent: { admin: {{addr "admin"}}, application: caller, drain: { wait: 0s } }
resources:
  pages:
    kind: motan2
    listen: {{addr "pages"}}
    settings: { service: com.weibo.Web, version: "1.0" }
    groups: { yf-web: { registry: "{{.etcd}}/sluice" } }
    policy: { timeout: 3s }
`
)

// A service that speaks HTTP is announced in a registry as one that speaks Motan, and found there by an agent that knows of nothing else.
func TestWebServerInARegistryOfMotan(t *testing.T) {
	e := server.Start(t, server.Etcd{})
	vars := map[string]string{
		"etcd": "etcd://" + strings.TrimPrefix(e.Members[0].URL, "http://"), "motan": server.FreeAddr(t), "web": strings.TrimPrefix(web(t).URL, "http://"),
	}
	server.Start(t, server.Agent{Config: exported, Vars: vars})
	a := server.Start(t, server.Agent{Config: calling, Vars: vars, NoWait: true})
	c := motan.Dial(t, motan.Client{Peer: motan.PHP, Registry: motan.Direct(a.Addr("pages")), Application: "app"})
	server.Wait(t, 20*time.Second, "the service to be found", func() error {
		r := c.Do(toWeb("/x", nil, "text"))
		if r.Exception != nil {
			return r.Exception
		}
		if want := "POST web /x|text/plain; charset=utf-8|text|127.0.0.1|app||"; r.Value != want {
			return fmt.Errorf("%v, want %s", r.Value, want)
		}
		return nil
	})
}
