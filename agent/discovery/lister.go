package discovery

import (
	"slices"
	"strings"
)

// Lister makes reports of one watch: it sorts and filters nodes and drops reports that say nothing new. The zero value with a
// Service is ready; it is for one goroutine.
type Lister struct {
	Service Service

	made bool
	last Report
}

// Report makes a report of what a registry has under the service's group and path: all nodes of it, the number of entries that
// could not be read, and whether there is a place for the service at all. ok is false when the last report said the same.
func (l *Lister) Report(found []Node, unread int, known bool) (r Report, ok bool) {
	r = Report{Unread: unread, Unknown: !known}
	for _, n := range found {
		if Accepts(l.Service, n) {
			r.Nodes = append(r.Nodes, n)
		} else {
			r.Others++
		}
	}
	slices.SortFunc(r.Nodes, func(a, b Node) int { return strings.Compare(a.Address, b.Address) })
	r.Emptied = len(r.Nodes) == 0 && len(l.last.Nodes) > 0
	if l.made && r.Others == l.last.Others && r.Unread == l.last.Unread && r.Unknown == l.last.Unknown &&
		slices.EqualFunc(r.Nodes, l.last.Nodes, Node.Equal) {
		return Report{}, false
	}
	l.made, l.last = true, r
	l.last.Nodes = slices.Clone(r.Nodes)
	return r, true
}
