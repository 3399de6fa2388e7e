package bolt

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
)

// childDir tells this test binary to be the program that is killed: see TestMain.
const childDir = "SLUICE_TEST_STORE"

// childWriters is how many goroutines of the child commit.
const childWriters = 4

// writeUntilKilled commits for ever and prints each key whose commit was acknowledged, after the fact. Each commit writes two keys.
func writeUntilKilled(dir string) {
	s, err := Open(dir, Options{Keep: 50})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range childWriters {
		wg.Go(func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("%d-%d-%d", os.Getpid(), w, i)
				value := strings.Repeat(name+" ", 1+i%300)
				_, err := s.Commit(context.Background(), store.Txn{
					If:   []store.Cond{{Key: "a/" + name}},
					Then: []store.Op{{Key: "a/" + name, Value: []byte(value)}, {Key: "b/" + name, Value: []byte(value)}},
				})
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				mu.Lock()
				fmt.Println(name)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// killed runs the child until it has acknowledged some commits, kills it with SIGKILL and returns what it acknowledged.
func killed(t *testing.T, dir string, after int) []string {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), childDir+"="+dir)
	c.Stderr = t.Output()
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(time.Minute, func() { _ = c.Process.Kill() })
	defer stuck.Stop()
	var names []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		names = append(names, lines.Text())
		if len(names) == after {
			if err := c.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.Wait(); err == nil || len(names) < after {
		t.Fatalf("the child ended with %v after %d commits", err, len(names))
	}
	// The last line may be cut short: then it is no name that was written.
	if last := names[len(names)-1]; strings.Count(last, "-") < 2 || !exists(dir, last) {
		names = names[:len(names)-1]
	}
	return names
}

func exists(dir, name string) bool {
	s, err := Open(dir, Options{})
	if err != nil {
		return false
	}
	defer s.Close()
	_, err = s.Get(context.Background(), "a/"+name)
	return err == nil
}

// checkKilled fails the test unless everything that was acknowledged is there, and of every commit all or nothing.
func checkKilled(t *testing.T, dir string, names []string) {
	t.Helper()
	s, err := Open(dir, Options{Keep: 50})
	if err != nil {
		t.Fatalf("open after kill -9: %v", err)
	}
	defer s.Close()
	list, rev, err := s.List(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]store.Entry{}
	for _, e := range list {
		have[e.Key] = e
	}
	for _, name := range names {
		if _, ok := have["a/"+name]; !ok {
			t.Errorf("%s was acknowledged and is gone", name)
		}
	}
	seen := map[int64]string{}
	for key, e := range have {
		name := key[2:]
		a, b := have["a/"+name], have["b/"+name]
		if a.Revision != b.Revision || string(a.Value) != string(b.Value) {
			t.Errorf("%s: one half is at revision %d, the other at %d", name, a.Revision, b.Revision)
		}
		if other, ok := seen[e.Revision]; ok && other != name {
			t.Errorf("%s and %s have the same revision", name, other)
		}
		seen[e.Revision] = name
	}
	if int64(len(have)) != 2*rev {
		t.Errorf("%d keys at revision %d: each commit makes two", len(have), rev)
	}
	n, err := s.Commit(context.Background(), store.Txn{Then: []store.Op{{Key: "after", Value: []byte("x")}, {Key: "b/fter"}}})
	if err != nil || n != rev+1 {
		t.Errorf("commit after kill -9: revision %d after %d, error %v", n, rev, err)
	}
	if _, err := s.Commit(context.Background(), store.Txn{Then: []store.Op{{Key: "after", Delete: true}, {Key: "b/fter", Delete: true}}}); err != nil {
		t.Error(err)
	}
}

func TestKilledDuringCommits(t *testing.T) {
	dir := t.TempDir()
	for _, after := range []int{1, 40, 90} {
		names := killed(t, dir, after)
		checkKilledOnce(t, dir, names)
	}
}

// checkKilledOnce checks a copy, so that what the check writes is not counted the next time.
func checkKilledOnce(t *testing.T, dir string, names []string) {
	t.Helper()
	copied := filepath.Join(t.TempDir(), strconv.Itoa(len(names)))
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	checkKilled(t, copied, names)
}

// A process that is killed while it makes the file leaves nothing that stands in the way.
func TestLeftoverOfAKilledCreation(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, fileName+".new123"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	if files, _ := os.ReadDir(dir); len(files) != 1 || files[0].Name() != fileName {
		t.Errorf("the folder has %v", files)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
