package console

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/protocols/motancommand"
	"github.com/sluice-mesh/sluice/resources"
)

// Author is who gave the commands of a plan: documents do not say it.
const Author = "motan console"

// Document is what a registry holds for a group or for an application.
type Document struct {
	Origin   string // registry and path, for people
	Commands []motancommand.Command
	// Seen is since when each command is known here, by its Raw.
	Seen map[string]time.Time
	// Problem says what is wrong with a newer version, which is not used; "" when there is none.
	Problem string
	// Address is the one by which this agent reaches the registry: "from where" in routeRules. "" if it is not known.
	Address string
}

// Group is a group of the resource.
type Group struct {
	Name       string // ours
	Registered string // in the registry
	Registry   string // "" where the endpoints are those of the spec alone
	Share      int    // weight in the spec
	Borrowed   bool   // it is here because a command names it
	Addresses  []string
	Document   *Document // of the callers of this group; nil: there is none
}

// Resource is what is looked at.
type Resource struct {
	Name    string
	Service string // what the registry calls it
	Groups  []Group
	Running bool // the addresses of groups are known; before it runs a command is taken to find some
	// Applications are the documents of the agents' application, by registry.
	Applications map[string]*Document
}

// Order is a command of a document as it concerns a resource. One command may become several.
type Order struct {
	Command resources.Command
	Origin  string
	Written string // what the command asks for, in the document's words; for people
	Problem string // why it is not in force; "" when it is
}

// Plan is what a resource should run with.
type Plan struct {
	Orders []Order
	Borrow map[string]Group // groups to be found besides those of the spec, by our name; Registered and Registry are set
	// Watching says that the plan depends on endpoints: it has to be made again when they change.
	Watching bool
}

// Commands are those that are in force.
func (p *Plan) Commands() (out []resources.Command) {
	for _, o := range p.Orders {
		if o.Problem == "" {
			out = append(out, o.Command)
		}
	}
	return out
}

// compiler is a plan in the making.
type compiler struct {
	Resource
	plan   Plan
	shares map[string]float64 // of all calls, by group, as the commands make them
	moves  []int              // Orders that are switches; they get their weights at the end
	unit   float64            // what the weights of the last switch add up to
}

// Compile makes the plan of a resource.
func Compile(r Resource) Plan {
	c := &compiler{Resource: r, shares: map[string]float64{}}
	total := 0
	for _, g := range r.Groups {
		if !g.Borrowed {
			total += g.Share
		}
	}
	said := map[*Document]bool{}
	for _, g := range r.Groups {
		if g.Borrowed || g.Share == 0 {
			continue
		}
		share := float64(g.Share) / float64(total)
		var documents []*Document
		for _, d := range []*Document{r.Applications[g.Registry], g.Document} {
			if d != nil && g.Registry != "" {
				documents = append(documents, d)
			}
		}
		for _, d := range documents {
			if !said[d] {
				said[d] = true
				c.explain(d)
			}
		}
		c.degrade(documents, share)
		c.traffic(&g, documents, share)
	}
	c.settle()
	return c.plan
}

// explain adds what cannot be carried out whoever calls.
func (c *compiler) explain(d *Document) {
	if d.Problem != "" {
		c.add(d, &motancommand.Command{Raw: "document"}, resources.CommandSwitch, "", "the newest document is not used: "+d.Problem)
	}
	for i := range d.Commands {
		cmd := &d.Commands[i]
		switch {
		case cmd.Err != nil:
			c.add(d, cmd, typeOf(cmd), "", fmt.Sprintf("the command with index %d is refused: %v", cmd.Index, cmd.Err))
		case cmd.Type == motancommand.Switcher:
			c.add(d, cmd, resources.CommandType(cmd.Type.String()), "", fmt.Sprintf("it sets switches of motan-go's programs by name (%s), which this agent has not: limits and degradations are commands of their own here", clip(cmd.Pattern)))
		}
	}
}

// typeOf is the type that a command has here.
func typeOf(cmd *motancommand.Command) resources.CommandType {
	if cmd.Type == motancommand.Traffic {
		return resources.CommandSwitch
	}
	return resources.CommandDegrade
}

// choose returns the command of a type that holds for the service: the first that matches. The others are said to be behind it.
func (c *compiler) choose(documents []*Document, t motancommand.Type) (d *Document, chosen *motancommand.Command) {
	for _, in := range documents {
		for i := range in.Commands {
			cmd := &in.Commands[i]
			if cmd.Type != t || !cmd.Matches(c.Service) {
				continue
			}
			if chosen == nil {
				d, chosen = in, cmd
				continue
			}
			where := fmt.Sprintf("the one with index %d", chosen.Index)
			if in != d {
				where += " of " + d.Origin
			}
			c.add(in, cmd, typeOf(cmd), "", where+" goes before it")
		}
	}
	return d, chosen
}

// degrade ends the calls of a group's share.
func (c *compiler) degrade(documents []*Document, share float64) {
	d, cmd := c.choose(documents, motancommand.Degrade)
	if cmd == nil {
		return
	}
	at := c.add(d, cmd, resources.CommandDegrade, "", "")
	o := &c.plan.Orders[at].Command
	o.Reply = "error"
	o.Percent = min(100, o.Percent+resources.Percent(math.Round(share*10000)/100))
}

// traffic gives a group's share of the calls to the groups that a command names.
func (c *compiler) traffic(g *Group, documents []*Document, share float64) {
	d, cmd := c.choose(documents, motancommand.Traffic)
	if cmd == nil {
		c.shares[g.Name] += share
		return
	}
	targets, problem := c.targets(g, cmd)
	var drains []resources.Command
	if problem == "" {
		drains, problem = c.routes(d, cmd, targets)
	}
	if problem != "" {
		c.add(d, cmd, resources.CommandSwitch, "", problem)
		c.shares[g.Name] += share
		return
	}
	sum := 0.0
	for _, t := range targets {
		sum += t.weight
	}
	c.unit = sum
	for _, t := range targets {
		c.shares[t.group.Name] += share * t.weight / sum
	}
	if len(cmd.Groups) > 0 || len(drains) == 0 {
		c.moves = append(c.moves, c.add(d, cmd, resources.CommandSwitch, "", ""))
	}
	for i, drain := range drains {
		at := c.add(d, cmd, resources.CommandDrain, fmt.Sprintf("-%d", i+1), "")
		c.plan.Orders[at].Command.Endpoint = drain.Endpoint
	}
}

// target is a group that gets calls.
type target struct {
	group  *Group
	weight float64
}

// targets finds the groups that a command names, and borrows those that the resource has not.
func (c *compiler) targets(g *Group, cmd *motancommand.Command) (out []target, problem string) {
	if len(cmd.Groups) == 0 {
		return []target{{g, 1}}, ""
	}
	usable := false
	var names []string
	for _, named := range cmd.Groups {
		names = append(names, named.Name)
		found, problem := c.group(g, named.Name)
		if problem != "" {
			return nil, problem
		}
		weight := float64(named.Weight)
		if cmd.Mixed() {
			weight, c.plan.Watching = float64(len(found.Addresses)), true
			if !c.Running {
				weight = 1
			}
		}
		usable = usable || weight > 0 && (len(found.Addresses) > 0 || !c.Running)
		out = append(out, target{found, weight})
	}
	c.plan.Watching = true
	if !usable {
		return nil, "no server of " + strings.Join(names, ", ") + " is known that would get calls, so that group " + g.Registered + " is called as before"
	}
	return out, ""
}

// group finds a group by its name in the registry.
func (c *compiler) group(own *Group, registered string) (g *Group, problem string) {
	taken := false
	for i := range c.Groups {
		g := &c.Groups[i]
		if g.Registered == registered {
			if g.Borrowed {
				c.borrow(own, registered)
			}
			return g, ""
		}
		taken = taken || g.Name == registered
	}
	if taken {
		return nil, fmt.Sprintf("it names group %s, and the resource calls another one so: settings.groups gives groups their names", registered)
	}
	c.borrow(own, registered)
	return &Group{Name: registered, Registered: registered, Registry: own.Registry, Borrowed: true}, ""
}

// borrow has a group found besides those of the spec, in the registry of own.
func (c *compiler) borrow(own *Group, registered string) {
	if c.plan.Borrow == nil {
		c.plan.Borrow = map[string]Group{}
	}
	c.plan.Borrow[registered] = Group{Name: registered, Registered: registered, Registry: own.Registry, Borrowed: true}
}

// routes makes drains of rules.
func (c *compiler) routes(d *Document, cmd *motancommand.Command, targets []target) (drains []resources.Command, problem string) {
	for _, r := range cmd.Routes {
		if d.Address == "" || !r.From.Match(d.Address) {
			continue
		}
		drains = append(drains, resources.Command{Type: resources.CommandDrain, Endpoint: allBut(r.To)})
	}
	if len(drains) == 0 {
		return nil, ""
	}
	c.plan.Watching = true
	if !c.Running {
		return drains, ""
	}
	for _, t := range targets {
		if t.weight == 0 {
			continue
		}
		for _, a := range t.group.Addresses {
			if !slices.ContainsFunc(drains, func(drain resources.Command) bool { return drain.Drains(a) }) {
				return drains, ""
			}
		}
	}
	return nil, "its routeRules leave none of the servers, so that all are called as before"
}

// allBut is the pattern of a drain of all endpoints but those on some hosts.
func allBut(h motancommand.Hosts) string {
	pattern := h.Text + ":*"
	if h.Prefix {
		pattern = h.Text + "*"
	}
	if h.Not {
		return pattern
	}
	return "!" + pattern
}

// settle gives the switches their weights: the same to all, whichever of them is the newest.
func (c *compiler) settle() {
	if len(c.moves) == 0 {
		return
	}
	weights := weightsOf(c.shares, c.unit)
	for _, i := range c.moves {
		c.plan.Orders[i].Command.Weights = weights
	}
}

// weightsOf makes weights of shares: as they are written where unit is their sum, else small ones where that is exact.
func weightsOf(shares map[string]float64, unit float64) map[string]int {
	for _, scale := range []float64{unit, 1, 2, 4, 5, 8, 10, 20, 25, 50, 100, 200, 500, 1000} {
		out, exact := map[string]int{}, true
		for name, s := range shares {
			w := s * scale
			exact = exact && math.Abs(w-math.Round(w)) < 1e-6
			out[name] = int(math.Round(w))
		}
		if exact {
			return out
		}
	}
	out := map[string]int{}
	for name, s := range shares {
		out[name] = int(math.Round(s * resources.MaxWeight))
		if s > 0 && out[name] == 0 {
			out[name] = 1
		}
	}
	return out
}

// add adds an order, or finds the one that is there already: a document may be for several groups. It returns its place.
func (c *compiler) add(d *Document, cmd *motancommand.Command, t resources.CommandType, suffix, problem string) int {
	id := "m-" + short(c.Name, d.Origin, cmd.Raw) + suffix
	if i := slices.IndexFunc(c.plan.Orders, func(o Order) bool { return o.Command.ID == id }); i >= 0 {
		if c.plan.Orders[i].Problem != "" && problem == "" {
			c.plan.Orders[i].Problem, c.plan.Orders[i].Command.Type = "", t
		}
		return i
	}
	c.plan.Orders = append(c.plan.Orders, Order{
		Command: resources.Command{ID: id, Type: t, Resource: c.Name, Author: Author, Why: cmd.Remark, Created: d.Seen[cmd.Raw]},
		Origin:  d.Origin, Written: writtenIn(cmd), Problem: problem,
	})
	return len(c.plan.Orders) - 1
}

// writtenIn says in a few words what a command asks for.
func writtenIn(cmd *motancommand.Command) string {
	var parts []string
	switch {
	case cmd.Err != nil || cmd.Type == motancommand.Switcher:
		parts = []string{cmd.Pattern}
	case cmd.Type == motancommand.Degrade:
		parts = []string{"error"}
	}
	for _, g := range cmd.Groups {
		if cmd.Mixed() {
			parts = append(parts, g.Name)
		} else {
			parts = append(parts, fmt.Sprintf("%s=%d", g.Name, g.Weight))
		}
	}
	for _, r := range cmd.Routes {
		parts = append(parts, r.String())
	}
	return clip(strings.Join(parts, " "))
}

// short is a name of texts, the same for the same ones: eight hexadecimal digits.
func short(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d %s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil)[:4])
}

// clip is a text that people wrote, as far as it has a place in a line.
func clip(s string) string {
	if len(s) > 100 {
		return strings.ToValidUTF8(s[:100], "") + " ..."
	}
	return s
}
