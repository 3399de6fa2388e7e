package governance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// centers are two centres on one etcd, and an agent that knows both.
type centers struct {
	*lab
	all   map[string]*server.CenterProcess // by name
	agent *server.AgentProcess
	app   *caller
}

func startCenters(t *testing.T, members int) (*centers, *server.EtcdServers) {
	t.Helper()
	etcd := server.Start(t, server.Etcd{Members: members})
	config := fmt.Sprintf("center:\n  etcd: { endpoints: [\"%s\"] }\n", strings.Join(etcd.Endpoints(), `", "`))
	c := &centers{lab: labOf(t, server.Center{Name: "c1", Config: config})}
	// They seal with one key.
	data := t.TempDir()
	mustWrite(t, filepath.Join(data, "seal.key"), mustRead(t, filepath.Join(c.center.Data, "seal.key")))
	if err := os.Chmod(data, 0o700); err != nil {
		t.Fatal(err)
	}
	second := server.Start(t, server.Center{Name: "c2", Config: config, Data: data})
	c.all = map[string]*server.CenterProcess{"c1": c.center, "c2": second}
	c.urls = append(c.urls, second.URL())
	yf, tc := cacheAt(t, "yf"), cacheAt(t, "tc")
	c.put("feed-cache", redisSpec(yf, tc))
	c.agent = c.lab.agent("web-1", "yf", "", "feed-cache")
	c.app = call(t, c.agent, "feed-cache")
	c.answers("yf", "at first")
	return c, etcd
}

func (c *centers) answers(where, when string) {
	c.Helper()
	c.await(5*time.Second, where+" to answer "+when, func() error { return c.app.answeredBy(where) })
}

// at returns the centre that the agent is linked to, and the other one.
func (c *centers) at() (linked, other *server.CenterProcess) {
	c.Helper()
	var name string
	c.await(5*time.Second, "the agent to be linked", func() error {
		s, err := statusOf(c.agent)
		if err == nil && (!s.Center.Connected || s.Center.Stale != nil) {
			err = fmt.Errorf("%+v", s.Center)
		}
		name = s.Center.Name
		return err
	})
	if name == "c1" {
		return c.all["c1"], c.all["c2"]
	}
	return c.all["c2"], c.all["c1"]
}

// command gives a command at one centre and returns its id.
func (c *centers) commandAt(center *server.CenterProcess) string {
	c.Helper()
	at := *c.lab
	at.center = center
	return at.command(`{"type": "switch", "select": {"name": "feed-cache"}, "weights": {"tc": 100}, "why": "test"}`)
}

// Two centres on one etcd: a command that is given at one reaches an agent that is linked to the other. The one that the agent is
// linked to is killed: the agent goes to the other by itself, which can undo what the first was told.
func TestTwoCenters(t *testing.T) {
	t.Parallel()
	c, _ := startCenters(t, 1)
	linked, other := c.at()
	given := time.Now()
	id := c.commandAt(other)
	c.answers("tc", "after a command at the other centre")
	t.Logf("a command at the other centre is in force after %v", time.Since(given).Round(time.Millisecond))

	linked.Kill()
	killed := time.Now()
	c.await(5*time.Second, "the agent to go to the other centre", func() error {
		s, err := statusOf(c.agent)
		if err == nil && (!s.Center.Connected || s.Center.URL != other.URL()) {
			err = fmt.Errorf("%+v", s.Center)
		}
		return err
	})
	t.Logf("at the other centre %v after the first was killed", time.Since(killed).Round(time.Millisecond))
	c.app.unharmed(t, "while the agent changed centres")
	if err := c.app.answeredBy("tc"); err != nil {
		t.Errorf("the command did not last: %v", err)
	}
	other.Must("DELETE", "/v1/commands/"+id, "")
	c.answers("yf", "after the command was undone at the other centre")
	linked.Restart()
	c.answers("yf", "with both centres")
	c.commandAt(linked)
	c.answers("tc", "after a command at the centre that came back")
	c.app.unharmed(t, "with both centres")
}

// What an agent exports at one centre is called by an agent of the other. The exporting agent's centre is killed: the agent goes to the
// other one, and calls notice nothing. A centre that comes back knows what is exported, whoever it was told to.
func TestExportsAcrossCenters(t *testing.T) {
	t.Parallel()
	c, _ := startCenters(t, 1)
	addr := cacheAt(t, "exported")
	one, two := c.all["c1"], c.all["c2"]
	c.urls = []string{two.URL(), one.URL()}
	c.lab.agent("cache-1", "yf", fmt.Sprintf("  exports: [{ resource: users, kind: redis, group: yf, address: %q }]\n", addr), "feed-cache")
	nameOf := func(center *server.CenterProcess) string {
		if center == one {
			return "c1"
		}
		return "c2"
	}
	at := func(center *server.CenterProcess) error {
		status, body, err := center.Call("GET", "/v1/resources/users/endpoints", "")
		if err != nil || !strings.Contains(body, addr) {
			return fmt.Errorf("%d %s %v", status, body, err)
		}
		return nil
	}
	for _, center := range []*server.CenterProcess{one, two} {
		c.await(10*time.Second, "both centres to know what is exported", func() error { return at(center) })
	}
	var home, other *server.CenterProcess
	c.await(5*time.Second, "the exporting agent to be at a centre", func() error {
		for _, center := range []*server.CenterProcess{one, two} {
			_, body, err := center.Call("GET", "/v1/agents/cache-1", "")
			if err == nil && strings.Contains(body, `"connected":true`) && strings.Contains(body, `"center":"`+nameOf(center)+`"`) {
				home = center
			}
		}
		if home == nil {
			return fmt.Errorf("none has it")
		}
		return nil
	})
	if other = one; home == one {
		other = two
	}
	c.urls = []string{other.URL()}
	agent := c.lab.agent("web-2", "yf", "", "users")
	app := call(t, agent, "users")
	c.await(10*time.Second, "the exported cache to answer an agent of the other centre", func() error { return app.answeredBy("exported") })

	home.Kill()
	c.await(20*time.Second, "the exporting agent to be at the other centre", func() error {
		_, body, err := other.Call("GET", "/v1/agents/cache-1", "")
		if err != nil || !strings.Contains(body, `"connected":true`) || !strings.Contains(body, `"center":"`+nameOf(other)+`"`) {
			return fmt.Errorf("%s %v", body, err)
		}
		return nil
	})
	app.unharmed(t, "while the exporting agent changed centres")
	home.Restart()
	c.await(10*time.Second, "the centre that came back to know what is exported", func() error { return at(home) })
	app.unharmed(t, "after the centre came back")
}
