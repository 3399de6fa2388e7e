package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mesh/sluice/resources"
)

const withCenter = `
agent:
  name: web-1
  idc: yf
  center: [http://center:9980]
  join: ${env:SLUICE_JOIN}
  labels: { tier: web }
  exports:
    - { resource: user, kind: motan2, address: "10.0.0.9:8002" }
    - { resource: cache, kind: redis, group: tc, idc: mars, address: "10.0.0.9:6379", role: replica, weight: 0 }
resources:
  feed-cache: { listen: 127.0.0.1:6380 }
  orders-db: { listen: ["127.0.0.1:3307", "unix:/run/orders.sock"], labels: { team: orders } }
  own: { kind: redis, listen: 127.0.0.1:6381, groups: { yf: { endpoints: ["10.0.0.1:6379"] } } }
`

func TestResourcesOfTheCentre(t *testing.T) {
	cfg, err := Parse("x", []byte(withCenter))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]*Want{
		"feed-cache": {Name: "feed-cache", Listen: resources.Addresses{"127.0.0.1:6380"}},
		"orders-db":  {Name: "orders-db", Listen: resources.Addresses{"127.0.0.1:3307", "unix:/run/orders.sock"}, Labels: map[string]string{"team": "orders"}},
	}
	if diff := cmp.Diff(want, cfg.Wants); diff != "" || len(cfg.Resources) != 1 || cfg.Resources["own"] == nil {
		t.Errorf("%d resources, wants %s", len(cfg.Resources), diff)
	}
	a := cfg.Agent
	if a.Join.String() != "${env:SLUICE_JOIN}" || a.Labels["tier"] != "web" {
		t.Errorf("%+v", a)
	}
	exports := []ExportConfig{
		{Resource: "user", Kind: "motan2", Group: "yf", IDC: "yf", Address: "10.0.0.9:8002", Role: "any", Weight: 100},
		{Resource: "cache", Kind: "redis", Group: "tc", IDC: "mars", Address: "10.0.0.9:6379", Role: "replica"},
	}
	if diff := cmp.Diff(exports, a.Exports); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsWrongAboutTheCentre(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"no centre":        {"center: [http://center:9980]", "center: []", "only listen is written here, so the centre would say what it is, but agent.center names none"},
		"exports alone":    {"center: [http://center:9980]", "center: []", "agent.exports[0]: exports are registered in the centre, and agent.center names none"},
		"listen twice":     {"127.0.0.1:6381", "127.0.0.1:6380", "is taken by resources.feed-cache.listen"},
		"listen malformed": {"127.0.0.1:6380", "6380", "resources.feed-cache.listen"},
		"listen empty":     {"{ listen: 127.0.0.1:6380 }", "{ listen: [] }", "empty: write at least one address"},
		"half an entry":    {"{ listen: 127.0.0.1:6380 }", "{ listen: 127.0.0.1:6380, policy: {} }", "kind is missing"},
		"name":             {"feed-cache: {", "\"feed cache\": {", "is no name for a resource"},
		"export's address": {`address: "10.0.0.9:8002"`, "address: here", "agent.exports[0].address"},
		"export's group":   {"idc: yf", "application: x", "agent.exports[0].group: missing: write the group of the resource, or agent.idc"},
		"export's kind":    {"kind: motan2", `kind: "mo tan"`, "agent.exports[0].kind: \"mo tan\" is no name for a kind"},
		"export's weight":  {"weight: 0", "weight: 10001", "agent.exports[1].weight"},
		"labels":           {"{ team: orders }", "orders", "resources.orders-db.labels"},
	} {
		text := strings.Replace(withCenter, c.old, c.new, 1)
		if text == withCenter {
			t.Fatalf("%s: nothing was replaced", name)
		}
		_, err := Parse("x", []byte(text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAResourceOfTheCentreNeedsNoListen(t *testing.T) {
	const spec = `{ "kind": "redis", "groups": { "yf": { "endpoints": ["10.0.0.1:6379"] } } }`
	if _, err := ParseResource("a", []byte(spec)); err == nil || !strings.Contains(err.Error(), "listen is missing") {
		t.Errorf("in an agent: %v", err)
	}
	o := Options{ListenOptional: true}
	r, err := o.ParseResource("a", []byte(spec))
	if err != nil || len(r.Spec.Listen) != 0 {
		t.Fatalf("%v %v", r, err)
	}
	js, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.ParseResource("a", js); err != nil {
		t.Errorf("read back: %v\n%s", err, js)
	}
	if _, err := o.ParseResource("a", []byte(`{ "kind": "redis", "listen": "x", "groups": { "yf": { "endpoints": ["10.0.0.1:6379"] } } }`)); err == nil {
		t.Error("one that is malformed is taken")
	}
	if _, err := o.ParseResource("a", []byte(`{ "listen": "127.0.0.1:1" }`)); err == nil || !strings.Contains(err.Error(), "kind is missing") {
		t.Errorf("without a kind: %v", err)
	}
}
