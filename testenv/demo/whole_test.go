package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// output collects what the demo prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

// from returns what was printed after the first n bytes.
func (o *output) from(n int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text.Bytes()[n:])
}

func (o *output) size() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Len()
}

// await waits until a pattern is in what is printed from now on.
func (o *output) await(t *testing.T, d time.Duration, what, pattern string) {
	t.Helper()
	at, re := o.size(), regexp.MustCompile(pattern)
	for end := time.Now().Add(d); !re.MatchString(o.from(at)); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: %q was not printed within %v:\n%s", what, pattern, d, o.from(0))
		}
	}
}

// startDemo runs the demo as people do, as a program, and returns its output and the lines that it says to type.
func startDemo(t *testing.T) (*exec.Cmd, *output, []string) {
	t.Helper()
	sluice := server.Build(t, "github.com/sluice-mesh/sluice/cmd/sluice", false)
	demo := server.Build(t, "github.com/sluice-mesh/sluice/testenv/demo", false)
	_, port, _ := strings.Cut(server.FreeAddr(t), ":")
	out := new(output)
	cmd := exec.Command(demo, "-sluice", sluice, "-data", filepath.Join(t.TempDir(), "data"), "-admin", port, "-every", "500ms")
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	out.await(t, 10*time.Second, "start", `answered by  yf █+ 100%`)
	var lines []string
	for line := range strings.Lines(out.from(0)) {
		if rest, ok := strings.CutPrefix(line, "  "); ok && (strings.HasPrefix(rest, sluice) || strings.HasPrefix(rest, demo)) {
			lines = append(lines, strings.TrimSpace(rest))
		}
	}
	return cmd, out, lines
}

// What is printed must work when it is typed, line by line, and show what is promised.
func TestWhatIsPrintedWorks(t *testing.T) {
	cmd, out, lines := startDemo(t)
	find := func(words string) string {
		t.Helper()
		for _, l := range lines {
			if strings.Contains(l, words) {
				return l
			}
		}
		t.Fatalf("no line with %q among\n%s", words, strings.Join(lines, "\n"))
		return ""
	}
	say := func(line string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		b, err := exec.CommandContext(ctx, "sh", "-c", line).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", line, err, b)
		}
		return string(b)
	}
	id := regexp.MustCompile(`\bc-[0-9a-z]+\b`)
	undo := func(said string) {
		t.Helper()
		found := id.FindString(said)
		if found == "" {
			found = id.FindString(say(find("get commands")))
		}
		say(strings.Replace(find("undo ID"), "ID", found, 1))
	}

	if said := say(find("--dry-run")); !strings.Contains(said, "tc") {
		t.Errorf("the dry run says nothing of tc: %s", said)
	}
	said := say(find("yf is to be upgraded"))
	out.await(t, 10*time.Second, "switch", `tc █+ 100%`)
	undo(said)
	out.await(t, 10*time.Second, "undo", `yf █+ 100%`)

	said = say(find("degrade"))
	out.await(t, 10*time.Second, "degrade", `DEGRADED sluice: feed-cache: `)
	undo(said)

	undo(say(find("fault")))
	said = say(find("limit"))
	out.await(t, 10*time.Second, "limit", `LIMITED sluice: feed-cache: `)
	undo(said)

	say(find("kill yf"))
	out.await(t, 15*time.Second, "kill", `(UNAVAILABLE|UNKNOWN) sluice: feed-cache: `)
	said = say(find("yf is down"))
	out.await(t, 10*time.Second, "switch away from the dead group", `tc █+ 100%`)
	say(find("revive yf"))
	undo(said)
	out.await(t, 20*time.Second, "revive and undo", `yf █+ 100%`)

	for _, endless := range []string{" top", " observe "} {
		watch(t, find(endless))
	}
	stopDemo(t, cmd, out)
}

// watch runs a line that may go on for ever, and wants something printed.
func watch(t *testing.T, line string) {
	t.Helper()
	out := new(output)
	c := exec.Command("sh", "-c", "exec "+line)
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	out.await(t, 10*time.Second, line, `feed-cache|KEYS`)
	_ = c.Process.Signal(os.Interrupt) // it may have ended by itself
	_ = c.Wait()
}

func stopDemo(t *testing.T, cmd *exec.Cmd, out *output) {
	t.Helper()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the demo ended with %v:\n%s", err, out.from(0))
		}
	case <-time.After(15 * time.Second):
		t.Fatalf("the demo did not stop:\n%s", out.from(0))
	}
}
