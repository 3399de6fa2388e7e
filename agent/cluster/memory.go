package cluster

import (
	"slices"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

// Book keeps what is known of a resource's groups beyond the life of the process. Its methods are called with a lock
// held and must not wait.
type Book interface {
	// Recall returns what was last kept of a group.
	Recall(group string) (Memory, bool)
	// Keep replaces it, soon and in the background.
	Keep(group string, m Memory)
}

// Memory is what a group knows that a new process would have to find out again, or could not. It says which servers
// there are and which one is written to, and nothing of their health.
type Memory struct {
	// Seeds are the configured addresses at the time. With none of them left the configuration means other servers, and
	// the memory is void.
	Seeds   []string `json:"seeds"`
	Found   []Found  `json:"found,omitempty"`   // the last discovery that was believed
	Writer  string   `json:"writer,omitempty"`  // address of the one that is written to
	Deposed []string `json:"deposed,omitempty"` // addresses of those that were replaced as that
}

// Found is an endpoint that a topology reported.
type Found struct {
	Address string `json:"address"`
	Role    string `json:"role,omitempty"` // primary, replica or any
	Weight  int    `json:"weight,omitempty"`
}

// recall gives a group what an earlier process knew of it, once, before anything else is known. It must be reconciled
// then. c.mu is held.
func (c *Cluster) recall(g *group, now int64) {
	if c.book == nil || g.recalled {
		return
	}
	g.recalled = true
	old, ok := c.book.Recall(g.name)
	if !ok || !slices.ContainsFunc(old.Seeds, func(a string) bool { return slices.Contains(g.seedList(), a) }) {
		return
	}
	if found, ok := old.members(); ok && c.watcher(g) != nil && g.found == nil {
		g.found, g.stale = found, true
		c.log.Info("the endpoints of an earlier run are used until discovery reports", "group", g.name, "endpoints", len(found))
	}
	c.reconcile(g, now)
	if !c.fences(g) {
		return
	}
	for _, m := range g.members {
		if slices.Contains(old.Deposed, m.Endpoint.Address) {
			m.deposed = true
		}
		if m.Endpoint.Address == old.Writer {
			g.fence = fence{writer: m, last: m, claimed: true}
		}
	}
}

// members returns what was found; false when there is nothing, or nonsense.
func (m *Memory) members() ([]resources.Member, bool) {
	var list []resources.Member
	for _, f := range m.Found {
		role, err := resources.ParseRole(f.Role)
		if err != nil || checkAddress(f.Address) != nil {
			return nil, false
		}
		list = append(list, resources.Member{Address: f.Address, Role: role, Weight: f.Weight})
	}
	return list, len(list) > 0
}

// remember keeps what is known of a group now, if it is news. c.mu is held.
func (c *Cluster) remember(g *group) {
	if c.book == nil || !g.recalled || !g.fresh {
		return
	}
	g.fresh = false
	m := Memory{Seeds: g.seedList()}
	for _, f := range g.found {
		m.Found = append(m.Found, Found{Address: f.Address, Role: f.Role.String(), Weight: f.Weight})
	}
	slices.SortFunc(m.Found, func(a, b Found) int { return strings.Compare(a.Address, b.Address) })
	if w := g.fence.writer; w != nil {
		m.Writer = w.Endpoint.Address
	} else if w := g.fence.last; w != nil && !w.removed {
		m.Writer = w.Endpoint.Address
	}
	for _, x := range g.members {
		if x.deposed {
			m.Deposed = append(m.Deposed, x.Endpoint.Address)
		}
	}
	c.book.Keep(g.name, m)
}

// seedList returns the configured addresses of a group, or the registry that knows them.
func (g *group) seedList() []string {
	if g.registry != "" {
		return []string{g.registry}
	}
	list := make([]string, 0, len(g.spec))
	for _, e := range g.spec {
		list = append(list, e.Address)
	}
	return list
}

// watchSeeds returns where a topology looks for the servers of a group: the configured addresses and, unless those are
// of another sort than the servers, what an earlier process found, so that one server that is left is enough.
func (c *Cluster) watchSeeds(g *group) []string {
	seeds := g.seedList()
	if g.stale && !c.seedsOnly && g.registry == "" {
		for _, f := range g.found {
			if !slices.Contains(seeds, f.Address) {
				seeds = append(seeds, f.Address)
			}
		}
	}
	return seeds
}

// staleWhy says to people that nobody confirmed an endpoint since the start.
const staleWhy = "known from an earlier run; discovery has not reported since the start"

// sayFresh logs that discovery has told what holds now.
func (c *Cluster) sayFresh(g *group, now int64) {
	c.log.Info("the endpoints of an earlier run are replaced", "group", g.name, "endpoints", len(g.found),
		"after", time.Duration(now-c.started).Round(time.Millisecond))
}
