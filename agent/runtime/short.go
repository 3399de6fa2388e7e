package runtime

import (
	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/agent/pressure"
	"github.com/sluice-mesh/sluice/resources"
)

// shortage is the answer to calls while memory is short. Calls share it until there are new figures.
type shortage struct {
	use  *pressure.Use // in its text
	stop resources.Stop
}

// goesOn are the pins of sessions that are in the middle of something that ends soon.
const goesOn = resources.PinTxn | resources.PinWatch | resources.PinCursor

// excused reports whether a call goes on although memory is short.
func excused(c *resources.Call) bool { return c.Pinned || c.Session.Pins()&goesOn != 0 }

// refuseShort ends a call because memory is short. The filters that watch see it, so that it is counted.
func (r *Resource) refuseShort(sn *snapshot, c *resources.Call) *resources.Stop {
	if stop := sn.ask(sn.filters[:sn.watchers], c); stop != nil {
		return stop
	}
	stop := r.shortageNow()
	c.Outcome, c.Fault = stop.Outcome, stop.Fault
	return stop
}

// shortageNow returns the answer with the newest figures. They change a few times a second at most.
func (r *Resource) shortageNow() *resources.Stop {
	use := r.pressure.Use()
	old := r.shortage.Load()
	if old != nil && old.use == use {
		return &old.stop
	}
	s := &shortage{use: use}
	what := "the agent is short of memory"
	if use != nil {
		what += " (" + use.String() + ")"
	}
	f := resources.NewFault(resources.Limited, resources.FromAgent, r.name, what)
	s.stop = resources.Stop{Fault: f, Outcome: resources.OutcomeOf(f)}
	r.shortage.Store(s)
	return &s.stop
}

// watchers returns how many filters at the front of a chain only watch: those that come before access rules.
func watchers(chain filter.Chain) int {
	for i, l := range chain {
		if d, ok := filter.Lookup(l.Name); !ok || d.Order >= filter.OrderACL {
			return i
		}
	}
	return len(chain)
}

// Shrink makes the driver give back what it keeps for later, if it keeps anything.
func (r *Resource) Shrink() {
	if s, ok := r.driver().(resources.Shrinker); ok {
		s.Shrink()
	}
}
