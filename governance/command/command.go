package command

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

// Command is an order to the whole mesh: a resources.Command for one resource, or for those that Select names.
type Command struct {
	resources.Command           // ID, Created and Resource ("" with Select) included
	Select            *Selector `json:"select,omitempty"`
	Agents            []string  `json:"agents,omitempty"` // names, with * for any run of characters; empty: all
	IDCs              []string  `json:"idcs,omitempty"`   // of agents, likewise
	Plan              string    `json:"plan,omitempty"`   // id of the plan that it is a step of
	Step              int       `json:"step,omitempty"`   // of the plan, from 1
	Later             bool      `json:"later,omitempty"`  // it may select nothing yet: it is for resources that come
	// Revision is that of the store at which the command came; it is set by this package.
	Revision int64 `json:"revision,omitempty"`
}

// AgentInfo is what commands need to know of an agent.
type AgentInfo struct {
	Name        string
	IDC         string
	Application string
	Labels      map[string]string
}

// How a command ended.
const (
	Undone   = "undone"
	Expired  = "expired"
	Replaced = "replaced"
)

// Ended is a command that is over.
type Ended struct {
	Command Command   `json:"command"`
	How     string    `json:"how"`            // Undone, Expired or Replaced
	By      string    `json:"by,omitempty"`   // who; empty when it expired
	Why     string    `json:"why,omitempty"`  // of the end
	Next    string    `json:"next,omitempty"` // id of the command that replaced it
	At      time.Time `json:"at"`
}

// Bounds of a command.
const (
	maxAgents = 256 // patterns
	maxNote   = 4 << 10
)

// Target is the selector that the command amounts to.
func (c *Command) Target() Selector {
	if c.Select != nil {
		return *c.Select
	}
	return Selector{Name: c.Resource}
}

// On says what the command is for: the name of a resource, or a selector.
func (c *Command) On() string {
	if c.Select == nil {
		return c.Resource
	}
	return c.Select.String()
}

// Does says what the command does, with its type in front: "switch tc=100 yf=0".
func (c *Command) Does() string { return string(c.Type) + " " + c.Summary() }

// Selects reports whether the command is for a resource.
func (c *Command) Selects(r ResourceInfo) bool {
	if c.Select == nil {
		return c.Resource == r.Name
	}
	return c.Select.Match(r)
}

// Concerns reports whether the command is for an agent.
func (c *Command) Concerns(a AgentInfo) bool {
	return anyOf(c.Agents, a.Name) && anyOf(c.IDCs, a.IDC)
}

func anyOf(patterns []string, value string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool { return resources.Glob(p, value) })
}

// fits says why a resource that the command selects cannot take it; nil if it can. What does not depend on the resource was
// checked when the command was given.
func (c *Command) fits(r ResourceInfo) error {
	if c.Type != resources.CommandSwitch || r.Groups == nil {
		return nil
	}
	for g := range c.Weights {
		if !slices.Contains(r.Groups, g) {
			one := c.Command
			one.Resource = r.Name
			return one.Validate(specOf(r))
		}
	}
	return nil
}

// specOf is as much of a spec as a command is checked against.
func specOf(r ResourceInfo) *resources.Spec {
	s := &resources.Spec{Name: r.Name, Kind: r.Kind, Groups: make(map[string]resources.Group, len(r.Groups))}
	for _, g := range r.Groups {
		s.Groups[g] = resources.Group{}
	}
	return s
}

// checkShape checks what does not depend on the resources that there are.
func (c *Command) checkShape() error {
	switch {
	case c.Resource == "" && c.Select == nil:
		return errors.New("a command needs a resource, or a selector of resources")
	case c.Resource != "" && c.Select != nil:
		return errors.New("a command has either a resource or a selector, not both")
	case c.Author == "":
		return errors.New("a command needs an author")
	case len(c.Author) > maxNote || len(c.Why) > maxNote || len(c.Plan) > maxNote:
		return fmt.Errorf("author, reason and plan have at most %d bytes each", maxNote)
	case len(c.Agents) > maxAgents || len(c.IDCs) > maxAgents:
		return fmt.Errorf("a command names at most %d patterns of agents and as many IDCs: use *", maxAgents)
	}
	if c.Select != nil {
		if err := c.Select.Validate(); err != nil {
			return fmt.Errorf("select: %w", err)
		}
	} else if strings.ContainsAny(c.Resource, "*, ") {
		return fmt.Errorf("%q is not the name of a resource: for several use select", c.Resource)
	}
	for what, list := range map[string][]string{"agents": c.Agents, "idcs": c.IDCs} {
		for i, p := range list {
			if err := checkValue(fmt.Sprintf("%s[%d]", what, i), p); err != nil {
				return err
			}
		}
	}
	return nil
}

// mostNamed bounds how many resources an error lists.
const mostNamed = 5

// check checks a command that begins now against the resources that there are, fills in defaults, and returns the names of
// those that it selects.
func (c *Command) check(now time.Time, all []ResourceInfo) ([]string, error) {
	if c.Expires != nil && !c.Expires.After(now) {
		return nil, fmt.Errorf("expires %s is past: it is %s", c.Expires.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	if err := c.checkShape(); err != nil {
		return nil, err
	}
	var names []string
	var bad []error
	for _, r := range all {
		if !c.Selects(r) {
			continue
		}
		names = append(names, r.Name)
		if err := c.checkFor(r); err != nil {
			bad = append(bad, fmt.Errorf("resource %s: %w", r.Name, err))
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if n := len(bad); n > 0 {
		if n > mostNamed {
			bad = append(bad[:mostNamed:mostNamed], fmt.Errorf("and %d more resources cannot take it", n-mostNamed))
		}
		return nil, errors.Join(bad...)
	}
	if len(names) > 0 {
		return names, nil
	}
	if !c.Later {
		return nil, c.selectsNothing(all)
	}
	return nil, c.checkFor(ResourceInfo{Name: c.Resource})
}

// checkFor checks the command for one resource and fills in defaults.
func (c *Command) checkFor(r ResourceInfo) error {
	if r.Groups == nil { // not known: whatever the command names
		for g := range c.Weights {
			r.Groups = append(r.Groups, g)
		}
	}
	one := c.Command
	one.Resource = r.Name
	if err := one.Validate(specOf(r)); err != nil {
		return err
	}
	one.Resource = c.Resource
	c.Command = one
	return nil
}

func (c *Command) selectsNothing(all []ResourceInfo) error {
	var names []string
	for _, r := range all {
		names = append(names, r.Name)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	have := "there are none at all"
	if n := len(names); n > mostNamed {
		have = fmt.Sprintf("there are %s and %d more", strings.Join(names[:mostNamed], ", "), n-mostNamed)
	} else if n > 0 {
		have = "there are " + strings.Join(names, ", ")
	}
	if c.Select == nil {
		return fmt.Errorf("there is no resource %q: %s; say `later` if it is still to come", c.Resource, have)
	}
	return fmt.Errorf("no resource matches %s: %s; say `later` if they are still to come", c.Select, have)
}
