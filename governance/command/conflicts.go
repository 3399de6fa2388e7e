package command

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

// Conflicts says which commands in force are about the same calls as c would be, one line each, in their order: warnings for
// a preview. Where it cannot tell (two patterns that may meet), it warns.
func (s *Commands) Conflicts(c Command) []string {
	all := s.opt.Resources()
	var out []string
	for _, other := range s.List() {
		if other.ID == c.ID || !listsMeet(c.Agents, other.Agents) || !listsMeet(c.IDCs, other.IDCs) || !matchesMeet(c.Match, other.Match) {
			continue
		}
		if both := selectedByBoth(&c, &other, all); len(both) > 0 {
			out = append(out, other.warning(both))
		}
	}
	return out
}

// selectedByBoth returns the names of the resources that two commands select.
func selectedByBoth(a, b *Command, all []ResourceInfo) []string {
	var out []string
	for _, r := range all {
		if a.Selects(r) && b.Selects(r) {
			out = append(out, r.Name)
		}
	}
	if len(out) == 0 && a.Resource != "" && a.Resource == b.Resource {
		out = append(out, a.Resource)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (c *Command) warning(names []string) string {
	what := string(c.Type) + " " + c.Summary()
	until := "until it is undone"
	if c.Expires != nil {
		until = "until " + c.Expires.UTC().Format(time.RFC3339)
	}
	which := "calls"
	if m := c.Match.String(); m != "" {
		which = "calls with " + m
	}
	shown := strings.Join(names[:min(len(names), mostNamed)], ", ")
	if more := len(names) - mostNamed; more > 0 {
		shown += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("%s (%s, by %s, %s) is about %s of %s too", c.ID, strings.TrimSpace(what), c.Author, until, which, shown)
}

// matchesMeet reports whether a call may be selected by both.
func matchesMeet(a, b resources.Match) bool {
	for _, p := range [][2]string{
		{a.Op, b.Op}, {a.Class, b.Class}, {a.Caller, b.Caller}, {a.Digest, b.Digest}, {a.User, b.User}, {a.IDC, b.IDC},
	} { // a call may touch several keys, tables and topics, so that those tell nothing apart
		if p[0] != "" && p[1] != "" && !listsMeet(strings.Split(p[0], ","), strings.Split(p[1], ",")) {
			return false
		}
	}
	return true
}

// listsMeet reports whether some text may match a pattern of each list; an empty list takes everything.
func listsMeet(a, b []string) bool {
	if len(a) == 0 || len(b) == 0 {
		return true
	}
	for _, p := range a {
		if slices.ContainsFunc(b, func(q string) bool { return patternsMeet(strings.TrimSpace(p), strings.TrimSpace(q)) }) {
			return true
		}
	}
	return false
}

// patternsMeet reports whether some text may match both patterns: what stands before the first * and after the last one must
// not contradict each other.
func patternsMeet(a, b string) bool {
	if !strings.Contains(a, "*") {
		return resources.Glob(b, a)
	}
	if !strings.Contains(b, "*") {
		return resources.Glob(a, b)
	}
	headA, headB := a[:strings.Index(a, "*")], b[:strings.Index(b, "*")]
	tailA, tailB := a[strings.LastIndex(a, "*")+1:], b[strings.LastIndex(b, "*")+1:]
	return (strings.HasPrefix(headA, headB) || strings.HasPrefix(headB, headA)) &&
		(strings.HasSuffix(tailA, tailB) || strings.HasSuffix(tailB, tailA))
}
