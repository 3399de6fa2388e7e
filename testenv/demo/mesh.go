package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// centerName is what the centre is called in orders and on the screen.
const centerName = "center"

// site is an agent with the application beside it.
type site struct {
	name        string // of the agent
	application string
	idc         string
	caller      func(k *kind) caller // which application of a kind runs here
	folder      string               // of the agent's data, in that of the demo

	admin  string            // host:port
	listen map[string]string // where it listens, by resource
	data   string            // its data folder
	stats  map[string]*stats // what its application sees, by resource
}

// newSites lists the agents. The first keeps its data in the folder of the demo itself, where the verbs find its token.
func newSites() []*site {
	return []*site{
		{name: "web-1", application: "feed-web", idc: groups[0], listen: map[string]string{}, stats: map[string]*stats{},
			caller: func(k *kind) caller { return k.web }},
		{name: "batch-1", application: "feed-batch", idc: groups[1], folder: "batch-1", listen: map[string]string{}, stats: map[string]*stats{},
			caller: func(k *kind) caller { return k.batch }},
	}
}

// agentConfig is the file of an agent: where it listens. What the resources are comes from the centre.
func (d *demo) agentConfig(s *site) string {
	var b strings.Builder
	fmt.Fprintf(&b, `agent:
  name: %s
  application: %s
  idc: %s
  admin: %s
  data: %q
  center: ["http://%s"]
  drain: { wait: 0s, timeout: 5s }
resources:
`, s.name, s.application, s.idc, s.admin, s.data, d.centerAt)
	for _, r := range d.running {
		fmt.Fprintf(&b, "  %s: { listen: %s }\n", r.resource, s.listen[r.resource])
	}
	return b.String()
}

// document is what the centre is told of a resource.
func (r *running) document() string {
	var b strings.Builder
	fmt.Fprintf(&b, "kind: %s\n", r.name)
	if r.settings != "" {
		fmt.Fprintf(&b, "settings: %s\n", r.settings)
	}
	b.WriteString("groups:\n")
	for i, g := range groups {
		weight := 0
		if i == 0 {
			weight = 100
		}
		fmt.Fprintf(&b, "  %s: { idc: %s, weight: %d, endpoints: [%q] }\n", g, g, weight, r.backends[g])
	}
	b.WriteString("policy: { slow-start: 1s, breaker: { errors: 50%, mode: observe } }\n")
	return b.String()
}

// planFile is where a plan is that moves all resources to the second group.
func (d *demo) planFile() string { return filepath.Join(d.folder.path, "move.yaml") }

func (d *demo) writePlan() error {
	from, to := groups[0], groups[1]
	var b strings.Builder
	fmt.Fprintf(&b, "name: move %s to %s\nwhy: %s is to be upgraded\nfor: 10m\nsteps:\n", from, to, from)
	for _, r := range d.running {
		fmt.Fprintf(&b, "- { type: switch, resource: %s, weights: { %s: 100 } }\n", r.resource, to)
	}
	return os.WriteFile(d.planFile(), []byte(b.String()), 0o600)
}

// startMesh starts the centre, tells it of the resources, and starts the agents. What goes wrong fails t.
func (d *demo) startMesh(t *attempts, binary string) {
	center := server.Start(t, server.Center{Listen: d.centerAt, Data: filepath.Join(d.folder.abs, centerFolder), Name: "demo", Binary: binary})
	d.programs = append(d.programs, &program{name: centerName, Process: center.Process})
	for _, r := range d.running {
		center.Must("PUT", "/v1/resources/"+r.resource+"?why=demo", r.document())
	}
	var join struct{ Token string }
	mustDecode(t, center.Must("POST", "/v1/joins", fmt.Sprintf(`{"uses": %d, "for": "10m", "why": "demo"}`, len(d.sites))), &join)
	env := []string{"SLUICE_AT=", "SLUICE_TOKEN=", "SLUICE_DATA=", "SLUICE_JOIN=" + join.Token}
	for _, r := range d.running {
		if r.env != "" {
			env = append(env, r.env)
		}
	}
	var agents []*server.AgentProcess
	for _, s := range d.sites {
		s.data = filepath.Join(d.folder.abs, s.folder)
		agents = append(agents, server.Start(t, server.Agent{Config: d.agentConfig(s), Binary: binary, NoWait: true, Env: env}))
	}
	for i, a := range agents {
		a.AwaitReady()
		d.programs = append(d.programs, &program{name: d.sites[i].name, Process: a.Process})
	}
	// Last, as it can be used for a quarter of an hour only.
	var link struct{ Path string }
	mustDecode(t, center.Must("POST", "/v1/login-links", `{}`), &link)
	d.login = center.URL() + link.Path
}

func mustDecode(t *attempts, text string, into any) {
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("the centre answered %s: %v", text, err)
	}
}
