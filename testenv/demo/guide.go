package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// guide is what is printed once: where things are and what to try first. With the table it is to fit on a screen.
func (d *demo) guide(tty bool) string {
	c := styleFor(tty)
	var b strings.Builder
	fmt.Fprintf(&b, "\n%sSluice demo%s: a governance centre, two agents with an application each, embedded servers in two data centres\n", c.bold, c.off)
	for _, n := range d.notes {
		fmt.Fprintf(&b, "  %s%s%s\n", c.bad, n, c.off)
	}
	b.WriteString("\n")
	fmt.Fprintf(&b, "  %-9s http://%s, its token in %s\n", "centre", d.centerAt, filepath.Join(d.folder.path, centerFolder, "admin.token"))
	for _, s := range d.sites {
		fmt.Fprintf(&b, "  %-9s in %s, for %s; http://%s/metrics, /readyz, /v1/... with the token in %s\n",
			s.name, s.idc, s.application, s.admin, filepath.Join(d.folder.path, s.folder, "admin.token"))
		var at []string
		for _, r := range d.running {
			if r.beside == "" {
				at = append(at, strings.Join(d.sharing(r.resource), " and ")+" at "+c.key+r.dsn(s.listen[r.resource])+c.off)
			}
		}
		fmt.Fprintf(&b, "  %-9s %s\n", "", strings.Join(at, ", "))
	}
	for i, r := range d.running {
		if r.beside != "" {
			continue
		}
		title, end := "", ""
		if i == 0 {
			title, end = "servers", "; they do not copy each other's data"
		}
		fmt.Fprintf(&b, "  %-9s %s%s:", title, c.dim, r.name)
		for _, g := range groups {
			fmt.Fprintf(&b, " %s %s", g, r.backends[g])
		}
		fmt.Fprintf(&b, "%s%s\n", end, c.off)
	}

	things := d.things()
	fmt.Fprintf(&b, "\n%sFive things to try%s", c.bold, c.off)
	if wd, err := os.Getwd(); err == nil {
		fmt.Fprintf(&b, " %sin another terminal, in %s%s", c.dim, wd, c.off)
	}
	b.WriteString("\n")
	for i, t := range things {
		fmt.Fprintf(&b, "  %s%d. %s%s%s\n", c.bold, i+1, t.title, c.off, t.shows)
		for _, h := range t.hints {
			fmt.Fprintf(&b, "     %s%s%s\n", c.key, d.command(h), c.off)
		}
	}
	fmt.Fprintf(&b, "  More, for each kind of resource: %s%s%s\n\n", c.key, d.command(hint{program: "demo", args: orderMore}), c.off)
	return b.String()
}

// sharing returns a resource and those that share its servers and address.
func (d *demo) sharing(resource string) []string {
	names := []string{resource}
	for _, r := range d.running {
		if r.beside == resource {
			names = append(names, r.resource)
		}
	}
	return names
}

// section is what belongs together among the things to type.
type section struct {
	title string
	shows string // of the whole, where the hints do not say it one by one
	hints []hint
}

// things are the five things to try first.
func (d *demo) things() []section {
	// The embedded database does not report what a session changes, so a session cannot move with its state and is ended.
	move := section{title: "Move cache, database and services to tc, and back",
		shows: ": one command, and all agents follow at once; this embedded database drops each of its sessions once"}
	move.hints = []hint{{atCenter, "switch idc=tc tc=100 --for 10m --why 'yf is to be upgraded'", ""}, {atCenter, "undo ID", ""}}
	return []section{
		{"Open the page", ": " + d.login + "  (once, within 15 minutes; then ask for another:)", []hint{{"sluice center", "center login", ""}}},
		move,
		{"Kill a data centre", ": calls fail at once and say why; move as above and they go on; then revive it and undo", []hint{
			{"demo", "kill yf", ""}, {"demo", "revive yf", ""}}},
		{"Kill the centre", ": no application notices, and an agent that is restarted starts from its own copy", []hint{
			{"demo", "kill " + centerName, ""}, {"demo", "restart " + d.sites[0].name, ""}}},
		{"Bring it back", ": the agents find it within ten seconds, and what was ordered still holds", []hint{
			{"demo", "revive " + centerName, ""}, {atCenter, "get commands", ""}}},
	}
}

// more is what else is worth typing, at the first agent alone.
func (d *demo) more() string {
	name := d.sites[0].name
	all := []section{{title: "what " + name + " sees", hints: []hint{{"sluice", "top", "the same live numbers, as the agent sees them"}}}}
	for _, r := range d.running {
		all = append(all, section{title: r.resource + ", at " + name + " alone", hints: r.try(r.resource)})
	}
	all = append(all,
		section{title: "back to normal", hints: []hint{
			{"sluice", "get commands", "what is in force at " + name + ", by whom, why, until when; those of the centre are g-..."},
			{"sluice", "undo ID", "takes a command of the agent back: its ID is what it printed, and stands in the table"},
		}},
		section{title: "a plan, at the centre: checked first, then one resource after the other", hints: []hint{
			{atCenter, "plan make -f " + d.planFile() + " --dry-run", "whether cache, database and services can move to tc now, and which calls would"},
			{atCenter, "plan make -f " + d.planFile(), "keeps it"},
			{atCenter, "plan list", "its ID and state"},
			{atCenter, "plan run ID", "moves them; a step that fails takes all of them back"},
			{atCenter, "plan undo ID", "back to yf, in the reverse order"},
		}},
		section{title: "the same verbs for all agents, at the centre", hints: []hint{
			{atCenter, "get agents", "who is there, and who is behind"},
			{atCenter, "get commands", "what is in force everywhere"},
			{atCenter, "undo ID", "takes a command of the centre back"},
		}})
	var b strings.Builder
	for _, section := range all {
		fmt.Fprintf(&b, "\n  %s\n", section.title)
		for _, h := range section.hints {
			fmt.Fprintf(&b, "  %s\n      %s\n", d.command(h), h.shows)
		}
	}
	return b.String()
}

// atCenter is sluice, told where the centre is.
const atCenter = "sluice at centre"

// command is the line to type: complete, so that each can be typed alone.
func (d *demo) command(h hint) string {
	governance := " --data " + filepath.Join(d.folder.path, centerFolder)
	switch h.program {
	case "demo":
		if d.folder.path == "data" {
			return d.self + " " + h.args
		}
		return d.self + " -data " + d.folder.path + " " + h.args
	case atCenter:
		return d.sluice + " " + h.args + " --at http://" + d.centerAt + governance
	case "sluice center":
		line := d.sluice + " " + h.args + governance
		if portOf(d.centerAt) != usualCenter {
			line += " --at http://" + d.centerAt
		}
		return line
	}
	line := d.sluice + " " + h.args
	if !d.usual() {
		line += " --at http://" + d.sites[0].admin + " --data " + d.folder.path
	}
	return line
}

// usual reports whether the verbs find the first agent and its token without being told.
func (d *demo) usual() bool { return d.folder.usual && portOf(d.sites[0].admin) == usualAdmin }
