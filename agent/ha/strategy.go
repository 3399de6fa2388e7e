package ha

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-mesh/sluice/resources"
)

// Strategy decides what the law of retries leaves open, for one resource under one policy. It is called for each call, from
// all loops at once: it does not block, allocates nothing, and keeps nothing of the call.
type Strategy interface {
	// Again reports whether the attempt that c just ended is to be followed by another one. It is asked when the law allows one;
	// the budget is asked after it. c.Attempt counts the extra attempts so far, c.Fault says what went wrong,
	// and c.Now and c.Deadline, if there is one, how much time is left.
	Again(c *resources.Call) bool
	// BackUp returns how long after its start, in ns, a call that was just placed gets its backup request, which has its own budget;
	// 0: never. It is asked where `policy.backup` is set and the law allows a backup; after is what that says.
	BackUp(c *resources.Call, after int64) int64
}

// Builder makes the strategy of a resource from its policy, anew whenever that changes. An error says what is wrong with it.
type Builder func(p *resources.Policy) (Strategy, error)

// Failover is the strategy of a policy that names none: try again whenever the law allows it.
const Failover = "failover"

var registry struct {
	sync.Mutex
	names  []string
	builds map[string]Builder
}

// Register adds a strategy that `policy.failover.strategy` may name. It is called from init functions and panics on a name that is taken.
func Register(name string, build Builder) {
	registry.Lock()
	defer registry.Unlock()
	switch {
	case name == "" || build == nil:
		panic(fmt.Sprintf("ha: strategy %q needs a name and a builder", name))
	case name == Failover || registry.builds[name] != nil:
		panic("ha: strategy " + name + " registered twice")
	case registry.builds == nil:
		registry.builds = make(map[string]Builder)
	}
	registry.names, registry.builds[name] = append(registry.names, name), build
}

// Names lists the strategies, registered ones last.
func Names() []string {
	registry.Lock()
	defer registry.Unlock()
	return append([]string{Failover}, registry.names...)
}

// Build makes the strategy that a policy names; nil for [Failover]. The error names the strategies that there are.
func Build(p *resources.Policy) (Strategy, error) {
	name := p.Failover.Strategy
	if name == "" || name == Failover {
		return nil, nil
	}
	registry.Lock()
	build := registry.builds[name]
	registry.Unlock()
	if build == nil {
		return nil, fmt.Errorf("unknown strategy %q: use one of %s", name, strings.Join(slices.Sorted(slices.Values(Names())), ", "))
	}
	return build(p)
}
