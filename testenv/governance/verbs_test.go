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

	write("name: move to tc\nwhy: maintenance\nfor: 10m\nsteps:\n" +
		"- { type: switch, resource: feed-cache, weights: { tc: 100 } }\n- { type: switch, resource: user-cache, weights: { tc: 100 } }\n")
	v.must(v.say("plan", "make", "-f", file, "--dry-run"), "targets: every group", "Nothing was changed")
	id := regexp.MustCompile(`p-[0-9a-f]+`).FindString(v.say("plan", "make", "-f", file))
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
}

type notYet struct{ said string }

func (e *notYet) Error() string { return e.said }
