package matrix

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// wallClock are the places where the agent uses the time of day, and what for. A time of the program keeps its monotonic
// reading until one of the functions below takes it away, so that all other differences, deadlines and timers do not
// notice when somebody sets the clock.
var wallClock = map[string]string{
	"agent/admin/commands.go":                "when a command was given",
	"agent/admin/pprof.go":                   "tells until when profiling is on",
	"agent/backend.go":                       "tells when the agent started",
	"agent/console.go":                       "since when a command of Motan's console is known, on disk and for people",
	"agent/control/registered.go":            "a revision that is newer than any before it, when those cannot be read",
	"agent/control/notes.go":                 "a revision that is newer than any before it, when those cannot be read",
	"agent/control/file.go":                  "when a file was saved, and the name of a damaged one",
	"agent/control/store.go":                 "when a command was given and ends, on disk; in memory it ends by the monotonic clock",
	"agent/discovery/discoverytest/model.go": "the seed of a test",
	"agent/filter/accesslog/format.go":       "time of a line",
	"agent/filter/breaker/filter.go":         "tells since when a breaker is open",
	"agent/filter/example/filter.go":         "times of events",
	"agent/filter/tap/filter.go":             "times of events that people watch",
	"agent/filter/trace/filter.go":           "times of a span",
	"agent/filter/names.go":                  "times of events that people watch",
	"agent/runtime/status.go":                "tells since when a session is there",
	"agent/center.go":                        "tells since when an agent runs what it knew, and until when its certificate holds",
	"agent/control/center.go":                "when the centre's state was saved, by the centre's clock, on disk",
	"agent/incoming.go":                      "tells when a command ended that was over when it came, by the centre's clock",
	"agent/outgoing.go":                      "tells the centre when the agent started",
	"agent/link/clock.go":                    "what the centre's clock shows; from there on the monotonic one counts",
	"agent/link/identity.go":                 "tells of a certificate when it holds",
	"agent/link/session.go":                  "tells the centre what this clock shows",
	"agent/link/linktest/linktest.go":        "times in answers of the centre of tests",
	"internal/clock/followed.go":             "both clocks, on disk, for a start without a centre after the machine was started anew",
	"metrics/report/decoder.go":              "time of a report",
	"metrics/report/encoder.go":              "time of a report",
	"metrics/graphite/sink.go":               "time of a point",
	"metrics/otlp/span.go":                   "times of a span",
	"resources/clients.go":                   "a moment in the past, which ends a read at once",
	"resources/clock.go":                     "the time of day for drivers from outside, for people and the deadlines of connections",
	"resources/mysql/wire.go":                "a moment in the past, which ends a read at once",
	"resources/redis/connect.go":             "a moment in the past, which ends a read at once",
}

// strips are the functions that leave of a time nothing but the time of day, or make one of it.
var strips = map[string]bool{"Unix": true, "UnixNano": true, "UnixMilli": true, "UnixMicro": true, "UTC": true, "Local": true, "Wall": true}

// Row 22: the agent's clock is set, forward and back, under load. Nothing happens, and a command holds for its time.
func TestRow22ClockSet(t *testing.T) {
	right := time.Duration(0)
	l := open(t, plan{agent: server.Agent{Clock: &right}, policy: "timeout: 500ms, breaker: { errors: 50%, min-calls: 20, open: 5s }"})
	l.steady()
	const lasts = 5 * time.Second
	given := time.Now()
	if status, body, err := l.agent.Call("POST", "/v1/commands",
		fmt.Sprintf(`{"type": "degrade", "resource": "cache", "match": {"op": "KEYS"}, "why": "too slow", "for": %q}`, lasts)); err != nil || status/100 != 2 {
		t.Fatalf("POST /v1/commands: %d %s, %v", status, body, err)
	}
	c := l.dial()
	holds := func() bool {
		v, err := c.Do("KEYS", "none")
		if err != nil && !v.IsError() {
			t.Fatal(err)
		}
		return word(v) == "DEGRADED"
	}
	for _, ahead := range []time.Duration{time.Hour, -24 * time.Hour, right} {
		l.inject(func() { l.agent.SetClock(ahead) })
		l.unharmed(time.Second)
		if since := time.Since(given); !holds() && since < lasts {
			t.Errorf("with a clock that was set %v ahead, a command for %v ended after %v", ahead, lasts, since)
		}
	}
	l.inject(func() { l.agent.SetClock(-time.Hour) }) // it stays so
	l.await(time.Until(given.Add(lasts+time.Second)), "the command to end", func() error {
		if holds() {
			return errors.New("it holds")
		}
		return nil
	})
	if took := time.Since(given); took < lasts {
		t.Errorf("a command for %v ended after %v", lasts, took)
	}
	c.Close()
	l.recovers()
	l.close()
}

// Row 22, in the source: nothing but what people read depends on the time of day.
func TestRow22WallClock(t *testing.T) {
	root := filepath.Join("..", "..")
	seen := map[string]bool{}
	for _, dir := range []string{"agent", "resources", "protocols", "metrics", "internal/loop", "internal/clock"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			name, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			name = filepath.ToSlash(name)
			for _, use := range wallUses(t, path) {
				if seen[name] = true; wallClock[name] == "" {
					t.Errorf("%s: %s is the time of day: use internal/clock, or say in this test what people read it for", name, use)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name := range wallClock {
		if !seen[name] {
			t.Errorf("%s does not use the time of day any more: take it off the list", name)
		}
	}
}

// wallUses lists the calls of a file that strip a time of its monotonic reading.
func wallUses(t *testing.T, path string) []string {
	t.Helper()
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var uses []string
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if sel, ok := call.Fun.(*ast.SelectorExpr); ok && strips[sel.Sel.Name] {
			uses = append(uses, files.Position(n.Pos()).String()+" "+sel.Sel.Name)
		}
		return true
	})
	return uses
}
