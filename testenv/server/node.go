package server

import (
	"os"
	"os/exec"
	"path/filepath"
)

// NodeModules installs what dir/package-lock.json names, unless it is there.
func NodeModules(t TB, dir string) {
	t.Helper()
	installed, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json"))
	if err == nil {
		if lock, err := os.Stat(filepath.Join(dir, "package-lock.json")); err == nil && installed.ModTime().After(lock.ModTime()) {
			return
		}
	}
	npm := exec.Command("npm", "ci")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
}
