package agent_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestOfRacingPatchesOneWins(t *testing.T) {
	r := start(t, t.TempDir(), one, quick)
	_, h, _ := r.do("GET", "/v1/resources/cache/config", "")
	tag := h.Get("ETag")
	var mu sync.Mutex
	codes := map[int]int{}
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			code, _, _ := r.do("PATCH", "/v1/resources/cache", fmt.Sprintf(`{"policy":{"timeout":"%dms"}}`, 100+i), "If-Match", tag)
			mu.Lock()
			defer mu.Unlock()
			codes[code]++
		})
	}
	all.Wait()
	if codes[200] != 1 || codes[412] != 11 {
		t.Fatalf("%v: want one 200 and eleven 412", codes)
	}
}

// TestChangesAtOnce changes everything at the same time as calls go on: no call may fail, and in the end what runs is what
// was asked for last.
func TestChangesAtOnce(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir, one, quick)
	stop := make(chan struct{})
	var calls, changes sync.WaitGroup
	for range 3 {
		c := r.dial("cache")
		calls.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if got := c.ask("GET a"); !strings.HasPrefix(got, "ok ") {
					t.Errorf("call %d: %q", n, got)
					return
				}
			}
		})
	}
	for i := range 4 {
		changes.Go(func() {
			for range 15 {
				code, _, body := r.do("POST", "/v1/commands", `{"type":"switch","resource":"cache","weights":{"tc":50,"yf":50},"for":"1m"}`)
				var c struct{ ID string }
				if json.Unmarshal([]byte(body), &c); code != 201 {
					t.Errorf("command: %d %s", code, body)
					return
				}
				if code, _, body := r.do("DELETE", "/v1/commands/"+c.ID, ""); code != 200 {
					t.Errorf("undo: %d %s", code, body)
					return
				}
			}
		})
		changes.Go(func() {
			name := fmt.Sprintf("extra-%d", i)
			for range 5 {
				code, _, body := r.do("PUT", "/v1/resources/"+name, `{"kind":"echo","listen":"127.0.0.1:0","groups":{"yf":{"endpoints":["10.0.0.3:1"]}}}`)
				if code != 201 {
					t.Errorf("put: %d %s", code, body)
					return
				}
				if code, _, body := r.do("DELETE", "/v1/resources/"+name, ""); code != 204 {
					t.Errorf("delete: %d %s", code, body)
					return
				}
			}
		})
	}
	changes.Go(func() {
		for range 10 {
			r.signals <- syscall.SIGHUP
			r.status("/v1/status")
			r.status("/metrics")
		}
	})
	changes.Wait()
	close(stop)
	calls.Wait()
	r.until("every reload was done", func() bool { return strings.Count(r.log.String(), "config read again") == 10 })
	if _, _, body := r.do("GET", "/v1/commands", ""); !strings.Contains(body, `"commands":[]`) {
		t.Errorf("commands are left: %s", body)
	}
	if got := r.dial("cache").ask("GET a"); got != "ok yf 10.0.0.1:6379" {
		t.Errorf("in the end: %q", got)
	}
	for i := range 4 {
		name := fmt.Sprintf("extra-%d", i)
		r.until("the metrics of "+name+" are gone", func() bool {
			_, _, body := r.do("GET", "/metrics", "")
			return !strings.Contains(body, name)
		})
	}
}

func TestObservationEndsWithItsResource(t *testing.T) {
	r := start(t, t.TempDir(), one, quick)
	done := make(chan string, 1)
	go func() {
		_, _, body := r.do("GET", "/v1/observe?resource=cache&match=op=GET", "")
		done <- body
	}()
	c := r.dial("cache")
	r.until("the observer saw a call", func() bool {
		c.ask("GET k")
		c.ask("SET k")
		_, _, body := r.do("GET", "/metrics", "")
		return strings.Contains(body, `op="SET"`) && len(done) == 0
	})
	if code, _, _ := r.do("DELETE", "/v1/resources/cache", ""); code != 204 {
		t.Fatalf("delete: %d", code)
	}
	select {
	case body := <-done:
		if strings.Contains(body, "SET") {
			t.Errorf("what does not match was shown: %s", body)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the stream goes on")
	}
}
