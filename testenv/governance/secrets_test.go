package governance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// A password that only the centre knows: agents get it with the resource and serve by it, also after a restart without a centre;
// another one replaces it while calls go on; and nothing shows it.
func TestSecrets(t *testing.T) {
	const first, second = "correct-horse-battery", "staple-of-another-kind"
	node := server.Start(t, server.Redis{}).Primary
	admin := redis.NewClient(&redis.Options{Addr: node.Addr})
	defer admin.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(admin.Set(t.Context(), "where", "yf", 0).Err())
	must(admin.ACLSetUser(t.Context(), "sluice", "on", ">"+first, "~*", "&*", "+@all").Err())

	l := newLab(t)
	doc := fmt.Sprintf("kind: redis\nlabels: { team: feed }\nsettings: { login: { name: sluice, password: \"${secret:feed-cache}\" } }\ngroups: { yf: { endpoints: [%q] } }\n", node.Addr)
	if status, answer, err := l.center.Call("PUT", "/v1/resources/feed-cache", doc); err != nil || status != 400 || !strings.Contains(answer, "there is no secret feed-cache") {
		t.Errorf("a document that refers to no secret: %d %s %v", status, answer, err)
	}
	set := func(value string) {
		t.Helper()
		l.center.Must("PUT", "/v1/secrets/feed-cache", fmt.Sprintf(`{"value": %q, "resources": ["feed-*"]}`, value))
	}
	set(first)
	l.put("feed-cache", doc)
	if status, answer, err := l.center.Call("PUT", "/v1/resources/orders", doc); err != nil || status != 400 || !strings.Contains(answer, "is for feed-*, not for orders") {
		t.Errorf("a document that refers to the secret of another: %d %s %v", status, answer, err)
	}
	if status, answer, err := l.center.Call("DELETE", "/v1/secrets/feed-cache", ""); err != nil || status != 409 || !strings.Contains(answer, "feed-cache") {
		t.Errorf("a secret in use was removed: %d %s %v", status, answer, err)
	}
	agent := l.agent("web-1", "yf", "", "feed-cache")
	l.settled("web-1")
	c := call(t, agent, "feed-cache")
	serves := func(what string) {
		t.Helper()
		c.at.Store(nil)
		l.await(5*time.Second, what, func() error { return c.answeredBy("yf") })
	}
	serves("calls by the password")

	// Another password: both hold while it comes.
	must(admin.ACLSetUser(t.Context(), "sluice", ">"+second).Err())
	set(second)
	l.settled("web-1")
	l.await(10*time.Second, "the agent to have the new password", func() error {
		if text := string(newestCopy(t, agent)); !strings.Contains(text, second) || strings.Contains(text, first) {
			return fmt.Errorf("its copy has another")
		}
		return nil
	})
	c.unharmed(t, "while the password changed")
	must(admin.ACLSetUser(t.Context(), "sluice", "<"+first).Err())
	must(admin.Do(t.Context(), "CLIENT", "KILL", "USER", "sluice").Err())
	serves("calls by the new password")

	// Nothing shows it.
	for _, at := range []string{"/v1/secrets", "/v1/resources/feed-cache", "/v1/resources/feed-cache/config", "/v1/agents/web-1", "/v1/agents/web-1/config", "/v1/audit"} {
		_, answer, err := l.center.Call("GET", at, "")
		must(err)
		if strings.Contains(answer, second) {
			t.Errorf("%s at the centre shows the secret", at)
		}
	}
	for _, at := range []string{"/v1/resources", "/v1/resources/feed-cache", "/v1/resources/feed-cache/config", "/v1/status"} {
		_, answer, err := agent.Call("GET", at, "")
		must(err)
		if strings.Contains(answer, second) || strings.Contains(at, "config") && !strings.Contains(answer, "${secret:feed-cache}") {
			t.Errorf("%s at the agent: %s", at, answer)
		}
	}
	if strings.Contains(agent.Output()+l.center.Output(), second) {
		t.Error("a log shows the secret")
	}

	// Without a centre the agent starts by its own copy, which nobody else can read.
	l.center.Kill()
	agent.Kill()
	agent.Restart()
	serves("calls after a restart without a centre")
	err := filepath.WalkDir(agent.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if text := mustRead(t, path); strings.Contains(string(text), second) {
			if info, err := d.Info(); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s has the secret, and mode %v (%v)", path, info.Mode(), err)
			}
		}
		return nil
	})
	must(err)
}

// newestCopy is what an agent keeps of its centre.
func newestCopy(t *testing.T, agent *server.AgentProcess) []byte {
	t.Helper()
	newest, _ := generations(agent)
	return mustRead(t, newest)
}
