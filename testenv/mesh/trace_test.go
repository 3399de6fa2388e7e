package mesh

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/motan"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// traced is an agent that sends spans, and takes calls in HTTP as well.
const traced = `
agent: { admin: {{addr "admin"}}, application: {{.name}}, drain: { wait: 0s } }
resources:
  peers:
    kind: motan2
    listen: {{addr "peers"}}
    accept: { http: { listen: {{.http}} } }
    settings: { service: sluice.testenv.PeerService, version: "1.0" }
    groups: { testenv: { endpoints: ["{{.server}}"] } }
    policy: { timeout: 3s, trace: { sample: {{.sample}}, otlp: "{{.collector}}" } }
`

// span is one that a collector got, of the agent of an application.
type span struct {
	Of       string `json:"-"`
	TraceID  string `json:"traceId"`
	SpanID   string `json:"spanId"`
	ParentID string `json:"parentSpanId"`
	Name     string `json:"name"`
}

// collector keeps the spans that agents send.
type collector struct {
	*httptest.Server
	mu    sync.Mutex
	spans []span
}

func startCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body struct {
			ResourceSpans []struct {
				Resource struct {
					Attributes []struct {
						Key   string
						Value struct {
							StringValue string `json:"stringValue"`
						}
					}
				}
				ScopeSpans []struct{ Spans []span } `json:"scopeSpans"`
			} `json:"resourceSpans"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Errorf("spans: %v", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, rs := range body.ResourceSpans {
			of := ""
			for _, a := range rs.Resource.Attributes {
				if a.Key == "service.name" {
					of = a.Value.StringValue
				}
			}
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					s.Of = of
					c.spans = append(c.spans, s)
				}
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// of waits for the spans of a trace, one of each agent, and returns them by the agent's application.
func (c *collector) of(t *testing.T, trace string, agents ...string) map[string]span {
	t.Helper()
	var out map[string]span
	server.Wait(t, 20*time.Second, "the spans of "+trace, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		out = map[string]span{}
		n := 0
		for _, s := range c.spans {
			if s.TraceID == trace {
				out[s.Of] = s
				n++
			}
		}
		if len(out) != len(agents) || n != len(agents) {
			return fmt.Errorf("they are %+v", c.spans)
		}
		return nil
	})
	for _, a := range agents {
		if out[a].SpanID == "" {
			t.Fatalf("no span of %s: %+v", a, out)
		}
	}
	return out
}

// The context of a trace that a client gives, in HTTP or Motan, or that the first agent starts, goes through two agents to the
// server: one trace, in which the client's span is the parent of the first agent's, that of the second's, and that of the server's.
func TestTraceOverTwoAgents(t *testing.T) {
	t.Parallel()
	c := startCollector(t)
	for _, s := range []*motan.ServerProcess{motan.Serve(t, motan.Server{}), motan.Serve(t, motan.Server{Peer: motan.Java})} {
		start := func(name, server0, sample string) (*server.AgentProcess, string) {
			vars := map[string]string{"name": name, "server": server0, "http": server.FreeAddr(t), "collector": c.URL, "sample": sample}
			return server.Start(t, server.Agent{Config: traced, Vars: vars}), "http://" + vars["http"]
		}
		second, _ := start("second", s.Addr, "0%")
		first, overHTTP := start("first", second.Addr("peers"), "0%")
		starts, _ := start("first", second.Addr("peers"), "100%")
		const parent = "00f067aa0ba902b7"
		trace := func(n int) string { return fmt.Sprintf("4bf92f3577b34da6a3ce%012x", n) }
		check := func(who, id, parent string, seen map[string]string) {
			t.Helper()
			got := strings.Split(seen["traceparent"], "-")
			if len(got) != 4 || got[3] != "01" || id != "" && got[1] != id {
				t.Fatalf("%s to %s: the server got traceparent %q, not trace %s", who, s.Name, seen["traceparent"], id)
			}
			spans := c.of(t, got[1], "first", "second")
			if spans["first"].ParentID != parent || spans["second"].ParentID != spans["first"].SpanID || got[2] != spans["second"].SpanID {
				t.Errorf("%s to %s: from %q to %q by %+v", who, s.Name, parent, got[2], spans)
			}
		}
		id := trace(int(time.Now().UnixNano() & 0xffffffff))
		out, err := exec.Command("curl", "-sS", "-m", "20", "--noproxy", "*", "-H", "traceparent: 00-"+id+"-"+parent+"-01", overHTTP+"/attachments").CombinedOutput()
		var seen map[string]string
		if err != nil || json.Unmarshal(out, &seen) != nil {
			t.Fatalf("curl: %s %v", out, err)
		}
		check("curl", id, parent, seen)
		for _, peer := range []motan.Peer{motan.Go, motan.PHP} {
			id := trace(int(time.Now().UnixNano() & 0xffffffff))
			client := motan.Dial(t, motan.Client{Peer: peer, Registry: motan.Direct(first.Addr("peers"))})
			call := motan.Attachments()
			call.Attachments = map[string]string{"traceparent": "00-" + id + "-" + parent + "-01"}
			got, _ := client.Must(call).(map[string]string)
			check(string(peer), id, parent, got)
			call.Attachments["traceparent"] = "00-" + id + "-" + parent + "-00" // not sampled: it passes as it is
			if got, _ := client.Must(call).(map[string]string); got["traceparent"] != call.Attachments["traceparent"] {
				t.Errorf("%s: what is not sampled is %q at the server", peer, got["traceparent"])
			}
		}
		client := motan.Dial(t, motan.Client{Peer: motan.PHP, Registry: motan.Direct(starts.Addr("peers"))})
		got, _ := client.Must(motan.Attachments()).(map[string]string)
		check("nobody", "", "", got)
	}
}
