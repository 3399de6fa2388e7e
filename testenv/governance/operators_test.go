package governance

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// One of two agents cannot use what the centre says: the centre shows which, where and why; that agent goes on with what it had,
// the other one has the new version. What stood in the way goes, and so does the refusal.
func TestConfigRefusedByOne(t *testing.T) {
	t.Parallel()
	yf, tc := cacheAt(t, "yf"), cache(t, "tc", server.Redis{Password: "sesame"}).Addr
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	l := newLab(t)
	l.put("feed-cache", redisSpec(yf, yf))
	l.put("second", redisSpec(yf, yf))
	able := l.agentEnv([]string{"CACHE_PW=sesame"}, "web-1", "feed-cache", "second")
	// web-2 has no CACHE_PW, and somebody else listens where it should.
	unable := l.agentEnv(nil, "web-2", "feed-cache", "second@"+taken.Addr().String())
	app := call(t, unable, "feed-cache")
	refusal := func(resource string) (string, string) {
		for _, r := range l.agents()["web-2"].Refused {
			if r.Resource == resource {
				return r.Path, r.Message
			}
		}
		return "", ""
	}
	l.await(5*time.Second, "the refusal of the address", func() error {
		if path, message := refusal("second"); path != "listen" || !strings.Contains(message, "address already in use") {
			return fmt.Errorf("%+v", l.agents()["web-2"])
		}
		return nil
	})

	l.put("feed-cache", fmt.Sprintf("kind: redis\nsettings: { login: { password: \"${env:CACHE_PW}\" } }\ngroups: { tc: { endpoints: [%q] } }\n", tc))
	l.await(5*time.Second, "the refusal of the password", func() error {
		path, message := refusal("feed-cache")
		if !strings.Contains(message, "login") || !strings.Contains(message, "the environment variable CACHE_PW is not set") {
			return fmt.Errorf("%q %q", path, message)
		}
		return nil
	})
	other := call(t, able, "feed-cache")
	l.await(5*time.Second, "the new version at the agent that can use it", func() error { return other.answeredBy("tc") })
	l.settled("web-1")
	if err := app.answeredBy("yf"); err != nil {
		t.Errorf("the old version: %v", err)
	}
	app.unharmed(t, "at the agent that refused")
	var line struct {
		Health, Why string
		Agents      struct{ Total, Applied, Refused int }
	}
	l.get("GET", "/v1/resources/feed-cache", "", &line)
	if line.Health != "warn" || !strings.Contains(line.Why, "refused") || line.Agents.Refused != 1 || line.Agents.Applied != 1 {
		t.Errorf("the centre says %+v", line)
	}

	taken.Close()
	l.put("feed-cache", redisSpec(yf, yf))
	l.await(8*time.Second, "nothing to be refused any more", func() error {
		if a := l.agents()["web-2"]; len(a.Refused) > 0 || a.Behind {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
	second := call(t, unable, "second")
	l.await(5*time.Second, "the resource whose address was taken", func() error { return second.answeredBy("yf") })
	app.unharmed(t, "in the end")
}

// Two operators change the same version of a document at once: one of them is told so each time, and nothing is lost.
func TestTwoOperators(t *testing.T) {
	t.Parallel()
	yf, tc := cacheAt(t, "yf"), cacheAt(t, "tc")
	l := newLab(t)
	l.put("feed-cache", redisSpec(yf, tc))
	agent := l.agent("web-1", "yf", "", "feed-cache")
	l.settled("web-1")
	app := call(t, agent, "feed-cache")
	const rounds = 15
	for round := range rounds {
		var now struct{ ETag string }
		l.get("GET", "/v1/resources/feed-cache", "", &now)
		var codes [2]int
		var all sync.WaitGroup
		for i := range codes {
			all.Go(func() {
				doc := strings.Replace(redisSpec(yf, tc), "team: feed", fmt.Sprintf("team: feed, by: operator-%d-%d", i, round), 1)
				code, body, err := l.center.Call(http.MethodPut, fmt.Sprintf("/v1/resources/feed-cache?why=%d-%d", i, round), doc, "If-Match", now.ETag)
				if err != nil || code != 200 && code != http.StatusPreconditionFailed {
					t.Errorf("round %d: %d %s %v", round, code, body, err)
				}
				codes[i] = code
			})
		}
		all.Wait()
		winner := slices.Index(codes[:], 200)
		if winner < 0 || codes[1-winner] != http.StatusPreconditionFailed {
			t.Fatalf("round %d: %v, want one 200 and one 412", round, codes)
		}
		var after struct{ Labels map[string]string }
		l.get("GET", "/v1/resources/feed-cache", "", &after)
		if want := fmt.Sprintf("operator-%d-%d", winner, round); after.Labels["by"] != want {
			t.Errorf("round %d: %s won and %s is there", round, want, after.Labels["by"])
		}
	}
	var history struct{ Versions []json.RawMessage }
	l.get("GET", "/v1/resources/feed-cache/history", "", &history)
	if len(history.Versions) != rounds+1 {
		t.Errorf("%d versions in the history, want %d", len(history.Versions), rounds+1)
	}
	l.settled("web-1")
	app.unharmed(t, "while two operators fought")
}

// Several clients give and undo commands at once. In the end every agent has what the centre lists, no more and no less.
func TestCommandsAtOnce(t *testing.T) {
	t.Parallel()
	yf, tc := cacheAt(t, "yf"), cacheAt(t, "tc")
	l := newLab(t)
	l.put("feed-cache", redisSpec(yf, tc))
	agents := []*server.AgentProcess{l.agent("web-1", "yf", "", "feed-cache"), l.agent("web-2", "tc", "", "feed-cache")}
	l.settled("web-1", "web-2")
	apps := []*caller{call(t, agents[0], "feed-cache"), call(t, agents[1], "feed-cache")}
	const clients, each = 4, 12
	var mu sync.Mutex
	stays := map[string]bool{}
	var all sync.WaitGroup
	for client := range clients {
		all.Go(func() {
			var mine []string
			for i := range each {
				body := fmt.Sprintf(`{"type": "switch", "select": {"name": "feed-*"}, "weights": {"tc": %d}, "why": "client %d"}`, 10*client+i+1, client)
				code, answer, err := l.center.Call(http.MethodPost, "/v1/commands", body)
				var c struct{ ID string }
				if err != nil || code != http.StatusCreated || json.Unmarshal([]byte(answer), &c) != nil {
					t.Errorf("client %d: %d %s %v", client, code, answer, err)
					return
				}
				mine = append(mine, c.ID)
				if i%3 == 0 {
					continue
				}
				undo := mine[len(mine)-1-i%2]
				mine = slices.DeleteFunc(mine, func(id string) bool { return id == undo })
				if code, answer, err := l.center.Call(http.MethodDelete, "/v1/commands/"+undo, ""); err != nil || code != http.StatusOK {
					t.Errorf("client %d: undo %s: %d %s %v", client, undo, code, answer, err)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for _, id := range mine {
				stays[id] = true
			}
		})
	}
	all.Wait()
	var list struct{ Commands []struct{ ID string } }
	l.get("GET", "/v1/commands", "", &list)
	want := map[string]bool{}
	for _, c := range list.Commands {
		want[c.ID] = true
	}
	if fmt.Sprint(want) != fmt.Sprint(stays) {
		t.Errorf("the centre lists %v, and the clients left %v", want, stays)
	}
	for _, a := range agents {
		l.await(5*time.Second, "the agent to have what the centre lists", func() error {
			s, err := statusOf(a)
			got := map[string]bool{}
			for _, c := range s.Commands {
				got[c.ID] = true
			}
			if err == nil && fmt.Sprint(got) != fmt.Sprint(want) {
				err = fmt.Errorf("the agent has %v and the centre %v", got, want)
			}
			return err
		})
	}
	l.settled("web-1", "web-2")
	for _, app := range apps {
		app.unharmed(t, "while commands came and went")
	}
}
