package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/sluice-mesh/sluice/testenv/load/resp"
)

// Agent describes one sluice agent.
//
// Config is the text of its configuration file and may use two template actions: {{addr "NAME"}} is a free address that
// stays the same for NAME, and {{.NAME}} is a value of Vars. It must set agent.admin. With agent.data unset, the data
// folder is a fresh one, because the agent runs in a folder of its own.
type Agent struct {
	Config string
	Vars   map[string]string
	Binary string   // path of a built sluice; empty: cmd/sluice is built from this module
	Race   bool     // build with the race detector; only without Binary
	Args   []string // further arguments, after `agent -c FILE`
	Env    []string // "K=V"
	// Clock, if set, is how far its time of day is ahead of the true one, in whole seconds; it may be negative, and moved by
	// Process.SetClock.
	Clock *time.Duration
	// NoWait returns at once: for tests of agents that must not become ready. Use AgentProcess.AwaitReady.
	NoWait bool
}

// AgentProcess is a running agent.
type AgentProcess struct {
	*Process
	Admin      string              // its admin address: "127.0.0.1:port" or "unix:/path"
	Listen     map[string][]string // addresses of each resource, as in the configuration
	ConfigFile string

	data  string            // agent.data, as configured
	addrs map[string]string // of {{addr}}
	vars  map[string]string
	http  *http.Client
}

func (spec Agent) start(t TB) *AgentProcess {
	t.Helper()
	binary := spec.Binary
	if binary == "" {
		binary = Build(t, agentPackage, spec.Race)
	}
	dir := newDir(t, "agent")
	a := &AgentProcess{ConfigFile: filepath.Join(dir, "sluice.yaml"), addrs: map[string]string{}, vars: spec.Vars}
	a.http = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return resp.Dial(ctx, a.Admin, nil)
		},
	}}
	a.writeConfig(t, spec.Config)
	args := append([]string{"agent", "-c", a.ConfigFile}, spec.Args...)
	a.Process = newProcess(t, "agent", dir, Command{Program: binary, Args: args, Env: spec.Env, Clock: spec.Clock}, a.Ready)
	a.launch()
	if !spec.NoWait {
		a.awaitReady()
	}
	return a
}

// Rewrite replaces the configuration file, with the same template actions and addresses as at the start. The agent
// reads it on SIGHUP or Restart.
func (a *AgentProcess) Rewrite(config string) {
	a.t.Helper()
	a.writeConfig(a.t, config)
}

func (a *AgentProcess) writeConfig(t TB, config string) {
	t.Helper()
	var text strings.Builder
	tmpl, err := template.New("config").Option("missingkey=error").Funcs(template.FuncMap{
		"addr": func(name string) string {
			if a.addrs[name] == "" {
				a.addrs[name] = FreeAddr(t)
			}
			return a.addrs[name]
		},
	}).Parse(config)
	if err == nil {
		err = tmpl.Execute(&text, a.vars)
	}
	if err != nil {
		t.Fatalf("agent configuration: %v", err)
	}
	if err := a.readAddresses(text.String()); err != nil {
		t.Fatalf("agent configuration: %v\n%s", err, text.String())
	}
	writeFile(t, a.ConfigFile, text.String())
}

// readAddresses takes the addresses out of a configuration. It is lenient about everything else: telling the agent
// nonsense is a purpose of tests.
func (a *AgentProcess) readAddresses(text string) error {
	var c struct {
		Agent struct {
			Admin string `yaml:"admin"`
			Data  string `yaml:"data"`
		} `yaml:"agent"`
		Resources map[string]struct {
			Listen any `yaml:"listen"`
		} `yaml:"resources"`
	}
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	if c.Agent.Admin == "" {
		return fmt.Errorf(`agent.admin is not set: write admin: {{addr "admin"}}`)
	}
	a.Admin, a.Listen, a.data = c.Agent.Admin, map[string][]string{}, c.Agent.Data
	for name, r := range c.Resources {
		switch l := r.Listen.(type) {
		case string:
			a.Listen[name] = []string{l}
		case []any:
			for _, addr := range l {
				a.Listen[name] = append(a.Listen[name], fmt.Sprint(addr))
			}
		}
	}
	return nil
}

// Addr returns the first address of a resource.
func (a *AgentProcess) Addr(resource string) string {
	a.t.Helper()
	if len(a.Listen[resource]) == 0 {
		a.t.Fatalf("%s: resource %q has no listen address in the configuration", a.Name, resource)
	}
	return a.Listen[resource][0]
}

// Ready asks GET /readyz once.
func (a *AgentProcess) Ready() error {
	status, body, err := a.Get("/readyz")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("GET /readyz: %d %s", status, strings.TrimSpace(body))
	}
	return err
}

// AwaitReady waits until the agent is ready and fails the test if it ends or takes too long.
func (a *AgentProcess) AwaitReady() {
	a.t.Helper()
	a.awaitReady()
}

// Get fetches a path of the admin interface without a token.
func (a *AgentProcess) Get(path string) (status int, body string, err error) {
	r, err := http.NewRequest(http.MethodGet, "http://"+adminHost(a.Admin)+path, nil)
	if err != nil {
		return 0, "", err
	}
	return a.send(r)
}

// Call sends a request with the agent's token to a path of the admin interface. body, if not empty, is JSON.
func (a *AgentProcess) Call(method, path, body string) (status int, answer string, err error) {
	token, err := a.Token()
	if err != nil {
		return 0, "", err
	}
	r, err := http.NewRequest(method, "http://"+adminHost(a.Admin)+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return a.send(r)
}

// Token reads the token that the agent keeps in its data folder.
func (a *AgentProcess) Token() (string, error) {
	data := a.data
	if data == "" {
		data = "data"
	}
	if !filepath.IsAbs(data) {
		data = filepath.Join(a.Dir, data)
	}
	b, err := os.ReadFile(filepath.Join(data, "admin.token"))
	return strings.TrimSpace(string(b)), err
}

func (a *AgentProcess) send(req *http.Request) (status int, body string, err error) {
	r, err := a.http.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(io.LimitReader(r.Body, 16<<20))
	return r.StatusCode, string(b), err
}

// adminHost is the Host header for an admin address.
func adminHost(addr string) string {
	if strings.HasPrefix(addr, "unix:") {
		return "localhost"
	}
	return addr
}
