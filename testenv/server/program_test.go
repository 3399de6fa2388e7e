package server

import (
	"bufio"
	"io"
	"strings"
	"testing"
)

// A program gets its files, is spoken to over its standard input, and answers beside its log.
func TestProgram(t *testing.T) {
	cmd := Command{Program: "sh", Args: []string{"-c", "echo log >&2; cat words -"}}
	in, out := cmd.Pipes(t)
	p := Start(t, Program{Kind: "cat", Command: cmd, Files: map[string]string{"words": "from a file\n"}})
	if _, err := io.WriteString(in, "asked\n"); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for _, want := range []string{"from a file\n", "asked\n"} {
		if got, err := lines.ReadString('\n'); got != want {
			t.Errorf("it answered %q, %v, not %q", got, err, want)
		}
	}
	if got := p.Output(); got != "log\n" {
		t.Errorf("its log is %q", got)
	}
}

func TestProgramThatEnds(t *testing.T) {
	err := Run(io.Discard, "x", func(tb TB) {
		Start(tb, Program{Kind: "false", Command: Command{Program: "false"}, Ready: func(*Process) error { return io.EOF }})
	})
	if err == nil || !strings.Contains(err.Error(), "ended before it served: exit status 1") {
		t.Errorf("error is %v", err)
	}
}

func TestBuildMavenFails(t *testing.T) {
	err := Run(io.Discard, "x", func(tb TB) { BuildMaven(tb, t.TempDir()) })
	if err == nil || !strings.Contains(err.Error(), "there is no POM") {
		t.Errorf("error is %v", err)
	}
}
