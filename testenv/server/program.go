package server

import (
	"os"
	"path/filepath"
)

// Program describes any other program that serves or is spoken to: peers of one protocol describe theirs with it, in
// packages of their own.
type Program struct {
	Kind    string            // names its folder, log and failures
	Command Command           // Dir defaults to its folder
	Files   map[string]string // written into its folder before it starts, readable to this user alone
	// Ready tells whether p serves; nil: when the process exists. It is asked every 5 ms after each start.
	Ready func(p *Process) error
}

func (spec Program) start(t TB) *Process {
	t.Helper()
	dir := newDir(t, spec.Kind)
	for name, text := range spec.Files {
		writeFile(t, filepath.Join(dir, name), text)
	}
	var p *Process
	p = newProcess(t, spec.Kind, dir, spec.Command, func() error {
		if spec.Ready == nil {
			return nil
		}
		return spec.Ready(p)
	})
	p.launch()
	p.awaitReady()
	return p
}

// Pipes makes the two ends of the conversation with a program: what is written to in is its standard input, what it
// answers is read from out. They are closed with the test; closing in tells the program that nothing else comes.
func (c *Command) Pipes(t TB) (in, out *os.File) {
	t.Helper()
	input, in, err := os.Pipe()
	if err != nil {
		t.Fatalf("make a pipe: %v", err)
	}
	out, answers, err := os.Pipe()
	if err != nil {
		t.Fatalf("make a pipe: %v", err)
	}
	c.Input, c.Answers = input, answers
	t.Cleanup(func() {
		for _, f := range []*os.File{in, out, input, answers} {
			_ = f.Close() // it may be closed
		}
	})
	return in, out
}
