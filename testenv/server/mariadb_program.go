package server

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// exitedWell is the State of a program that succeeded.
const exitedWell = "exit status 0"

// ProgramResult is what a program that ran to its end has written and how it ended.
type ProgramResult struct {
	Output string // standard output and standard error
	State  string // "exit status 0", "signal: killed"
}

// OK reports whether the program succeeded.
func (r ProgramResult) OK() bool { return r.State == exitedWell }

// Script is a program of a language with its own MySQL client: PHP (mysqli, PDO) or Python (pymysql).
type Script struct {
	File  string   // ends with .php or .py
	Args  []string // after the file
	Env   []string // "K=V", added to the environment
	Dir   string   // working directory; default that of the test
	Limit time.Duration
}

// RunScript runs a script to its end. It fails the test when the interpreter or its MySQL client is missing, or when the
// script does not end within Limit (default 20 s). Whether the script succeeded is the caller's to check.
func RunScript(t TB, s Script) ProgramResult {
	t.Helper()
	program, err := interpreter(s.File)
	if err != nil {
		t.Fatalf("run %s: %v", s.File, err)
	}
	if s.Limit == 0 {
		s.Limit = readyTimeout
	}
	return runProgram(t, Command{Program: program, Args: append([]string{s.File}, s.Args...), Env: s.Env, Dir: s.Dir}, s.Limit)
}

// interpreter finds the program for a script by the end of its name.
func interpreter(file string) (string, error) {
	switch {
	case strings.HasSuffix(file, ".php"):
		if err := exec.Command("php", "-r", `exit(extension_loaded("mysqli") ? 0 : 1);`).Run(); err != nil {
			return "", fmt.Errorf("php with mysqli is not installed (%w): run `make deps`", err)
		}
		return "php", nil
	case strings.HasSuffix(file, ".py"):
		// The package is for the distribution's Python, which may not be the first in PATH.
		for _, program := range []string{"python3", "/usr/bin/python3"} {
			if exec.Command(program, "-c", "import pymysql").Run() == nil {
				return program, nil
			}
		}
		return "", fmt.Errorf("python3 with pymysql is not installed: run `make deps`")
	}
	return "", fmt.Errorf("its name ends neither with .php nor with .py")
}

// runProgram runs a program to its end and fails the test when it cannot be run or does not end in time.
func runProgram(t TB, cmd Command, limit time.Duration) ProgramResult {
	t.Helper()
	l, err := launcherFor(os.Getenv("TESTENV"), cmd.Program)
	if err == nil {
		err = l.Find(cmd)
	}
	if err != nil {
		t.Fatalf("cannot run %s: %v", cmd.Program, err)
	}
	var out bytes.Buffer // written until inst.Done
	cmd.Output = &out
	inst, err := l.Launch(cmd)
	if err != nil {
		t.Fatalf("%v", err)
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-inst.Done():
	case <-timer.C:
		_ = inst.Signal(syscall.SIGKILL) // it may have ended meanwhile
		<-inst.Done()
		t.Fatalf("%s did not end within %v:\n%s", cmd.Program, limit, out.String())
	}
	return ProgramResult{Output: out.String(), State: inst.State()}
}
