package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/resources"
)

func openCenter(t *testing.T, dir string, log *logBuffer) *Center {
	t.Helper()
	c, err := OpenCenter(dir, &clock.Followed{}, log.logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func centerState(revision uint64) CenterState {
	return CenterState{
		Cluster: "c1", Revision: revision, Wants: []string{"cache", "db"}, Refused: []string{"db"},
		Resources: []CenterResource{{Name: "cache", Revision: revision, Hash: "0011223344556677", Spec: json.RawMessage(fmt.Sprintf(`{"kind":"redis","n":%d}`, revision))}},
	}
}

func order(id, resource string, last time.Duration) resources.Command {
	c := degrade(resource, last)
	c.ID, c.Created = id, time.Now().UTC().Round(0)
	if c.Expires != nil {
		at := c.Expires.UTC().Round(0)
		c.Expires = &at
	}
	return c
}

func mustSave(t *testing.T, c *Center, s CenterState) {
	t.Helper()
	c.Put(s)
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
}

func TestTheCentresStateSurvives(t *testing.T) {
	dir, log := t.TempDir(), &logBuffer{}
	c := openCenter(t, dir, log)
	if c.Found() || !reflect.DeepEqual(c.State(), CenterState{Commands: []resources.Command{}}) {
		t.Errorf("a first start: %v %+v", c.Found(), c.State())
	}
	s := centerState(7)
	s.Commands = []resources.Command{order("g-1", "cache", time.Hour), order("g-1", "db", time.Hour), order("g-2", "cache", 0)}
	mustSave(t, c, s)
	want := c.State()
	if time.Since(want.Saved) > time.Minute || len(c.Commands("cache")) != 2 || len(c.Commands("")) != 3 {
		t.Errorf("%+v", want)
	}
	c.Close()
	if st, err := os.Stat(filepath.Join(dir, "center.json")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", st, err)
	}
	again := openCenter(t, dir, log)
	if got := again.State(); !again.Found() || !reflect.DeepEqual(got, want) {
		t.Errorf("read\n%+v, want\n%+v", got, want)
	}
	if c.Save() != ErrClosed {
		t.Error("a closed one is saved")
	}
}

func TestABrokenStateIsReplacedByTheOneBefore(t *testing.T) {
	dir := t.TempDir()
	c := openCenter(t, dir, &logBuffer{})
	mustSave(t, c, centerState(1))
	mustSave(t, c, centerState(2))
	c.Close()
	path := filepath.Join(dir, "center.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string][]byte{
		"one byte": []byte(strings.Replace(string(data), `"n":2`, `"n":3`, 1)), "cut": data[:len(data)/2], "empty": {}, "not ours": []byte("{}"),
	} {
		for _, both := range []bool{false, true} {
			if entries, err := filepath.Glob(path + "*"); err == nil {
				for _, e := range entries {
					os.Remove(e)
				}
			}
			os.WriteFile(path, damage, 0o600)
			if both {
				os.WriteFile(path+".1", damage, 0o600)
			} else { // the generation before
				f := file{dir: dir, name: "older"}
				st := centerState(1)
				st.Saved = time.Now()
				if err := f.save(1, time.Now(), st); err != nil {
					t.Fatal(err)
				}
				os.Rename(f.path(""), path+".1")
			}
			log := &logBuffer{}
			c := openCenter(t, dir, log)
			if got := c.State().Revision; both && (got != 0 || c.Found()) || !both && got != 1 {
				t.Errorf("%s, both %v: revision %d", name, both, got)
			}
			want := "using this previous generation, revision 1"
			if both {
				want = "no generation can be read: starting empty"
			}
			if !strings.Contains(log.String(), want) || len(c.Problems()) < 2 {
				t.Errorf("%s, both %v: %s", name, both, log)
			}
			c.Close()
		}
	}
}

func TestWhatCannotBeKeptHoldsAndIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logBuffer{}
		c := openCenter(t, t.TempDir(), log)
		var mu sync.Mutex
		full := true
		c.file.step = func(step string) error {
			mu.Lock()
			defer mu.Unlock()
			if full && step == "write" {
				return errors.New("no space left on device")
			}
			return nil
		}
		c.Put(centerState(3))
		if err := c.Save(); err == nil || c.Unkept() == nil || c.State().Revision != 3 {
			t.Errorf("%v, unkept %v, %+v", err, c.Unkept(), c.State())
		}
		time.Sleep(25 * time.Second)
		if strings.Count(log.String(), "cannot be kept") != 1 {
			t.Errorf("said more than once: %s", log)
		}
		mu.Lock()
		full = false
		mu.Unlock()
		time.Sleep(keepAgain + time.Second)
		if c.Unkept() != nil || !strings.Contains(log.String(), "kept again") {
			t.Errorf("%v: %s", c.Unkept(), log)
		}
	})
}

func TestTheCentresCommandsEndByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		c := openCenter(t, dir, &logBuffer{})
		told := make(chan string, 10)
		c.OnChange(func(resource string) { told <- resource })
		s := centerState(1)
		s.Commands = []resources.Command{order("g-1", "cache", time.Minute), order("g-1", "db", time.Minute), order("g-2", "cache", 0), order("g-3", "cache", -time.Second)}
		past := s.Commands[0].Created.Add(-time.Second)
		s.Commands[3].Expires, s.Commands[3].Created = &past, past.Add(-time.Hour)
		mustSave(t, c, s)
		if got := ids(c.Commands("")); !reflect.DeepEqual(got, []string{"g-1", "g-1", "g-2"}) {
			t.Errorf("in force: %v", got)
		}
		before := c.Changes()
		time.Sleep(59 * time.Second)
		if len(told) != 0 {
			t.Error("too early")
		}
		time.Sleep(2 * time.Second)
		if got := ids(c.Commands("")); !reflect.DeepEqual(got, []string{"g-2"}) || c.Changes() == before {
			t.Errorf("after its time: %v", got)
		}
		if a, b := <-told, <-told; a != "cache" || b != "db" {
			t.Errorf("told of %s, %s", a, b)
		}
		c.Close()
		again := openCenter(t, dir, &logBuffer{})
		if got := ids(again.Commands("")); !reflect.DeepEqual(got, []string{"g-2"}) {
			t.Errorf("after a restart: %v", got)
		}
	})
}

// A command that is told again keeps its end; one that was given a new end gets it.
func TestACommandThatIsToldAgainKeepsItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCenter(t, t.TempDir(), &logBuffer{})
		s := centerState(1)
		s.Commands = []resources.Command{order("g-1", "cache", time.Minute)}
		c.Put(s)
		first := c.ends["g-1 cache"]
		time.Sleep(30 * time.Second)
		c.Put(s)
		if c.ends["g-1 cache"] != first {
			t.Error("another end")
		}
		later := s.Commands[0].Expires.Add(time.Hour)
		s.Commands[0].Expires = &later
		c.Put(s)
		if got := c.ends["g-1 cache"].at.Sub(first.at); got != time.Hour {
			t.Errorf("moved by %s", got)
		}
	})
}

func TestAStateThatIsStillTrueIsWrittenNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		c := openCenter(t, dir, &logBuffer{})
		mustSave(t, c, centerState(1))
		changes, saved := c.Changes(), c.State().Saved
		for range 30 {
			time.Sleep(time.Minute)
			c.Confirm()
		}
		c.Close()
		again := openCenter(t, dir, &logBuffer{})
		if got := again.State().Saved.Sub(saved); got < 20*time.Minute || c.Changes() != changes {
			t.Errorf("saved %s later, %d changes more", got, c.Changes()-changes)
		}
	})
}
