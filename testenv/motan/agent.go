package motan

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// Filters are what an Agent has unless told otherwise.
const Filters = "accessLog,metrics,circuitBreaker"

// Agent describes motan-go's own agent, between clients and servers of any peer.
type Agent struct {
	Refers   []Refer  // services that it calls for clients
	Exports  []Export // local services that it serves to others
	Filters  string   // default Filters; "-" for none
	Registry Registry // where it says that it is there itself; default nowhere
	Graphite string   // where it sends its metrics by UDP, each second; default nowhere
	// NoAvailable leaves what it exports registered as not available: see AgentProcess.SetAvailable.
	NoAvailable bool
}

// Refer is a service that an Agent forwards calls to.
type Refer struct {
	Registry   Registry          // where the servers are
	Service    string            // default Service
	Group      string            // default Group
	Version    string            // default Version
	Protocol   string            // default Motan2
	Parameters map[string]string // further ones of its URL: "requestTimeout" (default here 3000), "haStrategy", "retries"
}

// Export is a service of a local server that an Agent exports.
type Export struct {
	Local      string            // address of the server, "127.0.0.1:port"
	Registry   Registry          // where to register the agent as its server; default Direct: nowhere
	Service    string            // default Service
	Group      string            // default Group
	Version    string            // default Version
	Protocol   string            // of the local server; default Motan2
	Parameters map[string]string // further ones of its URL
}

// AgentProcess is a running agent.
type AgentProcess struct {
	*server.Process
	Forward string // address for clients
	Export  string // address for others' clients of what it exports

	t      server.TB
	manage *http.Client
}

// StartAgent starts an agent and waits until it has connected to what it could reach.
func StartAgent(t server.TB, a Agent) *AgentProcess {
	t.Helper()
	p := &AgentProcess{Forward: server.FreeAddr(t), Export: server.FreeAddr(t), t: t}
	p.manage = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", filepath.Join(p.Dir, "manage"))
		},
	}}
	conf, err := json.MarshalIndent(a.config(p), "", "  ") // JSON is YAML
	if err != nil {
		t.Fatalf("configuration of an agent: %v", err)
	}
	p.Process = server.Start(t, server.Program{
		Kind:    "motan-agent",
		Command: server.Command{Program: GoBinary(t), Args: []string{"agent", "-c", "agent.yaml", "-localIP", "127.0.0.1"}},
		Files:   map[string]string{"agent.yaml": string(conf) + "\n"},
		Ready: func(proc *server.Process) error {
			p.Process = proc // for its folder
			return p.serves()
		},
	})
	t.Cleanup(func() { // before its folder goes
		if t.Failed() {
			t.Logf("--- %s, its own log\n%s", p.Name, p.file("log"))
		}
	})
	if len(a.Exports) > 0 && !a.NoAvailable {
		p.SetAvailable(true)
	}
	return p
}

// config is motan-go's configuration. Everything that it writes goes into its folder.
func (a Agent) config(p *AgentProcess) map[string]any {
	registries := map[string]any{}
	registry := func(r Registry) string {
		if r.Protocol == "" {
			r = Direct()
		}
		name := fmt.Sprint("r", len(registries))
		section := map[string]any{"protocol": r.Protocol, "registrySessionTimeout": 4}
		if r.Address != "" {
			section["address"] = r.Address
		}
		registries[name] = section
		return name
	}
	agent := map[string]any{
		"application": "testenv-agent", "host": "127.0.0.1", "port": port(p.Forward), "eport": port(p.Export),
		"managementUnixSock": "manage", "log_dir": "logs", "log_async": false, "pidfile": "agent.pid", "runtime_dir": "runtime",
		"snapshot_dir": "snapshot", "motanEpAsyncInit": false,
	}
	if a.Registry.Protocol != "" {
		agent["registry"] = registry(a.Registry)
	}
	section := func(service, group, version, reg string, more map[string]string) map[string]any {
		s := map[string]any{
			"path": or(service, Service), "group": or(group, Group), "version": or(version, Version), "registry": reg,
			"filter": or(a.Filters, Filters), "requestTimeout": "3000",
		}
		for k, v := range more {
			s[k] = v
		}
		return s
	}
	refers, services := map[string]any{}, map[string]any{}
	for i, r := range a.Refers {
		s := section(r.Service, r.Group, r.Version, registry(r.Registry), r.Parameters)
		s["protocol"] = or(r.Protocol, Motan2)
		refers[fmt.Sprint("refer", i)] = s
	}
	for i, e := range a.Exports {
		s := section(e.Service, e.Group, e.Version, registry(e.Registry), e.Parameters)
		s["export"] = fmt.Sprintf("%s:%d", or(e.Protocol, Motan2), port(p.Export))
		s["proxy"] = fmt.Sprintf("%s:%d", or(e.Protocol, Motan2), port(e.Local))
		s["provider"] = Motan2
		services[fmt.Sprint("service", i)] = s
	}
	metrics := map[string]any{"period": 1}
	if a.Graphite != "" {
		host, _, _ := strings.Cut(a.Graphite, ":")
		metrics["graphite"] = []any{map[string]any{"host": host, "port": port(a.Graphite), "name": "test"}}
	}
	return map[string]any{"motan-agent": agent, "motan-registry": registries, "motan-refer": refers, "motan-service": services, "metrics": metrics}
}

func port(addr string) int {
	_, p, _ := strings.Cut(addr, ":")
	n, _ := strconv.Atoi(p) // addresses are made by server.FreeAddr
	return n
}

// serves reports whether the agent has come to the end of its start: it listens for clients last.
func (p *AgentProcess) serves() error {
	if _, err := p.ask("/version", ""); err != nil {
		return err
	}
	c, err := net.Dial("tcp", p.Forward)
	if err == nil {
		c.Close()
	}
	return err
}

// Manage sends a request to the agent's management interface, with a body where it is not empty, and returns the answer.
func (p *AgentProcess) Manage(path, body string) string {
	p.t.Helper()
	answer, err := p.ask(path, body)
	if err != nil {
		p.t.Fatalf("%s: %v", p.Name, err)
	}
	return answer
}

func (p *AgentProcess) ask(path, body string) (string, error) {
	r, err := p.manage.Post("http://agent"+path, "application/json", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return string(b), err
}

// SetAvailable moves all that the agent exports to available, or to not available, in the registries.
func (p *AgentProcess) SetAvailable(yes bool) {
	p.t.Helper()
	path := "/503"
	if yes {
		path = "/200"
	}
	p.Manage(path, "")
}

// AccessLog returns the lines of the agent's access log so far. It writes them before it answers.
func (p *AgentProcess) AccessLog() []string {
	p.t.Helper()
	text := strings.TrimRight(p.file("access.log"), "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// file reads one of the logs, which are named after the program: "access.log", "metrics.log", or just "log".
func (p *AgentProcess) file(name string) string {
	pattern := "*-" + name
	if name == "log" {
		pattern = "*.log"
	}
	files, err := filepath.Glob(filepath.Join(p.Dir, "logs", pattern))
	if err != nil {
		return err.Error()
	}
	for _, f := range files {
		if name == "log" && (strings.HasSuffix(f, "-access.log") || strings.HasSuffix(f, "-metrics.log")) {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			return err.Error()
		}
		return string(b)
	}
	return ""
}
