package mesh

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// webExports is an agent beside a web server, which others find in etcd.
const webExports = `
agent:
  admin: {{addr "admin"}}
  application: pages
  drain: { wait: 1s }
  exports: [{ resource: pages, kind: http, group: yf, address: {{addr "export"}}, registry: "{{.etcd}}/sluice" }]
resources:
  pages:
    kind: http
    listen: {{addr "export"}}
    settings: { health: / }
    groups: { yf: { endpoints: ["{{.local}}"] } }
    policy: { probe: { every: 200ms } }
`

// webCalls is an agent beside an application that calls two services through it, as a proxy: one is found in etcd.
const webCalls = `
agent: { admin: {{addr "admin"}}, idc: yf, application: web-test, drain: { wait: 0s, timeout: 10s } }
resources:
  pages:
    kind: http
    listen: {{addr "proxy"}}
    settings: { routes: ["/users/*"] }
    groups:
      yf: { weight: 100, registry: "{{.etcd}}/sluice" }
      tc: { weight: 0, endpoints: ["{{.other}}"] }
    policy: { timeout: 3s, probe: { every: 200ms } }
  other:
    kind: http
    listen: {{addr "proxy"}}
    settings: { hosts: [other.local] }
    groups: { tc: { endpoints: ["{{.other}}"] } }
`

// curl calls a URL through an agent, as a program with http_proxy does, and returns the status, in a line, before the body.
func curl(t *testing.T, a *server.AgentProcess, args ...string) string {
	t.Helper()
	cmd := exec.Command("curl", append([]string{"-sS", "-m", "20", "-o", "-", "-w", "\n%{http_code}"}, args...)...)
	cmd.Env = append(cmd.Environ(), "http_proxy=http://"+a.Addr("pages"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("curl %q: %v: %s", args, err, out)
	}
	i := bytes.LastIndexByte(out, '\n')
	return string(out[i+1:]) + " " + string(out[:i])
}

func wantCurl(t *testing.T, a *server.AgentProcess, want string, args ...string) {
	t.Helper()
	if got := curl(t, a, args...); !strings.HasPrefix(got, want) {
		t.Fatalf("curl %q: %.300q, want %q", args, got, want)
	}
}

// An application that has only http_proxy in its environment calls a web server through two agents and a registry, and is
// governed as all calls are.
func TestHTTPThroughTwoAgents(t *testing.T) {
	e := server.Start(t, server.Etcd{})
	big := make([]byte, 8<<20)
	r := rand.NewChaCha8([32]byte{7})
	_, _ = r.Read(big)
	vars := map[string]string{"etcd": "etcd://" + strings.TrimPrefix(e.Members[0].URL, "http://")}
	local := server.Start(t, server.Nginx{Name: "local", Files: map[string][]byte{"big": big, "text": bytes.Repeat([]byte("a line\n"), 20000)}})
	other := server.Start(t, server.Nginx{Name: "other"})
	vars["local"], vars["other"] = local.Addr, other.Addr
	beside := server.Start(t, server.Agent{Config: webExports, Vars: vars})
	a := server.Start(t, server.Agent{Config: webCalls, Vars: vars, NoWait: true})
	server.Wait(t, 20*time.Second, "the service to be found", func() error {
		if err := a.Ready(); err != nil {
			return err
		}
		if got := curl(t, a, "http://pages/users/7?a=b"); !strings.HasPrefix(got, "200 local GET /users/7?a=b ") {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
	wantCurl(t, a, "200 other GET /x", "http://other.local/x")
	wantCurl(t, a, "404 sluice: ", "http://nobody/x")
	wantCurl(t, a, "200 local POST /x 5 ", "-d", "body", "-H", "X-Id: 5", "http://pages/x")
	wantCurl(t, a, "200 local POST /x ", "-0", "-d", "body", "http://pages/x")
	wantCurl(t, a, "200 local PUT /x ", "-T", local.Dir+"/files/big", "http://pages/x")
	if got := curl(t, a, "http://pages/files/big"); got != "200 "+string(big) {
		t.Errorf("8 MiB came as %d bytes", len(got))
	}
	if got := curl(t, a, "--compressed", "http://pages/files/text"); got != "200 "+strings.Repeat("a line\n", 20000) {
		t.Errorf("a text in chunks came as %d bytes", len(got))
	}
	wantCurl(t, a, "502 sluice: pages: the connection to ", "-d", "x", "http://pages/drop") // it may have been executed

	id := command(t, a, `{"type":"switch","resource":"pages","weights":{"tc":100}}`)
	wantCurl(t, a, "200 other GET /users/1 ", "http://pages/users/1")
	undo(t, a, id)
	id = command(t, a, `{"type":"mock","resource":"pages","match":{"op":"GET /users/*"},"reply":"{\"name\":\"nobody\"}"}`)
	wantCurl(t, a, `200 {"name":"nobody"}`, "http://pages/users/1")
	wantCurl(t, a, "200 local GET /x ", "http://pages/x")
	undo(t, a, id)
	id = command(t, a, `{"type":"limit","resource":"pages","match":{"class":"write"},"rate":"0/s"}`)
	wantCurl(t, a, "429 sluice: pages: ", "-d", "x", "http://pages/x")
	undo(t, a, id)

	local.Kill()
	server.Wait(t, 20*time.Second, "calls to go where a server is", func() error {
		if got := curl(t, a, "http://pages/x"); !strings.HasPrefix(got, "503 sluice: pages: ") {
			return fmt.Errorf("they are answered %q", got)
		}
		return nil
	})
	local.Restart()
	server.Wait(t, 20*time.Second, "the server to be back", func() error {
		if got := curl(t, a, "http://pages/x"); !strings.HasPrefix(got, "200 local") {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
	for _, x := range []*server.AgentProcess{a, beside} {
		if status, text, err := x.Get("/metrics"); status != 200 || err != nil || strings.Contains(text, "sluice_reply_mismatch_total{resource=\"pages\"} 1") {
			t.Errorf("metrics: %d %v", status, err)
		}
	}
}

// known is an agent that applications have as their HTTP proxy, for a web server and for one that answers no packet.
const known = `
agent: { admin: {{addr "admin"}}, application: web-test, drain: { wait: 0s } }
resources:
  pages:
    kind: http
    listen: {{addr "proxy"}}
    groups: { g: { endpoints: ["{{.local}}"] } }
  hole:
    kind: http
    listen: {{addr "proxy"}}
    groups: { g: { endpoints: ["{{.hole}}"] } }
    policy: { timeout: 2s, connect-timeout: 1s, probe: { every: 10m, fall: 100 } }
`

// CONNECT, as curl sends it, reaches the services that the agent has, by their names and with the time that calls have, and nothing
// else: no address of the machine or the network, not even a server's own, and no name that looks like a service's.
func TestConnectIsNoWayOut(t *testing.T) {
	t.Parallel()
	n := server.Start(t, server.Nginx{Name: "local"})
	private, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer private.Close()
	a := server.Start(t, server.Agent{Config: known, NoWait: true, Vars: map[string]string{"local": n.Addr, "hole": swallowing(t)}})
	a.AwaitReady()
	through := func(url string, args ...string) (string, error) {
		args = append([]string{"-sS", "-m", "20", "-x", "http://" + a.Addr("pages"), "-o", "-", "-w", "%{http_connect}", url}, args...)
		out, err := exec.Command("curl", args...).CombinedOutput()
		return string(out), err
	}
	if got, err := through("http://pages/x", "-p"); err != nil || got != "local GET /x  200" {
		t.Errorf("a service that it has: %q %v", got, err)
	}
	_, port, _ := net.SplitHostPort(private.Addr().String())
	for _, to := range []string{
		private.Addr().String(), "localhost:" + port, "[::ffff:127.0.0.1]:" + port, n.Addr, a.Admin, a.Addr("pages"), "pages.example.org:80", "xpages:80",
	} {
		for _, url := range []string{"http://" + to + "/", "https://" + to + "/"} {
			if got, err := through(url, "-p"); err == nil || !strings.HasSuffix(got, "403") {
				t.Errorf("CONNECT %s: %q %v", to, got, err)
			}
		}
		if got, err := through("http://"+to+"/", "-w", "%{http_code}"); err != nil || !strings.HasPrefix(got, "sluice: ") || !strings.HasSuffix(got, "404") {
			t.Errorf("GET http://%s/: %q %v", to, got, err)
		}
	}
	if err := private.(*net.TCPListener).SetDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if nc, err := private.Accept(); err == nil {
		nc.Close()
		t.Error("the agent connected to an address that a client named")
	}
	began := time.Now()
	if got, err := through("http://hole/", "-p"); err == nil || !strings.HasSuffix(got, "503") && !strings.HasSuffix(got, "504") || time.Since(began) > 10*time.Second {
		t.Errorf("CONNECT to a server that answers no packet: %q %v after %v", got, err, time.Since(began))
	}
}

// web is an agent for one web server.
const web = `
agent: { admin: {{addr "admin"}}, application: web-test, drain: { wait: 500ms, timeout: 10s } }
resources:
  pages: { kind: http, listen: {{addr "pages"}}, groups: { g: { endpoints: ["{{.local}}"] } } }
`

// An agent goes away under load without a call that fails: its clients are told with an answer, and go to another one.
func TestHTTPDrain(t *testing.T) {
	n := server.Start(t, server.Nginx{})
	old := server.Start(t, server.Agent{Config: web, Vars: map[string]string{"local": n.Addr}})
	next := server.Start(t, server.Agent{Config: web, Vars: map[string]string{"local": n.Addr}})
	var at atomic.Pointer[server.AgentProcess]
	at.Store(old)
	stop := make(chan struct{})
	var calls atomic.Int64
	var load sync.WaitGroup
	for k := range 8 {
		tr := &http.Transport{}
		t.Cleanup(tr.CloseIdleConnections)
		cl := &http.Client{Transport: tr, Timeout: 10 * time.Second}
		load.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				path := fmt.Sprintf("/%d-%d", k, i)
				r, err := cl.Post("http://"+at.Load().Addr("pages")+path, "text/plain", strings.NewReader("x"))
				if err != nil {
					t.Errorf("a call after %d others: %v", calls.Load(), err)
					return
				}
				body, err := io.ReadAll(r.Body)
				r.Body.Close()
				if err != nil || !strings.HasPrefix(string(body), "nginx POST "+path+" ") {
					t.Errorf("%s: %q %v", path, body, err)
				}
				calls.Add(1)
			}
		})
	}
	grow := func() {
		t.Helper()
		from := calls.Load()
		server.Wait(t, 10*time.Second, "calls", func() error {
			if calls.Load() < from+200 {
				return fmt.Errorf("%d", calls.Load()-from)
			}
			return nil
		})
	}
	grow()
	time.AfterFunc(250*time.Millisecond, func() { at.Store(next) }) // as whoever asks for readiness does
	old.Stop()
	grow()
	close(stop)
	load.Wait()
}
