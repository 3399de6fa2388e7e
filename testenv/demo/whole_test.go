package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/motan"
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
	o.awaitFrom(t, o.size(), d, what, pattern)
}

// awaitFrom is await for what was printed after the first at bytes.
func (o *output) awaitFrom(t *testing.T, at int, d time.Duration, what, pattern string) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for end := time.Now().Add(d); !re.MatchString(o.from(at)); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: %q was not printed within %v:\n%s", what, pattern, d, o.from(0))
		}
	}
}

// whole is a demo that runs as people run it, as a program.
type whole struct {
	*testing.T
	cmd    *exec.Cmd
	out    *output
	lines  []string // to be typed, those of `demo more` too
	center string   // URL
	login  string   // the code of the link
}

func startDemo(t *testing.T) *whole {
	t.Helper()
	sluice := server.Build(t, "github.com/sluice-mesh/sluice/cmd/sluice", false)
	demo := server.Build(t, "github.com/sluice-mesh/sluice/testenv/demo", false)
	program := motan.GoBinary(t)
	_, admin, _ := strings.Cut(server.FreeAddr(t), ":")
	_, center, _ := strings.Cut(server.FreeAddr(t), ":")
	out := new(output)
	cmd := exec.Command(demo, "-sluice", sluice, "-data", filepath.Join(t.TempDir(), "data"), "-admin", admin, "-center", center, "-every", "500ms",
		"-motan", program)
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
	w := &whole{T: t, cmd: cmd, out: out}
	w.answeredBy("start", 30*time.Second, "yf", everything...)
	link := regexp.MustCompile(`(http://127\.0\.0\.1:\d+)/login\?code=(\S+)`).FindStringSubmatch(out.from(0))
	if link == nil {
		t.Fatalf("no link to log in:\n%s", out.from(0))
	}
	w.center, w.login = link[1], link[2]
	for _, text := range []string{out.from(0), w.say(demo + " -data " + cmd.Args[4] + " more")} {
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, sluice) || strings.HasPrefix(line, demo) {
				w.lines = append(w.lines, line)
			}
		}
	}
	return w
}

// find returns the line to type that has some words.
func (w *whole) find(words string) string {
	w.Helper()
	for _, l := range w.lines {
		if strings.Contains(l, words) {
			return l
		}
	}
	w.Fatalf("no line with %q among\n%s", words, strings.Join(w.lines, "\n"))
	return ""
}

// say types a line.
func (w *whole) say(line string) string {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 30*time.Second)
	defer cancel()
	b, err := exec.CommandContext(ctx, "sh", "-c", line).CombinedOutput()
	if err != nil {
		w.Fatalf("%s: %v\n%s", line, err, b)
	}
	return string(b)
}

// answeredBy waits for tables in which one group answers all calls of resources, of both applications.
func (w *whole) answeredBy(what string, d time.Duration, group string, resources ...string) {
	w.Helper()
	at := w.out.size()
	for _, r := range resources {
		w.out.awaitFrom(w.T, at, d, what, `(?m)^`+r+`  [^\n]*\n(  [^\n]*\n)+?  answered by [^\n]* `+group+` █+ 100%[^\n]*\n  feed-batch [^\n]* `+group+` 100%`)
	}
}

// atWeb is answeredBy for the first application alone.
func (w *whole) atWeb(what string, group, resource string) {
	w.Helper()
	w.out.await(w.T, 10*time.Second, what, `(?m)^`+resource+`  [^\n]*\n(  [^\n]*\n)+?  answered by [^\n]* `+group+` █+ 100%`)
}

// ask sends a request to the centre as a browser does and decodes what it answers.
func (w *whole) ask(browser *http.Client, method, path, body string, into any) {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), method, w.center+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("X-Sluice", "1")
	req.Header.Set("Content-Type", "application/json")
	resp, err := browser.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode > 299 {
		w.Fatalf("%s %s: %s %s %v", method, path, resp.Status, raw, err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		w.Fatalf("%s %s: %v in %s", method, path, err, raw)
	}
}

// The five things to try, as a newcomer would.
func TestFiveThings(t *testing.T) {
	w := startDemo(t)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Timeout: 20 * time.Second}
	defer browser.CloseIdleConnections()
	var me struct{ Name string }
	w.ask(browser, "POST", "/v1/login", `{"code": "`+w.login+`"}`, &me)
	if me.Name != "admin" {
		t.Errorf("the link logs %q in", me.Name)
	}
	var resources struct {
		Resources []struct {
			Name, Kind string
			Agents     struct{ Total, Applied int }
		}
	}
	w.ask(browser, "GET", "/v1/resources", "", &resources)
	if s := fmt.Sprint(resources.Resources); s != "[{feed-cache redis {2 2}} {feed-service motan2 {2 2}} {orders-db mysql {2 2}} {user-service motan2 {2 2}}]" {
		t.Errorf("resources are %s", s)
	}
	server.Wait(t, 10*time.Second, "both agents to be ready", func() error {
		var agents struct {
			Agents []struct {
				Name, Application, IDC string
				Connected, Ready       bool
			}
		}
		w.ask(browser, "GET", "/v1/agents", "", &agents)
		if s := fmt.Sprint(agents.Agents); s != "[{batch-1 feed-batch tc true true} {web-1 feed-web yf true true}]" {
			return fmt.Errorf("agents are %s", s)
		}
		return nil
	})

	id := commandID.FindString(w.say(w.find("switch idc=tc tc=100 --for 10m")))
	w.answeredBy("all move", 15*time.Second, "tc", everything...)

	w.say(w.find("kill center"))
	w.out.await(t, 15*time.Second, "the centre is killed", `centre is away; web-1 on its own copy for \d+s; batch-1 on its own copy for`)
	w.answeredBy("without a centre", 10*time.Second, "tc", everything...)
	w.say(w.find("restart web-1"))
	w.out.await(t, 15*time.Second, "the agent is restarted", `web-1 on its own copy for \d+s; [^\n]*\n  `+id)
	w.answeredBy("the agent was restarted without a centre", 15*time.Second, "tc", everything...)
	w.say(w.find("revive center"))
	w.out.await(t, 30*time.Second, "the centre is back", `centre serves; web-1 has revision \d+; batch-1 has revision \d+`)
	if said := w.say(w.find("get commands --at " + w.center)); !strings.Contains(said, id) {
		t.Errorf("%s is no more:\n%s", id, said)
	}
	w.say(strings.Replace(w.find("undo ID --at "+w.center), "ID", id, 1))
	w.answeredBy("undo", 15*time.Second, "yf", everything...)

	link := strings.TrimSpace(w.say(w.find("center login")))
	_, code, _ := strings.Cut(link, "/login?code=")
	w.ask(&http.Client{}, "POST", "/v1/login", `{"code": "`+code+`"}`, &me)
	w.stop()
}

// everything is what the demo has: a cache, a database, and two services.
var everything = []string{"feed-cache", "orders-db", "user-service", "feed-service"}

var planID = regexp.MustCompile(`\bp-[0-9a-z]+\b`)

// commandID is that of an agent's command, or of the centre's.
var commandID = regexp.MustCompile(`\b[cg]-[0-9a-z]+\b`)

// What is printed must work when it is typed, line by line, and show what is promised.
func TestWhatIsPrintedWorks(t *testing.T) {
	w := startDemo(t)
	out, find, say := w.out, w.find, w.say
	undo := func(said string) {
		t.Helper()
		say(strings.Replace(find("undo ID --at "+w.at(said)), "ID", commandID.FindString(said), 1))
	}

	if said := say(find("--dry-run")); !strings.Contains(said, "tc") {
		t.Errorf("the dry run says nothing of tc: %s", said)
	}
	for _, resource := range []string{"feed-cache", "orders-db", "user-service"} {
		said := say(find("switch " + resource + " tc=100 --for 1m"))
		w.atWeb("switch", "tc", resource)
		undo(said)
		w.answeredBy("undo", 10*time.Second, "yf", resource)
	}
	for words, shows := range map[string]string{
		"degrade feed-cache":             `DEGRADED sluice: feed-cache: `,
		"limit feed-cache":               `LIMITED sluice: feed-cache: `,
		"degrade orders-db":              `Error 1105 \(HY000\): sluice: orders-db: degraded by command`,
		"limit orders-db":                `Error 1226 \(42000\): sluice: orders-db: over 20/s`,
		"fault orders-db --error":        `Error 1213 \(40001\): Deadlock found`,
		"degrade feed-service":           `last error \d+s ago: sluice: feed-service: degraded by command`,
		"limit feed-service":             `last error \d+s ago: sluice: feed-service: over 20/s`,
		"fault user-service --delay":     `get .* [5-9]\d ms\n`,
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
	out.await(t, 15*time.Second, "kill", `sluice: user-service: `)
	out.await(t, 15*time.Second, "kill", `Error 1158 \(08S01\): sluice: orders-db: `)
	switched := say(find("switch idc=tc tc=100 --for 10m"))
	w.answeredBy("switch away from the dead group", 15*time.Second, "tc", everything...)
	say(find("revive yf"))
	undo(switched)
	w.answeredBy("revive and undo", 20*time.Second, "yf", everything...)

	planned := func(order string) {
		t.Helper()
		say(strings.Replace(find("plan "+order+" ID"), "ID", planID.FindString(say(find("plan list"))), 1))
	}
	if said := say(find("move.yaml --dry-run")); strings.Contains(said, "FAILS") || !strings.Contains(said, "dry run") {
		t.Fatalf("the plan cannot run:\n%s", said)
	}
	say(find("move.yaml --at"))
	planned("run")
	w.answeredBy("the plan moves everything", 20*time.Second, "tc", everything...)
	planned("undo")
	w.answeredBy("the plan is undone", 20*time.Second, "yf", everything...)

	for _, endless := range []string{" top", "observe feed-cache", "observe orders-db", "observe user-service"} {
		watch(t, find(endless))
	}
	w.stop()
}

// at is where the command of an answer was given: at the centre or at the first agent.
func (w *whole) at(said string) string {
	if strings.HasPrefix(commandID.FindString(said), "g-") {
		return w.center
	}
	_, at, _ := strings.Cut(w.find(" top --at "), "--at ")
	at, _, _ = strings.Cut(at, " ")
	return at
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
	out.await(t, 10*time.Second, line, `feed-cache|KEYS|select name from place|demo.UserService`)
	_ = c.Process.Signal(os.Interrupt) // it may have ended by itself
	_ = c.Wait()
}

// stop ends the demo as Ctrl-C does. Nothing of it may be left.
func (w *whole) stop() {
	w.Helper()
	if err := w.cmd.Process.Signal(os.Interrupt); err != nil {
		w.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- w.cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			w.Errorf("the demo ended with %v:\n%s", err, w.out.from(0))
		}
	case <-time.After(20 * time.Second):
		w.Fatalf("the demo did not stop:\n%s", w.out.from(0))
	}
	if _, err := os.Stat(w.cmd.Args[4]); err == nil {
		w.Errorf("%s was left behind", w.cmd.Args[4])
	}
	if c, err := net.Dial("tcp", strings.TrimPrefix(w.center, "http://")); err == nil {
		c.Close()
		w.Error("the centre was left behind")
	}
}
