//go:build long

package redis

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"
)

// TestLongEachBugIsCaught brings each bug of bugs.go back and lets the tests of its number look for it.
func TestLongEachBugIsCaught(t *testing.T) {
	tool := os.Getenv("GO")
	if tool == "" {
		tool = "go"
	}
	run := func(args ...string) (out string, err error) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, tool, append([]string{"test", "-vet=off", "-count=1", "-failfast", "-timeout=2m"}, args...)...)
		cmd.WaitDelay = 10 * time.Second
		b, err := cmd.CombinedOutput()
		return string(b), err
	}
	if out, err := run("-run", "^TestIntegrityM", "."); err != nil {
		t.Fatalf("without any of the bugs: %v\n%s", err, out)
	}
	for n := 1; n <= 10; n++ {
		t.Run(fmt.Sprintf("M%d", n), func(t *testing.T) {
			tests := fmt.Sprintf("TestIntegrityM%d[A-Z]", n)
			out, err := run("-tags", fmt.Sprintf("bug_m%d", n), "-run", "^"+tests, ".")
			caught := regexp.MustCompile(`(?m)^--- FAIL: ` + tests).MatchString(out)
			if err == nil || !caught {
				t.Errorf("the bug of tag bug_m%d was not caught (%v):\n%s", n, err, out)
			}
		})
	}
}

// The storms of TestIntegrityUnderFaults, for longer.
func TestLongIntegrityUnderFaults(t *testing.T) {
	for name, s := range storms {
		s.floor *= 8
		t.Run(name, s.run)
	}
}
