package governance

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// stream is what a person who observes a resource at the centre sees.
type stream struct {
	lines chan string
	end   context.CancelFunc
}

// observe opens a stream.
func (l *lab) observe(query string) *stream {
	l.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, l.center.URL()+"/v1/observe?"+query, nil)
	if err != nil {
		l.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+l.center.Token())
	answer, err := http.DefaultClient.Do(r)
	if err != nil || answer.StatusCode != http.StatusOK {
		l.Fatalf("%v %v", answer, err)
	}
	s := &stream{make(chan string, 1<<16), cancel}
	go func() {
		defer close(s.lines)
		defer answer.Body.Close()
		for text := bufio.NewScanner(answer.Body); text.Scan(); {
			s.lines <- text.Text()
		}
	}()
	return s
}

// until reads events until one is as it should be.
func (s *stream) until(t *testing.T, what string, is func(event string, data map[string]any) bool) {
	t.Helper()
	late := time.After(15 * time.Second)
	event := ""
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				t.Fatalf("the stream ended without %s", what)
			}
			if e, ok := strings.CutPrefix(line, "event: "); ok {
				event = e
			}
			var data map[string]any
			if d, ok := strings.CutPrefix(line, "data: "); ok {
				if err := json.Unmarshal([]byte(d), &data); err != nil {
					t.Fatalf("%v in %s", err, line)
				}
				if is(event, data) {
					return
				}
			}
		case <-late:
			t.Fatalf("no %s", what)
		}
	}
}

// What an operator looks at through the centre is of all agents: live calls, sessions, operations, and what an agent runs.
func TestWatchThroughTheCenter(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.put("feed-cache", redisSpec(cacheAt(t, "yf"), cacheAt(t, "tc")))
	agents := make(map[string]*server.AgentProcess)
	for _, name := range []string{"web-1", "web-2"} {
		agents[name] = l.agent(name, "yf", "", "feed-cache")
		call(t, agents[name], "feed-cache")
	}
	l.settled("web-1", "web-2")

	s := l.observe("resource=feed-cache&match=op%3DGET")
	for name := range agents {
		s.until(t, "call of "+name, func(event string, data map[string]any) bool {
			if event == "call" && data["op"] != "GET" {
				t.Errorf("%v", data)
			}
			return event == "call" && data["agent"] == name
		})
	}
	for _, bad := range []string{"match=op", "match=color%3Dred", "slower-than=soon", "speed=3"} {
		status, body, err := l.center.Call("GET", "/v1/observe?resource=feed-cache&"+bad, "")
		if err != nil || status != http.StatusBadRequest {
			t.Errorf("%s: %d %s %v", bad, status, body, err)
		}
	}

	v := &verbs{l, server.Build(t, "github.com/sluice-mesh/sluice/cmd/sluice", false)}
	if said := v.say("observe", "feed-cache", "-n", "20"); strings.Count(said, "\n") != 20 || !strings.Contains(said, "agent=web-") {
		t.Errorf("observe printed %s", said)
	}
	v.must(v.say("get", "sessions", "feed-cache"), "web-1", "web-2")
	l.await(20*time.Second, "a report of operations", func() error {
		if said := v.say("get", "operations", "feed-cache"); !strings.Contains(said, "GET") {
			return &notYet{said}
		}
		return nil
	})
	var sessions struct {
		Sessions []struct{ Agent string }
		Silent   []string
	}
	l.get("GET", "/v1/resources/feed-cache/sessions", "", &sessions)
	if len(sessions.Sessions) != 2 || sessions.Sessions[0].Agent == sessions.Sessions[1].Agent || len(sessions.Silent) > 0 {
		t.Errorf("%+v", sessions)
	}
	var config struct {
		Resources map[string]struct{ Kind string }
	}
	l.get("GET", "/v1/agents/web-1/config", "", &config)
	if len(config.Resources) != 1 || config.Resources["feed-cache"].Kind != "redis" {
		t.Errorf("%+v", config)
	}

	agents["web-2"].Stop()
	s.until(t, "word of web-2's end", func(event string, data map[string]any) bool {
		return event == "ended" && data["agent"] == "web-2" && fmt.Sprint(data["message"]) != ""
	})
	s.until(t, "call of web-1", func(event string, data map[string]any) bool { return event == "call" && data["agent"] == "web-1" })
	agents["web-1"].Kill()
	s.until(t, "word of web-1's end", func(event string, data map[string]any) bool { return event == "ended" && data["agent"] == "web-1" })
	for range s.lines {
	}
}
