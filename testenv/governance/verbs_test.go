package governance

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// verbs runs the command line against a lab's centre.
type verbs struct {
	*lab
	binary string
}

// say runs a verb that must succeed and returns what it prints.
func (v *verbs) say(args ...string) string {
	v.Helper()
	cmd := exec.CommandContext(v.Context(), v.binary, args...)
	cmd.Env = append(os.Environ(), "SLUICE_AT="+v.center.URL(), "SLUICE_TOKEN="+v.center.Token())
	out, err := cmd.CombinedOutput()
	if err != nil {
		v.Fatalf("sluice %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// must checks that what was printed holds some texts.
func (v *verbs) must(said string, texts ...string) {
	v.Helper()
	for _, t := range texts {
		if !strings.Contains(said, t) {
			v.Errorf("there is no %q in\n%s", t, said)
		}
	}
}

// An operator publishes, looks back, takes back, and moves two resources by a plan, with nothing but the command line.
func TestVerbs(t *testing.T) {
	l := newLab(t)
	v := &verbs{l, server.Build(t, "github.com/sluice-mesh/sluice/cmd/sluice", false)}
	yf, tc := server.Start(t, server.Redis{}).Primary.Addr, server.Start(t, server.Redis{}).Primary.Addr
	file := filepath.Join(t.TempDir(), "cache.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(redisSpec(yf, tc))
	v.must(v.say("apply", "feed-cache", "-f", file, "--dry-run"), "Nothing was changed")
	v.must(v.say("apply", "feed-cache", "-f", file, "--why", "first"), "version 1")
	v.say("apply", "user-cache", "-f", file)
	l.agent("web-1", "yf", "", "feed-cache", "user-cache")
	l.settled("web-1")

	write(strings.Replace(redisSpec(yf, tc), "weight: 0", "weight: 10", 1))
	v.must(v.say("apply", "feed-cache", "-f", file, "--dry-run"), "groups.tc.weight: 0 -> 10", "1 change at once for 1 agent")
	v.must(v.say("apply", "feed-cache", "-f", file, "--why", "tc gets some"), "version 2")
	v.must(v.say("history", "feed-cache"), "tc gets some", "first")
	v.must(v.say("history", "feed-cache", "2"), "groups.tc.weight: 0 -> 10", "weight: 10")
	v.must(v.say("revert", "feed-cache", "1", "--why", "too early"), "version 3")
	v.must(v.say("apply", "feed-cache", "-f", file, "--draft"), "draft")
	v.must(v.say("draft", "show", "feed-cache"), "weight: 10")
	v.must(v.say("draft", "drop", "feed-cache", "--why", "not now"), "discarded")
	if status, answer, err := l.center.Call("GET", "/v1/resources/feed-cache/draft", ""); status != 404 {
		t.Errorf("the draft is still there: %d %s %v", status, answer, err)
	}

	write("name: move to tc\nwhy: maintenance\nfor: 10m\nsteps:\n" +
		"- { type: switch, resource: feed-cache, weights: { tc: 100 } }\n- { type: switch, resource: user-cache, weights: { tc: 100 } }\n")
	v.must(v.say("plan", "make", "-f", file, "--dry-run"), "targets: every group", "Nothing was changed")
	id := regexp.MustCompile(`p-[0-9a-f]+`).FindString(v.say("plan", "make", "-f", file))
	if said := v.say("plan", "show", id); strings.Contains(said, "running") {
		t.Errorf("a plan that is kept runs by itself:\n%s", said)
	}
	v.must(v.say("plan", "run", id), "running")
	state := func(want string) {
		t.Helper()
		l.await(time.Minute, "the plan to be "+want, func() error {
			if said := v.say("plan", "show", id); !strings.Contains(said, "move to tc: "+want) {
				return &notYet{said}
			}
			return nil
		})
	}
	state("done")
	v.must(v.say("get", "commands"), "feed-cache", "user-cache", "tc=100")
	v.must(v.say("plan"), id, "done")
	v.say("plan", "undo", id, "--why", "enough")
	state("undone")
	if said := v.say("get", "commands"); strings.Contains(said, "tc=100") {
		t.Errorf("commands of a plan that was taken back are in force:\n%s", said)
	}
	said := v.say("plan", "make", "-f", file, "--run")
	v.must(said, "running")
	id = regexp.MustCompile(`p-[0-9a-f]+`).FindString(said)
	state("done")
}

type notYet struct{ said string }

func (e *notYet) Error() string { return e.said }

// An operator changes endpoints, brings a version out in stages and takes it back, and lets people and programs in, with nothing but
// the command line.
func TestMoreVerbs(t *testing.T) {
	l := newLab(t)
	v := &verbs{l, server.Build(t, "github.com/sluice-mesh/sluice/cmd/sluice", false)}
	yf, tc := server.Start(t, server.Redis{}).Primary.Addr, server.Start(t, server.Redis{}).Primary.Addr
	l.put("feed-cache", redisSpec(yf, tc))
	agent := l.agent("web-1", "yf", "", "feed-cache")
	l.settled("web-1")

	v.must(v.say("endpoint", "add", "feed-cache", "tc", "127.0.0.1:1", "--role", "replica", "--weight", "10", "--why", "more room"), "version 2")
	v.must(v.say("get", "endpoints", "feed-cache"), "127.0.0.1:1", "replica")
	v.must(v.say("endpoint", "remove", "feed-cache", "tc", "127.0.0.1:1"), "127.0.0.1:1 is removed")
	v.must(v.say("history", "feed-cache"), "more room")

	file := filepath.Join(t.TempDir(), "cache.yaml")
	if err := os.WriteFile(file, []byte(redisSpec(yf, tc)+"policy: { timeout: 3s }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	v.must(v.say("apply", "feed-cache", "-f", file, "--stage", "web-1 for 100ms", "--stage", "100%", "--refusals", "1", "--why", "slow evenings"), "feed-cache  version 3 -> 4: running", "web-1")
	var id string
	l.await(time.Minute, "the release to be done", func() error {
		said := v.say("release")
		if id = regexp.MustCompile(`(?m)^feed-cache@\S+`).FindString(said); id == "" || !strings.Contains(said, "done") {
			return &notYet{said}
		}
		return nil
	})
	v.must(v.say("release", "show", id), "3 -> 4: done", "canary", "1/1")
	if _, answer, err := agent.Call("GET", "/v1/resources/feed-cache/config", ""); err != nil || !strings.Contains(answer, `"timeout":"3s"`) {
		t.Errorf("the agent runs %s %v", answer, err)
	}
	var released struct{ Guards struct{ Refusals int } }
	if l.get("GET", "/v1/releases/"+id, "", &released); released.Guards.Refusals != 1 {
		t.Errorf("the release has the guards %+v", released.Guards)
	}
	v.say("release", "back", id, "--why", "too slow")
	l.await(time.Minute, "the release to be back", func() error {
		if _, answer, err := agent.Call("GET", "/v1/resources/feed-cache/config", ""); err != nil || strings.Contains(answer, `"timeout":"3s"`) {
			return &notYet{answer}
		}
		return nil
	})

	v.must(v.say("center", "user", "set", "mei", "--role", "owner", "--on", "feed-*"), "mei: owner", "sluice center login --user mei")
	v.must(v.say("center", "user"), "mei", "owner on name=feed-*")
	v.must(v.say("center", "login", "--user", "mei"), "/login?code=")
	v.must(v.say("center", "user", "remove", "mei"), "mei is removed")
	value := filepath.Join(t.TempDir(), "value")
	if err := os.WriteFile(value, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	v.must(v.say("center", "secret", "set", "cache-pw", "--for", "feed-*", "-f", value), "no resource refers to it yet")
	said := v.say("center", "secret")
	if v.must(said, "cache-pw", "feed-*"); strings.Contains(said, "hunter2") {
		t.Errorf("a secret is shown: %s", said)
	}
	v.must(v.say("center", "secret", "remove", "cache-pw"), "is removed")

	token := strings.TrimSpace(v.say("center", "token", "ci", "--role", "operator", "--on", "kind=redis label.team=feed", "--for", "1h"))
	as := exec.CommandContext(t.Context(), v.binary, "switch", "feed-cache", "tc=100", "--why", "by a program")
	as.Env = append(os.Environ(), "SLUICE_AT="+l.center.URL(), "SLUICE_TOKEN="+token)
	if out, err := as.CombinedOutput(); err != nil {
		t.Errorf("a command by a token: %v\n%s", err, out)
	}
	said = v.say("center", "token", "list")
	if v.must(said, "ci", "operator on kind=redis label.team=feed"); strings.Contains(said, token) {
		t.Errorf("a token is shown: %s", said)
	}
	as = exec.CommandContext(t.Context(), v.binary, "apply", "feed-cache", "-f", file)
	as.Env = append(os.Environ(), "SLUICE_AT="+l.center.URL(), "SLUICE_TOKEN="+token)
	if out, err := as.CombinedOutput(); err == nil || !strings.Contains(string(out), "publish") {
		t.Errorf("an operator published: %v\n%s", err, out)
	}

	// A document is published only while the revision that its author saw is the newest one.
	var now struct{ ETag string }
	l.get("GET", "/v1/resources/feed-cache", "", &now)
	seen := strings.Trim(now.ETag, `"`)
	document, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	l.await(time.Minute, "the end of the release", func() error {
		if said := v.say("release"); !strings.Contains(said, "undone") {
			return &notYet{said}
		}
		return nil
	})
	l.put("feed-cache", strings.Replace(string(document), "timeout: 3s", "timeout: 4s", 1))
	for _, more := range [][]string{{"--revision", seen}, {"--revision", seen, "--stage", "100%"}, {"--revision", "0"}, {"--revision=-1"}} {
		late := exec.CommandContext(t.Context(), v.binary, append([]string{"apply", "feed-cache", "-f", file}, more...)...)
		late.Env = append(os.Environ(), "SLUICE_AT="+l.center.URL(), "SLUICE_TOKEN="+l.center.Token())
		if out, err := late.CombinedOutput(); err == nil || !strings.Contains(string(out), "revision") {
			t.Errorf("apply %v after another version: %v %s", more, err, out)
		}
	}
	if text := l.center.Must("GET", "/v1/resources/feed-cache/config", ""); !strings.Contains(text, "4s") {
		t.Errorf("what was published meanwhile is lost: %s", text)
	}
	l.get("GET", "/v1/resources/feed-cache", "", &now)
	v.must(v.say("apply", "feed-cache", "-f", file, "--revision", strings.Trim(now.ETag, `"`)), "is published")
	v.must(v.say("apply", "fresh-cache", "-f", file, "--revision", "0"), "is published")

	// Tokens end by their ids.
	id = strings.Split(strings.TrimPrefix(token, "sluice-token."), ".")[0]
	v.must(v.say("center", "token", "remove", id, "--why", "seen enough"), id+" is removed")
	as = exec.CommandContext(t.Context(), v.binary, "get", "resources")
	as.Env = append(os.Environ(), "SLUICE_AT="+l.center.URL(), "SLUICE_TOKEN="+token)
	if out, err := as.CombinedOutput(); err == nil {
		t.Errorf("a token that was removed is taken: %s", out)
	}
	joinToken := strings.TrimSpace(v.say("center", "join", "--agent", "web-7*", "--uses", "3"))
	said = v.say("center", "join", "list")
	if v.must(said, "web-7*"); strings.Contains(said, joinToken) {
		t.Errorf("a join token is shown: %s", said)
	}
	for line := range strings.Lines(said) {
		if strings.Contains(line, "web-7*") {
			id := strings.Fields(line)[0]
			v.must(v.say("center", "join", "remove", id), id+" is removed")
		}
	}
	if said = v.say("center", "join", "list"); strings.Contains(said, "web-7*") {
		t.Errorf("a join token that was removed is listed: %s", said)
	}
}
