package conformance_test

import (
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/agent/filter/conformance"
	"github.com/sluice-mesh/sluice/resources"
)

// own is a filter made of two functions, which the tests below make break one rule each.
type own struct {
	call func(*resources.Call) *resources.Stop
	done func(*resources.Call)
}

func (f *own) OnCall(c *resources.Call) *resources.Stop {
	if f.call == nil {
		return nil
	}
	return f.call(c)
}

func (f *own) OnDone(c *resources.Call) {
	if f.done != nil {
		f.done(c)
	}
}

var kept []*resources.Call

func denied(text string) *resources.Stop {
	return &resources.Stop{Fault: resources.NewFault(resources.Denied, resources.FromAgent, conformance.Resource, text), Outcome: resources.Outcome(resources.Denied)}
}

// everyTenth refuses by a count that is lost when the filter is built anew.
func everyTenth(text string) *own {
	var n atomic.Int64
	stop := denied(text)
	return &own{call: func(*resources.Call) *resources.Stop {
		if n.Add(1)%10 == 0 {
			return stop
		}
		return nil
	}}
}

// broken holds filters that break a rule, and the check that must find it.
var broken = []struct {
	name, found string
	make        func(env *filter.Env) *own
}{
	{"allocates", "allocs", func(*filter.Env) *own {
		return &own{done: func(*resources.Call) { kept = append([]*resources.Call(nil), new(resources.Call)) }}
	}},
	{"changes the call", "protocol", func(*filter.Env) *own {
		return &own{call: func(c *resources.Call) *resources.Stop { c.Class = resources.ClassAdmin; return nil }}
	}},
	{"loses count", "protocol", func(env *filter.Env) *own {
		inflight := env.Metrics.Gauge("sluice_inflight")
		return &own{call: func(*resources.Call) *resources.Stop { inflight.Add(1); return nil }}
	}},
	{"makes stops for calls", "stops", func(*filter.Env) *own {
		return &own{call: func(*resources.Call) *resources.Stop { return denied("no") }}
	}},
	{"says two things", "stops", func(*filter.Env) *own {
		stop := denied("no")
		stop.Empty = true
		return &own{call: func(*resources.Call) *resources.Stop { return stop }}
	}},
	{"has a text of its own", "stops", func(*filter.Env) *own {
		stop := denied("no")
		stop.Fault.Text = "no"
		return &own{call: func(*resources.Call) *resources.Stop { return stop }}
	}},
	{"forgets its state", "rebuild", func(*filter.Env) *own { return everyTenth("tenth") }},
}

func define(make func(env *filter.Env) *own) filter.Definition {
	return filter.Definition{Name: "own", Build: func(env *filter.Env, _ resources.Filter) (resources.Filter, error) { return make(env), nil }}
}

func TestFilterThatKeepsTheRules(t *testing.T) {
	def := define(func(*filter.Env) *own { return &own{} })
	conformance.Run(t, def, conformance.Case{Name: "default"})
}

// A check that finds nothing is worth nothing: filters that break a rule fail in a process of their own.
func TestFindsBrokenRules(t *testing.T) {
	if name := os.Getenv("CONFORMANCE_BROKEN"); name != "" {
		for _, b := range broken {
			if b.name == name {
				conformance.Run(t, define(b.make), conformance.Case{Name: "default"})
			}
		}
		return
	}
	for _, b := range broken {
		t.Run(b.name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestFindsBrokenRules$", "-test.v")
			cmd.Env = append(os.Environ(), "CONFORMANCE_BROKEN="+b.name)
			out, err := cmd.CombinedOutput()
			if raceOn && b.found == "allocs" {
				return // the race detector allocates, so this check is off
			}
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestFindsBrokenRules/default/"+b.found) {
				t.Errorf("check %q did not find it: %v\n%s", b.found, err, out)
			}
		})
	}
}
