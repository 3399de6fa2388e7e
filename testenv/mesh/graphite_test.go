package mesh

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/motan"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// carbon takes metrics in the dialect of motan-go's agent, by UDP.
type carbon struct {
	addr string

	mu      sync.Mutex
	counts  map[string]int64   // the sum of what came for each name, as |c
	values  map[string]float64 // the last value of |kv and |ms, by "NAME TYPE"
	largest int                // bytes of a datagram
	wrong   []string           // lines that are none
}

var statsdLine = regexp.MustCompile(`^((?:[A-Za-z0-9_-]+\.)+[A-Za-z0-9_-]+):([0-9.]+)\|(c|kv|ms)$`)

func startCarbon(t *testing.T) *carbon {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &carbon{addr: conn.LocalAddr().String(), counts: map[string]int64{}, values: map[string]float64{}}
	var reader sync.WaitGroup
	reader.Go(func() {
		b := make([]byte, 64<<10)
		for {
			n, _, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			c.take(string(b[:n]))
		}
	})
	t.Cleanup(func() {
		conn.Close()
		reader.Wait()
	})
	return c
}

func (c *carbon) take(datagram string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.largest = max(c.largest, len(datagram))
	for line := range strings.Lines(datagram) {
		m := statsdLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil || !strings.HasSuffix(line, "\n") {
			c.wrong = append(c.wrong, line)
			continue
		}
		if m[3] != "c" {
			c.values[m[1]+" "+m[3]], _ = strconv.ParseFloat(m[2], 64)
			continue
		}
		n, err := strconv.ParseInt(m[2], 10, 64)
		if err != nil {
			c.wrong = append(c.wrong, line)
		}
		c.counts[m[1]] += n
	}
}

// calls is the sum of all total_counts under a prefix.
func (c *carbon) calls(prefix string) (n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, v := range c.counts {
		if strings.HasPrefix(name, prefix) && strings.HasSuffix(name, ".total_count") {
			n += v
		}
	}
	return n
}

// of returns what came for names with a prefix: counts, and values by name and type.
func (c *carbon) of(prefix string) (counts map[string]int64, values map[string]float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts, values = maps.Clone(c.counts), maps.Clone(c.values)
	maps.DeleteFunc(counts, func(name string, _ int64) bool { return !strings.HasPrefix(name, prefix) })
	maps.DeleteFunc(values, func(name string, _ float64) bool { return !strings.HasPrefix(name, prefix) })
	return counts, values
}

// measured is an agent that calls a service, serves it to others, and has a web service and a cache that nobody serves.
const measured = `
agent:
  admin: {{addr "admin"}}
  application: testenv-agent
  drain: { wait: 0s }
  metrics: { graphite: { address: "{{.carbon}}", every: 1s, dialect: statsd } }
  exports: [{ resource: serves, kind: motan2, group: testenv, address: {{addr "export"}}, registry: "zookeeper://127.0.0.1:1" }]
resources:
  calls:
    kind: motan2
    listen: {{addr "forward"}}
    settings: { service: sluice.testenv.PeerService, groups: { here: testenv } }
    groups: { here: { endpoints: ["{{.server}}"] } }
    policy: { timeout: 1s }
  serves:
    kind: motan2
    listen: {{addr "export"}}
    settings: { service: sluice.testenv.PeerService }
    groups: { testenv: { endpoints: ["{{.server}}"] } }
    policy: { timeout: 1s }
  pages:
    kind: http
    listen: {{addr "web"}}
    settings: { service: web.Pages }
    groups: { yf: { endpoints: ["127.0.0.1:1"] } }
  cache:
    kind: redis
    listen: {{addr "redis"}}
    groups: { yf.1: { endpoints: ["127.0.0.1:1"] } }
`

// The same calls through motan-go's agent and through ours arrive at Graphite under the same names, with the same counts: those that it
// sends on, those that it hands to the service beside it, and all calls as its clusters count them. Latencies are of the same size.
func TestGraphiteAsMotanGo(t *testing.T) {
	t.Parallel()
	s := motan.Serve(t, motan.Server{})
	time1s := map[string]string{"requestTimeout": "1000"}
	theirs, ours := startCarbon(t), startCarbon(t)
	theirAgent := motan.StartAgent(t, motan.Agent{
		Refers:  []motan.Refer{{Registry: motan.Direct(s.Addr), Parameters: time1s}},
		Exports: []motan.Export{{Local: s.Addr, Parameters: time1s}}, Filters: "metrics,clusterMetrics", Graphite: theirs.addr,
	})
	ourAgent := server.Start(t, server.Agent{Config: measured, NoWait: true, Vars: map[string]string{"server": s.Addr, "carbon": ours.addr}})
	ourAgent.AwaitReady()

	calls := []motan.Call{motan.Fail("no"), motan.Fail("no"), motan.Sleep(60 * time.Millisecond), motan.Sleep(260 * time.Millisecond), motan.Sleep(1600 * time.Millisecond),
		{Method: "no.such: method/1"}, motan.Count("a", 120*time.Millisecond)}
	for range 20 {
		calls = append(calls, motan.Name(), motan.Echo("x"))
	}
	for i := range calls {
		calls[i].Timeout = time.Second
	}
	var all sync.WaitGroup
	for _, addr := range []string{theirAgent.Forward, theirAgent.Export, ourAgent.Addr("calls"), ourAgent.Addr("serves")} {
		c := motan.Dial(t, motan.Client{Registry: motan.Direct(addr), Parameters: map[string]string{"requestTimeout": "3000"}})
		all.Go(func() {
			for _, one := range calls {
				if _, err := c.Try(one); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	const client, server1 = "motan-client-agent.testenv-agent.testenv.", "motan-server-agent.testenv-agent.testenv."
	for who, c := range map[string]*carbon{"theirs": theirs, "ours": ours} {
		for prefix, n := range map[string]int{client + "byhost.": len(calls), client + "cluster.byhost.": len(calls), server1: len(calls)} {
			server.Wait(t, 10*time.Second, fmt.Sprintf("%s: %d calls under %s", who, n, prefix), func() error {
				if got := c.calls(prefix); got != int64(n) {
					return fmt.Errorf("there are %d", got)
				}
				return nil
			})
		}
	}
	for _, prefix := range []string{client, server1} {
		want, wantValues := theirs.of(prefix)
		got, gotValues := ours.of(prefix)
		for _, name := range slices.Sorted(maps.Keys(union(want, got))) {
			if want[name] != got[name] {
				t.Errorf("%s: motan-go %d, this agent %d", name, want[name], got[name])
			}
		}
		for _, name := range slices.Sorted(maps.Keys(union(wantValues, gotValues))) {
			a, have := wantValues[name]
			b, has := gotValues[name]
			if !have || !has || (a > 200) != (b > 200) {
				t.Errorf("%s: motan-go %v (there: %v), this agent %v (there: %v)", name, a, have, b, has)
			}
		}
	}
	for who, c := range map[string]*carbon{"theirs": theirs, "ours": ours} {
		if c.mu.Lock(); len(c.wrong) > 0 || c.largest > 5<<10 {
			t.Errorf("%s: datagrams of up to %d bytes, lines %q", who, c.largest, c.wrong)
		}
		c.mu.Unlock()
	}
	otherKinds(t, ourAgent, ours)
}

func union[V any](a, b map[string]V) map[string]V {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// otherKinds calls what does not speak Motan, and looks for its names and for those of the agent itself.
func otherKinds(t *testing.T, a *server.AgentProcess, c *carbon) {
	t.Helper()
	resp, err := http.Get("http://" + a.Addr("pages") + "/x")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a web service that nobody serves: %s", resp.Status)
	}
	nc, err := net.Dial("tcp", a.Addr("cache"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := io.WriteString(nc, "GET k\r\n"); err != nil {
		t.Fatal(err)
	}
	server.Wait(t, 10*time.Second, "calls of other kinds", func() error {
		for _, name := range []string{"yf.byhost.127_0_0_1.web_Pages.GET.", "yf_1.cluster.byhost.127_0_0_1.cache.GET."} {
			counts, _ := c.of("motan-client-agent.testenv-agent." + name)
			if len(counts) == 0 {
				counts, _ := c.of("motan-client-agent.testenv-agent.yf")
				return fmt.Errorf("nothing of %s: %v", name, counts)
			}
		}
		return nil
	})
	_, own := c.of("motan-agent.testenv-agent.motan-stat.byhost.127_0_0_1.status.")
	for _, what := range []string{"memory", "cpu", "goroutine_count", "motan_server_connection_count"} {
		if v, ok := own["motan-agent.testenv-agent.motan-stat.byhost.127_0_0_1.status."+what+" kv"]; !ok || what != "cpu" && what != "motan_server_connection_count" && v <= 0 {
			t.Errorf("the agent's own %s: %v", what, own)
		}
	}
}
