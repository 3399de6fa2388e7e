package control

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mesh/sluice/resources"
)

func TestAddUndoAndReopen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	want := resources.Command{
		Type: resources.CommandSwitch, Resource: "feed-cache", Percent: 100, Match: resources.Match{Class: "read"},
		Weights: map[string]int{"yf": 30, "tc": 70}, Author: "ana@host", Why: "tc is closer",
	}
	expires := time.Now().Add(time.Hour)
	want.Expires = &expires
	a := mustAdd(t, s, want)
	b := mustAdd(t, s, degrade("feed-cache", 0))
	c := mustAdd(t, s, degrade("orders-db", 0))
	if !regexp.MustCompile(`^c-[0-9a-f]{6}$`).MatchString(a.ID) || a.Created.IsZero() {
		t.Fatalf("added %+v: want a short id and a time", a)
	}
	if got := ids(s.Commands("feed-cache")); !slices.Equal(got, []string{a.ID, b.ID}) {
		t.Fatalf("commands %v, want oldest first: %s %s", got, a.ID, b.ID)
	}
	if got := s.Commands(""); len(got) != 3 {
		t.Fatalf("all commands: %d, want 3", len(got))
	}
	if _, err := s.Undo(b.ID); err != nil {
		t.Fatal(err)
	}
	before, revision := s.Commands(""), s.Revision()
	if revision != 4 {
		t.Fatalf("revision %d after 4 changes", revision)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Add(degrade("x", 0)); !errors.Is(err, ErrClosed) {
		t.Fatalf("Add after Close: %v", err)
	}

	s = open(t, dir)
	if diff := cmp.Diff(before, s.Commands("")); diff != "" {
		t.Fatalf("after reopening (-before +after):\n%s", diff)
	}
	if s.Revision() != revision || s.Problems() != nil {
		t.Fatalf("reopened with revision %d, problems %v", s.Revision(), s.Problems())
	}
	_, err := s.Undo("c-zzzzzz")
	if !errors.Is(err, ErrNotFound) {
		t.Fatalf("undo of an unknown id: %v", err)
	}
	for _, id := range []string{"c-zzzzzz", a.ID, c.ID} {
		if !strings.Contains(err.Error(), id) {
			t.Fatalf("%q does not name %s", err, id)
		}
	}
}

func TestUndoWhenNothingIsActive(t *testing.T) {
	s := open(t, t.TempDir())
	_, err := s.Undo("c-000000")
	if err == nil || err.Error() != `undo: command "c-000000" not found: no command is active` {
		t.Fatal(err)
	}
}

func TestFilesArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	mustAdd(t, s, degrade("a", 0))
	mustAdd(t, s, degrade("a", 0))
	if err := s.PutResource("a", []byte("kind: redis")); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
		names = append(names, e.Name())
	}
	if want := []string{"commands.json", "commands.json.1", "resources.json"}; !slices.Equal(names, want) {
		t.Errorf("files %v, want %v", names, want)
	}
}

func TestReturnedCommandsAreTheCallersOwn(t *testing.T) {
	s := open(t, t.TempDir())
	given := degrade("a", time.Hour)
	given.Weights = map[string]int{"x": 1}
	c := mustAdd(t, s, given)
	given.Weights["x"] = 2
	c.Weights["x"] = 3
	*c.Expires = time.Time{}
	got := s.Commands("a")[0]
	got.Weights["x"] = 4
	if got := s.Commands("a")[0]; got.Weights["x"] != 1 || got.Expires.IsZero() {
		t.Fatalf("a caller's change got into the store: %+v", got)
	}
}

func TestAddRefuses(t *testing.T) {
	s := open(t, t.TempDir())
	past := time.Now().Add(-time.Second)
	c := degrade("a", 0)
	c.Expires = &past
	if _, err := s.Add(c); err == nil || !strings.Contains(err.Error(), "in the past") {
		t.Errorf("expired command: %v", err)
	}
	if _, err := s.Add(degrade("", 0)); err == nil {
		t.Error("a command without a resource was taken")
	}
	if s.Revision() != 0 || len(s.Commands("")) != 0 {
		t.Error("a refused command changed the store")
	}
}

func TestMostCommands(t *testing.T) {
	s := open(t, t.TempDir())
	s.mu.Lock()
	for range MostCommands {
		s.active = append(s.active, entry{command: degrade("a", 0)})
	}
	s.mu.Unlock()
	if _, err := s.Add(degrade("a", 0)); err == nil || !strings.Contains(err.Error(), "1000 commands are active") {
		t.Fatal(err)
	}
}

func TestExpiry(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, dir)
		var mu sync.Mutex
		var changed []string
		s.OnChange(func(resource string) {
			s.Commands(resource) // no lock is held: this must not deadlock
			mu.Lock()
			defer mu.Unlock()
			changed = append(changed, resource)
		})
		later := mustAdd(t, s, degrade("a", time.Minute))
		sooner := mustAdd(t, s, degrade("b", 10*time.Second))
		stays := mustAdd(t, s, degrade("c", 0))
		step := func(d time.Duration, want ...string) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if got := ids(s.Commands("")); !slices.Equal(got, want) {
				t.Fatalf("active %v, want %v", got, want)
			}
		}
		step(10*time.Second-1, later.ID, sooner.ID, stays.ID)
		step(1, later.ID, stays.ID)
		revision := s.Revision()
		step(50*time.Second-1, later.ID, stays.ID)
		step(1, stays.ID)
		step(100*time.Hour, stays.ID)
		if s.Revision() != revision+1 {
			t.Errorf("expiry moved the revision from %d to %d", revision, s.Revision())
		}
		mu.Lock()
		defer mu.Unlock()
		if want := []string{"a", "b", "c", "b", "a"}; !slices.Equal(changed, want) {
			t.Errorf("OnChange for %v, want %v", changed, want)
		}
	})
	if got := open(t, dir).Commands(""); len(got) != 1 {
		t.Errorf("expiry is not on disk: %v", ids(got))
	}
}

func TestExpiryGoesOnAfterARestart(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, dir)
		mustAdd(t, s, degrade("down", 10*time.Second))
		kept := mustAdd(t, s, degrade("up", time.Minute))
		s.Close()
		time.Sleep(30 * time.Second)
		log := &logBuffer{}
		s = openLogged(t, dir, log)
		if got := ids(s.Commands("")); !slices.Equal(got, []string{kept.ID}) {
			t.Fatalf("after 30 s down: %v, want %s", got, kept.ID)
		}
		if !strings.Contains(log.String(), "expired while the agent was down") {
			t.Errorf("log says %q", log)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if got := s.Commands(""); len(got) != 0 {
			t.Fatalf("after its minute it is still active: %v", ids(got))
		}
	})
}

// A wall clock that was set back by a day while the agent was down must not give a ten-minute command a day.
func TestWallClockSetBack(t *testing.T) {
	now := time.Now()
	created, expires := now.Add(24*time.Hour), now.Add(24*time.Hour+10*time.Minute)
	got := ends(resources.Command{Created: created, Expires: &expires}, now)
	if left := got.Sub(now); left != 10*time.Minute {
		t.Fatalf("left %v, want 10m", left)
	}
}

func TestExpiryHoldsThoughTheDiskIsFull(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		log := &logBuffer{}
		s := openLogged(t, dir, log)
		mustAdd(t, s, degrade("a", time.Second))
		s.writing.Lock()
		s.commands.step = failAt("write")
		s.writing.Unlock()
		time.Sleep(time.Second)
		synctest.Wait()
		if got := s.Commands("a"); len(got) != 0 {
			t.Fatalf("still active: %v", ids(got))
		}
		if !strings.Contains(log.String(), "cannot be written") {
			t.Errorf("log says %q", log)
		}
	})
}

func TestResources(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	steps := []error{
		s.PutResource("feed-cache", []byte("kind: redis\n")),
		s.PutResource("orders-db", []byte(`{"kind":"mysql"}`)),
		s.PutResource("feed-cache", []byte("kind: redis # changed\n")),
		s.DeleteResource("orders-db"),
		s.PutResource("gone", []byte("x")),
		s.ForgetResource("gone"),
	}
	if err := errors.Join(steps...); err != nil {
		t.Fatal(err)
	}
	check := func(s *Store) {
		t.Helper()
		got := s.Resources()
		if len(got) != 2 || got[0].Name != "feed-cache" || string(got[0].Data) != "kind: redis # changed\n" || got[0].Deleted ||
			got[1].Name != "orders-db" || !got[1].Deleted || got[1].Data != nil || got[1].Changed.IsZero() {
			t.Fatalf("resources %+v", got)
		}
		if s.Revision() != 6 {
			t.Fatalf("revision %d after 6 changes", s.Revision())
		}
	}
	check(s)
	s.Close()
	s = open(t, dir)
	check(s)
	s.Close()
	if err := s.PutResource("x", nil); !errors.Is(err, ErrClosed) {
		t.Fatalf("put after close: %v", err)
	}
}

func TestConcurrentUse(t *testing.T) {
	s := open(t, t.TempDir())
	var calls sync.Map
	s.OnChange(func(r string) { calls.Store(r, len(s.Commands(r))) })
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d"} {
		wg.Go(func() {
			for range 5 {
				c, err := s.Add(degrade(name, time.Hour))
				if err != nil {
					t.Error(err)
					return
				}
				if err := s.PutResource(name, []byte(c.ID)); err != nil {
					t.Error(err)
				}
				if _, err := s.Undo(c.ID); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if len(s.Commands("")) != 0 || s.Revision() != 60 || len(s.Resources()) != 4 {
		t.Fatalf("%d commands, revision %d", len(s.Commands("")), s.Revision())
	}
}
