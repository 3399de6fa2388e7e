package server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Command is one program to run. Its addresses, files and arguments mean the same inside and outside of a container:
// the network is the host's and Dir is mounted at its own path.
type Command struct {
	Program string   // name, looked up by the launcher, or an absolute path
	Image   string   // container image that has the program; empty when it can only run natively
	Args    []string // without the program; never a secret
	Env     []string // "K=V", added to the environment
	Dir     string   // working directory
	Output  io.Writer
	// Input and Answers are standard input and output of a program that is spoken to that way; nil: it reads nothing, and
	// its standard output goes to Output as its standard error does. Files are handed to it as they are.
	Input   io.Reader
	Answers io.Writer
	// Clock, if set, is how far the process' time of day is ahead of the true one, in whole seconds; it may be negative. See
	// wallclock.go.
	Clock *time.Duration
}

// Launcher runs programs.
type Launcher interface {
	// Find reports whether cmd can be run; the error names the fix.
	Find(cmd Command) error
	// Launch starts cmd in a process group of its own that ends with this process.
	Launch(cmd Command) (Instance, error)
}

// Instance is one run of a program.
type Instance interface {
	// PID is the process's number on this machine.
	PID() int
	// Signal signals the whole group.
	Signal(sig syscall.Signal) error
	// SetClock moves the time of day of a process that was started with Command.Clock.
	SetClock(ahead time.Duration) error
	// Done is closed when the process has ended and its output has been written.
	Done() <-chan struct{}
	// State describes how it ended; valid after Done.
	State() string
}

// launcherFor returns the launcher that the TESTENV variable asks for.
func launcherFor(mode, kind string) (Launcher, error) {
	switch mode {
	case "", "native":
		return native{}, nil
	case "docker":
		return nil, fmt.Errorf("TESTENV=docker is not available for %s yet: use TESTENV=native after `make deps`", kind)
	}
	return nil, fmt.Errorf("TESTENV is %q: use native, docker or leave it unset", mode)
}

// native runs the programs of this machine.
type native struct{}

// programPath finds a program; daemons are often in a folder that only root has in PATH.
func programPath(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin/", "/usr/local/sbin/", "/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("program %s is not installed: run `make deps`", name)
}

func (native) Find(cmd Command) error {
	_, err := programPath(cmd.Program)
	return err
}

func (native) Launch(cmd Command) (Instance, error) {
	path, err := programPath(cmd.Program)
	if err != nil {
		return nil, err
	}
	c := exec.Command(path, cmd.Args...)
	c.Dir = cmd.Dir
	c.Env = append(os.Environ(), cmd.Env...)
	c.Stdin, c.Stdout, c.Stderr = cmd.Input, cmd.Output, cmd.Output
	if cmd.Answers != nil {
		c.Stdout = cmd.Answers
	}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Ptrace: cmd.Clock != nil}
	p := &nativeInstance{cmd: c, ahead: cmd.Clock, done: make(chan struct{})}
	started := make(chan error, 1)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return p, nil
}

type nativeInstance struct {
	cmd   *exec.Cmd
	ahead *time.Duration
	clock *wallClock // nil: it has that of the machine. Set before Launch returns
	done  chan struct{}
}

// run starts the process and waits for it on one OS thread: the kernel sends Pdeathsig when the thread that started the
// process ends, not only when the whole parent does.
func (p *nativeInstance) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.done)
	err := p.cmd.Start()
	if err != nil {
		started <- err
		return
	}
	if p.ahead != nil {
		if p.clock, err = replaceClock(p.cmd.Process.Pid, *p.ahead); err != nil {
			_ = p.cmd.Process.Kill() // it must not run with another clock than it should
		}
	}
	started <- err
	_ = p.cmd.Wait() // how it ended is in ProcessState
}

func (p *nativeInstance) SetClock(ahead time.Duration) error {
	if p.clock == nil {
		return errors.New("it was not started with a clock of its own")
	}
	return p.clock.set(ahead)
}

func (p *nativeInstance) PID() int              { return p.cmd.Process.Pid }
func (p *nativeInstance) Done() <-chan struct{} { return p.done }
func (p *nativeInstance) State() string         { return p.cmd.ProcessState.String() }

func (p *nativeInstance) Signal(sig syscall.Signal) error {
	select {
	case <-p.done:
		return os.ErrProcessDone
	default:
		return syscall.Kill(-p.PID(), sig)
	}
}
