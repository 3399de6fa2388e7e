package governance

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// endpointLine is what the centre says of an endpoint.
type endpointLine struct {
	Group, Address, State, Detail, Origin string
	Protected                             bool
}

func (l *lab) endpoints(resource string) map[string]endpointLine {
	l.Helper()
	var out struct{ Endpoints []endpointLine }
	l.get("GET", "/v1/resources/"+resource+"/endpoints", "", &out)
	by := make(map[string]endpointLine)
	for _, e := range out.Endpoints {
		by[e.Address] = e
	}
	return by
}

// replicated starts a Redis that says that it is in yf, with replicas that know it too.
func replicated(t *testing.T, replicas int) (primary string, others []string) {
	t.Helper()
	servers := server.Start(t, server.Redis{Replicas: replicas})
	c := redis.NewClient(&redis.Options{Addr: servers.Primary.Addr})
	defer c.Close()
	if err := c.Set(t.Context(), "where", "yf", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Wait(t.Context(), replicas, 5*time.Second).Result(); err != nil || n != int64(replicas) {
		t.Fatalf("%d replicas have it, %v", n, err)
	}
	for _, r := range servers.Replicas {
		others = append(others, r.Addr)
	}
	return servers.Primary.Addr, others
}

// Two agents vouch for all endpoints of a group and are killed at once, although what they vouched for still serves. The group
// is not emptied: the endpoints are held and shown so, and the application notices nothing. A document cannot empty it either.
func TestGroupEmptied(t *testing.T) {
	t.Parallel()
	a, b := replicated(t, 1)
	l := labOf(t, server.Center{Name: "c1", Config: "center:\n  protection: { grace: 2s }\n"})
	export := func(addr string) string {
		return fmt.Sprintf("  exports: [{ resource: feed-cache, kind: redis, group: yf, address: %q }]\n", addr)
	}
	l.put("own", "kind: redis\ngroups: { yf: { endpoints: [\""+a+"\"] } }\n")
	first := l.agent("cache-1", "yf", export(a), "own")
	second := l.agent("cache-2", "yf", export(b[0]), "own")
	l.settled("cache-1", "cache-2")
	l.await(5*time.Second, "both to be registered", func() error {
		status, body, err := l.center.Call(http.MethodGet, "/v1/resources/feed-cache/endpoints", "")
		if err != nil || !strings.Contains(body, a) || !strings.Contains(body, b[0]) {
			return fmt.Errorf("%d %s %v", status, body, err)
		}
		return nil
	})
	agent := l.agent("web-1", "yf", "", "feed-cache")
	l.settled("web-1")
	app := call(t, agent, "feed-cache")
	l.await(5*time.Second, "the cache to answer", func() error { return app.answeredBy("yf") })

	// A centre that starts knows nothing of what agents export until they have told it, and must not take it for gone: not either
	// when it has to tell the agent everything, since something changed that the agent was not told of.
	l.put("other", redisSpec(a, b[0]))
	first.Pause()
	second.Pause()
	before := l.agents()["web-1"]
	l.center.Restart()
	l.await(5*time.Second, "the agent that calls to be back, before those that export", func() error {
		if w := l.agents()["web-1"]; !w.Connected || w.Since.Equal(before.Since) {
			return fmt.Errorf("%+v", w)
		}
		return nil
	})
	app.unharmed(t, "while the centre does not know what is exported")
	first.Continue()
	second.Continue()
	l.await(5*time.Second, "the agents to be linked again", func() error {
		for _, a := range []*server.AgentProcess{first, second, agent} {
			if err := linked(a); err != nil {
				return err
			}
		}
		return nil
	})
	l.settled("cache-1", "cache-2", "web-1")
	app.unharmed(t, "after the centre started anew")

	first.Kill()
	second.Kill()
	l.await(5*time.Second, "the endpoints to be held", func() error {
		all := l.endpoints("feed-cache")
		for _, addr := range []string{a, b[0]} {
			if e := all[addr]; !e.Protected || e.State != "up" {
				return fmt.Errorf("%s: %+v", addr, e)
			}
		}
		return nil
	})
	var line struct {
		Health, Why string
		Groups      []struct {
			Name      string
			Protected bool
		}
	}
	l.get("GET", "/v1/resources/feed-cache", "", &line)
	if line.Health != "warn" || !strings.Contains(line.Why, "held") || len(line.Groups) != 1 || !line.Groups[0].Protected {
		t.Errorf("the centre says %+v", line)
	}
	app.unharmed(t, "while the group is held")

	first.Restart()
	second.Restart()
	l.await(5*time.Second, "the endpoints to be held no more", func() error {
		for addr, e := range l.endpoints("feed-cache") {
			if e.Protected {
				return fmt.Errorf("%s: %+v", addr, e)
			}
		}
		return nil
	})
	app.unharmed(t, "after the agents are back")
}

// A document that leaves nothing that could be called is not put in force: the last good version stays at the agents, also when
// the centre starts anew, and the centre says so until there is a better one.
func TestDocumentEmptiesAGroup(t *testing.T) {
	t.Parallel()
	yf, tc := cacheAt(t, "yf"), cacheAt(t, "tc")
	l := labOf(t, server.Center{Name: "c1", Config: "center:\n  protection: { grace: 1s }\n"})
	l.put("feed-cache", redisSpec(yf, tc))
	agent := l.agent("web-1", "yf", "", "feed-cache")
	l.settled("web-1")
	app := call(t, agent, "feed-cache")
	l.await(5*time.Second, "yf to answer", func() error { return app.answeredBy("yf") })
	shown := func(health, why string) {
		t.Helper()
		l.await(5*time.Second, "the centre to say that it is "+health, func() error {
			var line struct{ Health, Why string }
			l.get("GET", "/v1/resources/feed-cache", "", &line)
			if line.Health != health || !strings.Contains(line.Why, why) {
				return fmt.Errorf("%+v", line)
			}
			return nil
		})
	}
	for name, doc := range map[string]string{
		"a group":   "kind: redis\ngroups:\n  yf: { weight: 100, endpoints: [] }\n  tc: { weight: 0, endpoints: [\"" + tc + "\"] }\n",
		"no groups": "kind: redis\ngroups: {}\n",
		"all empty": "kind: redis\ngroups:\n  yf: { weight: 100 }\n",
	} {
		l.put("feed-cache", doc)
		shown("bad", "the newest version is not in force")
		if err := app.answeredBy("yf"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		app.unharmed(t, "with a document that empties "+name)
	}
	l.center.Restart()
	shown("bad", "the newest version is not in force")
	l.await(5*time.Second, "the agent to be linked again", func() error { return linked(agent) })
	shown("bad", "the newest version is not in force")
	app.unharmed(t, "after the centre started anew with such a document")
	l.put("feed-cache", redisSpec(tc, yf))
	l.await(5*time.Second, "a better version", func() error { return app.answeredBy("tc") })
	l.settled("web-1")
	app.unharmed(t, "with a better version")
}

// Twenty changes a second of a group's endpoints, for five seconds: no call fails.
func TestEndpointChurn(t *testing.T) {
	primary, addrs := replicated(t, 3)
	l := newLab(t)
	doc := func(i int) string { // the primary and two of three replicas, which move on
		return fmt.Sprintf("kind: redis\npolicy: { reads: replica }\ngroups: { yf: { endpoints: [%q, %q, %q] } }\n", primary, addrs[i%3], addrs[(i+1)%3])
	}
	l.put("feed-cache", doc(0))
	agent := l.agent("web-1", "yf", "", "feed-cache")
	l.settled("web-1")
	app := call(t, agent, "feed-cache")
	l.await(5*time.Second, "calls", func() error { return app.answeredBy("yf") })
	app.unharmed(t, "before")
	calm := app.p99()
	app.forget()

	before := l.agents()["web-1"].Revision
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	const changes = 100
	start := time.Now()
	for i := range changes {
		<-tick.C
		l.put("feed-cache", doc(i+1))
	}
	took := time.Since(start)
	l.settled("web-1")
	app.unharmed(t, "during the churn")
	t.Logf("%d changes in %v; p99 %v before and %v during them, %d calls", changes, took.Round(time.Millisecond), calm, app.p99(), app.calls.Load())
	if took > 8*time.Second {
		t.Errorf("%d changes took %v: that is no churn of twenty a second", changes, took)
	}
	if got := l.agents()["web-1"].Revision; got < before+changes {
		t.Errorf("the agent went from revision %d to %d in %d changes", before, got, changes)
	}
	l.await(5*time.Second, "the endpoints of the last document, and no others, to be up", func() error {
		all := l.endpoints("feed-cache")
		if len(all) != 3 || all[primary].State != "up" || all[addrs[changes%3]].State != "up" || all[addrs[(changes+1)%3]].State != "up" {
			return fmt.Errorf("%+v", all)
		}
		return nil
	})
}

// A new version of a service that agents export is brought out in stages: who has it and who has not yet find the same servers,
// also one that comes meanwhile.
func TestReleaseOfWhatAgentsExport(t *testing.T) {
	t.Parallel()
	a, b := replicated(t, 1)
	l := labOf(t, server.Center{Name: "c1", Config: "center:\n  protection: { grace: 2s }\n"}) // until then a centre that starts withholds what agents export
	export := func(addr string) string {
		return fmt.Sprintf("  exports: [{ resource: feed-cache, kind: redis, group: yf, address: %q }]\n", addr)
	}
	l.put("own", "kind: redis\ngroups: { yf: { endpoints: [\""+a+"\"] } }\n")
	l.agent("cache-1", "yf", export(a), "own")
	l.put("feed-cache", "kind: redis\npolicy: { timeout: 5s }\n")
	canary, other := l.agent("web-1", "yf", "", "feed-cache"), l.agent("web-2", "yf", "", "feed-cache")
	l.settled("cache-1", "web-1", "web-2")
	early, late := call(t, canary, "feed-cache"), call(t, other, "feed-cache")
	for _, app := range []*caller{early, late} {
		l.await(10*time.Second, "the cache to answer", func() error { return app.answeredBy("yf") })
	}

	runs := func(agent *server.AgentProcess, timeout string, addresses ...string) error {
		status, config, err := agent.Call(http.MethodGet, "/v1/resources/feed-cache/config", "")
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("%d %s %v", status, config, err)
		}
		for _, want := range append(addresses, `"timeout":"`+timeout+`"`) {
			if !strings.Contains(config, want) {
				return fmt.Errorf("%s is not in %s", want, config)
			}
		}
		return nil
	}
	l.center.Must("PUT", "/v1/resources/feed-cache/draft?why=test", "kind: redis\npolicy: { timeout: 3s }\n")
	l.center.Must("POST", "/v1/resources/feed-cache/publish", `{"why": "test", "stages": [{"name": "canary", "agents": ["web-1"], "bake": "10m"}, {"share": "100%"}]}`)
	l.await(20*time.Second, "the canary alone to have the new version", func() error {
		return errors.Join(runs(canary, "3s", a), runs(other, "5s", a))
	})
	l.agent("cache-2", "yf", export(b[0]), "own")
	l.await(20*time.Second, "both to find the server that came meanwhile", func() error {
		return errors.Join(runs(canary, "3s", a, b[0]), runs(other, "5s", a, b[0]))
	})
	early.unharmed(t, "at the canary")
	late.unharmed(t, "at the agent that has the version before")
}
