package control

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func openNotes(t *testing.T, dir string) (*Notes, *logBuffer) {
	t.Helper()
	log := &logBuffer{}
	n := OpenNotes(dir, log.logger())
	t.Cleanup(n.Close)
	return n, log
}

func put(t *testing.T, n *Notes, key, value string) {
	t.Helper()
	if err := n.Put(key, value); err != nil {
		t.Fatal(err)
	}
}

func wantNote(t *testing.T, n *Notes, key, want string) {
	t.Helper()
	got := ""
	if ok := n.Get(key, &got); ok != (want != "") || got != want {
		t.Errorf("the note of %s is %q, %t, want %q", key, got, ok, want)
	}
}

func TestNotesSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	n, _ := openNotes(t, dir)
	put(t, n, "a", "1")
	put(t, n, "b", "2")
	put(t, n, "c", "3")
	n.Retain(func(key string) bool { return key != "b" })
	n.Close()
	n.Close()
	put(t, n, "a", "too late")

	info, err := os.Stat(filepath.Join(dir, "endpoints.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	n, log := openNotes(t, dir)
	wantNote(t, n, "a", "1")
	wantNote(t, n, "b", "")
	wantNote(t, n, "c", "3")
	var number int
	if n.Get("a", &number) {
		t.Error("a text was read as a number")
	}
	if log.String() != "" {
		t.Errorf("log: %s", log)
	}
}

func TestNotesAreWrittenOnceASecondAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _ := openNotes(t, t.TempDir())
		var writes atomic.Int32
		synctest.Wait()
		n.file.step = func(step string) error {
			if step == "rename" {
				writes.Add(1)
			}
			return nil
		}
		for i := range 100 { // for ten seconds
			put(t, n, "a", fmt.Sprint(i))
			time.Sleep(100 * time.Millisecond)
		}
		if w := writes.Load(); w < 9 || w > 11 {
			t.Errorf("%d writes in ten seconds", w)
		}
		time.Sleep(2 * time.Second)
		before := writes.Load()
		put(t, n, "a", "99") // as it is
		n.Retain(func(string) bool { return true })
		time.Sleep(time.Minute)
		if w := writes.Load() - before; w != 0 {
			t.Errorf("%d writes of what did not change", w)
		}
	})
}

func TestNotesOnAFullDiskOnlyWarn(t *testing.T) {
	for _, step := range steps {
		if step == "rename-previous" {
			continue // there is no previous generation yet
		}
		t.Run(step, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				n, log := openNotes(t, dir)
				var full atomic.Bool
				full.Store(true)
				synctest.Wait()
				n.file.step = func(at string) error {
					if full.Load() && at == step {
						return syscall.ENOSPC
					}
					return nil
				}
				put(t, n, "a", "1")
				time.Sleep(time.Minute)
				put(t, n, "a", "2")
				time.Sleep(time.Minute)
				if got := strings.Count(log.String(), "level=WARN"); got != 1 || strings.Contains(log.String(), "level=ERROR") {
					t.Errorf("%d warnings: %s", got, log)
				}
				wantNote(t, n, "a", "2")
				full.Store(false)
				time.Sleep(time.Minute)
				if !strings.Contains(log.String(), "kept again") {
					t.Errorf("log: %s", log)
				}
				again, _ := openNotes(t, dir)
				wantNote(t, again, "a", "2")
			})
		})
	}
}

func TestBrokenNotes(t *testing.T) {
	for _, c := range []struct {
		how  []string // the newest generation, the one before
		want string
	}{
		{nil, "2"}, {[]string{"cut"}, "1"}, {[]string{"zeroes"}, "1"}, {[]string{"revision"}, "1"}, {[]string{"format"}, "1"}, {[]string{"cut", "empty"}, ""},
	} {
		t.Run(fmt.Sprint(c.how), func(t *testing.T) {
			dir := t.TempDir()
			for i := range 2 {
				n, _ := openNotes(t, dir)
				put(t, n, "a", fmt.Sprint(i+1))
				n.Close()
			}
			for i, how := range c.how {
				damage(t, filepath.Join(dir, "endpoints.json"+[]string{"", ".1"}[i]), how)
			}
			n, log := openNotes(t, dir)
			wantNote(t, n, "a", c.want)
			if said := strings.Contains(log.String(), "level=WARN"); said != (c.how != nil) || strings.Contains(log.String(), "level=ERROR") {
				t.Errorf("log: %s", log)
			}
			put(t, n, "a", "3")
			n.Close()
			n, _ = openNotes(t, dir)
			wantNote(t, n, "a", "3")
		})
	}
}

func TestNotesThatAreNoNotes(t *testing.T) {
	dir := t.TempDir()
	f := file{dir: dir, name: "endpoints.json"}
	for _, value := range []any{nil, []string{"a"}, "a"} {
		if err := f.save(1, time.Now(), value); err != nil {
			t.Fatal(err)
		}
		n, _ := openNotes(t, dir)
		put(t, n, "a", "1")
		wantNote(t, n, "a", "1")
		n.Close()
	}
	n, _ := openNotes(t, dir)
	if err := n.Put("b", func() {}); err == nil {
		t.Error("a function was kept")
	}
}
