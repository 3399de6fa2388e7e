package server

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// agentPackage is what Agent runs when it is given no binary.
const agentPackage = "github.com/sluice-mesh/sluice/cmd/sluice"

type buildKey struct {
	pkg  string
	race bool
}

type buildResult struct {
	once sync.Once
	path string
	err  error
}

// builds holds the outcome of each build, so that a test process builds a program once.
var builds sync.Map // buildKey -> *buildResult

// Build compiles a main package of this module, once per test process, and returns the binary's path. It must run
// inside the module, as tests do. race builds with the race detector.
func Build(t TB, pkg string, race bool) string {
	t.Helper()
	v, _ := builds.LoadOrStore(buildKey{pkg, race}, new(buildResult))
	b := v.(*buildResult)
	b.once.Do(func() { b.path, b.err = build(pkg, race) })
	if b.err != nil {
		t.Fatalf("build %s: %v", pkg, b.err)
	}
	return b.path
}

// build compiles to a place that all test processes share, where go build finds an up-to-date binary and links nothing,
// and then gives this process a hard link of its own: a later build makes a new file and leaves ours alone.
func build(pkg string, race bool) (string, error) {
	run, err := runFolder()
	if err != nil {
		return "", err
	}
	name := strings.ReplaceAll(strings.TrimPrefix(pkg, "github.com/sluice-mesh/sluice/"), "/", "-")
	args := []string{"build"}
	if race {
		name += ".race"
		args = append(args, "-race")
	}
	bin := filepath.Join(root(), "bin")
	if err := os.MkdirAll(bin, 0o700); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(bin, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close() // unlocks
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	shared := filepath.Join(bin, name)
	out, err := exec.Command("go", append(args, "-o", shared, pkg)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	own := filepath.Join(run, name)
	return own, os.Link(shared, own)
}
