package api

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sluice-mesh/sluice/governance/registry"
	"github.com/sluice-mesh/sluice/resources"
)

// origin is one rule that holds for a resource, and where it comes from.
type origin struct {
	Path  string          `json:"path"` // as in differences; "calls": of calls that match
	From  string          `json:"from"` // "default", or who said so
	Value json.RawMessage `json:"value,omitempty"`
}

// origins lists the rules of a resource: commands first, which stand above the rest.
func origins(it *item, commands []commandView) []origin {
	out := []origin{}
	for _, c := range commands {
		if c.Problem != "" { // it is not in force
			continue
		}
		summary, err := json.Marshal(c.Summary)
		if err != nil {
			continue // a string always has a JSON form
		}
		out = append(out, origin{Path: commandPath(&c), From: "command " + c.ID + " by " + c.Author, Value: summary})
	}
	owners := strings.Join(it.owners, ", ")
	if it.doc != nil && owners != "" {
		out = append(out, origin{From: "the file of " + owners + " stands above the centre there"})
	}
	// What the document does not say is a default, but for groups: those are of agents that export the resource, and without a document so is its
	// kind. Of a resource in files the centre knows only what holds.
	const exports = "agents that export it"
	written, kind, groups, others := "", exports, exports, "default"
	var document []byte
	switch {
	case it.doc == nil:
		kind, groups, others = "the files of "+owners, "the files of "+owners, "the files of "+owners
	case len(it.doc.Text) > 0:
		document, written = it.doc.Text, fmt.Sprintf("the centre, version %d by %s", it.doc.Version, it.doc.Author)
	}
	list, err := registry.Fields(it.spec, document)
	if err != nil {
		return out // a text of another version of the program, of which the page says so
	}
	inGroups := map[string]bool{} // groups that the document has
	for _, f := range list {
		if name, ok := groupOf(f.Path); ok && f.Written {
			inGroups[name] = true
		}
	}
	for _, f := range list {
		o := origin{Path: f.Path, From: others, Value: f.Value}
		switch name, inGroup := groupOf(f.Path); {
		case f.Written:
			o.From = written
		case inGroup && (!inGroups[name] || strings.HasSuffix(f.Path, ".endpoints")):
			o.From = groups
		case f.Path == "kind":
			o.From = kind
		}
		out = append(out, o)
	}
	return out
}

// groupOf returns the name of the group that a path is in.
func groupOf(path string) (name string, ok bool) {
	rest, ok := strings.CutPrefix(path, "groups.")
	if i := strings.LastIndexByte(rest, '.'); ok && i > 0 { // names of groups may have dots, their fields have none
		return rest[:i], true
	}
	return "", false
}

// commandPath is the part of a resource that a command stands above.
func commandPath(c *commandView) string {
	switch c.Type {
	case resources.CommandSwitch:
		return "groups.*.weight"
	case resources.CommandLimit:
		return "policy.limits"
	case resources.CommandDrain:
		return "groups.*.endpoints"
	}
	return "calls"
}
