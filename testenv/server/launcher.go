package server

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
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
	c.Stdout, c.Stderr = cmd.Output, cmd.Output
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p := &nativeInstance{cmd: c, done: make(chan struct{})}
	started := make(chan error, 1)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return p, nil
}

type nativeInstance struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// run starts the process and waits for it on one OS thread: the kernel sends Pdeathsig when the thread that started the
// process ends, not only when the whole parent does.
func (p *nativeInstance) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.done)
	err := p.cmd.Start()
	started <- err
	if err == nil {
		_ = p.cmd.Wait() // how it ended is in ProcessState
	}
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
