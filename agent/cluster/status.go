package cluster

import (
	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/resources"
)

// Modes of upstream connections, the words of the `mode` label.
var modes = [...]string{"shared", "leased", "paired"}

const numModes = len(modes)

// Connections counts a driver's open connections to an endpoint by mode; an unknown mode counts as leased.
func (c *Cluster) Connections(ep *resources.Endpoint, mode string, delta int) {
	m := Of(ep)
	if m == nil {
		return
	}
	i := 1
	for k, name := range modes {
		if name == mode {
			i = k
		}
	}
	m.connections[i].Add(int64(delta))
	c.mu.Lock()
	defer c.mu.Unlock()
	if !m.removed {
		c.metrics.Gauge(metrics.UpstreamConnections, "endpoint", ep.Address, "mode", modes[i]).Add(int64(delta))
	}
}

// label keeps the metrics of a member under its current role and says whether it is up. c.mu is held.
func (c *Cluster) label(m *Member) {
	if role := m.Endpoint.Role(); m.up == nil || m.role != role {
		if m.up != nil {
			c.unlabel(m.Endpoint.Address)
		}
		for _, x := range c.members {
			if x == m || x.Endpoint.Address == m.Endpoint.Address && x.up != nil {
				c.relabel(x)
			}
		}
	}
	up := int64(0)
	if m.sound.Load() {
		up = 1
	}
	m.up.Set(up)
}

// unlabel drops all series of an address, those of its namesakes in other groups included; relabel brings them back.
func (c *Cluster) unlabel(address string) {
	c.metrics.Forget("endpoint", address)
	for _, x := range c.members {
		if x.Endpoint.Address == address && x.up != nil {
			c.relabel(x)
		}
	}
}

func (c *Cluster) relabel(m *Member) {
	m.role = m.Endpoint.Role()
	labels := []string{"group", m.group.name, "endpoint", m.Endpoint.Address, "role", m.role.String()}
	m.up = c.metrics.Gauge(metrics.EndpointUp, labels...)
	m.ejected = c.metrics.Counter(metrics.EndpointEjections, labels...)
	if m.ejected.Load() == 0 {
		m.ejected.Add(m.total)
	}
	if m.sound.Load() {
		m.up.Set(1)
	}
	for i := range m.connections {
		sum := int64(0)
		for _, x := range c.members {
			if x.Endpoint.Address == m.Endpoint.Address {
				sum += x.connections[i].Load()
			}
		}
		if sum != 0 {
			c.metrics.Gauge(metrics.UpstreamConnections, "endpoint", m.Endpoint.Address, "mode", modes[i]).Set(sum)
		}
	}
}

// Status is an endpoint as people see it.
type Status struct {
	ID          int     `json:"id"`
	Group       string  `json:"group"`
	IDC         string  `json:"idc"`
	Address     string  `json:"address"`
	Role        string  `json:"role"` // primary, replica, any or, in words for people, primary (fenced)
	Weight      int     `json:"weight"`
	WeightFrom  string  `json:"weight_from"` // who said it: config, registry, server; "" for nobody
	Share       float64 `json:"share"`       // of the weight: below 1 during slow start, 0 when it is not used
	State       string  `json:"state"`       // up, down, ejected, drained, fenced, stale (a replica too far behind), off (weight 0) or unknown (not probed yet)
	Why         string  `json:"why"`         // it is out, or what its last failure was
	Inflight    int32   `json:"inflight"`    // calls
	LatencyNs   int64   `json:"latency_ns"`  // moving average as the balance sees it
	Ejections   int64   `json:"ejections"`   // so far
	ReturnInNs  int64   `json:"return_in_ns"`
	Version     string  `json:"version"`
	LagNs       int64   `json:"lag_ns"`
	Discovered  bool    `json:"discovered"`
	Stale       bool    `json:"stale"`       // discovered by an earlier process, and not confirmed since
	Connections int64   `json:"connections"` // upstream connections of all modes
}

// Status returns all endpoints, by ID.
func (c *Cluster) Status() []Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	out := make([]Status, 0, len(c.members))
	for _, m := range c.members {
		ep := m.Endpoint
		s := Status{
			ID: ep.ID, Group: ep.Group, IDC: m.group.idc, Address: ep.Address, Role: ep.Role().String(), Weight: int(ep.Weight()), WeightFrom: m.weightFrom(),
			State: m.state(), Why: m.reason, Inflight: ep.Inflight.Load(), LatencyNs: m.Latency(now), Ejections: m.total,
			Version: m.health.Version, LagNs: m.health.Lag.Nanoseconds(), Discovered: m.discovered,
			Stale: m.discovered && m.group.stale,
		}
		switch {
		case m.fenced:
			s.Role, s.Why = s.Role+" (fenced)", m.fencedWhy()
		case s.Stale && s.Why == "":
			s.Why = staleWhy
		case s.Why == "":
			s.Why = m.health.Detail
		}
		if m.sound.Load() && s.Weight > 0 {
			s.Share = m.Share(now)
		}
		if m.until != 0 {
			s.ReturnInNs = max(0, m.until-now)
		}
		for i := range m.connections {
			s.Connections += m.connections[i].Load()
		}
		out = append(out, s)
	}
	return out
}
