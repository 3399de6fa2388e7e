package server

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// teller is a program that writes the time of day, ns, and how long it runs by its monotonic clock, ns, every 10 ms.
const teller = `package main

import (
	"fmt"
	"time"
)

func main() {
	start := time.Now()
	for {
		now := time.Now()
		fmt.Println(now.UnixNano(), now.Sub(start).Nanoseconds())
		time.Sleep(10 * time.Millisecond)
	}
}
`

// A program gets a time of day of its own, which can be moved while it runs; its monotonic clock does not notice.
func TestClockOfOneProcess(t *testing.T) {
	dir := newDir(t, "teller")
	writeFile(t, filepath.Join(dir, "go.mod"), "module teller\n")
	writeFile(t, filepath.Join(dir, "main.go"), teller)
	ahead := -24 * time.Hour
	binary := filepath.Join(dir, "teller")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p := newProcess(t, "teller", dir, Command{Program: binary, Clock: &ahead}, func() error { return nil })
	p.launch()
	tells := func(ahead time.Duration) {
		t.Helper()
		if err := wait(10*time.Second, func() error {
			wall, _ := told(t, p.Log)
			return near(time.Since(wall.Add(-ahead)))
		}); err != nil {
			t.Errorf("with a clock that is %v ahead: %v", ahead, err)
		}
	}
	tells(ahead)
	p.SetClock(2 * time.Hour)
	tells(2 * time.Hour)
	if _, ran := told(t, p.Log); ran < 0 || ran > time.Minute {
		t.Errorf("it ran for %v by its monotonic clock", ran)
	}
	p.Restart()
	tells(2 * time.Hour)
}

func near(d time.Duration) error {
	if d.Abs() > 2*time.Second {
		return fmt.Errorf("it is off by %v", d)
	}
	return nil
}

// told reads the last whole line.
func told(t *testing.T, path string) (wall time.Time, ran time.Duration) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	if len(lines) < 2 {
		return time.Time{}, 0
	}
	a, c, _ := strings.Cut(lines[len(lines)-2], " ")
	ns, err := strconv.ParseInt(a, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	mono, err := strconv.ParseInt(c, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Unix(0, ns), time.Duration(mono)
}
