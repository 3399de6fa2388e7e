package config

import (
	"strings"
	"testing"
)

func TestSharedAddresses(t *testing.T) {
	const head = "agent: { center: [\"http://center:9980\"] }\nresources:\n"
	const mesh = ": { kind: mesh, listen: 127.0.0.1:9981, settings: { service: "
	const rest = " }, groups: { yf: { endpoints: [\"a:1\"] } } }\n"
	const wanted = "  w: { listen: 127.0.0.1:9981 }\n  v: { listen: 127.0.0.1:9981 }\n"
	for name, c := range map[string]struct{ text, want string }{
		"two services":                {"  a" + mesh + "x" + rest + "  b" + mesh + "y" + rest, ""},
		"and those that a centre has": {"  a" + mesh + "x" + rest + wanted, ""},
		"one service":                 {"  a" + mesh + "x" + rest + "  b" + mesh + "x" + rest, "resources.b.listen: \"127.0.0.1:9981\" is taken by resources.a.listen, which listens on 127.0.0.1:9981: both serve the same"},
		"another form":                {"  a" + mesh + "x" + rest + strings.Replace("  b"+mesh+"y"+rest, "127.0.0.1", "localhost", 1), "choose another"},
		"all interfaces":              {"  a" + mesh + "x" + rest + strings.Replace("  b"+mesh+"y"+rest, "127.0.0.1", "0.0.0.0", 1), "choose another"},
		"another kind":                {"  a" + mesh + "x" + rest + "  b: { kind: redis, listen: 127.0.0.1:9981, groups: { yf: { endpoints: [\"a:1\"] } } }\n", "choose another"},
		"a centre's and another kind": {"  b: { kind: redis, listen: 127.0.0.1:9981, groups: { yf: { endpoints: [\"a:1\"] } } }\n" + wanted, "choose another"},
		"other TLS":                   {"  a" + mesh + "x" + rest + strings.Replace("  b"+mesh+"y"+rest, "settings", "tls: { cert: a, key: b }, settings", 1), "must have the same tls"},
	} {
		_, err := Parse("x", []byte(head+c.text))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestEndpointsOrARegistry(t *testing.T) {
	const zoo = `registry: "zookeeper://10.0.0.1:2181,10.0.0.2:2181/sluice"`
	for _, c := range []struct{ kind, group, want string }{
		{"mesh", "{ " + zoo + " }", ""},
		{"mesh", "{ " + zoo + ", endpoints: [] }", ""},
		{"mesh", "{ " + zoo + `, endpoints: ["a:1"] }`, ""},
		{"mesh", "{ weight: 1 }", "resources.a.groups.yf: endpoints is missing: write addresses"},
		{"mesh", "{ endpoints: [] }", "a group needs at least one endpoint"},
		{"mesh", `{ registry: "zoo://a:1" }`, `resources.a.groups.yf.registry: "zoo://a:1" is no registry: write zookeeper://HOST:PORT`},
		{"redis", "{ " + zoo + " }", "resources.a.groups.yf.registry: resources of kind redis have no name in a registry"},
	} {
		_, err := Parse("x", []byte("resources: { a: { kind: "+c.kind+", listen: 127.0.0.1:1, groups: { yf: "+c.group+" } } }"))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s %s: %v, want %q", c.kind, c.group, err, c.want)
		}
	}
}
