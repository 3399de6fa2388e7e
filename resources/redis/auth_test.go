package redis

import (
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/testenv/server"
)

const (
	wrongPass = "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
	ok        = "+OK\r\n"
)

// aclServer has users beside default, which needs a password.
func aclServer(t *testing.T) *server.RedisNode {
	t.Helper()
	return server.Start(t, server.Redis{Password: "root", Users: []string{
		"reader on >rpw ~* &* +@read +@connection +@transaction +acl|whoami",
		"writer on >wpw ~* &* +@all",
	}}).Primary
}

// TestUsers maps users of the agent to users of the server: what one may do there, the other may do here.
func TestUsers(t *testing.T) {
	for _, profile := range []string{profileMultiplexed, profileTransparent} {
		t.Run(profile, func(t *testing.T) {
			s := aclServer(t)
			a := startAgent(t, newFake(t, s.Addr), &Settings{Profile: profile, Users: []User{
				{Name: "app", Password: secret(t, "app-pw"), Upstream: Credential{Name: "writer", Password: secret(t, "wpw")}},
				{Name: "report", Password: secret(t, "report-pw"), Upstream: Credential{Name: "reader", Password: secret(t, "rpw")}},
				{Password: secret(t, "old"), Upstream: Credential{Password: secret(t, "root")}},
			}})
			c := dial(t, a.addr)
			c.want("GET k", "-NOAUTH Authentication required.\r\n")
			for _, wrong := range []string{"AUTH wpw", "AUTH root", "AUTH app wpw", "AUTH writer wpw", "AUTH writer app-pw", "AUTH nobody old", "HELLO 3 AUTH app no", "HELLO 3 AUTH default app-pw"} {
				c.want(wrong, wrongPass)
				c.want("GET k", "-NOAUTH Authentication required.\r\n")
			}
			c.want("AUTH app app-pw", ok)
			c.want("SET k v", ok)
			c.want("ACL WHOAMI", "$6\r\nwriter\r\n")
			if u := a.session(c).Identity().User; u != "app" {
				t.Errorf("the session's user is %q", u)
			}
			c.want("AUTH report report-pw", ok)
			c.want("GET k", "$1\r\nv\r\n")
			c.want("ACL WHOAMI", "$6\r\nreader\r\n")
			c.wantPrefix("SET k w", "-NOPERM ")
			c.want("AUTH app wrong", wrongPass)
			c.want("ACL WHOAMI", "$6\r\nreader\r\n")
			c.want("AUTH old", ok)
			c.want("ACL WHOAMI", "$7\r\ndefault\r\n")
			if r := c.say("HELLO 3 AUTH app app-pw SETNAME x"); !strings.HasPrefix(r, "%7\r\n") {
				t.Fatalf("got %q", r)
			}
			c.want("ACL WHOAMI", "$6\r\nwriter\r\n")
			c.want("GET nosuch", "_\r\n")
			if id := a.session(c).Identity(); id.User != "app" || id.Caller != "x" {
				t.Errorf("the session is %+v", id)
			}
			c.want("RESET", "+RESET\r\n")
			c.want("GET k", "-NOAUTH Authentication required.\r\n")

			other := dial(t, a.addr) // gets nothing of what the first one has
			other.want("ACL WHOAMI", "-NOAUTH Authentication required.\r\n")
			other.want("AUTH report report-pw", ok)
			other.want("ACL WHOAMI", "$6\r\nreader\r\n")
		})
	}
}

// TestUserChangesWhilePinned: the connection of its own changes its user too.
func TestUserChangesWhilePinned(t *testing.T) {
	s := aclServer(t)
	a := startAgent(t, newFake(t, s.Addr), &Settings{Users: []User{
		{Name: "app", Password: secret(t, "app-pw"), Upstream: Credential{Name: "writer", Password: secret(t, "wpw")}},
		{Name: "report", Password: secret(t, "report-pw"), Upstream: Credential{Name: "reader", Password: secret(t, "rpw")}},
	}})
	c := dial(t, a.addr)
	c.want("AUTH app app-pw", ok)
	c.want("SET k 1", ok)
	c.want("WATCH k", ok)
	c.want("AUTH report nonsense", wrongPass)
	c.want("ACL WHOAMI", "$6\r\nwriter\r\n")
	c.want("AUTH report report-pw", ok)
	c.want("ACL WHOAMI", "$6\r\nreader\r\n")
	c.wantPrefix("SET k 2", "-NOPERM ")
	c.want("UNWATCH", ok)
	c.want("ACL WHOAMI", "$6\r\nreader\r\n")
	// The connection went back as one of the reader's.
	w := dial(t, a.addr)
	w.want("AUTH app app-pw", ok)
	w.want("WATCH k", ok)
	w.want("ACL WHOAMI", "$6\r\nwriter\r\n")
	r := dial(t, a.addr)
	r.want("AUTH report report-pw", ok)
	r.want("WATCH k", ok)
	r.want("ACL WHOAMI", "$6\r\nreader\r\n")
	if got := r.say("HELLO 3 AUTH app app-pw"); !strings.HasPrefix(got, "%7\r\n") {
		t.Fatalf("got %q", got)
	}
	r.want("ACL WHOAMI", "$6\r\nwriter\r\n")
	r.want("UNWATCH", ok)
	r.want("ACL WHOAMI", "$6\r\nwriter\r\n")
	r.want("GET nosuch", "_\r\n")
}

// TestNoLoginInATransaction: what is queued is the server's to execute, and its users are none of the client's business.
func TestNoLoginInATransaction(t *testing.T) {
	s := aclServer(t)
	a := startAgent(t, newFake(t, s.Addr), &Settings{Users: []User{
		{Name: "report", Password: secret(t, "report-pw"), Upstream: Credential{Name: "reader", Password: secret(t, "rpw")}},
	}})
	for _, line := range []string{"AUTH writer wpw", "AUTH report report-pw", "HELLO 3 AUTH writer wpw", "HELLO 2"} {
		c := dial(t, a.addr)
		c.want("AUTH report report-pw", ok)
		c.want("MULTI", ok)
		c.want(line, string(replyNoLogin))
		c.want("EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n")
		c.want("ACL WHOAMI", "$6\r\nreader\r\n")
		if p := a.session(c).Pins(); p != 0 {
			t.Errorf("pins are %v", p)
		}
	}
}

// TestLoginPassesThrough: without users of its own the agent logs in as its clients do, each on connections of its user.
func TestLoginPassesThrough(t *testing.T) {
	for _, profile := range []string{profileMultiplexed, profileTransparent} {
		t.Run(profile, func(t *testing.T) {
			s := aclServer(t)
			a := startAgent(t, newFake(t, s.Addr), &Settings{Profile: profile})
			w := &world{s, s, a}
			p := w.pair(t)
			for _, line := range []string{
				"GET k", "HELLO 3", "AUTH wrong", "AUTH nobody x", "AUTH reader wrong", "GET k", "AUTH root", "SET k 1", "ACL WHOAMI",
				"AUTH reader wrong", "ACL WHOAMI", "AUTH reader rpw", "ACL WHOAMI", "SET k 2", "GET k", "AUTH writer rpw",
				"HELLO 3 AUTH writer wrong", "ACL WHOAMI", "HELLO 3 AUTH writer wpw", "ACL WHOAMI", "SET k 3", "HELLO 2", "ACL WHOAMI",
				"WATCH k", "AUTH reader rpw", "ACL WHOAMI", "UNWATCH", "ACL WHOAMI", "MULTI", "SET k 4", "EXEC",
				"MULTI", "AUTH root", "EXEC", "ACL WHOAMI",
			} {
				p.what = line
				p.same(line)
			}
		})
	}
}

// TestLoginOfTheAgent serves clients that do not log in.
func TestLoginOfTheAgent(t *testing.T) {
	s := aclServer(t)
	a := startAgent(t, newFake(t, s.Addr), &Settings{Login: &Credential{Name: "reader", Password: secret(t, "rpw")}})
	c := dial(t, a.addr)
	c.want("ACL WHOAMI", "$6\r\nreader\r\n")
	c.wantPrefix("SET k 1", "-NOPERM ")
	c.want("AUTH writer wpw", ok)
	c.want("SET k 1", ok)
	c.want("RESET", "+RESET\r\n")
	c.wantPrefix("SET k 2", "-NOPERM ")
}

// TestWrongLoginOfTheAgent: the client did nothing wrong, so it is told what the agent cannot do.
func TestWrongLoginOfTheAgent(t *testing.T) {
	s := aclServer(t)
	a := startAgent(t, newFake(t, s.Addr), &Settings{Login: &Credential{Name: "reader", Password: secret(t, "wrong")}})
	c := dial(t, a.addr)
	c.wantPrefix("GET k", "-UNAVAILABLE sluice: test: login at ")
	c.wantPrefix("WATCH k", "-UNAVAILABLE sluice: test: login at ")
}
