package matrix

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/testenv/fault"
	grpcpeers "github.com/sluice-mesh/sluice/testenv/grpc"
	httppeers "github.com/sluice-mesh/sluice/testenv/http"
	"github.com/sluice-mesh/sluice/testenv/load"
	"github.com/sluice-mesh/sluice/testenv/load/counted"
	"github.com/sluice-mesh/sluice/testenv/load/grpc"
	"github.com/sluice-mesh/sluice/testenv/load/http"
	"github.com/sluice-mesh/sluice/testenv/load/motan"
	motanpeers "github.com/sluice-mesh/sluice/testenv/motan"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// service is a kind of services: what rows about it have that others have not.
type service struct {
	kind     string
	group    string
	settings string // of the resource; echoes are idempotent, counts are not
	dial     counted.Dial
	serve    func(*testing.T) peer
	noise    string // what a server of something else says
	absurd   map[string]string
}

// peer is a server that counts.
type peer struct {
	*server.Process
	Addr string
}

var services = []service{
	{
		kind:     "motan2",
		group:    motanpeers.Group,
		settings: "service: " + motanpeers.Service + ", idempotent: [echo]",
		dial:     motan.Dial,
		serve: func(t *testing.T) peer {
			s := motanpeers.Serve(t, motanpeers.Server{})
			return peer{s.Process, s.Addr}
		},
		noise: "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\r\nbad request\r\n",
		absurd: map[string]string{ // of answers to request 1, as nobody knows the agent's ids
			"metadata": "\xF1\xF1\x01\x08\x30\x00\x00\x00\x00\x00\x00\x00\x01\x7F\xFF\xFF\xFF",
			"body":     "\xF1\xF1\x01\x08\x30\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x7F\xFF\xFF\xFF",
			"negative": "\xF1\xF1\x01\x08\x30\x00\x00\x00\x00\x00\x00\x00\x01\xFF\xFF\xFF\xFF",
		},
	},
	{
		kind:     "http",
		group:    "main",
		settings: "health: \"/echo?well\", idempotent: [" + http.Idempotent + "]",
		dial:     http.Dial,
		serve: func(t *testing.T) peer {
			s := httppeers.Serve(t, httppeers.Server{})
			return peer{s.Process, s.Addr}
		},
		noise: "-ERR unknown command 'GET'\r\n",
		absurd: map[string]string{
			"fields":   "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 1<<18),
			"negative": "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc",
			"beyond":   "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nabc",
		},
	},
	{
		kind:     "grpc",
		group:    "main",
		settings: "services: [" + grpc.Service + ", grpc.testing.TestService], idempotent: [" + grpc.Idempotent + "]",
		dial:     grpc.Dial,
		serve: func(t *testing.T) peer {
			s := grpcpeers.Serve(t, grpcpeers.Server{})
			return peer{s.Process, s.Addr}
		},
		noise: "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\r\nbad request\r\n",
		absurd: map[string]string{ // of frames: length, type, flags, stream
			"frame":   "\x00\x00\x00\x04\x00\x00\x00\x00\x00\xFF\xFF\xFF\x00\x00\x00\x00\x00\x01",
			"headers": "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + strings.Repeat("\x00\x00\x01\x09\x00\x00\x00\x00\x01\x00", 1<<17),
		},
	},
}

// eachService runs a row for all kinds of services but some, beside each other.
func eachService(t *testing.T, row func(t *testing.T, p servicePlan), but ...string) {
	for _, s := range services {
		if !slices.Contains(but, s.kind) {
			t.Run(s.kind, func(t *testing.T) {
				t.Parallel()
				row(t, servicePlan{of: s})
			})
		}
	}
}

// servicePlan describes the arrangement of a row about a service: servers that count, a fault proxy before each, and one
// agent, whose resource is called cache as in all rows.
type servicePlan struct {
	plan      // noServers, config and loads are filled in
	of        service
	servers   int    // default 2
	apart     bool   // each server is a group of its own: g0, in the agent's own data centre, and g1 and so on elsewhere
	checks    string // how servers are checked; default: every: 500ms, timeout: 500ms
	direct    bool   // the agent connects to the servers themselves: for rows that break servers, not connections
	clients   int    // of the load, with a call at a time each; default: as package counted has it
	echoes    bool   // the load has no calls but idempotent ones
	forgetful bool   // servers are killed, and forget what they counted
	host      string // by which the agent is told of the proxies, instead of their address
	more      string // further policy, such as "timeout: 300ms, "
	settings  string // further settings, such as ", stall: 300ms"
}

// serviceLab is such an arrangement.
type serviceLab struct {
	*lab
	of    service
	peers []peer
}

// openService starts everything but the load.
func openService(t *testing.T, p servicePlan) *serviceLab {
	t.Helper()
	m := &serviceLab{of: p.of}
	if p.servers == 0 {
		p.servers = 2
	}
	p.noServers = true
	p.plan.load.Rate = 300
	p.prepare = func(t *testing.T, l *lab) {
		for i := range p.servers {
			s := p.of.serve(t)
			m.peers = append(m.peers, s)
			l.proxies = append(l.proxies, fault.Start(t, fault.Options{Target: s.Addr, Seed: uint64(i + 1)}))
		}
	}
	p.config = func(l *lab) string {
		var endpoints []string
		for i, s := range m.peers {
			if endpoints = append(endpoints, l.proxies[i].Addr); p.direct {
				endpoints[i] = s.Addr
			}
			if p.host != "" {
				endpoints[i] = p.host + endpoints[i][strings.LastIndexByte(endpoints[i], ':'):]
			}
		}
		head, groups, settings := l.head(), p.of.group+`: { endpoints: ["`+strings.Join(endpoints, `", "`)+`"] }`, p.of.settings+p.settings
		if p.apart {
			head = strings.Replace(head, "agent:\n", "agent:\n  idc: idc0\n", 1)
			var list []string
			for i, e := range endpoints {
				list = append(list, fmt.Sprintf(`g%d: { idc: idc%d, endpoints: [%q] }`, i, i, e))
			}
			groups = strings.Join(list, ", ")
			if p.of.kind == "motan2" { // what callers ask for
				settings += ", groups: { g0: " + p.of.group + " }"
			}
		}
		return head + fmt.Sprintf(`  cache:
    kind: %s
    listen: {{addr "cache"}}
    groups: { %s }
    settings: { %s }
    policy: { %sprobe: { %s }, eject: { base: 500ms } }
`, p.of.kind, groups, settings, p.more, cmp.Or(p.checks, "every: 500ms, timeout: 500ms")) + l.sideConfig()
	}
	p.loads = func(l *lab) loader {
		c := counted.Config{Dial: p.of.dial, Address: l.addr, Rate: p.plan.load.Rate, Timeout: p.plan.load.Timeout, Echoes: p.echoes,
			Forgetful: p.forgetful, Servers: m.addrs()}
		if p.clients > 0 {
			c.Clients, c.Depth = p.clients, 1
		}
		r := counted.Start(l.Context(), c)
		l.Cleanup(func() { r.Stop() })
		return r
	}
	m.lab = open(t, p.plan)
	return m
}

// addrs are the servers' own addresses.
func (m *serviceLab) addrs() (all []string) {
	for _, s := range m.peers {
		all = append(all, s.Addr)
	}
	return all
}

// ups waits until a number of endpoints is up.
func (m *serviceLab) ups(n float64) {
	m.Helper()
	m.await(recoverWithin, fmt.Sprintf("%.0f endpoints to be up", n), func() error {
		if up := endpointUp(m.scrape()); up != n {
			return fmt.Errorf("%.0f are", up)
		}
		return nil
	})
}

// all sets toxics at every proxy.
func (m *serviceLab) all(toxics ...fault.Toxic) {
	for _, p := range m.proxies {
		p.Set(toxics...)
	}
}

// cleared ends the faults of all proxies, each of which must have fired.
func (m *serviceLab) cleared(kind fault.Kind) {
	m.Helper()
	for _, p := range m.proxies {
		p.MustHaveFired(m, kind)
		p.Clear()
	}
}

// cut adds to the words that calls may end with what a client sees that has a part of an answer when the rest is lost: only HTTP has
// no other way to say so than the end of the connection.
func (p *servicePlan) cut(words ...string) []string {
	if p.of.kind == "http" {
		return append([]string{load.Closed}, words...)
	}
	return words
}
