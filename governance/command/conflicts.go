package command

import (
	"slices"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/governance/say"
	"github.com/sluice-mesh/sluice/resources"
)

// Conflicts says which commands in force are about the same calls as c would be, a sentence each, in their order: warnings for
// a preview. Where it cannot tell (two patterns that may meet), it warns.
func (s *Commands) Conflicts(c Command) []say.Sentence {
	all := s.opt.Resources()
	var out []say.Sentence
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

func (c *Command) warning(names []string) say.Sentence {
	until := say.Of("until.undone", nil)
	if c.Expires != nil {
		until = say.Of("until.time", say.With{"at": c.Expires.UTC().Format(time.RFC3339)})
	}
	which := say.Of("calls.all", nil)
	if m := c.Match.String(); m != "" {
		which = say.Of("calls.with", say.With{"match": m})
	}
	shown := say.Of("these", say.With{"names": strings.Join(names[:min(len(names), mostNamed)], ", ")})
	if more := len(names) - mostNamed; more > 0 {
		shown = say.Of("these.more", say.With{"names": strings.Join(names[:mostNamed], ", "), "n": more})
	}
	does := ""
	if s := c.Summary(); s != "" {
		does = " " + s
	}
	return say.Of("command.too", say.With{"id": c.ID, "type": c.Type, "does": does, "author": c.Author, "until": until, "which": which, "resources": shown})
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
