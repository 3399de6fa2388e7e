package governance

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// together are several centres on one etcd.
type together struct {
	*lab
	all []*lab // one for each centre, c1 first
}

func startTogether(t *testing.T, n int) *together {
	t.Helper()
	return togetherOf(t, n, func(center int) (listen, address string) { return "", "" })
}

// togetherOf is startTogether with centres that listen at addresses of one's own, and say that they are reached at others; "": as
// centres do by themselves.
func togetherOf(t *testing.T, n int, at func(center int) (listen, address string)) *together {
	t.Helper()
	etcd := server.Start(t, server.Etcd{Members: 1})
	spec := func(i int, data string) server.Center {
		listen, address := at(i)
		return server.Center{Name: fmt.Sprintf("c%d", i), Listen: listen, Data: data,
			Config: fmt.Sprintf("center:\n  address: %q\n  etcd: { endpoints: [\"%s\"] }\n", address, strings.Join(etcd.Endpoints(), `", "`))}
	}
	z := &together{lab: labOf(t, spec(1, ""))}
	z.all = []*lab{z.lab}
	for i := 2; i <= n; i++ {
		data := t.TempDir()
		mustWrite(t, filepath.Join(data, "seal.key"), mustRead(t, filepath.Join(z.center.Data, "seal.key"))) // they seal with one key
		if err := os.Chmod(data, 0o700); err != nil {
			t.Fatal(err)
		}
		z.all = append(z.all, labOf(t, spec(i, data)))
	}
	return z
}

// agentAt starts an agent that knows some of the centres.
func (z *together) agentAt(name string, centers ...int) *server.AgentProcess {
	z.Helper()
	at := *z.lab
	at.urls = nil
	for _, c := range centers {
		at.urls = append(at.urls, z.all[c-1].center.URL())
	}
	return at.agent(name, "yf", "", "feed-cache")
}

// where says which centre has which agent, as a centre lists them: "web-1@c1 web-2@c2", with a minus before those that are not connected.
func (l *lab) where() string {
	l.Helper()
	var out struct {
		Agents []struct {
			Name, Center string
			Connected    bool
		}
	}
	l.get("GET", "/v1/agents", "", &out)
	var lines []string
	for _, a := range out.Agents {
		line := a.Name + "@" + a.Center
		if !a.Connected {
			line = "-" + a.Name
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, " ")
}

// agree waits until all centres that run list the agents as wanted.
func (z *together) agree(d time.Duration, what string, want ...string) {
	z.Helper()
	for _, at := range z.all {
		if !at.center.Running() {
			continue
		}
		z.await(d, what, func() error {
			if got := at.where(); !slices.Contains(want, got) {
				return fmt.Errorf("%s, and not %s", got, strings.Join(want, ", or "))
			}
			return nil
		})
	}
}

// total is what a centre's history says of all calls of a time.
type total struct {
	Calls, Errors       uint64
	P50, P99, Max       []int64
	Gaps, Partial, Seen int
}

func (l *lab) history(from, to time.Time, step string, more ...string) (t total) {
	l.Helper()
	var out struct {
		Points []struct {
			Calls, Errors uint64
			P50, P99, Max int64
			Gap, Partial  bool
		}
	}
	l.get("GET", fmt.Sprintf("/v1/series?resource=feed-cache&from=%d&to=%d&step=%s%s", from.UnixMilli(), to.UnixMilli(), step, strings.Join(more, "")), "", &out)
	for _, p := range out.Points {
		t.Calls, t.Errors = t.Calls+p.Calls, t.Errors+p.Errors
		t.P50, t.P99, t.Max = append(t.P50, p.P50), append(t.P99, p.P99), append(t.Max, p.Max)
		if p.Gap { // nothing is known of it, and so not whether something is missing
			t.Gaps++
		} else if p.Partial {
			t.Partial++
		}
		t.Seen++
	}
	return t
}

// sums are what a centre's tables of the last minutes add up to.
type sums struct {
	Calls   uint64 // of all operations
	Callers int    // applications that called
	Partial bool
}

func (l *lab) tables() (s sums) {
	l.Helper()
	var ops struct {
		Operations []struct{ Calls uint64 }
		Partial    bool
	}
	l.get("GET", "/v1/resources/feed-cache/operations?window=5m", "", &ops)
	var topology struct {
		Edges []struct {
			Application string
			Calls       float64
		}
		Partial bool
	}
	l.get("GET", "/v1/topology?window=5m", "", &topology)
	for _, o := range ops.Operations {
		s.Calls += o.Calls
	}
	callers := map[string]bool{}
	for _, e := range topology.Edges {
		if e.Calls > 0 {
			callers[e.Application] = true
		}
	}
	s.Callers = len(callers)
	s.Partial = ops.Partial || topology.Partial
	return s
}

// Three centres, and an agent at each: each centre lists all agents, adds up all calls, with percentiles that are those of all of them,
// shows who took a command, and reaches agents that are linked elsewhere.
func TestEachCenterSeesAllAgents(t *testing.T) {
	t.Parallel()
	z := startTogether(t, 3)
	yf, tc := cacheAt(t, "yf"), cacheAt(t, "tc")
	z.put("feed-cache", redisSpec(yf, tc))
	began := time.Now()
	var apps []*caller
	for i := 1; i <= 3; i++ {
		apps = append(apps, call(t, z.agentAt(fmt.Sprintf("web-%d", i), i), "feed-cache"))
	}
	z.agree(10*time.Second, "each centre to list all agents", "web-1@c1 web-2@c2 web-3@c3")

	for _, at := range z.all {
		at.settled("web-1", "web-2", "web-3")
		z.await(15*time.Second, "rates that are the sums over all agents", func() error {
			var all struct {
				Agents []struct{ Rate struct{ Calls float64 } }
			}
			at.get("GET", "/v1/agents", "", &all)
			var of struct{ Rate struct{ Calls float64 } }
			at.get("GET", "/v1/resources/feed-cache", "", &of)
			sum := 0.0
			for _, a := range all.Agents {
				if a.Rate.Calls == 0 {
					return fmt.Errorf("an agent without calls: %+v", all)
				}
				sum += a.Rate.Calls
			}
			if math.Abs(sum-of.Rate.Calls) > 0.05*sum { // asked one after the other
				return fmt.Errorf("%v calls/s, and %v of all agents", of.Rate.Calls, sum)
			}
			return nil
		})
	}

	for _, at := range z.all {
		id := at.command(`{"type": "switch", "select": {"name": "feed-cache"}, "weights": {"tc": 100}, "why": "test"}`)
		for _, sees := range z.all {
			z.await(5*time.Second, "all acknowledgements at each centre", func() error {
				var out struct {
					Commands []struct {
						ID     string
						Agents struct{ Total, Applied, Refused, Behind int }
					}
				}
				sees.get("GET", "/v1/commands", "", &out)
				for _, c := range out.Commands {
					if c.ID == id && c.Agents.Total == 3 && c.Agents.Applied == 3 {
						return nil
					}
				}
				return fmt.Errorf("%+v", out.Commands)
			})
		}
		for _, app := range apps {
			z.await(5*time.Second, "the command everywhere", func() error { return app.answeredBy("tc") })
		}
		at.center.Must("DELETE", "/v1/commands/"+id, "")
		for _, app := range apps {
			z.await(5*time.Second, "the command's end", func() error { return app.answeredBy("yf") })
		}
	}

	// A link that one centre made lets in at another, whichever a balancer picks; once.
	var link struct{ Path string }
	z.all[2].get("POST", "/v1/login-links", `{"user": "ann", "roles": [{"role": "viewer"}]}`, &link)
	code := fmt.Sprintf(`{"code": %q}`, strings.TrimPrefix(link.Path, "/login?code="))
	for i, want := range []int{http.StatusOK, http.StatusUnauthorized} {
		if status, body, err := z.all[i].center.Call("POST", "/v1/login", code); err != nil || status != want {
			t.Errorf("a link of c3 at c%d: %d %s %v", i+1, status, body, err)
		}
	}

	var preview struct {
		Effect struct{ Agents []string }
	}
	z.get("POST", "/v1/commands?dry-run", `{"type": "switch", "select": {"name": "feed-cache"}, "weights": {"tc": 100}, "why": "test"}`, &preview)
	if got := strings.Join(preview.Effect.Agents, " "); got != "web-1 web-2 web-3" {
		t.Errorf("a preview asked %s", got)
	}
	seen := map[any]bool{}
	z.observe("resource=feed-cache").until(t, "live calls of all agents", func(event string, data map[string]any) bool {
		if event == "call" {
			seen[data["agent"]] = true
		}
		return len(seen) == 3
	})
	for _, path := range []string{"/v1/resources/feed-cache/sessions", "/v1/agents/web-3/config", "/v1/agents/web-2"} {
		answer := z.center.Must("GET", path, "")
		if !json.Valid([]byte(answer)) || !strings.Contains(answer, "feed-cache") && !strings.Contains(answer, `"agent":"web-3"`) {
			t.Errorf("%s: %s", path, answer)
		}
	}

	var made uint64
	for _, app := range apps {
		app.stop()
		app.wg.Wait()
		made += uint64(app.calls.Load())
		if n := app.errors.Load(); n > 0 {
			t.Errorf("an application saw %d errors, the last: %s", n, *app.lastError.Load())
		}
	}
	ended := time.Now().Add(20 * time.Second) // calls belong to the middle of the report that they came with
	var first total
	for i, at := range z.all {
		// The callers' connections say hello, which counts; what is sampled now must not move any more.
		z.await(25*time.Second, "each centre to have counted all calls", func() error {
			if got := at.history(began, ended, "1m"); got.Calls < made || got.Calls > made+30 {
				return fmt.Errorf("%d calls of %d", got.Calls, made)
			}
			return nil
		})
		got := at.history(began, ended, "1m")
		if i == 0 {
			first = got
		}
		if fmt.Sprint(got) != fmt.Sprint(first) {
			t.Errorf("c%d says %+v, and c1 %+v", i+1, got, first)
		}
		if fine := at.history(began, ended, "10s"); fine.Calls != first.Calls {
			t.Errorf("c%d: %d calls in slots of 10 s, %d in minutes", i+1, fine.Calls, first.Calls)
		}
	}
	t.Logf("%d calls made, %d counted at each centre, p99 %v", made, first.Calls, first.P99)
	for i, at := range z.all {
		if got := at.tables(); got != z.tables() || got.Calls != first.Calls || got.Callers != 3 || got.Partial {
			t.Errorf("c%d adds up %+v in its tables, c1 %+v, of %d calls", i+1, got, z.tables(), first.Calls)
		}
	}
}

// A centre is killed. Its agent goes to another centre and is listed once; one that knows no other is listed as not connected by all
// that are left, and again as connected when the centre is back, which knows then what was called meanwhile.
func TestCenterKilledAmongOthers(t *testing.T) {
	t.Parallel()
	z := startTogether(t, 3)
	z.put("feed-cache", redisSpec(cacheAt(t, "yf"), cacheAt(t, "tc")))
	began := time.Now()
	app := call(t, z.agentAt("web-1", 1), "feed-cache")
	roamer := call(t, z.agentAt("web-2", 2, 3), "feed-cache")
	call(t, z.agentAt("web-3", 3), "feed-cache")
	z.agree(10*time.Second, "each centre to list all agents", "web-1@c1 web-2@c2 web-3@c3", "web-1@c1 web-2@c3 web-3@c3")
	// What its own agent reports to the centre that is killed is not on its disk yet, and the others have it.
	z.await(30*time.Second, "a report of the agent whose centre is killed", func() error {
		if got := z.history(began, time.Now(), "10s", "&agent=web-3"); got.Calls < 1000 {
			return fmt.Errorf("%d calls", got.Calls)
		}
		return nil
	})

	last := z.all[2].center
	killed := time.Now()
	last.Kill()
	z.agree(5*time.Second, "the agent at another centre, once", "web-1@c1 web-2@c2 web-3@c3", "web-1@c1 web-2@c2 -web-3")
	t.Logf("the agent that could is elsewhere %v after its centre was killed", time.Since(killed).Round(time.Millisecond))
	z.agree(20*time.Second, "the agent that has no other centre not to be connected", "web-1@c1 web-2@c2 -web-3")
	t.Logf("the other one is known not to be connected after %v", time.Since(killed).Round(time.Millisecond))
	app.unharmed(t, "while a centre was killed")
	roamer.unharmed(t, "while its centre was killed")

	// One that starts late hears of it too.
	z.all[1].center.Kill()
	z.all[1].center.Restart()
	z.agree(15*time.Second, "a centre that starts anew to know them all", "web-1@c1 web-2@c2 -web-3")

	last.Restart()
	back := time.Now()
	z.agree(20*time.Second, "all agents again", "web-1@c1 web-2@c2 web-3@c3", "web-1@c1 web-2@c3 web-3@c3")
	z.await(20*time.Second, "the history of the time without the centre", func() error {
		there, here := z.all[2].history(began, back, "10s"), z.all[0].history(began, back, "10s")
		if here.Calls < 1000 || there.Calls != here.Calls || fmt.Sprint(there.P99) != fmt.Sprint(here.P99) {
			return fmt.Errorf("%+v, and %+v at a centre that was there", there, here)
		}
		return nil
	})
	z.await(20*time.Second, "operations and callers of the time without the centre", func() error {
		there, here := z.all[2].tables(), z.all[0].tables()
		if here.Calls < 1000 || there.Calls != here.Calls || there.Callers != here.Callers || there.Partial {
			return fmt.Errorf("%+v, and %+v at a centre that was there", there, here)
		}
		return nil
	})
}

// A plan whose canary is linked to another centre than the one that carries the plan out: its acknowledgement is waited for, and its
// calls make a guard take the plan back.
func TestGuardSeesCanaryOfAnotherCenter(t *testing.T) {
	t.Parallel()
	z := startTogether(t, 2) // c1 was first, and leads
	z.put("feed-cache", redisSpec(cacheAt(t, "yf"), cacheAt(t, "tc")))
	safe := call(t, z.agentAt("web-1", 1), "feed-cache")
	canary := call(t, z.agentAt("web-2", 2), "feed-cache")
	z.agree(10*time.Second, "each centre to list all agents", "web-1@c1 web-2@c2")
	z.settled("web-1", "web-2")
	plan := `{"name": "bad", "why": "test", "for": "10m",
		"steps": [{"type": "fault", "resource": "feed-cache", "error": "ERR injected"}],
		"stages": [{"name": "canary", "agents": ["web-2"], "bake": "20s"}, {"name": "all", "share": "100%"}],
		"guards": {"errors": "1%"}}`
	var made struct{ ID string }
	z.get("POST", "/v1/plans", plan, &made)
	z.await(30*time.Second, "calls to compare with", func() error {
		if canary.calls.Load() < 1000 {
			return fmt.Errorf("%d", canary.calls.Load())
		}
		return nil
	})
	time.Sleep(12 * time.Second) // which are reported every 10 s
	z.center.Must("POST", "/v1/plans/"+made.ID+"/run", `{"why": "test"}`)
	z.await(60*time.Second, "the guard to take the plan back", func() error {
		for _, at := range z.all {
			var p struct {
				State, Reason string
				Steps         []struct {
					Stages []struct {
						Name        string
						Of, Applied int
					}
				}
				Stages []struct {
					Name        string
					Of, Applied int
				}
			}
			at.get("GET", "/v1/plans/"+made.ID, "", &p)
			if p.State != "failed" || !strings.Contains(p.Reason, "guard errors") || len(p.Stages) == 0 || p.Stages[0].Applied != 1 || p.Stages[0].Of != 1 {
				return fmt.Errorf("%+v", p)
			}
		}
		return nil
	})
	if canary.errors.Load() == 0 {
		t.Error("the canary's calls did not fail: nothing was tested")
	}
	if n := safe.errors.Load(); n > 0 {
		t.Errorf("%d calls failed at the agent that the canary was to save: %s", n, *safe.lastError.Load())
	}
	z.await(5*time.Second, "the canary to be well again", func() error { return canary.answeredBy("yf") })
}
