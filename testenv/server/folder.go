package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// root is the folder of all test processes of this user. Paths below it are short, because a unix socket's may have
// 107 bytes at most.
func root() string {
	return filepath.Join(os.TempDir(), "sluice-testenv-"+strconv.Itoa(os.Getuid()))
}

// runFolder makes this process's folder once, after clearing away what dead owners left.
var runFolder = sync.OnceValues(func() (string, error) { return makeRun(root()) })

// memoryFolder is such a folder in memory, where the system has one; otherwise it is the same.
var memoryFolder = sync.OnceValues(func() (string, error) {
	const shared = "/dev/shm"
	if s, err := os.Stat(shared); err != nil || !s.IsDir() {
		return runFolder()
	}
	return makeRun(filepath.Join(shared, filepath.Base(root())))
})

func makeRun(root string) (string, error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return "", err
	}
	start, err := startTime(os.Getpid())
	if err != nil {
		return "", err
	}
	sweep(root)
	dir := filepath.Join(root, fmt.Sprintf("run-%d-%d", os.Getpid(), start))
	return dir, os.MkdirAll(dir, 0o700)
}

var folderCount atomic.Int64

// newDir makes a folder for one thing named name; the caller's Process removes it.
func newDir(t TB, name string) string {
	t.Helper()
	return dirIn(t, runFolder, name)
}

// memoryDir makes one for data that a program waits for the disk with: tests need no more than that it outlives the program.
func memoryDir(t TB, name string) string {
	t.Helper()
	return dirIn(t, memoryFolder, name)
}

func dirIn(t TB, folder func() (string, error), name string) string {
	t.Helper()
	run, err := folder()
	if err != nil {
		t.Fatalf("make the run folder: %v", err)
	}
	dir := filepath.Join(run, strconv.FormatInt(folderCount.Add(1), 10)+"-"+name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatalf("make a folder for %s: %v", name, err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // what remains, and the run folder itself, is for the next sweep
	return dir
}

// writeFile writes a file that only this user may read, since it may hold secrets.
func writeFile(t TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatalf("%v", err)
	}
}

// recordChild notes a child in its folder for sweep. Not being able to is no reason to fail: it is the third line of
// defence.
func recordChild(dir string, pid int) {
	if start, err := startTime(pid); err == nil {
		_ = os.WriteFile(filepath.Join(dir, "pid"), fmt.Appendf(nil, "%d-%d", pid, start), 0o600)
	}
}

// sweep kills the children and removes the folders of test processes that are gone.
func sweep(root string) {
	runs, _ := filepath.Glob(filepath.Join(root, "run-*"))
	for _, run := range runs {
		if alive(strings.TrimPrefix(filepath.Base(run), "run-")) {
			continue
		}
		pids, _ := filepath.Glob(filepath.Join(run, "*", "pid"))
		for _, file := range pids {
			if id, err := os.ReadFile(file); err == nil && alive(string(id)) {
				pid, _, _ := parseID(string(id))
				_ = syscall.Kill(-pid, syscall.SIGKILL)
			}
		}
		_ = os.RemoveAll(run)
	}
}

// alive reports whether the process "PID-STARTTIME" exists.
func alive(id string) bool {
	pid, start, ok := parseID(id)
	if !ok {
		return false
	}
	now, err := startTime(pid)
	if err != nil {
		return !errors.Is(err, os.ErrNotExist) // not readable is not gone
	}
	return now == start
}

func parseID(id string) (pid int, start uint64, ok bool) {
	a, b, _ := strings.Cut(strings.TrimSpace(id), "-")
	pid, err1 := strconv.Atoi(a)
	start, err2 := strconv.ParseUint(b, 10, 64)
	return pid, start, err1 == nil && err2 == nil && pid > 1
}
