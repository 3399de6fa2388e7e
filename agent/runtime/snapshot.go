package runtime

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/agent/ha"
	"github.com/sluice-mesh/sluice/resources"
)

// reads is the policy of where reads go.
type reads uint8

const (
	readsPrimary reads = iota
	readsReplica
	readsPreferReplica
	readsNearest
)

var readsNames = [...]string{"primary", "replica", "prefer-replica", "nearest"}

// snapshot is a resource's policy, compiled. It is immutable.
type snapshot struct {
	generation uint64
	spec       *resources.Spec // its policy is filled
	groups     []string        // of spec but those that commands borrow, sorted
	commands   []resources.Command
	chain      filter.Chain
	filters    []resources.Filter // the accounts, then those of chain
	watchers   int                // how many of them, at the front, only watch; see short.go
	timeout    int64              // ns; 0: none
	rules      []rule             // by Call.Rule: 0 is the spec's weights, then the switch commands, newest first
	law        ha.Law
	strategy   ha.Strategy // nil: whenever the law allows it
	reads      reads
	alike      bool // the servers of a group are: see [resources.Alike]
	hashed     bool // the balance places calls by key
	backup     bool
}

// rule is who gets the calls that it matches.
type rule struct {
	id       string // of the command; "" for the spec
	selector *resources.Selector
	forAll   bool // matches every call
	caller   bool // looks at nothing but who calls, so that it holds for whole sessions
	viewless bool // looks at nothing that is known only while Begin runs
	shares   []share
	total    uint64
	weights  []int32 // by group ID
	nowhere  [3]*resources.Fault
}

// share is one group's part: it gets the hashes below upTo that are not an earlier one's.
type share struct {
	group int
	upTo  uint64
}

// weight returns the weight of a group; 0 for one that the rule does not know.
func (r *rule) weight(group int) int32 {
	if group < len(r.weights) {
		return r.weights[group]
	}
	return 0
}

// choose returns the index in shares of the group for a hash.
func (r *rule) choose(hash uint64) int {
	at := (hash >> 32) * r.total >> 32
	for i := range r.shares {
		if at < r.shares[i].upTo {
			return i
		}
	}
	return 0
}

// ordinary returns the rule for calls that no selective command matches.
func (sn *snapshot) ordinary() *rule {
	for i := 1; i < len(sn.rules); i++ {
		if sn.rules[i].forAll {
			return &sn.rules[i]
		}
	}
	return &sn.rules[0]
}

// compileRules turns the spec's weights and the switch commands into rules. id maps the names of groups.
func compileRules(s *resources.Spec, commands []resources.Command, ops *resources.Ops, id func(string) (int, bool)) ([]rule, error) {
	base := map[string]int{}
	for name, g := range s.Groups {
		base[name] = g.Share()
	}
	rules := []rule{newRule(s.Name, "", base, id)}
	for _, c := range slices.Backward(commands) {
		if c.Type != resources.CommandSwitch {
			continue
		}
		sel, err := c.Match.Compile(ops)
		if err != nil {
			return nil, fmt.Errorf("command %s: %w", c.ID, err)
		}
		r := newRule(s.Name, c.ID, c.Weights, id)
		if r.total == 0 {
			return nil, fmt.Errorf("command %s: none of its groups %s is left", c.ID, c.Summary())
		}
		r.selector, r.forAll = sel, c.Match.IsZero()
		m := c.Match
		m.Caller, m.User, m.IDC = "", "", ""
		r.caller = m.IsZero()
		m.Op, m.Class = "", ""
		r.viewless = m.IsZero()
		rules = append(rules, r)
		if c.Match.IsZero() {
			break // no older one can match anything any more
		}
	}
	return rules, nil
}

func newRule(resource, command string, weights map[string]int, id func(string) (int, bool)) rule {
	r := rule{id: command, viewless: true}
	names := make([]string, 0, len(weights))
	for name := range weights {
		names = append(names, name)
	}
	slices.SortFunc(names, cmp.Compare[string]) // the order of the shares must not move keys
	var on []string
	for _, name := range names {
		w, g := weights[name], 0
		g, ok := id(name)
		if w <= 0 || !ok {
			continue
		}
		for len(r.weights) <= g {
			r.weights = append(r.weights, 0)
		}
		r.weights[g] = int32(w)
		r.total += uint64(w)
		r.shares = append(r.shares, share{g, r.total})
		on = append(on, name)
	}
	where := "in group " + strings.Join(on, ", ")
	switch {
	case len(on) == 0:
		where = "all groups have weight 0"
	case command != "":
		where += " (command " + command + ")"
	}
	for i, what := range []string{"no endpoint", "no primary", "no replica"} {
		r.nowhere[i] = resources.NewFault(resources.Unavailable, resources.FromAgent, resource, what+" is usable: "+where)
	}
	return r
}

// drainedBy returns whether commands take an address out of use; nil: none does.
func drainedBy(commands []resources.Command) func(address string) bool {
	var drains []resources.Command
	for _, c := range commands {
		if c.Type == resources.CommandDrain {
			drains = append(drains, c)
		}
	}
	if drains == nil {
		return nil
	}
	return func(address string) bool {
		return slices.ContainsFunc(drains, func(c resources.Command) bool { return c.Drains(address) })
	}
}

// declaredGroups are the groups that callers may ask for.
func declaredGroups(s *resources.Spec) []string {
	return slices.DeleteFunc(s.GroupNames(), func(name string) bool { return s.Groups[name].Borrowed })
}

// prepare copies a spec, fills its policy in and checks what belongs to the runtime.
func prepare(in *resources.Spec) (*resources.Spec, error) {
	s := *in
	if s.Policy.Backup != nil {
		b := *s.Policy.Backup
		s.Policy.Backup = &b
	}
	if s.Policy.Breaker != nil {
		b := *s.Policy.Breaker
		s.Policy.Breaker = &b
	}
	if s.Policy.AccessLog != nil {
		a := *s.Policy.AccessLog
		s.Policy.AccessLog = &a
	}
	if s.Policy.Trace != nil {
		t := *s.Policy.Trace
		s.Policy.Trace = &t
	}
	s.Policy.Limits = slices.Clone(s.Policy.Limits)
	s.Policy.Fill()
	if len(s.Groups) == 0 {
		return nil, fmt.Errorf("resource %s: it has no groups: declare at least one", s.Name)
	}
	if slices.Index(readsNames[:], s.Policy.Reads) < 0 {
		return nil, fmt.Errorf("resource %s: policy.reads: unknown %q: use one of %s", s.Name, s.Policy.Reads, strings.Join(readsNames[:], ", "))
	}
	if s.Policy.Backup != nil {
		if _, _, err := ha.ParseAfter(s.Policy.Backup.After); err != nil {
			return nil, fmt.Errorf("resource %s: policy.%w", s.Name, err)
		}
	}
	return &s, nil
}
