package server

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// BuildMaven compiles the Maven project in dir and returns the class path of the result: its classes and the libraries
// that it depends on. The outcome stays in the folder of all test processes, under a name that depends on the project's
// files, so that it is made once; libraries come from Maven's own cache, ~/.m2, and from its repository when they are
// not there. The project's pom.xml must put its output below ${output}, libraries into ${output}/lib.
func BuildMaven(t TB, dir string) string {
	t.Helper()
	path, err := buildMaven(dir)
	if err != nil {
		t.Fatalf("build the Maven project %s: %v", dir, err)
	}
	return strings.Join([]string{filepath.Join(path, "classes"), filepath.Join(path, "lib", "*")}, ":")
}

func buildMaven(dir string) (string, error) {
	for _, program := range []string{"mvn", "javac"} {
		if _, err := programPath(program); err != nil {
			return "", err
		}
	}
	name, err := treeName(dir)
	if err != nil {
		return "", err
	}
	folder, unlock, err := lockFolder("maven")
	if err != nil {
		return "", err
	}
	defer unlock()
	done := filepath.Join(folder, name)
	if _, err := os.Stat(done); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return done, err
	}
	part := done + ".part"
	if err := os.RemoveAll(part); err != nil {
		return "", err
	}
	cmd := exec.Command("mvn", "--batch-mode", "--quiet", "-Doutput="+part, "prepare-package")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("mvn: %w\n%s", err, out)
	}
	return done, os.Rename(part, done)
}

// treeName names what a folder's files hold.
func treeName(dir string) (string, error) {
	sum := sha256.New()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		fmt.Fprintf(sum, "%s %d\n%s", strings.TrimPrefix(path, dir), len(b), b)
		return err
	})
	return hex.EncodeToString(sum.Sum(nil)[:6]), err
}
