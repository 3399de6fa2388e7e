package motancommand

import (
	"fmt"
	"strings"
)

// Route sends callers to some of the servers: "10.75.* to !10.73.1.1".
type Route struct {
	From, To Hosts
}

// String returns the rule as it is written.
func (r Route) String() string { return r.From.String() + " to " + r.To.String() }

// Hosts are addresses without ports, as rules write them: one, a prefix that * ends, or, with ! before it, all others. It is
// text, and no network: 10.7* are 10.7.0.1 and 10.75.0.1.
type Hosts struct {
	Not    bool
	Text   string // without * and !
	Prefix bool
}

// ParseRoute reads a rule. What comes after the first * of an address counts for neither Motan, and is refused.
func ParseRoute(text string) (Route, error) {
	from, to, ok := strings.Cut(strings.Join(strings.Fields(text), ""), "to")
	if !ok || strings.Contains(to, "to") {
		return Route{}, fmt.Errorf("routeRules: %q is no rule: write FROM to TO, such as 10.75.* to !10.73.1.1", text)
	}
	var r Route
	for _, side := range []struct {
		at   *Hosts
		text string
	}{{&r.From, from}, {&r.To, to}} {
		h, ok := parseHosts(side.text)
		if !ok {
			return Route{}, fmt.Errorf("routeRules: %q in %q is no address: write 10.75.1.2, 10.75.* or !10.75.*", side.text, text)
		}
		*side.at = h
	}
	return r, nil
}

func parseHosts(text string) (h Hosts, ok bool) {
	text, h.Not = strings.CutPrefix(text, "!")
	h.Text, h.Prefix = strings.CutSuffix(text, "*")
	return h, (h.Text != "" || h.Prefix) && strings.Trim(h.Text, "0123456789.") == ""
}

// Match reports whether a host is meant.
func (h Hosts) Match(host string) bool {
	if h.Prefix {
		return strings.HasPrefix(host, h.Text) != h.Not
	}
	return (host == h.Text) != h.Not
}

// String returns the hosts as they are written.
func (h Hosts) String() string {
	text := h.Text
	if h.Prefix {
		text += "*"
	}
	if h.Not {
		text = "!" + text
	}
	return text
}
