package discovery_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/agent/discovery"
	"github.com/sluice-mesh/sluice/agent/discovery/discoverytest"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// setenv sets variables for the rest of the test.
func setenv(t *testing.T, variables map[string]string) {
	t.Helper()
	for name, value := range variables {
		t.Setenv(name, value)
	}
}

// serves announces a node through one source and sees it through another.
func serves(t *testing.T, address string) {
	t.Helper()
	feed := discovery.Service{Group: "feed", Path: "svc"}
	n := discoverytest.Node(feed, "10.0.0.1:80")
	var sources [2]discovery.Source
	for i := range sources {
		s, err := discovery.Open(address, discovery.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		sources[i] = s
	}
	r, err := sources[0].Register(n)
	if err != nil {
		t.Fatal(err)
	}
	discoverytest.Stands(t, r)
	discoverytest.Watch(t, sources[1], feed).UntilNodes(n)
}

// refused waits until a source says why it is not served.
func refused(t *testing.T, address string, reasons ...string) {
	t.Helper()
	s, err := discovery.Open(address, discovery.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Register(discoverytest.Node(discovery.Service{Group: "feed", Path: "svc"}, "10.0.0.2:80")); err != nil {
		t.Fatal(err)
	}
	discoverytest.Eventually(t, "being refused", func() error {
		st := s.Status()
		text := st.Error
		for _, a := range st.Announced {
			text += "; " + a.Error
		}
		for _, r := range reasons {
			if strings.Contains(text, r) {
				return nil
			}
		}
		return fmt.Errorf("it says %q", text)
	})
}

// Consul that wants TLS, a certificate and a token is reached with what the environment says, and refuses whoever lacks it.
func TestConsulByEnvironment(t *testing.T) {
	const token = "8d3b1d2e-2f3b-4a55-9c7b-0d2c2a1e9f01"
	c := server.Start(t, server.Consul{Token: token, TLS: true})
	address := "consul://" + c.Addr
	refused(t, address, "400") // "Client sent an HTTP request to an HTTPS server"
	t.Setenv("CONSUL_HTTP_SSL", "true")
	refused(t, address, "unknown authority")
	t.Setenv("CONSUL_CACERT", c.Certs.CA)
	refused(t, address, "certificate required", "bad certificate")
	setenv(t, map[string]string{"CONSUL_CLIENT_CERT": c.Certs.ClientCert, "CONSUL_CLIENT_KEY": c.Certs.ClientKey})
	refused(t, address, "403")
	t.Setenv("CONSUL_HTTP_TOKEN", token)
	serves(t, address)
	t.Setenv("CONSUL_TLS_SERVER_NAME", "elsewhere")
	refused(t, address, "not elsewhere")
	setenv(t, map[string]string{"CONSUL_HTTP_SSL_VERIFY": "false", "CONSUL_CACERT": ""})
	serves(t, address)
}

// The same for etcd, with a user.
func TestEtcdByEnvironment(t *testing.T) {
	e := server.Start(t, server.Etcd{Password: "right", TLS: true, Strict: true})
	address := "etcd://" + e.Members[0].Addr
	setenv(t, map[string]string{"ETCDCTL_USER": "root", "ETCDCTL_PASSWORD": "right"})
	t.Setenv("ETCDCTL_INSECURE_TRANSPORT", "false") // the system's authorities do not know this one
	refused(t, address, "unknown authority")
	setenv(t, map[string]string{"ETCDCTL_INSECURE_TRANSPORT": "", "ETCDCTL_CACERT": e.Certs.CA})
	refused(t, address, "certificate required", "bad certificate")
	setenv(t, map[string]string{"ETCDCTL_CERT": e.Certs.ClientCert, "ETCDCTL_KEY": e.Certs.ClientKey})
	serves(t, address)
	setenv(t, map[string]string{"ETCDCTL_USER": "root:right", "ETCDCTL_PASSWORD": ""})
	serves(t, address)
	t.Setenv("ETCDCTL_USER", "root:wrong")
	refused(t, address, "authentication failed")
}

// What the environment says and cannot be is said at once, with the names of the variables.
func TestEnvironmentIsChecked(t *testing.T) {
	missing := t.TempDir() + "/missing.pem"
	empty := t.TempDir() + "/empty.pem"
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, address string
		set           map[string]string
		says          []string
	}{
		{"consul: neither true nor false", "consul://127.0.0.1:1", map[string]string{"CONSUL_HTTP_SSL": "si"}, []string{"CONSUL_HTTP_SSL", `"si"`, "write true or false"}},
		{"consul: no such file", "consul://127.0.0.1:1", map[string]string{"CONSUL_HTTP_SSL": "1", "CONSUL_CACERT": missing}, []string{"CONSUL_CACERT", "ca: ", missing}},
		{"consul: half a pair", "consul://127.0.0.1:1", map[string]string{"CONSUL_HTTP_SSL": "1", "CONSUL_CLIENT_CERT": empty}, []string{"CONSUL_CLIENT_KEY", "give both"}},
		{"etcd: no certificate", "etcd://127.0.0.1:1", map[string]string{"ETCDCTL_CACERT": empty}, []string{"ETCDCTL_CACERT", "holds no PEM certificate"}},
		{"etcd: half a pair", "etcd://127.0.0.1:1", map[string]string{"ETCDCTL_KEY": empty}, []string{"ETCDCTL_CERT", "give both"}},
		{"etcd: a user without a password", "etcd://127.0.0.1:1", map[string]string{"ETCDCTL_USER": "root", "ETCDCTL_PASSWORD": ""}, []string{"ETCDCTL_PASSWORD"}},
		{"etcd: neither true nor false", "etcd://127.0.0.1:1", map[string]string{"ETCDCTL_INSECURE_TRANSPORT": "perhaps"}, []string{"ETCDCTL_INSECURE_TRANSPORT"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			setenv(t, c.set)
			s, err := discovery.Open(c.address, discovery.Options{})
			if err == nil {
				s.Close()
				t.Fatal("it is taken")
			}
			for _, word := range c.says {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("it says %q, without %q", err, word)
				}
			}
		})
	}
}
