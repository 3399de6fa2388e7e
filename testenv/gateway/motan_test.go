package gateway

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/motan"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// overMotan is an agent with a service that speaks HTTP and can be called over Motan, at the address of one that speaks Motan.
const overMotan = `
agent: { admin: {{addr "admin"}}, application: gateway-test, drain: { wait: 200ms, timeout: 10s } }
resources:
  peers:
    kind: motan2
    listen: {{addr "peers"}}
    accept: { http: { listen: {{.http}} } }
    settings: { service: {{.service}} }
    groups: { {{.group}}: { endpoints: ["{{.server}}"] } }
  web:
    kind: http
    listen: {{addr "web"}}
    accept: { motan2: { listen: {{addr "peers"}}, service: com.weibo.Web, version: "1.0", groups: [yf-web], errors: {{.errors}} } }
    settings: { hosts: [web.local], caller: MOTAN-s }
    groups: { yf: { endpoints: ["{{.web}}"] } }
    policy: { timeout: 2s }
`

// web answers with what it was asked.
func web(t *testing.T) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("X-Of", r.Header.Get("X-Of"))
		switch r.URL.Path {
		case "/slow":
			time.Sleep(700 * time.Millisecond)
		case "/teapot":
			w.WriteHeader(418)
			fmt.Fprint(w, "short and stout")
			return
		case "/bytes":
			w.Header().Set("Content-Type", "application/octet-stream")
			_, _ = w.Write(body)
			return
		}
		fmt.Fprintf(w, "%s %s %s|%s|%s|%s|%s|%s|%s", r.Method, r.Host, r.URL.RequestURI(), r.Header.Get("Content-Type"), body,
			r.Header.Get("X-Forwarded-For"), r.Header.Get("Motan-S"), r.Header.Get("X-Name"), r.UserAgent())
	}))
	t.Cleanup(s.Close)
	return s
}

// startOverMotan starts a Motan server, a web server, and an agent for both; errors is that of the configuration.
func startOverMotan(t *testing.T, errors string) (*server.AgentProcess, *motan.ServerProcess) {
	s := motan.Serve(t, motan.Server{})
	a, _ := startBoth(t, s, errors)
	return a, s
}

// startBoth is startOverMotan for a Motan server that runs. The second result is the address of HTTP for it.
func startBoth(t *testing.T, s *motan.ServerProcess, errors string) (*server.AgentProcess, string) {
	vars := motanVars(t, s)
	vars["web"], vars["errors"] = strings.TrimPrefix(web(t).URL, "http://"), errors
	return server.Start(t, server.Agent{Config: overMotan, Vars: vars}), vars["http"]
}

// toWeb is a call of the web server.
func toWeb(method string, attachments map[string]string, args ...any) motan.Call {
	return motan.Call{Service: "com.weibo.Web", Group: "yf-web", Version: "1.0", Method: method, Args: args, Attachments: attachments, Timeout: 3 * time.Second}
}

// Motan clients of two languages call a web server, on the connection on which they call a Motan server as well.
func TestMotanClientsCallHTTP(t *testing.T) {
	a, s := startOverMotan(t, "exception")
	for _, peer := range []motan.Peer{motan.Go, motan.PHP} {
		t.Run(string(peer), func(t *testing.T) {
			c := motan.Dial(t, motan.Client{Peer: peer, Registry: motan.Direct(a.Addr("peers")), Application: "app"})
			for _, x := range []struct {
				call motan.Call
				want string
			}{
				{toWeb("hello", nil), "GET web.local /hello|||127.0.0.1|app||"},
				{toWeb("/users/7?a=b", nil), "GET web.local /users/7?a=b|||127.0.0.1|app||"},
				{toWeb("/users", nil, "text"), "POST web.local /users|text/plain; charset=utf-8|text|127.0.0.1|app||"},
				{toWeb("/users", nil, `{"a": 1}`), `POST web.local /users|application/json|{"a": 1}|127.0.0.1|app||`},
				{toWeb("/users", nil, map[string]string{"a": "b c"}), "POST web.local /users|application/x-www-form-urlencoded|a=b+c|127.0.0.1|app||"},
				{toWeb("/users", map[string]string{"HTTP_Method": "GET"}, map[string]string{"a": "b c"}), "GET web.local /users?a=b+c|||127.0.0.1|app||"},
				{toWeb("/users", map[string]string{"HTTP_Method": "PUT", "HTTP_QueryString": "x=1", "http_X-Name": "n", "User-Agent": "u"}, "text"), "PUT web.local /users?x=1|text/plain; charset=utf-8|text|127.0.0.1|app|n|u"},
			} {
				if r := c.Do(x.call); r.Exception != nil || r.Value != x.want {
					t.Errorf("%s: %v %v, want %s", x.call.Method, r.Value, r.Exception, x.want)
				}
			}
			if r := c.Do(toWeb("/users", nil)); r.Attachments["upstreamCode"] != "200" {
				t.Errorf("attachments of an answer: %v", r.Attachments)
			}
			proxied := toWeb("/users", map[string]string{"HTTP_PROXY": "true"}, []byte("PUT /users?a=b HTTP/1.1\r\nHost: web.local\r\nConnection: close\r\nContent-Length: 4\r\nX-Name: n\r\n\r\n"), []byte("body"))
			if peer == motan.Go { // whose agent sends them
				list, _ := c.Must(proxied).([]any)
				if len(list) != 2 || !strings.HasPrefix(fmt.Sprintf("%s", list[0]), "HTTP/1.1 200 OK\r\n") || fmt.Sprintf("%s", list[1]) != "PUT web.local /users?a=b||body|127.0.0.1|app|n|" {
					t.Errorf("from a proxy: %s", list)
				}
			}
			if r := c.Do(toWeb("/teapot", nil)); r.Exception == nil || r.Exception.Code != 418 || r.Exception.Type != 2 || r.Exception.Message != "short and stout" {
				t.Errorf("a status of the service: %v %+v", r.Value, r.Exception)
			}
			if r := c.Do(motan.Name()); r.Value != s.Name {
				t.Errorf("the other service: %v %v", r.Value, r.Exception)
			}
			other := toWeb("/x", nil)
			other.Group = "tc-web"
			if r := c.Do(other); r.Exception == nil || r.Exception.Code != 10101 || !strings.Contains(r.Exception.Message, "there is web in yf-web, version 1.0") {
				t.Errorf("another group: %+v", r.Exception)
			}
		})
	}
}

// What the agent says of a call reaches a Motan client in Motan's codes, and counts once, in the resource's own metrics.
func TestFaultsOfConvertedCalls(t *testing.T) {
	a, _ := startOverMotan(t, "answer")
	c := motan.Dial(t, motan.Client{Registry: motan.Direct(a.Addr("peers"))})
	if r := c.Do(toWeb("/teapot", nil)); r.Value != "short and stout" || r.Attachments["upstreamCode"] != "418" {
		t.Errorf("a status as an answer: %v %v %v", r.Value, r.Exception, r.Attachments)
	}
	for code, command := range map[int]string{
		10002: `{"type":"limit","resource":"web","rate":"0/s"}`,
		10021: `{"type":"degrade","resource":"web"}`,
	} {
		status, answer, err := a.Call("POST", "/v1/commands", command)
		if err != nil || status != http.StatusCreated {
			t.Fatal(status, answer, err)
		}
		id := strings.Split(strings.SplitAfter(answer, `"id":`)[1], `"`)[1]
		if r := c.Do(toWeb("/x", nil)); r.Exception == nil || r.Exception.Code != code || r.Exception.Type != 1 || !strings.HasPrefix(r.Exception.Message, "sluice: web: ") {
			t.Errorf("%s: %v %+v", command, r.Value, r.Exception)
		}
		if status, answer, err := a.Call("DELETE", "/v1/commands/"+id, ""); err != nil || status/100 != 2 {
			t.Fatal(status, answer, err)
		}
	}
	slow := toWeb("/slow", nil)
	slow.Timeout = 300 * time.Millisecond
	if r := c.Do(slow); r.Exception == nil { // a client's own, which keeps the time as well
		t.Errorf("no time: %v", r.Value)
	}
	server.Wait(t, 5*time.Second, "each call to be counted once", func() error {
		_, text, err := a.Get("/metrics")
		n := strings.Count(text, `sluice_calls_total{resource="web"`)
		if timed := ended(text, "web", "timeout"); timed != 1 || ended(text, "web", "canceled") != 0 {
			return fmt.Errorf("%d calls timed out, want 1, and none to be canceled", timed)
		}
		if err != nil || n == 0 || strings.Contains(text, `sluice_calls_total{resource="peers"`) || !strings.Contains(text, `sluice_calls_open{resource="web"} 0`) {
			return fmt.Errorf("%d series, %v", n, err)
		}
		return nil
	})
}

// ended is how many calls of a resource ended with an outcome, by the metrics.
func ended(metrics, resource, outcome string) (n int) {
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, `sluice_calls_total{resource="`+resource+`"`) && strings.Contains(line, `outcome="`+outcome+`"`) {
			var one int
			if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' '):], &one); err == nil {
				n += one
			}
		}
	}
	return n
}

// Many calls at once on one connection do not wait for each other, and each has its own answer.
func TestConvertedCallsAtOnce(t *testing.T) {
	a, _ := startOverMotan(t, "exception")
	c := motan.Dial(t, motan.Client{Peer: motan.PHP, Registry: motan.Direct(a.Addr("peers"))})
	calls := []motan.Call{}
	for i := range 40 {
		x := toWeb("/slow", nil, fmt.Sprintf("call %d", i))
		x.Timeout = 15 * time.Second
		calls = append(calls, x)
	}
	begin := time.Now()
	for i, r := range c.Multi(calls...) {
		if r.Exception != nil || !strings.Contains(fmt.Sprint(r.Value), fmt.Sprintf("|call %d|", i)) {
			t.Errorf("call %d: %v %v", i, r.Value, r.Exception)
		}
	}
	if d := time.Since(begin); d > 14*time.Second { // one after another they take 28 s
		t.Errorf("they took %v", d)
	}
}

// An agent goes away under converted calls, both ways, and none is lost.
func TestDrainOfConvertedCalls(t *testing.T) {
	s := motan.Serve(t, motan.Server{})
	type place struct {
		agent  *server.AgentProcess
		client *motan.ClientProcess
		web    string
	}
	var places []*place
	for range 2 {
		a, at := startBoth(t, s, "exception")
		places = append(places, &place{a, motan.Dial(t, motan.Client{Registry: motan.Direct(a.Addr("peers"))}), "http://" + at})
	}
	var at atomic.Pointer[place]
	at.Store(places[0])
	stop := make(chan struct{})
	var calls atomic.Int64
	var load sync.WaitGroup
	repeat := func(call func(to *place, text string) (string, error)) {
		load.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				text := fmt.Sprintf("call-%d", i)
				got, err := call(at.Load(), text)
				if err != nil || !strings.Contains(got, text) {
					t.Errorf("a call after %d others: %s %v", calls.Load(), got, err)
					return
				}
				calls.Add(1)
			}
		})
	}
	for range 4 {
		repeat(func(to *place, text string) (string, error) {
			results, err := to.client.Try(toWeb("/x", nil, text))
			if err != nil || results[0].Exception != nil {
				return "", fmt.Errorf("%v %v", results, err)
			}
			return fmt.Sprint(results[0].Value), nil
		})
		tr := &http.Transport{}
		t.Cleanup(tr.CloseIdleConnections)
		cl := &http.Client{Transport: tr, Timeout: 10 * time.Second}
		repeat(func(to *place, text string) (string, error) {
			r, err := cl.Post(to.web+"/echo", "text/plain", strings.NewReader(text))
			if err != nil {
				return "", err
			}
			defer r.Body.Close()
			b, err := io.ReadAll(r.Body)
			return string(b), err
		})
	}
	grow := func() {
		t.Helper()
		from := calls.Load()
		server.Wait(t, 20*time.Second, "calls", func() error {
			if calls.Load() < from+100 {
				return fmt.Errorf("%d", calls.Load()-from)
			}
			return nil
		})
	}
	grow()
	time.AfterFunc(100*time.Millisecond, func() { at.Store(places[1]) })
	places[0].agent.Stop()
	if state := places[0].agent.State(); state != "exit status 0" {
		t.Errorf("the agent ended with %s", state)
	}
	grow()
	close(stop)
	load.Wait()
}

// motan-go's agent may be between the client and this one.
func TestBehindTheAgentOfMotanGo(t *testing.T) {
	a, _ := startOverMotan(t, "exception")
	between := motan.StartAgent(t, motan.Agent{
		Filters: "accessLog,metrics", // its circuitBreaker makes a failure of a service's exception
		Refers:  []motan.Refer{{Service: "com.weibo.Web", Group: "yf-web", Version: "1.0", Registry: motan.Direct(a.Addr("peers"))}},
	})
	c := motan.Dial(t, motan.Client{Peer: motan.PHP, Registry: motan.Direct(between.Forward), Application: "app"})
	if r := c.Do(toWeb("/users", map[string]string{"http_X-Name": "n"}, "text")); r.Exception != nil || r.Value != "POST web.local /users|text/plain; charset=utf-8|text|127.0.0.1|app|n|" {
		t.Errorf("%v %v", r.Value, r.Exception)
	}
	if r := c.Do(toWeb("/teapot", nil)); r.Exception == nil || r.Exception.Code != 418 || r.Exception.Type != 2 {
		t.Errorf("a status of the service: %v %+v", r.Value, r.Exception)
	}
}
