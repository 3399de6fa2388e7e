package server

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Deadlines of the test environment. They are generous: a loaded machine must not fail a test.
const (
	readyTimeout = 20 * time.Second
	stopTimeout  = 40 * time.Second // the agent may drain for 30 s
)

// Process is a program that belongs to a test. Its methods fail the test instead of returning errors.
type Process struct {
	Name string // unique in its run folder: "2-redis-1"
	Dir  string // its folder, removed with the test
	Log  string // path of its output

	t        TB
	launcher Launcher
	cmd      Command
	ready    func() error // nil once it serves

	mu   sync.Mutex // guards inst and down
	inst Instance
	down bool // Kill or Stop was called: its end is no surprise
}

// newProcess prepares a process in the folder dir; ready tells whether it serves.
func newProcess(t TB, kind, dir string, cmd Command, ready func() error) *Process {
	t.Helper()
	l, err := launcherFor(os.Getenv("TESTENV"), kind)
	if err == nil {
		err = l.Find(cmd)
	}
	if err != nil {
		t.Fatalf("cannot run %s: %v", kind, err)
	}
	if cmd.Dir == "" {
		cmd.Dir = dir
	}
	p := &Process{Name: filepath.Base(dir), Dir: dir, Log: filepath.Join(dir, "log"), t: t, launcher: l, cmd: cmd, ready: ready}
	t.Cleanup(p.end)
	return p
}

// launch starts the process without waiting until it serves.
func (p *Process) launch() {
	p.t.Helper()
	out, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatalf("open the log of %s: %v", p.Name, err)
	}
	defer out.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	cmd := p.cmd
	cmd.Output = out
	inst, err := p.launcher.Launch(cmd)
	if err != nil {
		p.t.Fatalf("%s: %v", p.Name, err)
	}
	p.inst, p.down = inst, false
	recordChild(p.Dir, inst.PID())
}

// awaitReady waits until the process serves and fails the test when it ends or takes too long.
func (p *Process) awaitReady() {
	p.t.Helper()
	inst := p.instance()
	err := wait(readyTimeout, func() error {
		select {
		case <-inst.Done():
			return nil
		default:
			return p.ready()
		}
	})
	select {
	case <-inst.Done():
		p.mu.Lock()
		p.down = true // reported here
		p.mu.Unlock()
		p.t.Fatalf("%s ended before it served: %s", p.Name, inst.State())
	default:
	}
	if err != nil {
		p.t.Fatalf("%s did not serve within %v: %v", p.Name, readyTimeout, err)
	}
}

func (p *Process) instance() Instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inst
}

// PID returns the number of the running process, or of the last one.
func (p *Process) PID() int { return p.instance().PID() }

// Done is closed when the current run of the process has ended.
func (p *Process) Done() <-chan struct{} { return p.instance().Done() }

// Running reports whether the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.Done():
		return false
	default:
		return true
	}
}

// Signal sends a signal to the process and what it started.
func (p *Process) Signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.instance().Signal(sig); err != nil {
		p.t.Fatalf("signal %v to %s: %v", sig, p.Name, err)
	}
}

// Kill ends the process with SIGKILL and waits for its end.
func (p *Process) Kill() {
	p.t.Helper()
	p.stop(syscall.SIGKILL)
}

// Stop ends the process with SIGTERM and waits for its end.
func (p *Process) Stop() {
	p.t.Helper()
	p.stop(syscall.SIGTERM)
}

func (p *Process) stop(sig syscall.Signal) {
	p.t.Helper()
	p.mu.Lock()
	inst := p.inst
	p.down = true
	p.mu.Unlock()
	if err := inst.Signal(sig); err != nil && p.Running() {
		p.t.Fatalf("signal %v to %s: %v", sig, p.Name, err)
	}
	_ = inst.Signal(syscall.SIGCONT) // a paused process does not see SIGTERM; an ended one needs nothing
	select {
	case <-inst.Done():
	case <-time.After(stopTimeout):
		p.t.Fatalf("%s did not end within %v after %v", p.Name, stopTimeout, sig)
	}
}

// Pause stops the process from running (SIGSTOP): its connections stay open and are not served. It returns when all its
// threads stand still; the signal alone leaves those that run on another processor some time yet, enough for an answer.
func (p *Process) Pause() {
	p.t.Helper()
	p.Signal(syscall.SIGSTOP)
	Wait(p.t, stopTimeout, p.Name+" to stand still", func() error { return stopped(p.PID()) })
}

// stopped is nil when every thread of a process is stopped, by proc_pid_stat(5).
func stopped(pid int) error {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		return err
	}
	if len(threads) == 0 {
		return fmt.Errorf("process %d has no threads in /proc", pid)
	}
	for _, path := range threads {
		stat, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // The thread has ended.
		}
		if err != nil {
			return err
		}
		// The name before the state may have spaces and parentheses of its own.
		if _, state, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')'):], []byte(" ")); !bytes.HasPrefix(state, []byte("T")) {
			return fmt.Errorf("%s says %.1q", path, state)
		}
	}
	return nil
}

// Continue undoes Pause.
func (p *Process) Continue() {
	p.t.Helper()
	p.Signal(syscall.SIGCONT)
}

// SetClock moves the time of day of the process, which has a clock of its own, to a difference from the true one, in whole
// seconds. It stays so over a Restart. Its monotonic time goes on as it is.
func (p *Process) SetClock(ahead time.Duration) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.inst.SetClock(ahead); err != nil {
		p.t.Fatalf("moving the clock of %s: %v", p.Name, err)
	}
	p.cmd.Clock = &ahead
}

// Restart starts the process again with the same folder, files and ports, after killing it if it still runs, and waits
// until it serves.
func (p *Process) Restart() {
	p.t.Helper()
	if p.Running() {
		p.Kill()
	}
	p.launch()
	p.awaitReady()
}

// Output returns everything that the process has written so far.
func (p *Process) Output() string {
	b, err := os.ReadFile(p.Log)
	if err != nil {
		p.t.Fatalf("read the log of %s: %v", p.Name, err)
	}
	return string(b)
}

// State describes how the last run ended ("exit status 0", "signal: killed"); empty while it runs.
func (p *Process) State() string {
	if p.Running() {
		return ""
	}
	return p.instance().State()
}

// end is the cleanup: kill, show the log of a failed test, remove the folder.
func (p *Process) end() {
	p.mu.Lock()
	inst, down := p.inst, p.down
	p.mu.Unlock()
	if inst != nil {
		select {
		case <-inst.Done():
			if !down {
				p.t.Errorf("%s ended during the test: %s", p.Name, inst.State())
			}
		default:
		}
		_ = inst.Signal(syscall.SIGKILL) // it may have ended by itself
		<-inst.Done()
	}
	if p.t.Failed() {
		p.t.Logf("%s", p.tail())
	}
	if err := os.RemoveAll(p.Dir); err != nil {
		p.t.Logf("remove the folder of %s: %v", p.Name, err)
	}
}

// tail returns the last lines of the log.
func (p *Process) tail() string {
	const most = 60
	b, err := os.ReadFile(p.Log)
	if err != nil {
		return fmt.Sprintf("--- %s has no log: %v", p.Name, err)
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	if len(lines) > most {
		lines = append([]string{fmt.Sprintf("(%d lines before)", len(lines)-most)}, lines[len(lines)-most:]...)
	}
	return "--- log of " + p.Name + "\n" + strings.Join(lines, "\n")
}
