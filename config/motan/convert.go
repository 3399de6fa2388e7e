package motan

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

// Result is a configuration of ours.
type Result struct {
	Text  []byte   // YAML; notes are comments at its end
	Notes []string // what was not taken over, or means something else here

	Resources int // how many there are
}

// section is a part of the source that knows what of it was taken.
type section struct {
	at    string
	m     map[string]any
	taken map[string]bool
}

func (s *Source) section(name string) *section {
	m, _ := s.sections[name].(map[string]any)
	return &section{at: name, m: m, taken: map[string]bool{}}
}

// under returns an entry of a section, over the one that its key basic names in another section.
func (p *section) under(name string, basics *section, basic string) *section {
	own, _ := p.m[name].(map[string]any)
	out := &section{at: p.at + "." + name, m: map[string]any{}, taken: map[string]bool{}}
	if id, ok := own[basic].(string); ok {
		if base, ok := basics.m[id].(map[string]any); ok {
			maps.Copy(out.m, base)
			basics.taken[id] = true
		}
	}
	maps.Copy(out.m, own)
	out.taken[basic] = true
	return out
}

// text takes a key's value, as text; "" when it is not there.
func (p *section) text(key string) string {
	p.taken[key] = true
	if v := p.m[key]; v != nil {
		return strings.TrimSpace(fmt.Sprint(v))
	}
	return ""
}

// number takes a key's value, as a number; 0 when it is not there or none.
func (p *section) number(key string) int {
	n, _ := strconv.Atoi(p.text(key))
	return n
}

// list takes a key's value: words with commas between.
func (p *section) list(key string) (out []string) {
	for _, w := range strings.Split(p.text(key), ",") {
		if w = strings.TrimSpace(w); w != "" {
			out = append(out, w)
		}
	}
	return out
}

// rest returns the keys that nobody took, sorted.
func (p *section) rest() (keys []string) {
	for k := range p.m {
		if !p.taken[k] {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

// converter makes one Result.
type converter struct {
	src       *Source
	opt       Options
	notes     []string
	registry  map[string]*section
	resources yaml.MapSlice
	exports   []yaml.MapSlice
	names     map[string]bool
}

func (c *converter) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

// Convert makes a configuration of ours. The error says why there is none.
func (s *Source) Convert(o Options) (*Result, error) {
	c := &converter{src: s, opt: o, notes: slices.Clone(s.notes), registry: map[string]*section{}, names: map[string]bool{}}
	registries := s.section("motan-registry")
	for _, id := range slices.Sorted(maps.Keys(registries.m)) {
		c.registry[id] = registries.under(id, registries, "")
	}
	agent := s.section("motan-agent")
	c.refers(agent)
	c.services(agent)
	if len(c.resources) == 0 {
		return nil, errors.New("there is no motan-refer and no motan-service of kinds that Sluice has:\n  " + strings.Join(c.notes, "\n  "))
	}
	out := yaml.MapSlice{{Key: "agent", Value: c.agent(agent)}, {Key: "resources", Value: c.resources}}
	c.others()
	text, err := yaml.MarshalWithOptions(out, yaml.IndentSequence(true))
	if err != nil {
		return nil, err
	}
	if len(c.notes) > 0 {
		text = append(text, "\n# Not taken over from motan-go's configuration:\n"...)
		for _, n := range c.notes {
			text = append(text, "#  - "+strings.ReplaceAll(n, "\n", " ")+"\n"...)
		}
	}
	return &Result{Text: text, Notes: c.notes, Resources: len(c.resources)}, nil
}

// own are keys of motan-agent that say how motan-go works inside.
var own = []string{
	"log_dir", "log_async", "log_buffer_size", "log_level", "log_structured", "rotate_per_hour", "log_filter_caller", "pidfile", "runtime_dir",
	"snapshot_dir", "processPoolSize", "motanEpAsyncInit", "initClusterTimeout", "maxContentLength", "managementUnixSock", "managementPortRange",
}

// agent makes the agent's section.
func (c *converter) agent(p *section) (out yaml.MapSlice) {
	application := cmp.Or(p.text("application"), c.opt.Application)
	if application != "" {
		out = append(out, yaml.MapItem{Key: "application", Value: application})
	}
	if c.opt.IDC != "" {
		out = append(out, yaml.MapItem{Key: "idc", Value: c.opt.IDC})
	}
	if len(c.exports) > 0 {
		out = append(out, yaml.MapItem{Key: "exports", Value: c.exports})
	}
	if g := c.graphite(); g != nil {
		out = append(out, yaml.MapItem{Key: "metrics", Value: yaml.MapSlice{{Key: "graphite", Value: g}}})
	}
	for _, k := range []string{"port", "eport", "unixSock", "host"} {
		p.taken[k] = true
	}
	if mport := p.text("mport"); mport != "" {
		c.note("motan-agent.mport %s: the agent's own interface is another one (agent.admin, 127.0.0.1:8002 by default)", mport)
	}
	if r := p.text("registry"); r != "" {
		c.note("motan-agent.registry %s: agents are not registered; a governance centre knows them (agent.center)", r)
	}
	for _, k := range []string{"defaultFilter", "globalFilter"} {
		if v := p.text(k); v != "" {
			c.note("motan-agent.%s %s: filters belong to each resource's policy", k, v)
		}
	}
	var inside []string
	for _, k := range own {
		if p.m[k] != nil {
			inside = append(inside, k)
		}
		p.taken[k] = true
	}
	if len(inside) > 0 {
		c.note("motan-agent: %s say how motan-go works inside; logs are on stderr here (agent.log)", strings.Join(inside, ", "))
	}
	c.leftovers(p)
	return out
}

func (c *converter) graphite() yaml.MapSlice {
	p := c.src.section("metrics")
	list, _ := p.m["graphite"].([]any)
	if len(list) == 0 {
		return nil
	}
	first, _ := list[0].(map[string]any)
	g := &section{at: "metrics.graphite", m: map[string]any{}, taken: map[string]bool{}}
	for k, v := range first {
		g.m[strings.ToLower(k)] = v
	}
	if len(list) > 1 {
		c.note("metrics.graphite: metrics are pushed to one server, the first of %d", len(list))
	}
	out := yaml.MapSlice{{Key: "address", Value: net.JoinHostPort(g.text("host"), cmp.Or(g.text("port"), "2003"))}, {Key: "dialect", Value: "statsd"}}
	period := p.number("period")
	if period <= 0 {
		period = 5 // motan-go's default
	}
	out = append(out, yaml.MapItem{Key: "every", Value: fmt.Sprintf("%ds", period)})
	g.text("name") // of the connection; it is in no metric
	return out
}

// others notes sections that nothing was made of.
func (c *converter) others() {
	known := []string{"motan-agent", "motan-registry", "motan-basicRefer", "motan-refer", "motan-basicService", "motan-service", "metrics", importServices, importLocation}
	for _, name := range slices.Sorted(maps.Keys(c.src.sections)) {
		if !slices.Contains(known, name) {
			c.note("section %s", name)
		}
	}
}

// leftovers notes the keys of a section that nobody took.
func (c *converter) leftovers(p *section) {
	for _, k := range p.rest() {
		c.note("%s.%s: %v", p.at, k, p.m[k])
	}
}
