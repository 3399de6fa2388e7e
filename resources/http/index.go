package http

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-mesh/sluice/resources"
)

// index finds the resource that a request is for by its host. It is never changed.
type index struct {
	sole   *Resource            // the only one, when it names no hosts: it takes what is not meant for a proxy, whatever the host
	any    *Resource            // takes what no other does
	byHost map[string]*Resource // in lower case
	below  []suffix             // the longest first
}

// suffix is a pattern "*.NAME", as ".name".
type suffix struct {
	text string
	r    *Resource
}

func newIndex(of []resources.Resource) *index {
	ix := &index{byHost: make(map[string]*Resource, len(of))}
	for _, m := range of {
		r := m.(*Resource)
		if len(of) == 1 && len(r.set.Hosts) == 0 {
			ix.sole = r
		}
		for _, h := range r.set.hosts(r.rt.Name()) {
			switch {
			case h == "*":
				ix.any = r
			case strings.HasPrefix(h, "*."):
				ix.below = append(ix.below, suffix{h[1:], r})
			default:
				ix.byHost[h] = r
			}
		}
	}
	slices.SortFunc(ix.below, func(a, b suffix) int { return len(b.text) - len(a.text) })
	return ix
}

// find returns the resource for a host, which may have a port; nil when there is none. A request to a proxy must name its
// service.
func (ix *index) find(host []byte, proxy bool) *Resource {
	if ix.sole != nil && !proxy {
		return ix.sole
	}
	if host = bare(host); len(host) > longest {
		return ix.any
	}
	var room [longest]byte
	name := lower(room[:0], host)
	if r := ix.byHost[string(name)]; r != nil {
		return r
	}
	for i := range ix.below {
		if s := &ix.below[i]; len(name) > len(s.text) && string(name[len(name)-len(s.text):]) == s.text {
			return s.r
		}
	}
	return ix.any
}

// bare returns a host without its port and without a dot at its end.
func bare(host []byte) []byte {
	if i := bytes.LastIndexByte(host, ':'); i >= 0 && bytes.IndexByte(host[i:], ']') < 0 {
		host = host[:i]
	}
	return bytes.TrimSuffix(host, dot)
}

var dot = []byte{'.'}

// lower appends b in lower case.
func lower(dst, b []byte) []byte {
	for _, c := range b {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		dst = append(dst, c)
	}
	return dst
}

// explain says why find found nothing, and what would be right.
func (ix *index) explain(host []byte) string {
	var have []string
	for h := range ix.byHost {
		have = append(have, h)
	}
	for _, s := range ix.below {
		have = append(have, "*"+s.text)
	}
	slices.Sort(have)
	if len(have) == 0 {
		return "no resource is behind this address"
	}
	return fmt.Sprintf("no resource here serves host %q; there is %s", clip(host), strings.Join(have, ", "))
}

// clip bounds what a client wrote, for an error.
func clip(b []byte) []byte { return b[:min(len(b), 200)] }
