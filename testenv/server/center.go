package server

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Center describes one governance centre.
type Center struct {
	Config string // text of its file without center.listen and center.data; empty: none, flags alone
	Listen string // empty: a free address
	Data   string // empty: a fresh folder. Centres on one etcd share their seal.key: see CenterProcess.Data
	Name   string
	Binary string // path of a built sluice; empty: cmd/sluice is built from this module
	Race   bool   // build with the race detector; only without Binary
}

// CenterProcess is a running centre.
type CenterProcess struct {
	*Process
	Address string // host:port
	Data    string

	http *http.Client
}

func (spec Center) start(t TB) *CenterProcess {
	t.Helper()
	binary := spec.Binary
	if binary == "" {
		binary = Build(t, agentPackage, spec.Race)
	}
	dir := newDir(t, "center")
	c := &CenterProcess{Address: spec.Listen, Data: spec.Data, http: &http.Client{Timeout: 20 * time.Second}}
	if c.Address == "" {
		c.Address = FreeAddr(t)
	}
	if c.Data == "" {
		c.Data = filepath.Join(dir, "data")
	}
	args := []string{"center", "--listen", c.Address, "--data", c.Data}
	if spec.Name != "" {
		args = append(args, "--name", spec.Name)
	}
	if spec.Config != "" {
		file := filepath.Join(dir, "center.yaml")
		writeFile(t, file, spec.Config)
		args = append(args, "-c", file)
	}
	c.Process = newProcess(t, "center", dir, Command{Program: binary, Args: args}, c.Ready)
	c.launch()
	c.awaitReady()
	return c
}

// URL is the base of its HTTP interface.
func (c *CenterProcess) URL() string { return "http://" + c.Address }

// Ready asks GET /readyz once.
func (c *CenterProcess) Ready() error {
	r, err := http.NewRequest(http.MethodGet, c.URL()+"/readyz", nil)
	if err != nil {
		return err
	}
	status, body, err := c.send(r)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("GET /readyz: %d %s", status, strings.TrimSpace(body))
	}
	return err
}

// Token reads the token that the centre keeps in its data folder.
func (c *CenterProcess) Token() string {
	c.t.Helper()
	b, err := os.ReadFile(filepath.Join(c.Data, "admin.token"))
	if err != nil {
		c.t.Fatalf("the centre's token: %v", err)
	}
	return strings.TrimSpace(string(b))
}

// Call sends a request with the centre's token. Headers are pairs of name and value.
func (c *CenterProcess) Call(method, path, body string, headers ...string) (status int, answer string, err error) {
	r, err := http.NewRequest(method, c.URL()+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Authorization", "Bearer "+c.Token())
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return c.send(r)
}

// Must is Call that fails the test unless the status is one of success.
func (c *CenterProcess) Must(method, path, body string, headers ...string) string {
	c.t.Helper()
	status, answer, err := c.Call(method, path, body, headers...)
	if err != nil || status < 200 || status > 299 {
		c.t.Fatalf("%s %s: %d %s %v", method, path, status, strings.TrimSpace(answer), err)
	}
	return answer
}

func (c *CenterProcess) send(r *http.Request) (status int, body string, err error) {
	a, err := c.http.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer a.Body.Close()
	b, err := io.ReadAll(io.LimitReader(a.Body, 64<<20))
	return a.StatusCode, string(b), err
}
