package cmd

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/sluice-mesh/sluice/agent"
	"github.com/sluice-mesh/sluice/agent/admin/admintest"
)

var update = flag.Bool("update", false, "write what the scripts print into testdata/*.txt")

func TestMain(m *testing.M) {
	admintest.Register()
	goleak.VerifyTestMain(m)
}

// The scripts in testdata are command lines and what they print, against an agent that serves `kind: echo`:
//
//	$ get resources           run the verb; what follows is its output
//	2> ...                    a line of stderr
//	exit 1                    the exit code, when it is not 0
//	call cache GET a          a client's line and its answer
//	file NAME                 the lines that follow, up to an empty one, become a file in the script's folder
//	# ...                     a comment
//	.                         an empty line of output
//
// In what is printed, ids, ports, times and durations are replaced by words, and runs of spaces are two.
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, name := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := newScript(t).run(string(want))
			if *update {
				os.WriteFile(name, []byte(got), 0o644)
			} else if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		})
	}
}

type script struct {
	t     *testing.T
	agent *agent.Agent
	dir   string
	at    string
	env   map[string]string
	last  string // id of the newest command
}

const scriptConfig = `
agent: { name: web-7, application: web, idc: yf, admin: "127.0.0.1:0", data: %s, drain: { wait: 0s, timeout: 2s } }
resources:
  cache:
    kind: echo
    listen: 127.0.0.1:0
    groups:
      yf: { weight: 100, endpoints: ["10.0.0.1:6379", { address: "down.example:6379", weight: 50 }] }
      tc: { weight: 0, endpoints: ["10.1.0.1:6379"] }
  queue:
    kind: echo
    listen: 127.0.0.1:0
    groups: { yf: { endpoints: ["10.0.0.7:9092"] } }
`

func newScript(t *testing.T) *script {
	t.Helper()
	s := &script{t: t, dir: t.TempDir()}
	data := filepath.Join(s.dir, "data")
	cfg, err := configOptions().Parse("sluice.yaml", fmt.Appendf(nil, scriptConfig, data))
	if err != nil {
		t.Fatal(err)
	}
	signals := make(chan os.Signal, 2)
	a, err := agent.New(cfg, agent.Options{Version: "v1.2.3", Signals: signals, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(context.Background()) }()
	t.Cleanup(func() {
		signals <- syscall.SIGTERM
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	s.agent, s.at = a, "http://"+a.AdminAddr().String()
	s.env = map[string]string{"SLUICE_AT": s.at, "SLUICE_DATA": data, "USER": "ana"}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if resp, err := http.Get(s.at + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == 200 && s.states() {
				return s
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("the agent is not ready")
		}
	}
}

// states waits until the checks have found out which endpoint is down, which takes two of them.
func (s *script) states() bool {
	out, _, _ := s.sluice([]string{"get", "endpoints"})
	return strings.Contains(out, " down ") && strings.Count(out, " up ") == 3
}

// sluice runs a verb.
func (s *script) sluice(args []string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	h := &host{env: func(k string) string { return s.env[k] }, stdout: &out, stderr: &errs, signals: quiet, version: "v1.2.3"}
	for k, v := range s.env { // kong reads the process's environment
		s.t.Setenv(k, v)
	}
	code = run(context.Background(), h, args)
	return out.String(), errs.String(), code
}

// run runs a script and returns it with the output that it has now.
func (s *script) run(text string) string {
	var out strings.Builder
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		verb, rest, _ := strings.Cut(line, " ")
		switch {
		case verb == "$":
			out.WriteString(line + "\n" + s.verb(rest))
		case verb == "call":
			resource, request, _ := strings.Cut(rest, " ")
			out.WriteString(line + "\n" + s.call(resource, request) + "\n")
		case verb == "file":
			var body strings.Builder
			out.WriteString(line + "\n")
			for i++; i < len(lines) && lines[i] != ""; i++ {
				body.WriteString(lines[i] + "\n")
				out.WriteString(lines[i] + "\n")
			}
			out.WriteString("\n")
			if err := os.WriteFile(filepath.Join(s.dir, rest), []byte(body.String()), 0o600); err != nil {
				s.t.Fatal(err)
			}
		case line == "" || verb == "#":
			out.WriteString(line + "\n")
		}
	}
	return out.String()
}

var commandID = regexp.MustCompile(`\bc-[0-9a-f]{6}\b`)

func (s *script) verb(line string) string {
	line = strings.NewReplacer("ID", s.last, "DIR", s.dir).Replace(line)
	stdout, stderr, code := s.sluice(split(line))
	if id := commandID.FindString(stdout); id != "" {
		s.last = id
	}
	var out strings.Builder
	out.WriteString(s.words(stdout))
	for l := range strings.Lines(s.words(stderr)) {
		out.WriteString("2> " + l)
	}
	if code != 0 {
		fmt.Fprintf(&out, "exit %d\n", code)
	}
	return out.String()
}

// split splits a command line at spaces outside of double quotes.
func split(line string) []string {
	var args []string
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			args = append(args, part)
			continue
		}
		args = append(args, strings.Fields(part)...)
	}
	return args
}

// words replaces what differs from run to run.
func (s *script) words(text string) string {
	for _, r := range []struct{ pattern, word string }{
		{`\bc-[0-9a-f]{6}\b`, "ID"},
		{regexp.QuoteMeta(s.dir), "DIR"},
		{regexp.QuoteMeta(s.at), "AT"},
		{`127\.0\.0\.1:\d+`, "127.0.0.1:PORT"},
		{`\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z?`, "TIME"},
		{`\d\d-\d\d \d\d:\d\d:\d\d`, "TIME"},
		{`\d\d:\d\d:\d\d(\.\d+)?`, "TIME"},
		{`ana@[\w.-]+`, "ana@HOST"},
		{`\b\d+(\.\d+)? calls`, "N calls"},
		{`\b\d+(\.\d+)? -> N calls`, "N -> N calls"},
		{`\n\n`, "\n.\n"},
		{`\b\d+(\.\d+)?(ns|µs|ms)\b`, "DURATION"},
		{`up \d\S*s`, "up DURATION"},
		{`(  )0s( +ready)`, "${1}DURATION$2"}, {`(  )\d+s( +ready)`, "${1}DURATION$2"},
		{`\b9m5\ds\b`, "LEFT"},
		{`"uptime": "\S+"`, `"uptime": "DURATION"`},
		{`go1\.\S+, linux/\w+`, "GO"},
		{`kinds: [^)]*`, "kinds: KINDS"},
		{`not a kind: .*`, "not a kind: KINDS"},
		{` +\n`, "\n"},
	} {
		if text != "" {
			text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.word)
		}
	}
	var out strings.Builder
	for l := range strings.Lines(text) {
		body := strings.TrimLeft(l, " ")
		body = regexp.MustCompile(` {2,}`).ReplaceAllString(body, "  ")
		for range 2 { // rates, which depend on when the agent looked; neighbours share a separator
			body = regexp.MustCompile(`  \d+\.\d\d?(  |\n)`).ReplaceAllString(body, "  0$1")
		}
		out.WriteString(l[:len(l)-len(strings.TrimLeft(l, " "))] + body)
	}
	return out.String()
}

func (s *script) call(resource, line string) string {
	c, err := net.Dial("tcp", s.agent.Listening(resource)[0])
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprintln(c, line)
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err != nil && err != io.EOF {
		s.t.Fatal(err)
	}
	return s.words(strings.TrimSpace(answer))
}

func TestObservePrintsLiveCalls(t *testing.T) {
	s := newScript(t)
	var out lockedBuffer
	h := &host{env: func(k string) string { return s.env[k] }, stdout: &out, stderr: io.Discard, signals: quiet, version: "v"}
	s.sluice([]string{"version"}) // sets the environment
	done := make(chan int, 1)
	go func() {
		done <- run(context.Background(), h, []string{"observe", "cache", "--match", "op=GET", "-n", "2"})
	}()
	for deadline := time.Now().Add(10 * time.Second); ; {
		s.call("cache", "SET x")
		s.call("cache", "GET k\x1b[31m")
		select {
		case code := <-done:
			if code != 0 {
				t.Errorf("exit %d", code)
			}
			text := out.String()
			if strings.Count(text, "\n") != 2 || strings.Contains(text, "SET") || strings.Contains(text, "\x1b") || !strings.Contains(text, "GET k?[31m  ok") {
				t.Errorf("printed %q", text)
			}
			return
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("observe does not end; it printed %q", out.String())
		}
	}
}

// A trace shows what each call's time went to, ends by itself and sums up.
func TestObserveTraces(t *testing.T) {
	s := newScript(t)
	s.sluice([]string{"version"}) // sets the environment
	for _, output := range []string{"text", "json"} {
		var out lockedBuffer
		h := &host{env: func(k string) string { return s.env[k] }, stdout: &out, stderr: io.Discard, signals: quiet, version: "v"}
		done := make(chan int, 1)
		go func() {
			done <- run(context.Background(), h, []string{"observe", "cache", "--trace", "-o", output, "--match", "op=GET", "--for", "1s"})
		}()
		for ended := false; !ended; {
			s.call("cache", "GET k")
			select {
			case code := <-done:
				if code != 0 {
					t.Errorf("exit %d", code)
				}
				ended = true
			default:
			}
		}
		text := out.String()
		lines := strings.Split(strings.TrimSpace(text), "\n")
		last := lines[len(lines)-1]
		switch output {
		case "text":
			if !strings.HasPrefix(lines[0], "TIME          RECEIVE") || !strings.Contains(lines[1], "  GET k  ") || strings.Count(text, "TIME ") != 1 ||
				!strings.HasPrefix(lines[len(lines)-2], "P50/P99  CALLS") || !strings.HasPrefix(last, "GET ") || !strings.HasSuffix(last, "%") {
				t.Errorf("printed %q", text)
			}
		case "json":
			if !strings.Contains(lines[0], `"stages":{"receive-us":`) || !strings.HasPrefix(last, `{"summary":{"op":"GET","calls":`) {
				t.Errorf("printed %q", text)
			}
		}
	}
	h := &host{env: func(k string) string { return s.env[k] }, stdout: io.Discard, stderr: io.Discard, signals: quiet, version: "v"}
	if code := run(context.Background(), h, []string{"observe", "cache", "--sample", "0%"}); code != exitUsage {
		t.Errorf("a share of nothing: exit %d", code)
	}
}

func TestObserveEndsAtASignal(t *testing.T) {
	s := newScript(t)
	signals := make(chan os.Signal, 1)
	h := &host{env: func(k string) string { return s.env[k] }, stdout: io.Discard, stderr: io.Discard, signals: func() <-chan os.Signal { return signals }, version: "v"}
	s.sluice([]string{"version"})
	signals <- syscall.SIGINT
	if code := run(context.Background(), h, []string{"observe", "cache"}); code != 0 {
		t.Errorf("exit %d", code)
	}
}

// quiet delivers no signals.
func quiet() <-chan os.Signal { return nil }

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestAgentVerb runs the whole binary's way: a file, signals, an exit code.
func TestAgentVerb(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "sluice.yaml")
	os.WriteFile(file, fmt.Appendf(nil, scriptConfig, filepath.Join(dir, "data")), 0o600)
	signals := make(chan os.Signal, 1)
	var out, errs lockedBuffer
	h := &host{env: func(string) string { return "" }, stdout: &out, stderr: &errs, signals: func() <-chan os.Signal { return signals }, version: "v1.2.3"}
	done := make(chan int, 1)
	go func() { done <- run(context.Background(), h, []string{"agent", "-c", file}) }()
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(errs.String(), "msg=serving"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not serve: %s", errs.String())
		}
	}
	signals <- syscall.SIGTERM
	if code := <-done; code != 0 {
		t.Errorf("exit %d: %s", code, errs.String())
	}
	if out.String() != "" {
		t.Errorf("the agent writes to stdout, which belongs to access logs: %q", out.String())
	}
}

func TestCompletionScriptsAreValid(t *testing.T) {
	s := newScript(t)
	for shell, want := range map[string]string{"bash": "complete -F _sluice sluice", "zsh": "compdef _sluice sluice", "fish": "complete -c sluice"} {
		out, _, code := s.sluice([]string{"completion", shell})
		if code != 0 || !strings.Contains(out, want) || !strings.Contains(out, "observe") || !strings.Contains(out, "dry-run") {
			t.Errorf("%s: exit %d\n%s", shell, code, out)
		}
		if shell == "bash" {
			checkBash(t, out)
		}
	}
}
