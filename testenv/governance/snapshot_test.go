package governance

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// generations are the files in which an agent keeps what the centre said: the newest, and the one before.
func generations(agent *server.AgentProcess) (newest, before string) {
	newest = filepath.Join(agent.Dir, "data", "center.json")
	return newest, newest + ".1"
}

func mustRead(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustWrite(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// damaged fails unless the agent kept a broken file aside, and said so in its log.
func damaged(t *testing.T, agent *server.AgentProcess, what string) {
	t.Helper()
	newest, _ := generations(agent)
	if kept, err := filepath.Glob(newest + "*broken-*"); err != nil || len(kept) == 0 {
		t.Errorf("%s: no file was kept aside: %v", what, err)
	}
	if out := agent.Output(); !strings.Contains(out, "what the centre said") || !strings.Contains(out, "broken") {
		t.Errorf("%s: the log does not say it:\n%s", what, out)
	}
}

// An agent whose newest snapshot is cut short, or corrupt, starts without a centre from the one before and serves. With an old
// snapshot it serves as that says. With none it says that it waits for the centre. Each time the centre brings it up to date.
func TestSnapshotDamaged(t *testing.T) {
	t.Parallel()
	first, second, third := cacheAt(t, "first"), cacheAt(t, "second"), cacheAt(t, "third")
	l := newLab(t)
	l.put("feed-cache", redisSpec(first, third))
	agent := l.agent("web-1", "yf", "", "feed-cache")
	l.settled("web-1")
	newest, before := generations(agent)
	old := mustRead(t, newest)
	app := call(t, agent, "feed-cache")
	// say makes a server the one that answers, by two changes, so that both generations on disk say it, or only the newest.
	say := func(where string, both bool, addr string) {
		t.Helper()
		l.put("feed-cache", redisSpec(addr, third))
		l.await(5*time.Second, where+" to answer", func() error { return app.answeredBy(where) })
		l.settled("web-1")
		if both {
			l.put("feed-cache", strings.Replace(redisSpec(addr, third), "team: feed", "team: feeds", 1))
			l.settled("web-1")
		}
	}
	for _, c := range []struct {
		name    string
		damage  func()
		answers string
	}{
		{"cut short", func() { b := mustRead(t, newest); mustWrite(t, newest, b[:len(b)/2]) }, "second"},
		{"empty", func() { mustWrite(t, newest, nil) }, "second"},
		{"corrupt", func() {
			b := bytes.Replace(mustRead(t, newest), []byte(second), []byte(third), 1)
			mustWrite(t, newest, b)
		}, "second"},
		{"old", func() { mustWrite(t, newest, old) }, "first"},
	} {
		say("second", true, second)
		l.center.Kill()
		agent.Kill()
		c.damage()
		agent.Restart()
		app.errors.Store(0) // of the moment in which the agent was not there
		l.await(5*time.Second, c.name+": "+c.answers+" to answer", func() error { return app.answeredBy(c.answers) })
		if c.name != "old" {
			damaged(t, agent, c.name)
		}
		l.await(5*time.Second, c.name+": the agent to say that it is alone", func() error { return alone(agent) })
		app.errors.Store(0) // of connections that were being made while it started
		app.unharmed(t, c.name+", without a centre")

		l.center.Restart()
		back := time.Now()
		l.await(5*time.Second, c.name+": the agent to be linked", func() error { return linked(agent) })
		l.settled("web-1")
		l.await(5*time.Second, c.name+": what the centre says", func() error { return app.answeredBy("second") })
		t.Logf("%s: as the centre says %v after it was back", c.name, time.Since(back).Round(time.Millisecond))
		app.unharmed(t, c.name+", with the centre")
	}

	l.center.Kill()
	agent.Kill()
	mustWrite(t, newest, []byte("{"))
	mustWrite(t, before, []byte("garbage"))
	restarted := make(chan struct{})
	go func() { // it is ready when the centre is back, and not before
		defer close(restarted)
		agent.Restart()
	}()
	l.await(5*time.Second, "the agent to say that it has nothing", func() error {
		err := agent.Ready()
		if err == nil {
			return fmt.Errorf("it is ready")
		}
		if !strings.Contains(err.Error(), "waiting for the centre to define feed-cache") {
			return err
		}
		return nil
	})
	damaged(t, agent, "no snapshot")
	l.center.Restart()
	<-restarted
	l.await(5*time.Second, "what the centre says", func() error { return app.answeredBy("second") })
	l.settled("web-1")
	app.errors.Store(0)
	app.unharmed(t, "after there was no snapshot")
}

// The disk is full when the centre changes something: the change is in force, the agent says that it is not kept, and keeps it
// when it can. Meanwhile the generation on disk is whole.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	yf, tc := cacheAt(t, "yf"), cacheAt(t, "tc")
	l := newLab(t)
	l.put("feed-cache", redisSpec(yf, tc))
	agent := l.agent("web-1", "yf", "", "feed-cache")
	l.settled("web-1")
	app := call(t, agent, "feed-cache")
	newest, _ := generations(agent)
	kept := mustRead(t, newest)

	// What is written to /dev/full finds no space left. The agent writes there until its first try failed, which removes the link.
	if err := os.Symlink("/dev/full", newest+".tmp"); err != nil {
		t.Fatal(err)
	}
	l.put("feed-cache", redisSpec(tc, yf))
	l.await(5*time.Second, "the change to be in force", func() error { return app.answeredBy("tc") })
	var said string
	l.await(5*time.Second, "the agent to say that it is not kept", func() error {
		s, err := statusOf(agent)
		if err == nil && s.Center.Unkept == "" {
			err = fmt.Errorf("%+v", s.Center)
		}
		said = s.Center.Unkept
		return err
	})
	if !strings.Contains(said, "no space left on device") {
		t.Errorf("it says %q", said)
	}
	if out := agent.Output(); !strings.Contains(out, "cannot be kept") {
		t.Errorf("its log does not say it:\n%s", out)
	}
	if !bytes.Equal(mustRead(t, newest), kept) {
		t.Error("the generation on disk is another one")
	}
	l.settled("web-1") // it is in force, which is what the centre asks
	app.unharmed(t, "with a full disk")

	full := time.Now()
	l.await(12*time.Second, "the change to be kept", func() error {
		s, err := statusOf(agent)
		if err == nil && s.Center.Unkept != "" {
			err = fmt.Errorf("%s", s.Center.Unkept)
		}
		return err
	})
	t.Logf("kept %v after the disk had space", time.Since(full).Round(time.Millisecond))
	l.center.Kill()
	agent.Kill()
	agent.Restart()
	l.await(5*time.Second, "the change, from the disk", func() error { return app.answeredBy("tc") })
	app.errors.Store(0)
	app.unharmed(t, "from the disk")
}
