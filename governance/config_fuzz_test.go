package governance

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/resources"
)

// FuzzConfig: a file that is accepted keeps its bounds and comes to the same when it is written out, without secrets; each problem of one that
// is refused has a place and a reason.
func FuzzConfig(f *testing.F) {
	for _, seed := range []string{
		"", "center: {}\n", "center:\n  listen: 0.0.0.0:9980\n  name: c1\n  address: c1:9980\n  hosts: [a, b]\n  insecure-http: true\n  data: /var/lib/sluice\n",
		"center:\n  etcd: { endpoints: [\"https://etcd:2379\"], prefix: x/, user: u, password: \"${file:/run/secrets/etcd}\", tls: { ca: /ca.pem, name: etcd } }\n",
		"center:\n  etcd: { endpoints: [] }\n", "center:\n  etcd: {}\n", "center:\n  etcd: { endpoints: [\"e\"], password: sesame-opens }\n",
		"center:\n  oidc: { issuer: \"https://x\", client-id: sluice, client-secret: \"${env:OIDC}\", redirect: \"https://y\", roles: { sre: operator, \"*\": viewer } }\n",
		"center:\n  oidc: { issuer: 7, roles: [] }\n", "center:\n  graphite: { url: \"http://graphite:8080\", prefix: x }\n", "center:\n  graphite: {}\n",
		"center:\n  protection: { share: 10%, window: 5m, grace: 0s }\n", "center:\n  protection: { share: 101%, window: 2h, grace: -1s }\n",
		"center:\n  log: { level: debug, format: json }\n", "center:\n  log: { level: loud }\n", "centre: {}\n", "center: []\n", "center:\n  listn: x\n", "center: {listen: [}\n",
		"center: &a { name: *a }\n", "\t", "\xff", "center: {}\n---\ncenter: {}\n", "center: { name: x, name: y }\n", "{\"center\": {\"name\": \"x\"}}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseConfig("center.yaml", data)
		if err != nil {
			var all *config.Errors
			if !errors.As(err, &all) || len(all.Problems) == 0 {
				t.Fatalf("%q: %v", data, err)
			}
			for _, p := range all.Problems {
				if p.File != "center.yaml" || p.Line < 1 || p.Column < 1 || p.Message == "" {
					t.Errorf("%q: %+v", data, p)
				}
			}
			if !reflect.DeepEqual(c, Config{}) {
				t.Errorf("%q: it was refused, and is %+v", data, c)
			}
			return
		}
		p := c.Protection
		if p.Share < 0 || p.Share > 100 || p.Window.D() < time.Second || p.Window.D() > time.Hour || p.Grace.D() < 0 || p.Grace.D() > time.Hour {
			t.Errorf("%q: %+v is out of bounds", data, p)
		}
		text, err := json.Marshal(map[string]Config{"center": c})
		if err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		written := func(s resources.Secret) bool { return !s.IsZero() && !s.IsReference() }
		if c.Etcd != nil && written(c.Etcd.Password) || c.OIDC != nil && written(c.OIDC.Secret) {
			if strings.Contains(string(text), "sesame-opens") || strings.Contains(fmt.Sprintf("%+v %#v", c, c.Etcd), "sesame-opens") {
				t.Errorf("%q: a password is in the open: %s %+v", data, text, c)
			}
			return // what is not shown cannot be read again
		}
		again, err := parseConfig("center.yaml", text)
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("%q is %+v; written out as %q it is %+v, %v", data, c, text, again, err)
		}
	})
}
