package agent

import (
	"cmp"
	"slices"

	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/metrics/graphite"
	"github.com/sluice-mesh/sluice/resources"
)

// openGraphite opens where metrics are pushed to, when the config names it.
func (a *Agent) openGraphite() (err error) {
	g := a.identity.Metrics.Graphite
	if g == nil {
		return nil
	}
	a.graphite, err = graphite.Open(a.registry, graphite.Options{
		Address: g.Address, Dialect: g.Dialect, Every: g.Every.D(), Prefix: g.Prefix, Application: a.identity.Application, Name: a.motanName, Log: a.log,
	})
	return err
}

// motanName is what motan-go's agent would call the calls of a group: as the group and the service are called on the wire. Calls that
// the agent refused before it chose a group belong to the only one, where there is only one.
func (a *Agent) motanName(resource, group string) graphite.Name {
	n := graphite.Name{Role: graphite.ClientAgent, Group: group, Service: resource}
	m := a.set.get(resource)
	if m == nil {
		return n // it has just gone
	}
	if groups := m.Spec.GroupNames(); group == metrics.NoGroup && len(groups) == 1 {
		n.Group = groups[0]
	}
	if r, ok := m.Settings.(resources.Registered); ok {
		s := r.RegisteredAs(resource, n.Group)
		n.Group, n.Service = s.Group, cmp.Or(s.Path, resource)
	}
	if a.exportsCalls(m) {
		n.Role = graphite.ServerAgent
	}
	return n
}

// exportsCalls reports whether a resource is a service beside the agent, which others find at the agent's address.
func (a *Agent) exportsCalls(m *member) bool {
	if m.source == fromApplication {
		return slices.Contains(m.Spec.Listen, a.identity.Motan.Export)
	}
	return slices.ContainsFunc(a.identity.Exports, func(e config.ExportConfig) bool {
		return e.Resource == m.Spec.Name && a.listensOn(m, e.Address)
	})
}
