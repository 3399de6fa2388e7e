package consul

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/agent/discovery"
	"github.com/sluice-mesh/sluice/agent/discovery/discoverytest"
	"github.com/sluice-mesh/sluice/resources"
	"github.com/sluice-mesh/sluice/testenv/server"
)

var feed = discovery.Service{Group: "feed-yf", Path: "com.example.Feed"}

// What we write is what Java's clients expect, with a token where Consul wants one.
func TestLayout(t *testing.T) {
	t.Parallel()
	const token = "8d3b1d2e-2f3b-4a55-9c7b-0d2c2a1e9f00"
	c := server.Start(t, server.Consul{Token: token})
	secret, err := resources.NewSecret(token)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(Options{Agents: []string{c.Addr}, Token: secret})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	n := discoverytest.Node(feed, "10.0.0.1:8002")
	n.Weight, n.Params = 150, map[string]string{"filter": "a,b"}
	r, err := s.Register(n)
	if err != nil {
		t.Fatal(err)
	}
	discoverytest.Stands(t, r)
	const node = "motan2://10.0.0.1:8002/com.example.Feed?group=feed-yf&META_WEIGHT=15&filter=a,b&nodeType=service&version=1.0"
	want := service{ID: "10.0.0.1:8002-com.example.Feed-?feed-yf", Service: "motanrpc_feed-yf", Address: "10.0.0.1", Port: 8002,
		Tags: []string{"protocol_motan2", "URL_" + url.QueryEscape(node)}, Meta: map[string]string{ownerMeta: s.owner}}
	is := func(status string) error {
		var list []instance
		if err := json.Unmarshal([]byte(c.Ask("GET", "/v1/health/service/motanrpc_feed-yf", "")), &list); err != nil || len(list) != 1 {
			return fmt.Errorf("%+v, %v", list, err)
		}
		if got := list[0].Service; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("Consul has %+v\nwant %+v", got, want)
		}
		for _, check := range list[0].Checks {
			if check.ServiceID == want.ID && check.Status == status {
				return nil
			}
		}
		return fmt.Errorf("the checks are %+v, want %s", list[0].Checks, status)
	}
	discoverytest.Eventually(t, "the service to pass", func() error { return is(passing) })
	if got := c.Ask("GET", "/v1/agent/checks", ""); !strings.Contains(got, `"Type":"ttl"`) {
		t.Errorf("the checks are %s", got)
	}
	n.Available = false
	if err := r.Update(n); err != nil {
		t.Fatal(err)
	}
	discoverytest.Eventually(t, "the service to be critical", func() error { return is(critical) })

	for key, scope := range map[string]discovery.Scope{"motan/command/motanrpc_feed-yf": {Group: "feed-yf"}, "motan/command/agent/app": {Application: "app"}} {
		if err := s.PutCommands(t.Context(), scope, nil); err != nil {
			t.Fatal(err)
		}
		if got := c.Ask("GET", "/v1/kv/"+key+"?raw", ""); got != discovery.NoCommands {
			t.Errorf("%s is %q", key, got)
		}
	}

	refused := opened(t, c.Addr) // has no token
	if _, err := refused.Register(n); err != nil {
		t.Fatal(err)
	}
	discoverytest.Eventually(t, "being refused", func() error {
		if st := refused.Status(); len(st.Announced) > 0 && strings.Contains(st.Announced[0].Error, "403") {
			return nil
		}
		return fmt.Errorf("%+v", refused.Status())
	})
	away, err := Open(Options{Agents: []string{c.Addr}, Datacenter: "dc2", Token: secret})
	if err != nil {
		t.Fatal(err)
	}
	defer away.Close()
	if _, err := away.Register(n); err == nil || !strings.Contains(err.Error(), "datacentre dc2") {
		t.Errorf("announcing in another datacentre: %v", err)
	}
}

// What others write is read as Java reads it; who does not prolong its check is gone, and a service that somebody removes comes
// back.
func TestOthers(t *testing.T) {
	t.Parallel()
	c := server.Start(t, server.Consul{})
	s := opened(t, c.Addr)
	put := func(id, text, check string) {
		c.Ask("PUT", "/v1/agent/service/register", fmt.Sprintf(`{"ID":%q,"Name":"motanrpc_feed-yf","Address":"10.0.0.9","Port":80,"Tags":["protocol_motan"%s],
			"Check":{"TTL":"2s","Status":%q}}`, id, text, check))
	}
	// Java's own form: everything escaped, and an & at the end.
	java := ",\"URL_" + url.QueryEscape("motan2://10.0.0.1:8001/com.example.Feed?filter=a%2Cb&nodeType=service&version=1.0&group=feed-yf&") + `"`
	put("10.0.0.1:8001-com.example.Feed", java, passing)
	put("10.0.0.9:80-com.example.Feed", "", critical)
	put("10.0.0.2:8001-com.example.Other", "", passing)
	one, two := discoverytest.Node(feed, "10.0.0.1:8001"), discoverytest.Node(feed, "10.0.0.9:80")
	one.Params = map[string]string{"filter": "a,b"}
	two.Version, two.Protocol, two.Available = "", "motan", false
	w := discoverytest.Watch(t, s, feed)
	w.UntilNodes(one, two)
	w.UntilNodes(two) // whose check was critical before: that it has expired is known some minutes later
	n := discoverytest.Node(feed, "10.0.0.3:80")
	r, err := s.Register(n)
	if err != nil {
		t.Fatal(err)
	}
	w.UntilNodes(two, n)
	c.Ask("PUT", "/v1/agent/service/deregister/"+url.PathEscape(idOf(n)), "")
	w.UntilNodes(two)
	w.UntilNodes(two, n)
	discoverytest.Stands(t, r)
}

// Of several agents of Consul the next one is asked when one does not answer.
func TestSecondAgent(t *testing.T) {
	t.Parallel()
	c := server.Start(t, server.Consul{})
	s := open(t, ttl, server.FreeAddr(t), c.Addr)
	defer s.Close()
	n := discoverytest.Node(feed, "10.0.0.1:80")
	if _, err := s.Register(n); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	discoverytest.Watch(t, s, feed).UntilNodes(n)
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

// Whatever Consul says, what is made of it has an address, and one node for each.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`[{"Node":{"Address":"10.0.0.1"},"Service":{"ID":"a:1-p","Port":1,"Tags":["protocol_motan2","URL_motan2%3A%2F%2Fa%3A1%2Fp%3Fgroup%3Dg"]},"Checks":[{"Status":"passing"}]}]`))
	f.Add([]byte(`[{"Service":{"ID":"a:1-p-?g","Address":"::1","Port":1}},{"Service":{"ID":"-"},"Checks":[{"ServiceID":"-","Status":"critical","Output":"TTL expired"}]}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var list []instance
		if json.Unmarshal(body, &list) != nil {
			return
		}
		for path, c := range read("g", list) {
			seen := map[string]bool{}
			for _, n := range c.nodes {
				if seen[n.Address] || n.Address == "" || n.Path != path || n.Group != "g" {
					t.Errorf("%q: %+v", path, n)
				}
				seen[n.Address] = true
			}
		}
	})
}
