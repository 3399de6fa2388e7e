package motan

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Addresses of motan-go's agent where its configuration says none.
const (
	forwardPort = "9981"
	exportPort  = "9982"
)

// refers makes a resource of each service that applications call.
func (c *converter) refers(agent *section) {
	refers, basics := c.src.section("motan-refer"), c.src.section("motan-basicRefer")
	listen := "127.0.0.1:" + cmp.Or(agent.text("port"), forwardPort)
	for _, id := range slices.Sorted(maps.Keys(refers.m)) {
		p := refers.under(id, basics, "basicRefer")
		if !c.motan(p) {
			continue
		}
		settings, group, ok := c.identity(p)
		if !ok {
			continue
		}
		registry, endpoints := c.where(p)
		if registry == "" && len(endpoints) == 0 {
			continue
		}
		var at any = listen
		if path := agent.text("unixSock"); path != "" {
			at = []string{listen, "unix:" + path}
		}
		g := yaml.MapSlice{}
		if registry != "" {
			g = append(g, yaml.MapItem{Key: "registry", Value: registry})
		}
		if len(endpoints) > 0 {
			g = append(g, yaml.MapItem{Key: "endpoints", Value: endpoints})
		}
		c.resource(id, at, c.longest(p, settings), group, g, c.policy(p))
		c.leftovers(p)
	}
}

// services makes a resource and an export of each local service.
func (c *converter) services(agent *section) {
	services, basics := c.src.section("motan-service"), c.src.section("motan-basicService")
	for _, id := range slices.Sorted(maps.Keys(services.m)) {
		p := services.under(id, basics, "basicService")
		provider := p.text("provider")
		if provider == "http" {
			c.web(id, p, agent)
			continue
		}
		if provider != "motan2" && provider != "motan" {
			c.note("%s: provider %s: an agent hands calls to services that speak Motan, or HTTP, alone", p.at, cmp.Or(provider, "default"))
			continue
		}
		settings, group, ok := c.identity(p)
		if !ok {
			continue
		}
		_, port, _ := strings.Cut(p.text("proxy"), ":")
		if port == "" {
			c.note("%s: no proxy says on which port the local service listens", p.at)
			continue
		}
		local := net.JoinHostPort(cmp.Or(p.text("proxy.host"), "127.0.0.1"), port)
		export := c.exportPort(p, agent)
		name := c.resource(id, "0.0.0.0:"+export, c.longest(p, settings), group, yaml.MapSlice{{Key: "endpoints", Value: []string{local}}}, c.policy(p))
		c.announce(p, agent, name, group, export)
		c.leftovers(p)
	}
}

// exportPort takes the port at which others call a service.
func (c *converter) exportPort(p, agent *section) string {
	_, export, _ := strings.Cut(p.text("export"), ":")
	return cmp.Or(export, agent.text("eport"), exportPort)
}

// announce takes the registries of a service, and makes exports of them.
func (c *converter) announce(p, agent *section, name, group, export string) {
	for _, r := range p.list("registry") {
		address := c.address(r)
		if address == "" {
			c.note("%s.registry %s: nothing is announced there (it is %s)", p.at, r, c.protocol(r))
			continue
		}
		host := cmp.Or(agent.text("host"), "THIS-HOST")
		if host == "THIS-HOST" {
			c.note("%s: write the address by which others reach this machine in the place of THIS-HOST in agent.exports", p.at)
		}
		c.exports = append(c.exports, yaml.MapSlice{
			{Key: "resource", Value: name}, {Key: "kind", Value: "motan2"}, {Key: "group", Value: ours(group)},
			{Key: "address", Value: host + ":" + export}, {Key: "registry", Value: address},
		})
	}
}

// web makes a resource of a service that speaks HTTP and that others call in Motan.
func (c *converter) web(id string, p, agent *section) {
	settings, group, ok := c.identity(p)
	if !ok {
		return
	}
	local := strings.Replace(p.text("proxyAddress"), "unix://", "unix:", 1)
	switch {
	case local == "":
		c.note("%s: provider http without a proxyAddress: URLs that are made of a format (URL_FORMAT) are not", p.at)
		return
	case p.text("proxySchema") == "https":
		c.note("%s: write upstream-tls, for its proxySchema is https", p.at)
	}
	accept := yaml.MapSlice{{Key: "listen", Value: "0.0.0.0:" + c.exportPort(p, agent)}}
	for _, s := range settings {
		if s.Key != "groups" { // they map names, which callers here have in a list
			accept = append(accept, s)
		}
	}
	accept = append(accept, yaml.MapItem{Key: "groups", Value: []string{group}})
	if p.text("enableHttpException") != "true" {
		accept = append(accept, yaml.MapItem{Key: "errors", Value: "answer"})
	}
	domain := p.text("domain")
	if _, rewritten := c.src.section("http-locations").m[domain]; rewritten && p.text("enableRewrite") != "false" {
		c.note("%s: paths are not rewritten (http-locations.%s)", p.at, domain)
	}
	c.note("%s: requests that name no method of HTTP are POST here if they have an argument, else GET; there they are always %s", p.at, cmp.Or(p.text("HTTP_REQUEST_METHOD"), "GET"))
	if ours(group) != group {
		c.note("%s: exports have the group %s, not %q", p.at, ours(group), group)
	}
	for _, k := range []string{"enableRewrite", "maxConnections", "keepaliveTimeout", "idleConnectionTimeout"} {
		p.taken[k] = true
	}
	r := yaml.MapSlice{{Key: "kind", Value: "http"}, {Key: "listen", Value: "127.0.0.1:0"}, {Key: "accept", Value: yaml.MapSlice{{Key: "motan2", Value: accept}}}}
	if domain != "" {
		r = append(r, yaml.MapItem{Key: "settings", Value: yaml.MapSlice{{Key: "service", Value: domain}}})
	}
	name := c.add(id, append(r, yaml.MapItem{Key: "groups", Value: yaml.MapSlice{{Key: ours(group), Value: yaml.MapSlice{{Key: "endpoints", Value: []string{local}}}}}}), c.policy(p))
	c.announce(p, agent, name, group, c.exportPort(p, agent))
	c.leftovers(p)
}

// motan reports whether a service speaks what Sluice carries, and notes if not.
func (c *converter) motan(p *section) bool {
	switch protocol := p.text("protocol"); protocol {
	case "", "motan2", "motan":
		return true
	default:
		c.note("%s: protocol %s is not carried", p.at, protocol)
		return false
	}
}

// identity takes what a service is called.
func (c *converter) identity(p *section) (settings yaml.MapSlice, group string, ok bool) {
	path := p.text("path")
	group = strings.ReplaceAll(p.text("group"), "${idc}", c.opt.IDC)
	if path == "" || group == "" {
		c.note("%s: a service needs path and group", p.at)
		return nil, "", false
	}
	settings = append(settings, yaml.MapItem{Key: "service", Value: path})
	if v := p.text("version"); v != "" {
		settings = append(settings, yaml.MapItem{Key: "version", Value: v})
	}
	if ours(group) != group {
		settings = append(settings, yaml.MapItem{Key: "groups", Value: yaml.MapSlice{{Key: ours(group), Value: group}}})
	}
	for _, k := range []string{"serialization", "nodeType", "application", "ref"} {
		p.taken[k] = true // bodies pass as they are; the rest says nothing to an agent
	}
	return settings, group, true
}

// ours is a name as names of resources and groups may be.
func ours(name string) string {
	out := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r) {
			return r
		}
		return '-'
	}, name)
	out = strings.TrimLeft(out, "._-")
	return cmp.Or(out[:min(len(out), 63)], "x")
}

// resource adds a resource that speaks Motan, whose name it returns.
func (c *converter) resource(id string, listen any, settings yaml.MapSlice, group string, g, policy yaml.MapSlice) string {
	return c.add(id, yaml.MapSlice{
		{Key: "kind", Value: "motan2"}, {Key: "listen", Value: listen}, {Key: "settings", Value: settings},
		{Key: "groups", Value: yaml.MapSlice{{Key: ours(group), Value: g}}},
	}, policy)
}

// add adds a resource, whose name it returns.
func (c *converter) add(id string, r, policy yaml.MapSlice) string {
	name := ours(id)
	for n := 2; c.names[name]; n++ {
		name = fmt.Sprintf("%s-%d", ours(id), n)
	}
	c.names[name] = true
	if len(policy) > 0 {
		r = append(r, yaml.MapItem{Key: "policy", Value: policy})
	}
	c.resources = append(c.resources, yaml.MapItem{Key: name, Value: r})
	return name
}

func (c *converter) protocol(registry string) string {
	if r := c.registry[registry]; r != nil {
		return r.text("protocol")
	}
	return "not defined"
}

// hosts returns the addresses of a registry.
func (r *section) hosts() (out []string) {
	if host := r.text("host"); host != "" {
		return []string{net.JoinHostPort(host, cmp.Or(r.text("port"), "0"))}
	}
	return r.list("address")
}

// address returns a registry that we have; "" for others.
func (c *converter) address(id string) string {
	r := c.registry[id]
	if r == nil || r.text("protocol") != "zookeeper" || len(r.hosts()) == 0 {
		return ""
	}
	return "zookeeper://" + strings.Join(r.hosts(), ",")
}

// where takes where the servers of a service are found.
func (c *converter) where(p *section) (registry string, endpoints []string) {
	for _, id := range p.list("registry") {
		switch protocol := c.protocol(id); protocol {
		case "zookeeper":
			if registry != "" {
				c.note("%s.registry %s: a group is in one registry, and %s came first", p.at, id, registry)
				continue
			}
			registry = c.address(id)
		case "direct":
			for _, h := range c.registry[id].hosts() {
				endpoints = append(endpoints, strings.Replace(h, "unix://", "unix:", 1))
			}
		default:
			c.note("%s.registry %s: registries of kind %s are not read", p.at, id, protocol)
		}
	}
	if registry == "" && len(endpoints) == 0 {
		c.note("%s: left out, since no registry says where its servers are", p.at)
	}
	return registry, endpoints
}
