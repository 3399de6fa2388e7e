package control

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// steps are those of a save, in order. From "sync-dir" on the change is visible.
var steps = []string{"create", "write", "sync", "link", "rename-previous", "rename", "sync-dir"}

func failAt(step string) func(string) error {
	return func(at string) error {
		if at == step {
			return syscall.ENOSPC
		}
		return nil
	}
}

type crash struct{ step string }

// crashing runs f on a store that dies at a step: nothing after it runs, no clean-up either.
func crashing(t *testing.T, s *Store, step string, f func() error) {
	t.Helper()
	die := func(at string) error {
		if at == step {
			panic(crash{at})
		}
		return nil
	}
	s.commands.step, s.saved.step = die, die
	defer func() {
		if _, ok := recover().(crash); !ok {
			t.Fatalf("step %s did not run", step)
		}
	}()
	if err := f(); err != nil {
		t.Fatal(err)
	}
}

func TestCrashAtEachStep(t *testing.T) {
	for _, generations := range []int{0, 1, 2, 3} {
		for _, step := range steps {
			if generations == 0 && step == "rename-previous" {
				continue // there is no previous generation yet
			}
			t.Run(fmt.Sprintf("%d/%s", generations, step), func(t *testing.T) {
				dir := t.TempDir()
				s := open(t, dir)
				for range generations {
					mustAdd(t, s, degrade("a", 0))
					if err := s.PutResource("a", fmt.Appendf(nil, "%d", s.Revision())); err != nil {
						t.Fatal(err)
					}
				}
				old, oldResources, revision := ids(s.Commands("")), s.Resources(), s.Revision()
				crashing(t, s, step, func() error { _, err := s.Add(degrade("new", 0)); return err })
				crashing(t, s, step, func() error { return s.PutResource("a", []byte("new")) })
				s.Close()

				s = open(t, dir)
				if p := s.Problems(); p != nil {
					t.Fatalf("a crash is no damage, but: %v", p)
				}
				got := ids(s.Commands(""))
				visible := step == "sync-dir"
				if visible && (len(got) != len(old)+1 || s.Revision() <= revision) || !visible && !slices.Equal(got, old) {
					t.Fatalf("commands %v, before the crash %v", got, old)
				}
				if r := s.Resources(); !visible && len(r) != len(oldResources) || visible && string(r[0].Data) != "new" {
					t.Fatalf("resources %v, before the crash %v", r, oldResources)
				}
				c := mustAdd(t, s, degrade("after", 0))
				s.Close()
				if got := ids(open(t, dir).Commands("after")); !slices.Equal(got, []string{c.ID}) {
					t.Fatalf("the next change is %v, want %s", got, c.ID)
				}
			})
		}
	}
}

func TestWriteErrorChangesNothing(t *testing.T) {
	for _, generations := range []int{0, 1, 2} {
		for _, step := range steps {
			if generations == 0 && step == "rename-previous" {
				continue
			}
			t.Run(fmt.Sprintf("%d/%s", generations, step), func(t *testing.T) {
				dir := t.TempDir()
				s := open(t, dir)
				var last string
				for range generations {
					last = mustAdd(t, s, degrade("a", 0)).ID
					if err := s.PutResource("a", []byte("old")); err != nil {
						t.Fatal(err)
					}
				}
				called := false
				s.OnChange(func(string) { called = true })
				old, revision := ids(s.Commands("")), s.Revision()
				s.commands.step, s.saved.step = failAt(step), failAt(step)
				if _, err := s.Add(degrade("a", time.Hour)); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "not done") {
					t.Fatalf("Add: %v", err)
				}
				if last != "" {
					if _, err := s.Undo(last); !errors.Is(err, syscall.ENOSPC) {
						t.Fatalf("Undo: %v", err)
					}
				}
				if err := s.PutResource("a", []byte("new")); !errors.Is(err, syscall.ENOSPC) {
					t.Fatalf("PutResource: %v", err)
				}
				check := func(s *Store) {
					t.Helper()
					if got := ids(s.Commands("")); !slices.Equal(got, old) || s.Revision() != revision {
						t.Fatalf("commands %v at revision %d, want %v at %d", got, s.Revision(), old, revision)
					}
					if r := s.Resources(); len(r) != min(generations, 1) || len(r) == 1 && string(r[0].Data) != "old" {
						t.Fatalf("resources %v", r)
					}
				}
				check(s)
				if called {
					t.Error("OnChange was called")
				}
				s.Close()
				check(open(t, dir))
				if left, _ := filepath.Glob(filepath.Join(dir, "*.tmp")); left != nil {
					t.Errorf("left behind: %v", left)
				}
			})
		}
	}
}

// damage breaks a file in a way that a disk or a person might.
func damage(t *testing.T, path, how string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	switch how {
	case "empty":
		data = nil
	case "cut":
		data = data[:len(data)/2]
	case "bit":
		i := strings.Index(string(data), `"author"`) + 12
		data[i] ^= 1
	case "zeroes":
		clear(data)
	case "format":
		data = []byte(strings.Replace(string(data), `"format":1`, `"format":2`, 1))
	case "revision":
		data = []byte(strings.Replace(string(data), `"revision":`, `"revision":1`, 1))
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

var damages = []string{"empty", "cut", "bit", "zeroes", "format", "revision"}

func TestCorruptNewestFallsBack(t *testing.T) {
	for _, how := range damages {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			a := mustAdd(t, s, degrade("a", 0))
			mustAdd(t, s, degrade("a", 0))
			revision := s.Revision()
			s.Close()
			damage(t, filepath.Join(dir, "commands.json"), how)

			log := &logBuffer{}
			s = openLogged(t, dir, log)
			if got := ids(s.Commands("")); !slices.Equal(got, []string{a.ID}) {
				t.Fatalf("commands %v, want those of the generation before: %s", got, a.ID)
			}
			if s.Revision() <= revision {
				t.Errorf("revision %d was used before (%d)", s.Revision(), revision)
			}
			if p := s.Problems(); len(p) != 2 || !strings.Contains(p[0], "is broken") || !strings.Contains(p[1], "using this previous generation") {
				t.Errorf("problems %q", p)
			}
			if !strings.Contains(log.String(), "level=ERROR") {
				t.Errorf("log %q", log)
			}
			// The good generation must not be overwritten by the broken one at the next change.
			b := mustAdd(t, s, degrade("b", 0))
			s.Close()
			s = open(t, dir)
			if got := ids(s.Commands("")); !slices.Equal(got, []string{a.ID, b.ID}) || s.Problems() != nil {
				t.Fatalf("after the next change: %v, problems %v", got, s.Problems())
			}
			if kept, _ := filepath.Glob(filepath.Join(dir, "commands.json.broken-*")); len(kept) != 1 {
				t.Errorf("the broken file is not kept: %v", kept)
			}
		})
	}
}

func TestBothCorruptStartsEmptyAndSaysSo(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	mustAdd(t, s, degrade("a", 0))
	mustAdd(t, s, degrade("a", 0))
	if err := s.PutResource("kept", []byte("kind: redis")); err != nil {
		t.Fatal(err)
	}
	s.Close()
	damage(t, filepath.Join(dir, "commands.json"), "cut")
	damage(t, filepath.Join(dir, "commands.json.1"), "bit")

	log := &logBuffer{}
	s = openLogged(t, dir, log)
	if len(s.Commands("")) != 0 || len(s.Resources()) != 1 {
		t.Fatalf("commands %v, resources %v", s.Commands(""), s.Resources())
	}
	if p := s.Problems(); len(p) != 3 || !strings.Contains(p[2], "starting empty") || strings.Count(log.String(), "level=ERROR") != 3 {
		t.Fatalf("problems %q, log %s", p, log)
	}
	if kept, _ := filepath.Glob(filepath.Join(dir, "commands.json*broken-*")); len(kept) != 2 {
		t.Errorf("kept %v", kept)
	}
	mustAdd(t, s, degrade("a", 0))
}

func TestOpenSaysWhyItCannot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, (&logBuffer{}).logger()); err == nil || !strings.Contains(err.Error(), path) {
		t.Fatal(err)
	}
}

// The store against a model: random changes, write errors, crashes and restarts.
func TestStoreAgainstAModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp("", "control")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(dir)
		s, err := Open(dir, (&logBuffer{}).logger())
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { s.Close() }()
		var model []string
		reopen := func() {
			s.Close()
			if s, err = Open(dir, (&logBuffer{}).logger()); err != nil {
				rt.Fatal(err)
			}
		}
		for range rapid.IntRange(1, 12).Draw(rt, "changes") {
			step := rapid.SampledFrom(append([]string{"", "", ""}, steps...)).Draw(rt, "failing step")
			s.commands.step = failAt(step)
			if len(model) > 0 && rapid.Bool().Draw(rt, "undo") {
				id := rapid.SampledFrom(model).Draw(rt, "id")
				if _, err := s.Undo(id); err == nil {
					model = slices.DeleteFunc(slices.Clone(model), func(m string) bool { return m == id })
				}
			} else if c, err := s.Add(degrade("a", 0)); err == nil {
				model = append(model, c.ID)
			}
			if rapid.Bool().Draw(rt, "restart") {
				reopen()
			}
			if got := ids(s.Commands("")); !slices.Equal(got, model) {
				rt.Fatalf("commands %v, model %v", got, model)
			}
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"format":1,"revision":1,"checksum":"00000000","payload":[]}`))
	f.Add([]byte(`{"format":1,"revision":0,"checksum":"x","payload":null}`))
	f.Add([]byte{})
	path := filepath.Join(f.TempDir(), "x.json")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		var got []Saved
		if rev, err := read(path, &got); err != nil && (rev != 0 || got != nil) {
			t.Fatalf("an error, and yet revision %d and %v", rev, got)
		}
	})
}
