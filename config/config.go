package config

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"

	"github.com/sluice-mesh/sluice/resources"
)

// Config is a parsed and checked file, with all defaults filled in. It is not changed once it was returned.
type Config struct {
	Agent     Agent
	Resources map[string]*Resource // by name
	Wants     map[string]*Want     // resources that the centre defines, by name; none is in Resources too
	Path      string               // the file, as it was given
}

// Want is a resource of which the file says only where it listens: what it is comes from the centre.
type Want struct {
	Name   string              `yaml:"-" json:"-"`
	Listen resources.Addresses `yaml:"listen" json:"listen" doc:"where applications connect" required:"true" reload:"drain"`
	Labels map[string]string   `yaml:"labels,omitempty" json:"labels,omitempty" doc:"above those of the centre" reload:"live"`
}

// Resource is one resource of a config: its spec, and the settings of its kind as its driver decoded them.
type Resource struct {
	// Spec has its Policy filled. In Spec.Settings secrets are of type [resources.Secret], so they are never printed;
	// Spec.Policy.Filters holds, for each own filter, the pointer that FilterSettings returned.
	Spec     *resources.Spec
	Driver   resources.Driver
	Settings resources.Settings
}

// Agent is the agent's own section. The tags are those of [resources.Spec].
type Agent struct {
	Name        string            `yaml:"name,omitempty" json:"name" doc:"name of this agent in metrics and in the centre" default:"the host's name" reload:"restart"`
	Application string            `yaml:"application,omitempty" json:"application" doc:"who calls: what stands for clients that do not name themselves" default:"name" reload:"restart"`
	IDC         string            `yaml:"idc,omitempty" json:"idc" doc:"data centre where this agent runs; policy.reads: nearest prefers its groups" reload:"restart"`
	Admin       string            `yaml:"admin,omitempty" json:"admin" doc:"where the HTTP interface listens: host:port or unix:/path" default:"127.0.0.1:8002" reload:"restart"`
	Data        string            `yaml:"data,omitempty" json:"data" doc:"folder of the admin token, commands and resources that were changed over HTTP" default:"./data" reload:"restart"`
	Labels      map[string]string `yaml:"labels,omitempty" json:"labels,omitempty" doc:"what this agent is about, for selecting it in the centre: tier: web" reload:"restart"`
	Center      []string          `yaml:"center,omitempty" json:"center,omitempty" doc:"URLs of the governance centre; empty: this file is all there is" reload:"restart"`
	Join        resources.Secret  `yaml:"join,omitempty" json:"join" doc:"token with which the agent joins the centre's mesh the first time" default:"the variable SLUICE_JOIN" reload:"restart"`
	Exports     []ExportConfig    `yaml:"exports,omitempty" json:"exports,omitempty" doc:"services beside this agent that it registers in the centre or a registry while they can be connected to" reload:"restart"`
	Motan       *MotanConfig      `yaml:"motan,omitempty" json:"motan,omitempty" doc:"lets Motan applications on this machine register and subscribe by themselves, by requests to /registry/ of admin; absent: they may not" reload:"restart"`
	Metrics     MetricsConfig     `yaml:"metrics,omitempty" json:"metrics" doc:"where metrics go besides /metrics" reload:"restart"`
	Log         LogConfig         `yaml:"log,omitempty" json:"log" doc:"the agent's own log, on stderr" reload:"restart"`
	Memory      resources.Size    `yaml:"memory,omitempty" json:"memory" doc:"memory that the agent may use: near it, connections and then calls are refused; 0 means as much as GOMEMLIMIT and the cgroup allow" default:"0" bounds:"32MiB to 1024GiB; 0 means no limit of its own" reload:"restart"`
	Loops       int               `yaml:"loops,omitempty" json:"loops" doc:"number of I/O loops; 0 means half of the processors, at least 1" default:"0" bounds:"0 to 1024" reload:"restart"`
	Drain       DrainConfig       `yaml:"drain,omitempty" json:"drain" doc:"how the agent stops" reload:"live"`
}

// ExportConfig is a service beside the agent that others may call.
type ExportConfig struct {
	Resource string `yaml:"resource" json:"resource" doc:"name of the resource in the centre that gets the endpoint" required:"true" reload:"restart"`
	Kind     string `yaml:"kind" json:"kind" doc:"what the service speaks" required:"true" reload:"restart"`
	Group    string `yaml:"group,omitempty" json:"group" doc:"group of the resource" default:"agent.idc" reload:"restart"`
	IDC      string `yaml:"idc,omitempty" json:"idc" doc:"data centre of the service" default:"agent.idc" reload:"restart"`
	Address  string `yaml:"address" json:"address" doc:"where others reach it, host:port; checked by connecting every 2s" required:"true" reload:"restart"`
	Role     string `yaml:"role,omitempty" json:"role" doc:"primary, replica or any" default:"any" bounds:"primary, replica, any" reload:"restart"`
	Weight   int    `yaml:"weight,omitempty" json:"weight" doc:"share of the group's traffic" default:"100" bounds:"0 to 10000" reload:"restart"`
	Registry string `yaml:"registry,omitempty" json:"registry,omitempty" doc:"where it is announced besides the centre, which may then be missing: zookeeper://host:port,host:port, consul://host:port or etcd://host:port" reload:"restart"`
	Service  string `yaml:"service,omitempty" json:"service,omitempty" doc:"its name in the registry; default: that of the resource" reload:"restart"`
	Version  string `yaml:"version,omitempty" json:"version,omitempty" doc:"its version there" reload:"restart"`
}

// SetDefaults fills what does not depend on other fields.
func (e *ExportConfig) SetDefaults() { e.Role, e.Weight = "any", resources.DefaultWeight }

// MotanConfig lets applications register services and subscribe to them while the agent runs, as motan-go's agent does.
type MotanConfig struct {
	Forward    string            `yaml:"forward,omitempty" json:"forward" doc:"where applications call the services that they subscribed to, host:port" default:"127.0.0.1:9981" reload:"restart"`
	Export     string            `yaml:"export,omitempty" json:"export,omitempty" doc:"where others call the services that applications registered, host:port; empty: none can be registered" reload:"restart"`
	Announce   string            `yaml:"announce,omitempty" json:"announce,omitempty" doc:"address of export as others reach it, host:port" default:"export" reload:"restart"`
	Registries map[string]string `yaml:"registries" json:"registries" doc:"registries that applications may name, by the names that they use: zookeeper://host:port,host:port, consul://host:port or etcd://host:port" required:"true" reload:"restart"`
}

// SetDefaults fills what does not depend on other fields.
func (m *MotanConfig) SetDefaults() { m.Forward = "127.0.0.1:9981" }

// MetricsConfig says where metrics are pushed to. They are always served at /metrics.
type MetricsConfig struct {
	Graphite *GraphiteConfig `yaml:"graphite,omitempty" json:"graphite,omitempty" doc:"push to Graphite, plaintext over TCP" reload:"restart"`
}

// GraphiteConfig is a Graphite server.
type GraphiteConfig struct {
	Address string             `yaml:"address" json:"address" doc:"host:port of the plaintext listener" required:"true" reload:"restart"`
	Every   resources.Duration `yaml:"every,omitempty" json:"every" doc:"time between two pushes" default:"10s" bounds:"1s to 10m" reload:"restart"`
	Prefix  string             `yaml:"prefix,omitempty" json:"prefix" doc:"put before every metric name, without the dot between" reload:"restart"`
	Dialect string             `yaml:"dialect,omitempty" json:"dialect" doc:"statsd writes the lines of the Weibo agent (motan-go), with its names, by UDP" default:"graphite" bounds:"graphite, statsd" reload:"restart"`
}

// SetDefaults fills what is empty.
func (g *GraphiteConfig) SetDefaults() {
	g.Every = resources.Duration(10e9)
	g.Dialect = "graphite"
}

// LogConfig is the agent's own log.
type LogConfig struct {
	Level  string `yaml:"level,omitempty" json:"level" doc:"least level that is written" default:"info" bounds:"debug, info, warn, error" reload:"restart"`
	Format string `yaml:"format,omitempty" json:"format" doc:"how a line looks" default:"text" bounds:"text, json" reload:"restart"`
}

// DrainConfig says how the agent stops. Wait is the time from "not ready" until it stops accepting, so that whoever
// sends traffic here has seen it; Timeout is when the sessions that are left are cut, counted from the start.
type DrainConfig struct {
	Wait    resources.Duration `yaml:"wait,omitempty" json:"wait" doc:"time from not ready until nothing new is accepted" default:"3s" bounds:"0 to 5m" reload:"live"`
	Timeout resources.Duration `yaml:"timeout,omitempty" json:"timeout" doc:"when sessions that are left are cut, counted from the start" default:"30s" bounds:"0 to 1h" reload:"live"`
}

// ValidateConfig checks that there is time left after the wait.
func (c *DrainConfig) ValidateConfig() error {
	if c.Timeout < c.Wait {
		return resources.At("timeout", fmt.Errorf("%s is shorter than wait, %s: the timeout counts from the start", c.Timeout, c.Wait))
	}
	return nil
}

// SetDefaults fills what does not depend on other fields; the names follow when the section was read.
func (a *Agent) SetDefaults() {
	a.Admin = "127.0.0.1:8002"
	a.Data = "./data"
	a.Log = LogConfig{Level: "info", Format: "text"}
	a.Drain = DrainConfig{Wait: resources.Duration(3e9), Timeout: resources.Duration(resources.DefaultDrainTimeout)}
}

// LoopCount returns the number of I/O loops to run: Loops, or half of GOMAXPROCS.
func (a *Agent) LoopCount() int {
	if a.Loops > 0 {
		return a.Loops
	}
	return max(1, runtime.GOMAXPROCS(0)/2)
}

// Options is what a program adds to the schema. The zero value knows the registered kinds and no own filters.
type Options struct {
	// FilterSettings returns a pointer to a new struct with the defaults of an own filter's settings, which
	// `policy.filters.NAME` is decoded into; nil if the filter has none. ok is false for a name that is not registered.
	FilterSettings func(name string) (settings any, ok bool)
	// FilterNames are the names that FilterSettings knows, for hints and the reference.
	FilterNames []string
	// Words are what a program adds to the words of a field, by the end of the field's path: "policy.balance".
	Words map[string][]string
	// ListenOptional lets ParseResource take a resource without `listen`: in the centre it is each agent that says where it
	// listens.
	ListenOptional bool
	// Secrets returns the value of a secret that the centre keeps, for ${secret:NAME}; ok is false if there is none. Nil: this
	// is not a resource of a centre, where that is an error.
	Secrets func(name string) (value string, ok bool)
}

// Load reads and checks a file. An error that is not from reading it is of type [*Errors] and holds every problem.
func Load(path string) (*Config, error) { return Options{}.Load(path) }

// Parse is Load for a file's content; name stands in the errors.
func Parse(name string, data []byte) (*Config, error) { return Options{}.Parse(name, data) }

// ParseResource reads one resource, as YAML or JSON: what stands below its name in a file. It is for HTTP: secrets must
// be references, since what is put over HTTP is kept on disk. The JSON that [Resource.JSON] writes is read back.
func ParseResource(name string, data []byte) (*Resource, error) {
	return Options{}.ParseResource(name, data)
}

// Load is [Load] with options.
func (o Options) Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	if len(bytes.TrimSpace(data)) == 0 { // most likely it is just being written, or its disk was full
		return nil, fmt.Errorf("config: %s is empty: an agent without resources has `resources: {}`", path)
	}
	return o.Parse(path, data)
}

// file is the whole schema.
type file struct {
	Agent     Agent          `yaml:"agent,omitempty" doc:"the agent itself"`
	Resources map[string]any `yaml:"resources,omitempty" doc:"what the application calls, by name"`
}

// Parse is [Parse] with options.
func (o Options) Parse(name string, data []byte) (*Config, error) {
	root, src, problems := parseTree(name, data)
	d := &decoder{file: name, src: src, problems: problems, secrets: make(map[*node]resources.Secret), options: o}
	if root == nil {
		return nil, d.finish()
	}
	var f file
	f.Agent.SetDefaults()
	d.value(root, reflect.ValueOf(&f).Elem(), place{})
	cfg := &Config{Agent: f.Agent, Resources: make(map[string]*Resource), Wants: make(map[string]*Want), Path: name}
	d.agent(root.get("agent"), &cfg.Agent)

	taken := listeners{d: d}
	taken.add(orNode(root.get("agent").get("admin"), root), "agent.admin", cfg.Agent.Admin, nil, false)
	if list := root.get("resources"); list != nil && list.kind == mapNode {
		for _, p := range list.pairs {
			path := join("resources", p.key.text)
			var listen resources.Addresses
			var r *Resource
			if wanted(p.value) && len(cfg.Agent.Center) > 0 {
				w := d.want(p.value, path, p.key)
				cfg.Wants[p.key.text], listen = w, w.Listen
			} else if r = d.resource(p.value, path, p.key); r != nil {
				cfg.Resources[p.key.text] = r
			}
			if r == nil {
				taken.all(p.value, path, listen, nil)
			}
			for _, f := range r.faces() {
				at, full := find(p.value, path, strings.TrimSuffix(strings.TrimSuffix(f.Path, "listen"), "."))
				taken.all(at, full, f.Spec.Listen, &f)
			}
		}
	}
	if err := d.finish(); err != nil {
		return nil, err
	}
	return cfg, nil
}

// ParseResource is [ParseResource] with options.
func (o Options) ParseResource(name string, data []byte) (*Resource, error) {
	root, src, problems := parseTree(name, data)
	d := &decoder{file: name, src: src, problems: problems, secrets: make(map[*node]resources.Secret), options: o, remote: true, anywhere: o.ListenOptional}
	if root == nil {
		return nil, d.finish()
	}
	if written := root.get("name"); written != nil { // JSON carries it
		if written.text != name {
			d.report(written, "name", "%s is not the name of this resource, %q: leave it out, or write the same", written.describe(), name)
		}
		root = without(root, "name")
	}
	r := d.resource(root, "", &node{kind: textNode, line: 1, column: 1, text: name})
	if err := d.finish(); err != nil {
		return nil, err
	}
	return r, nil
}

// finish returns all problems as one error, or nil.
func (d *decoder) finish() error {
	if d.visited > MaxNodes && !d.spent {
		d.report(&node{line: 1, column: 1}, "", "too much: a config has at most %d values, with aliases counted each time", MaxNodes)
	}
	return d.src.errors(d.problems)
}

// without returns n less one key.
func without(n *node, key string) *node {
	out := *n
	out.pairs = nil
	for _, p := range n.pairs {
		if p.key.text != key {
			out.pairs = append(out.pairs, p)
		}
	}
	return &out
}

func orNode(n, other *node) *node {
	if n == nil {
		return other
	}
	return n
}
