package ui

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What the build reads, besides the packages that package-lock.json names. tools/finish.mjs has the same list.
var sources = []string{"src", "public", "tools", "index.html", "package.json", "package-lock.json", "svelte.config.js", "tsconfig.json", "vite.config.ts"}

// hashes returns the SHA-256 of every file below the roots.
func hashes(t *testing.T, roots ...string) map[string]string {
	t.Helper()
	out := make(map[string]string)
	for _, root := range roots {
		err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			sum := sha256.Sum256(b)
			out[filepath.ToSlash(name)] = hex.EncodeToString(sum[:])
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestDistIsTheBuildOfTheseSources(t *testing.T) {
	listed := make(map[string]string)
	b, err := os.ReadFile(filepath.Join("dist", manifest))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		sum, name, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if !ok {
			t.Fatalf("dist/%s: %q is not HASH  NAME", manifest, line)
		}
		listed[name] = sum
	}
	have := hashes(t, append(slices.Clone(sources), "dist")...)
	delete(have, "dist/"+manifest)
	const fix = "run `npm ci && npm run build` in governance/ui and commit dist"
	for name, sum := range have {
		switch listed[name] {
		case sum:
		case "":
			t.Errorf("%s is not in the build: %s", name, fix)
		default:
			t.Errorf("%s changed after the build: %s", name, fix)
		}
	}
	for name := range listed {
		if have[name] == "" {
			t.Errorf("%s is gone since the build: %s", name, fix)
		}
	}
}

// A lock file that names download addresses ties the build to one machine's registry.
func TestTheLockFileNamesNoAddresses(t *testing.T) {
	b, err := os.ReadFile("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, `"resolved"`) {
			t.Errorf("package-lock.json: %s", strings.TrimSpace(line))
		}
	}
}
