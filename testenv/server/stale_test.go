package server

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestChildrenDieWithTheirOwner(t *testing.T) {
	for _, kind := range []string{"redis", "mariadb"} {
		t.Run(kind, func(t *testing.T) { childDiesWithItsOwner(t, kind) })
	}
}

func childDiesWithItsOwner(t *testing.T, kind string) {
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), "TESTENV_CHILD="+kind)
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	var dir string
	for sc := bufio.NewScanner(out); sc.Scan(); {
		if f := strings.Fields(sc.Text()); len(f) == 3 && f[0] == "child" {
			pid, _ = strconv.Atoi(f[1])
			dir = f[2]
			break
		}
	}
	if pid == 0 {
		t.Fatal("the owner said nothing of its child")
	}
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait() // it was killed
	Wait(t, 5*time.Second, "the child's end", func() error {
		if _, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid), "exe")); err == nil {
			return os.ErrExist
		}
		return nil
	})
	// What the owner left is removed by the next process that starts something.
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("the folder of the killed owner: %v", err)
	}
	sweep(root())
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder of the killed owner still exists: %v", err)
	}
}

func TestSweepKillsWhatADeadOwnerLeft(t *testing.T) {
	root := t.TempDir()
	orphan := exec.Command("sleep", "600")
	orphan.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "run-999999999-1", "1-redis")
	alive := filepath.Join(root, "run-"+strconv.Itoa(os.Getpid())+"-"+ownStart(t), "1-redis")
	for _, d := range []string{dir, alive} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	recordChild(dir, orphan.Process.Pid)
	// The number of a process that ended and was given to another one must not be killed: wrong start time.
	recycled := strconv.Itoa(os.Getpid()) + "-1"
	other := filepath.Join(root, "run-999999999-1", "2-redis")
	if err := os.MkdirAll(other, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "pid"), []byte(recycled), 0o600); err != nil {
		t.Fatal(err)
	}
	sweep(root)
	if err := orphan.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Errorf("the orphan ended with %v", err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the dead owner's folder: %v", err)
	}
	if _, err := os.Stat(alive); err != nil {
		t.Errorf("the folder of a living owner: %v", err)
	}
}

func ownStart(t *testing.T) string {
	start, err := startTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	return strconv.FormatUint(start, 10)
}

func TestFreePortsAreDistinct(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		a := FreeAddr(t)
		if seen[a] {
			t.Fatalf("%s was given twice", a)
		}
		seen[a] = true
	}
}
