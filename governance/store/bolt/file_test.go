package bolt

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-mesh/sluice/governance/store"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// filled makes a file with some contents and returns its path.
func filled(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s := open(t, dir)
	for i := range 60 {
		commit(t, s, fmt.Sprint("key/", i%40), strings.Repeat("value ", 50*i))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, fileName)
}

func commit(t *testing.T, s *Store, key, value string) int64 {
	t.Helper()
	rev, err := s.Commit(t.Context(), store.Txn{Then: []store.Op{{Key: key, Value: []byte(value)}}})
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "center")
	open(t, dir)
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, fileName): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, error %v, want %v", path, info.Mode(), err, want)
		}
	}
}

func TestSecondProcessIsTold(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "is in use by another process") {
		t.Errorf("the error is %v", err)
	}
}

// Many processes make the same new file at once: one of them gets it, and it is whole.
func TestRaceToMakeTheFile(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []*Store
	for range 8 {
		wg.Go(func() {
			s, err := Open(dir, Options{})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				open = append(open, s)
			case !strings.Contains(err.Error(), "in use"):
				t.Errorf("error is %v", err)
			}
		})
	}
	wg.Wait()
	if len(open) != 1 {
		t.Errorf("%d have it open", len(open))
	}
	for _, s := range open {
		commit(t, s, "a", "1")
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// tryOpen opens a damaged file and reads everything. It must not panic, hang or keep the file.
func tryOpen(t *testing.T, path string) error {
	t.Helper()
	s, err := Open(filepath.Dir(path), Options{})
	if err != nil {
		if !strings.Contains(err.Error(), path) {
			t.Errorf("%q does not name the file", err)
		}
		return err
	}
	if _, _, err := s.List(t.Context(), ""); err != nil {
		t.Errorf("a file that could be opened cannot be read: %v", err)
	}
	return s.Close()
}

func TestTruncatedFile(t *testing.T) {
	path := filled(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	need := lengthOf(strings.NewReader(string(whole)))
	if need < 1<<16 || need > int64(len(whole)) {
		t.Fatalf("a file of %d bytes is said to need %d", len(whole), need)
	}
	for _, n := range []int64{0, 1, 100, 4096, 4097, 8192, 12288, need / 2, need - 4096, need - 1} {
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		err := tryOpen(t, path)
		if err == nil {
			t.Errorf("%d of %d bytes are opened without an error", n, need)
		} else if !strings.Contains(err.Error(), "put a backup in its place") {
			t.Errorf("%d of %d bytes: the error does not say what to do: %v", n, need, err)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != string(whole[:n]) {
			t.Errorf("a file that was refused was changed (%d bytes, error %v)", len(after), err)
		}
	}
	if err := os.WriteFile(path, whole[:need], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := tryOpen(t, path); err != nil {
		t.Errorf("the part of the file that is in use: %v", err)
	}
}

// Bits that flip are noticed, or are where nothing is: no value ever comes back wrong.
func TestFlippedBytes(t *testing.T) {
	path := filled(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before := contents(t, path)
	r := rand.New(rand.NewPCG(1, 2))
	noticed := 0
	for range 120 {
		damaged := append([]byte{}, whole...)
		at := r.IntN(len(damaged))
		damaged[at] ^= byte(1 + r.IntN(255))
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := tryOpen(t, path); err != nil {
			noticed++
			continue
		}
		if after := contents(t, path); after != before {
			t.Fatalf("byte %d was changed, and the contents with it:\n%.300s\nbefore:\n%.300s", at, after, before)
		}
	}
	t.Logf("%d of 120 damages noticed; the others were where nothing is", noticed)
	if noticed < 20 {
		t.Errorf("only %d of 120 damages were noticed", noticed)
	}
}

func contents(t *testing.T, path string) string {
	t.Helper()
	s, err := Open(filepath.Dir(path), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	list, rev, err := s.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(s.Cluster(), rev, "\n")
	for _, e := range list {
		text += fmt.Sprintf("%s %d %d %s\n", e.Key, e.Revision, e.Created, e.Value)
	}
	return text
}

func TestForeignFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, fileName)
	if err := os.WriteFile(path, []byte(strings.Repeat("this is no store\n", 2000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := tryOpen(t, path); err == nil || !strings.Contains(err.Error(), "cannot be used") {
		t.Errorf("error is %v", err)
	}
}

func TestLogIsBounded(t *testing.T) {
	s, err := Open(t.TempDir(), Options{Keep: 10, KeepBytes: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	oldest := func() int64 {
		t.Helper()
		var n numbers
		if err := s.db.View(func(tx *boltTx) (err error) { n, err = readMeta(tx); return err }); err != nil {
			t.Fatal(err)
		}
		return n.revision - n.compacted
	}
	for i := range 50 {
		commit(t, s, "a", fmt.Sprint(i))
	}
	if n := oldest(); n != 10 {
		t.Errorf("%d revisions are kept", n)
	}
	var last int64
	for range 5 {
		commit(t, s, "a", strings.Repeat("x", 4000))
	}
	if n := oldest(); n != 2 {
		t.Errorf("%d big revisions are kept", n)
	}
	last = commit(t, s, "a", strings.Repeat("x", 400_000))
	if n := oldest(); n != 1 {
		t.Errorf("%d too big revisions are kept", n)
	}
	w := s.Watch(t.Context(), "", last-1)
	if b := <-w.C(); b.Revision != last {
		t.Errorf("the watch sent revision %d, want %d", b.Revision, last)
	}
	w = s.Watch(t.Context(), "", last-2)
	if _, ok := <-w.C(); ok || !errors.Is(w.Err(), store.ErrCompacted) {
		t.Errorf("a watch from before: error %v", w.Err())
	}
}

// A full disk refuses commits, changes nothing, and is forgiven when there is room again.
func TestDiskFull(t *testing.T) {
	if os.Getenv("SLUICE_TEST_FULL") == "" {
		flags := "-m"
		if os.Geteuid() != 0 {
			flags = "-r -m"
		}
		script := `d=$(mktemp -d) && mount -t tmpfs -o size=1m none "$d" && SLUICE_TEST_FULL="$d" "$0" -test.run '^TestDiskFull$' -test.v`
		args := append(strings.Fields(flags), "sh", "-ec", script, os.Args[0])
		out, err := exec.Command("unshare", args...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestDiskFull") {
			t.Fatalf("in a mount namespace of its own: %v\n%s", err, out)
		}
		return
	}
	dir := os.Getenv("SLUICE_TEST_FULL")
	s := open(t, dir)
	first := commit(t, s, "a", "1")
	filler := filepath.Join(dir, "filler")
	_ = os.WriteFile(filler, make([]byte, 2<<20), 0o600) // as much as there is room for
	var refused error
	rev := first
	for i := 0; i < 50 && refused == nil; i++ {
		var n int64
		if n, refused = s.Commit(t.Context(), store.Txn{Then: []store.Op{{Key: "b", Value: make([]byte, 20_000)}}}); refused == nil {
			rev = n
		}
	}
	if !errors.Is(refused, store.ErrFailed) || !strings.Contains(refused.Error(), "no space left") || !strings.Contains(refused.Error(), s.path) {
		t.Fatalf("a full disk: error is %v", refused)
	}
	if _, now, err := s.List(t.Context(), ""); err != nil || now != rev {
		t.Errorf("after it the store is at revision %d of %d, error %v", now, rev, err)
	}
	if e, err := s.Get(t.Context(), "a"); err != nil || string(e.Value) != "1" {
		t.Errorf("a is %q, error %v", e.Value, err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if n := commit(t, s, "c", "1"); n != rev+1 {
		t.Errorf("with room again, revision %d follows %d", n, rev)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if s := open(t, dir); s.Cluster() == "" {
		t.Error("it has no identity any more")
	}
}
