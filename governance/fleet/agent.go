package fleet

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
	"unique"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// Agent is who an agent says it is. It does not change while its link stands; a new link has a new one.
type Agent struct {
	Name        string
	Application string
	IDC         string
	Version     string // of the program
	Host        string
	Labels      map[string]string
	Boot        string    // of the process
	Started     time.Time // by this centre's clock, as far as the agent says what its own shows
	Kinds       []string
	Wants       []string // resources it takes from the centre, sorted
	Owns        []Owned  // resources of its own file, by name

	clock *time.Duration // how far its clock was ahead when it said hello; nil: it does not say
}

// Owned is a resource that an agent's file defines.
type Owned struct {
	Name string                `json:"name"`
	Hash string                `json:"hash"`
	Also bool                  `json:"also,omitempty"` // the centre defines it too, and the file wins
	spec unique.Handle[string] // many agents have the same file: its specs are kept once
}

// Spec returns a copy of the resource's spec, with secrets as references.
func (o Owned) Spec() json.RawMessage { return json.RawMessage(o.spec.Value()) }

// concerns reports whether the agent wants or owns a resource.
func (a *Agent) concerns(name string) bool { return a.wants(name) || a.owns(name) }

func (a *Agent) wants(name string) bool {
	_, ok := slices.BinarySearch(a.Wants, name)
	return ok
}

func (a *Agent) owns(name string) bool {
	_, ok := slices.BinarySearchFunc(a.Owns, name, func(o Owned, n string) int { return cmp.Compare(o.Name, n) })
	return ok
}

// names calls f for each resource that concerns the agent.
func (a *Agent) names(f func(name string)) {
	for _, n := range a.Wants {
		f(n)
	}
	for _, o := range a.Owns {
		f(o.Name)
	}
}

// agentOf checks a Hello that came at the given time. Errors say what is wrong with it, for the agent's log.
func agentOf(h *control.Hello, name string, at time.Time) (*Agent, error) {
	switch {
	case h.Protocol != control.Version:
		return nil, fmt.Errorf("the agent speaks version %d of the protocol, this centre version %d", h.Protocol, control.Version)
	case h.Name != name:
		return nil, fmt.Errorf("the agent calls itself %.99q, its certificate is for %q", h.Name, name)
	case name == "" || len(name) > maxName:
		return nil, fmt.Errorf("an agent's name has 1 to %d bytes, this one %d", maxName, len(name))
	case h.Boot == "" || len(h.Boot) > maxName:
		return nil, fmt.Errorf("boot has %d bytes: use 1 to %d random ones", len(h.Boot), maxName)
	case len(h.Wants)+len(h.Owns) > maxNames:
		return nil, fmt.Errorf("the agent has %d resources: at most %d are served", len(h.Wants)+len(h.Owns), maxNames)
	case len(h.Labels) > maxLabels || len(h.Kinds) > maxLabels:
		return nil, fmt.Errorf("the agent has %d labels and %d kinds: at most %d of each are taken", len(h.Labels), len(h.Kinds), maxLabels)
	}
	for k, v := range h.Labels {
		if len(k) > maxText || len(v) > maxText {
			return nil, fmt.Errorf("label %.99q is longer than %d bytes", k, maxText)
		}
	}
	for _, s := range append([]string{h.Application, h.IDC, h.Version, h.Host}, h.Kinds...) {
		if len(s) > maxText {
			return nil, fmt.Errorf("%.99q is longer than %d bytes", s, maxText)
		}
	}
	a := &Agent{
		Name: name, Application: h.Application, IDC: h.IDC, Version: h.Version, Host: h.Host, Labels: h.Labels,
		Boot: h.Boot, Started: time.UnixMilli(h.Started), Kinds: h.Kinds, clock: ahead(h.Now, at),
	}
	if a.clock != nil {
		a.Started = a.Started.Add(-*a.clock)
	}
	return a, a.take(h)
}

// take adds the names of resources, each once. What the agent owns it does not want.
func (a *Agent) take(h *control.Hello) error {
	for _, o := range h.Owns {
		if err := checkName(o.Name); err != nil {
			return err
		}
		if len(o.Hash) > maxName {
			return fmt.Errorf("the hash of resource %q has %d bytes", o.Name, len(o.Hash))
		}
		a.Owns = append(a.Owns, Owned{Name: o.Name, Hash: o.Hash, Also: o.Also, spec: unique.Make(string(o.Spec))})
	}
	slices.SortStableFunc(a.Owns, func(x, y Owned) int { return cmp.Compare(x.Name, y.Name) })
	a.Owns = slices.CompactFunc(a.Owns, func(x, y Owned) bool { return x.Name == y.Name })
	for _, n := range h.Wants {
		if err := checkName(n); err != nil {
			return err
		}
		if !a.owns(n) {
			a.Wants = append(a.Wants, n)
		}
	}
	slices.Sort(a.Wants)
	a.Wants = slices.Compact(a.Wants)
	return nil
}

func checkName(n string) error {
	switch {
	case n == "":
		return errors.New("a resource without a name")
	case len(n) > maxName:
		return fmt.Errorf("the name of resource %.40q... has %d bytes: at most %d are taken", n, len(n), maxName)
	}
	return nil
}
