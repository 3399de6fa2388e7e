package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Ports at which the verbs look by themselves: for an agent, and below `sluice center` for the centre.
const (
	usualAdmin  = 8002
	usualCenter = 9980
)

// centerFolder is the centre's in the folder of the demo. An agent keeps its certificate in a folder named center, and the first
// agent's data is the folder of the demo itself.
const centerFolder = "governance"

// folder is where the demo stores things, and where its control socket is.
type folder struct {
	path  string // as it was given, for people
	abs   string
	usual bool // the verbs find it and the agent by themselves
}

// marker says that a folder was made by the demo, so that it may be removed.
const marker = "made-by-demo"

// openFolder makes the data folder. One that somebody else made, or that a running demo uses, is left alone; a temporary
// one takes its place.
func openFolder(path string, adminPort int) (*folder, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	f := &folder{path: path, abs: abs, usual: path == "data" && adminPort == usualAdmin}
	if !f.mine() || answers(f.socket()) {
		if f.path, err = os.MkdirTemp("", "sluice-demo-"); err != nil {
			return nil, err
		}
		f.abs, f.usual = f.path, false
	}
	if err := errors.Join(os.RemoveAll(f.abs), os.MkdirAll(f.abs, 0o700)); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	return f, os.WriteFile(filepath.Join(f.abs, marker), nil, 0o600)
}

// mine reports whether the folder may be made, or made anew.
func (f *folder) mine() bool {
	_, err := os.Stat(f.abs)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	_, err = os.Stat(filepath.Join(f.abs, marker))
	return err == nil
}

func (f *folder) close() { _ = os.RemoveAll(f.abs) } // nothing can be done about what stays

// socket is relative where it can be: the path of a unix socket has 107 bytes at most.
func (f *folder) socket() string { return filepath.Join(f.path, "demo.sock") }
