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
	dir, pkg string
	race     bool
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
	return buildOnce(t, buildKey{pkg: pkg, race: race})
}

// BuildModule compiles the main package in dir, the root of a module of its own inside this one, as Build does: what it
// depends on stays out of this module.
func BuildModule(t TB, dir string) string {
	t.Helper()
	return buildOnce(t, buildKey{dir: dir, pkg: "."})
}

// BuildModulePackage is BuildModule for a main package that is not at the module's root, such as "./sluice".
func BuildModulePackage(t TB, dir, pkg string, race bool) string {
	t.Helper()
	return buildOnce(t, buildKey{dir: dir, pkg: pkg, race: race})
}

func buildOnce(t TB, key buildKey) string {
	t.Helper()
	v, _ := builds.LoadOrStore(key, new(buildResult))
	b := v.(*buildResult)
	b.once.Do(func() { b.path, b.err = build(key) })
	if b.err != nil {
		t.Fatalf("build %s: %v", filepath.Join(key.dir, key.pkg), b.err)
	}
	return b.path
}

// ModuleRoot returns the folder of this module's go.mod. It must be called inside the module, as tests are.
func ModuleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	mod := strings.TrimSpace(string(out))
	if err == nil && filepath.Base(mod) != "go.mod" {
		err = fmt.Errorf("the working directory is in no module")
	}
	return filepath.Dir(mod), err
}

// build compiles to a place that all test processes share, where go build finds an up-to-date binary and links nothing,
// and then gives this process a hard link of its own: a later build makes a new file and leaves ours alone.
func build(key buildKey) (string, error) {
	run, err := runFolder()
	if err != nil {
		return "", err
	}
	name := strings.TrimPrefix(key.pkg, "github.com/sluice-mesh/sluice/")
	if key.dir != "" {
		name = strings.Trim(filepath.Join(key.dir, key.pkg), "/")
	}
	name = strings.ReplaceAll(name, "/", "-")
	args := []string{"build"}
	if key.race {
		name += ".race"
		args = append(args, "-race")
	}
	bin, unlock, err := lockFolder("bin")
	if err != nil {
		return "", err
	}
	defer unlock()
	shared := filepath.Join(bin, name)
	cmd := exec.Command("go", append(args, "-o", shared, key.pkg)...)
	cmd.Dir = key.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	own := filepath.Join(run, name)
	return own, os.Link(shared, own)
}

// lockFolder makes a folder that all test processes share, and waits until it is this process's to change.
func lockFolder(name string) (dir string, unlock func(), err error) {
	dir = filepath.Join(root(), name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		lock.Close()
		return "", nil, err
	}
	return dir, func() { lock.Close() }, nil // closing unlocks
}
