package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"
)

// Consul describes one Consul server on free ports of 127.0.0.1. It keeps its data over a restart, in memory:
// it waits for the disk several times for each service that is registered.
type Consul struct {
	Token string // of the management; with it, nothing is allowed without a token
	TLS   bool   // serve HTTP over TLS only, with certificates of ConsulServer.Certs; clients need one
}

// ConsulServer is a running Consul.
type ConsulServer struct {
	*Process
	Addr  string // of its HTTP interface: "127.0.0.1:port"
	Certs *Certs // with TLS

	token string
	http  *http.Client
}

func (spec Consul) start(t TB) *ConsulServer {
	t.Helper()
	c := &ConsulServer{Addr: FreeAddr(t), token: spec.Token}
	transport := &http.Transport{DisableKeepAlives: true}
	c.http = &http.Client{Timeout: 5 * time.Second, Transport: transport}
	ports := map[string]int{"http": portOf(c.Addr), "dns": -1, "grpc": -1, "server": freePort(t), "serf_lan": freePort(t), "serf_wan": -1}
	settings := map[string]any{
		"datacenter": "dc1", "node_name": "n1", "server": true, "bootstrap_expect": 1, "data_dir": memoryDir(t, "consul-data"),
		"bind_addr": "127.0.0.1", "client_addr": "127.0.0.1", "log_level": "warn", "disable_update_check": true, "leave_on_terminate": false,
		"ports": ports,
		// One server is its own majority: it need not wait to be sure that there is no other.
		"performance": map[string]any{"raft_multiplier": 1, "leave_drain_time": "0s"},
		"limits":      map[string]any{"http_max_conns_per_client": 2000},
	}
	if spec.Token != "" {
		settings["acl"] = map[string]any{"enabled": true, "default_policy": "deny",
			"tokens": map[string]string{"master": spec.Token, "agent": spec.Token}}
	}
	if spec.TLS {
		c.Certs = NewCerts(t)
		transport.TLSClientConfig = c.Certs.Client()
		ports["http"], ports["https"] = -1, portOf(c.Addr)
		settings["ca_file"], settings["cert_file"], settings["key_file"] = c.Certs.CA, c.Certs.ServerCert, c.Certs.ServerKey
		settings["verify_incoming_https"] = true
	}
	dir := newDir(t, "consul")
	file := filepath.Join(dir, "consul.json")
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatalf("settings of consul: %v", err)
	}
	writeFile(t, file, string(text))
	cmd := Command{Program: "consul", Image: "consul:1.8.7", Args: []string{"agent", "-config-file=" + file}}
	c.Process = newProcess(t, "consul", dir, cmd, c.serves)
	c.launch()
	c.awaitReady()
	return c
}

// serves reports whether it leads, and has put itself into its catalog, without which it takes no service.
func (c *ConsulServer) serves() error {
	text, err := c.ask("GET", "/v1/health/service/consul?passing=true", "")
	if err == nil && !strings.Contains(text, `"serfHealth"`) {
		err = fmt.Errorf("it is not in its own catalog: %s", text)
	}
	return err
}

// Ask sends a request to Consul's HTTP interface, with the token if there is one, and returns the answer's body. The path is
// with its query; a status other than 200 fails the test.
func (c *ConsulServer) Ask(method, path, body string) string {
	c.t.Helper()
	text, err := c.ask(method, path, body)
	if err != nil {
		c.t.Fatalf("%s: %v", c.Name, err)
	}
	return text
}

func (c *ConsulServer) ask(method, path, body string) (string, error) {
	scheme := "http://"
	if c.Certs != nil {
		scheme = "https://"
	}
	q, err := http.NewRequest(method, scheme+c.Addr+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	if c.token != "" {
		q.Header.Set("X-Consul-Token", c.token)
	}
	r, err := c.http.Do(q)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s %s", method, path, r.Status, bytes.TrimSpace(b))
	}
	return string(b), err
}
