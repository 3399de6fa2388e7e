package gateway

import (
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/config"
	_ "github.com/sluice-mesh/sluice/resources/grpc"
	_ "github.com/sluice-mesh/sluice/resources/http"
	_ "github.com/sluice-mesh/sluice/resources/motan"
	_ "github.com/sluice-mesh/sluice/resources/redis"
)

// What is wrong with a resource that is called in other protocols is said with the place and what would be right.
func TestWhatMayBeAccepted(t *testing.T) {
	const (
		peers = "  peers: { kind: motan2, listen: 127.0.0.1:9981, settings: { service: a.B }, groups: { g: { endpoints: [\"a:1\"] } }, accept: { %p } }\n"
		web   = "  web: { kind: http, listen: 127.0.0.1:9983, groups: { g: { endpoints: [\"a:1\"] } }, accept: { %w } }\n"
	)
	for name, c := range map[string]struct{ peers, web, want string }{
		"both":             {"http: { listen: 127.0.0.1:9990 }", "motan2: { listen: 127.0.0.1:9981 }", ""},
		"an own address":   {"http: { listen: 127.0.0.1:9990 }", "motan2: { listen: 127.0.0.1:9991, service: a.B }", ""},
		"another service":  {"", "motan2: { listen: 127.0.0.1:9981, service: a.C }", ""},
		"another group":    {"", "motan2: { listen: 127.0.0.1:9981, service: a.B, groups: [h] }", ""},
		"the same service": {"", "motan2: { listen: 127.0.0.1:9981, service: a.B }", "resources.web.accept.motan2.listen: \"127.0.0.1:9981\" is taken by resources.peers.listen, which listens on 127.0.0.1:9981: both serve a.B in group g"},
		"HTTP shares not":  {"http: { listen: 127.0.0.1:9983 }", "", "is taken by resources.peers.accept.http.listen"},
		"own protocol":     {"motan2: { listen: 127.0.0.1:9991 }", "", "resources.peers.accept.motan2: calls that come as motan2 are converted for resources of kind http or grpc, and this is one of kind motan2"},
		"HTTP for HTTP":    {"", "http: { listen: 127.0.0.1:9991 }", "resources.web.accept.http: calls that come as http are converted for resources of kind motan2, and this is one of kind http"},
		"no address":       {"http: { serialization: simple }", "", "resources.peers.accept.http: listen is missing"},
		"a bad address":    {"http: { listen: nowhere }", "", "resources.peers.accept.http.listen: \"nowhere\" is not an address"},
		"a serialization":  {"http: { listen: 127.0.0.1:9991, serialization: hessian2 }", "", "resources.peers.accept.http.serialization: \"hessian2\""},
		"an unknown key":   {"https: { listen: 127.0.0.1:9991 }", "", "resources.peers.accept: unknown key \"https\": did you mean \"http\"?"},
		"a bad service":    {"", "motan2: { listen: 127.0.0.1:9991, service: \"a\\nb\" }", "resources.web.accept.motan2.service: \"a\\nb\" is no name of a service"},
	} {
		text := "resources:\n" + strings.Replace(peers, "%p", c.peers, 1) + strings.Replace(web, "%w", c.web, 1)
		_, err := config.Parse("x", []byte(text))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// What is shown of a resource over HTTP can be written back.
func TestAcceptIsShownAsItIsWritten(t *testing.T) {
	cfg, err := config.Parse("x", []byte(`resources:
  web: { kind: http, listen: 127.0.0.1:9983, groups: { g: { endpoints: ["a:1"] } }, accept: { motan2: { listen: 127.0.0.1:9981, groups: [x] } } }
`))
	if err != nil {
		t.Fatal(err)
	}
	text, err := cfg.Resources["web"].JSON()
	if err != nil || !strings.Contains(string(text), `"errors": "exception"`) {
		t.Fatalf("%s %v", text, err)
	}
	if _, err := config.ParseResource("web", text); err != nil {
		t.Error(err)
	}
}
