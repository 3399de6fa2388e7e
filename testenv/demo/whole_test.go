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
	out.await(t, 10*time.Second, "start", answeredBy("feed-cache", "yf"))
	out.await(t, 10*time.Second, "start", answeredBy("orders-db", "yf"))
	var lines []string
	for line := range strings.Lines(out.from(0)) {
		if rest, ok := strings.CutPrefix(line, "  "); ok && (strings.HasPrefix(rest, sluice) || strings.HasPrefix(rest, demo)) {
			lines = append(lines, strings.TrimSpace(rest))
		}
	}
	return cmd, out, lines
}

// answeredBy is a table in which one group answers all calls of a resource.
func answeredBy(resource, group string) string {
	return `(?m)^` + resource + `  [^\n]*\n(  [^\n]*\n)+?  answered by [^\n]* ` + group + ` █+ 100%`
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
	for resource, why := range map[string]string{"feed-cache": "yf is to be upgraded", "orders-db": "tc gets the orders"} {
		said := say(find(why))
		out.await(t, 10*time.Second, "switch", answeredBy(resource, "tc"))
		undo(said)
		out.await(t, 10*time.Second, "undo", answeredBy(resource, "yf"))
	}
	for words, shows := range map[string]string{
		"degrade feed-cache":             `DEGRADED sluice: feed-cache: `,
		"limit feed-cache":               `LIMITED sluice: feed-cache: `,
		"degrade orders-db":              `Error 1105 \(HY000\): sluice: orders-db: degraded by command`,
		"limit orders-db":                `Error 1226 \(42000\): sluice: orders-db: over 20/s`,
		"fault orders-db --error":        `Error 1213 \(40001\): Deadlock found`,
		"fault feed-cache --delay 20ms ": `fault feed-cache 10% delay 20ms`,
		"fault orders-db --delay 50ms ":  `INSERT .* [5-9]\d ms\n`,
	} {
		said := say(find(words))
		out.await(t, 10*time.Second, words, shows)
		undo(said)
	}
	if said := say(find("get operations orders-db")); !strings.Contains(said, "SELECT "+digestOf(reportQuery)) {
		t.Errorf("the report is no operation of its own:\n%s", said)
	}
	if said := say(find("get sessions orders-db")); len(regexp.MustCompile(`(?m)^orders-db .*paired`).FindAllString(said, -1)) != 4 {
		t.Errorf("four sessions have connections of their own:\n%s", said)
	}

	say(find("kill yf"))
	out.await(t, 15*time.Second, "kill", `(UNAVAILABLE|UNKNOWN) sluice: feed-cache: `)
	out.await(t, 15*time.Second, "kill", `Error 1158 \(08S01\): sluice: orders-db: `)
	var switched []string
	for _, resource := range []string{"feed-cache", "orders-db"} {
		switched = append(switched, say(find("switch "+resource+" tc=100 --why 'yf is down'")))
		out.await(t, 10*time.Second, "switch away from the dead group", answeredBy(resource, "tc"))
	}
	say(find("revive yf"))
	for _, said := range switched {
		undo(said)
	}
	out.await(t, 20*time.Second, "revive and undo", answeredBy("feed-cache", "yf"))
	out.await(t, 20*time.Second, "revive and undo", answeredBy("orders-db", "yf"))

	for _, endless := range []string{" top", "observe feed-cache", "observe orders-db"} {
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
	out.await(t, 10*time.Second, line, `feed-cache|KEYS|select name from place`)
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
