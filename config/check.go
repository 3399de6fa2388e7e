package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-mesh/sluice/resources"
)

// longestName keeps the names of resources and groups short enough for metric labels and tables.
const longestName = 63

// name checks the name of a resource or a group: it becomes a metric label, a part of a URL and of a file's name.
func (d *decoder) name(n *node, path, what string) {
	ok := len(n.text) > 0 && len(n.text) <= longestName && n.text != "." && n.text != ".."
	for i, r := range n.text {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		ok = ok && (letter || i > 0 && strings.ContainsRune("._-", r))
	}
	if !ok {
		d.report(n, path, "%s is no name for a %s: use letters, digits, and . _ - after the first, at most %d", quote(n.text), what, longestName)
	}
}

// agent checks the agent's section and fills in what follows from other fields. n is nil when there is none.
func (d *decoder) agent(n *node, a *Agent) {
	if a.Name == "" {
		a.Name, _ = os.Hostname()
	}
	if a.Name == "" {
		a.Name = "sluice"
	}
	if a.Application == "" {
		a.Application = a.Name
	}
	if n == nil {
		return
	}
	check := func(path string, err error) {
		at, full := find(n, "agent", path)
		d.refused(at, full, err)
	}
	check("admin", checkAddress(a.Admin, true))
	for i, u := range a.Center {
		check(fmt.Sprintf("center[%d]", i), checkURL(u))
	}
	if a.Data == "" {
		check("data", errors.New("empty: write the path of a folder, such as ./data"))
	}
	for _, text := range []struct{ key, value string }{{"name", a.Name}, {"application", a.Application}, {"idc", a.IDC}} {
		if n.get(text.key) == nil {
			continue
		}
		if len(text.value) > 255 || strings.ContainsFunc(text.value, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			check(text.key, fmt.Errorf("%s has spaces or control characters, or more than 255 bytes: write one word", quote(text.value)))
		}
	}
	for i := range a.Exports {
		d.export(n, fmt.Sprintf("exports[%d]", i), a, &a.Exports[i])
	}
	if a.Motan != nil {
		d.motan(n, a.Motan)
	}
	if g := a.Metrics.Graphite; g != nil {
		if g.Address != "" {
			check("metrics.graphite.address", checkAddress(g.Address, false))
		}
		if strings.ContainsFunc(g.Prefix, func(r rune) bool { return r <= ' ' || r > '~' }) {
			check("metrics.graphite.prefix", fmt.Errorf("%s has characters that Graphite does not take: use letters, digits, . _ -", quote(g.Prefix)))
		}
	}
}

// motan checks what applications may register. n is the agent's section.
func (d *decoder) motan(n *node, m *MotanConfig) {
	check := func(path string, err error) {
		at, full := find(n, "agent", "motan."+path)
		d.refused(at, full, err)
	}
	if m.Announce == "" {
		m.Announce = m.Export
	}
	check("forward", checkAddress(m.Forward, false))
	if m.Export != "" {
		check("export", checkAddress(m.Export, false))
		err := checkAddress(m.Announce, false)
		if host, _, _ := net.SplitHostPort(m.Announce); err == nil && (host == "" || net.ParseIP(host).IsUnspecified()) {
			err = fmt.Errorf("%s is no address that others can call: write agent.motan.announce", quote(m.Announce))
		}
		check("announce", err)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Registries)) {
		check("registries."+name, resources.CheckRegistry(m.Registries[name]))
	}
}

// export checks a service that the agent registers, and fills in what follows from the agent. n is the agent's section.
func (d *decoder) export(n *node, path string, a *Agent, e *ExportConfig) {
	at, full := find(n, "agent", path)
	if len(a.Center) == 0 && e.Registry == "" {
		d.report(at, full, "exports are registered in the centre, and agent.center names none: set it, or the registry of the export, or remove it")
		return
	}
	if e.Registry != "" {
		where, path := find(n, "agent", path+".registry")
		d.refused(where, path, resources.CheckRegistry(e.Registry))
	}
	if e.IDC == "" {
		e.IDC = a.IDC
	}
	if e.Group == "" {
		e.Group = e.IDC
	}
	for _, word := range []struct{ key, what, value string }{{"resource", "resource", e.Resource}, {"kind", "kind", e.Kind}, {"group", "group", e.Group}} {
		written := at.get(word.key)
		if written == nil && word.value == "" && word.key != "group" {
			continue // reported as missing
		}
		if written == nil && word.value == "" {
			d.report(at, join(full, word.key), "missing: write the group of the resource, or agent.idc, which it then is")
			continue
		}
		d.name(&node{line: orNode(written, at).line, column: orNode(written, at).column, text: word.value}, join(full, word.key), word.what)
	}
	if e.Address != "" {
		where, path := find(n, "agent", path+".address")
		d.refused(where, path, checkAddress(e.Address, false))
	}
}

// groups checks what the groups of a resource must have.
func (d *decoder) groups(n *node, path string, spec *resources.Spec) {
	gn := n.get("groups")
	if gn == nil || gn.kind != mapNode && gn.kind != nullNode {
		return // reported as missing, or as no map
	}
	path = join(path, "groups")
	if len(gn.pairs) == 0 {
		d.report(gn, path, "empty: write at least one group with endpoints")
		return
	}
	weights := 0
	for _, p := range gn.pairs {
		d.name(p.key, join(path, p.key.text), "group")
		g := spec.Groups[p.key.text]
		weights += g.Share()
		if p.value.kind == mapNode {
			d.endpoints(p.value, join(path, p.key.text), g)
		} else if p.value.kind == nullNode {
			d.report(p.value, join(path, p.key.text), noEndpoints)
		}
	}
	if weights == 0 {
		d.report(gn, path, "every group has weight 0, so none would get calls: give one of them a weight")
	}
}

const noEndpoints = "endpoints is missing: write addresses such as 10.0.0.1:6379, or the registry where they are found"

func (d *decoder) endpoints(n *node, path string, g resources.Group) {
	en := n.get("endpoints")
	if en == nil && g.Registry == "" {
		d.report(n, path, noEndpoints)
	}
	if en == nil {
		return
	}
	if len(en.items) == 0 && g.Registry == "" && (en.kind == listNode || en.kind == nullNode) {
		d.report(en, join(path, "endpoints"), "empty: a group needs at least one endpoint, such as 10.0.0.1:6379")
		return
	}
	seen := make(map[string]int, len(g.Endpoints))
	for i, e := range g.Endpoints {
		if e.Address == "" && i < len(en.items) && en.items[i].kind == mapNode && en.items[i].get("address") == nil {
			continue // reported as missing
		}
		at, full := findItem(n, path, "endpoints", i)
		if a := at.get("address"); a != nil {
			if a.kind != textNode {
				continue // reported as no text
			}
			at, full = a, join(full, "address")
		}
		if at.kind != textNode {
			continue
		}
		if err := checkAddress(e.Address, false); err != nil {
			d.refused(at, full, err)
			continue
		}
		if line, dup := seen[e.Address]; dup {
			d.report(at, full, "%s is in this group twice, first on line %d: keep one, with the weight it should have", quote(e.Address), line)
			continue
		}
		seen[e.Address] = at.line
	}
}

// findItem finds an item of a list that may be written as a single value.
func findItem(n *node, path, key string, i int) (*node, string) {
	at := n.get(key)
	if at == nil {
		return n, join(path, key)
	}
	if at.kind != listNode {
		return at, join(path, key)
	}
	return find(n, path, fmt.Sprintf("%s[%d]", key, i))
}

// longestSocket is what Linux takes as the path of a unix socket (sun_path less its final zero).
const longestSocket = 107

// checkAddress checks host:port or unix:/path. A listener may leave out the host (all interfaces) and use port 0 (any
// that is free).
func checkAddress(text string, listens bool) error {
	if socket, isUnix := strings.CutPrefix(text, "unix:"); isUnix {
		switch {
		case !strings.HasPrefix(socket, "/"):
			return fmt.Errorf("%s needs an absolute path: write unix:/path", quote(text))
		case len(socket) > longestSocket:
			return fmt.Errorf("%s is too long: the path of a unix socket has at most %d bytes", quote(text), longestSocket)
		}
		return nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return fmt.Errorf("%s is not an address: write host:port, [IPv6]:port or unix:/path", quote(text))
	}
	least := 1
	if listens {
		least = 0
	}
	if p, err := strconv.Atoi(port); err != nil || p < least || p > 65535 || strconv.Itoa(p) != port {
		return fmt.Errorf("%s: the port must be a number from %d to 65535", quote(text), least)
	}
	if host == "" {
		if listens {
			return nil
		}
		return fmt.Errorf("%s has no host: write host:port", quote(text))
	}
	if _, err := netip.ParseAddr(host); err != nil && !hostname(host) {
		return fmt.Errorf("%s: %s is neither an IP address nor the name of a host", quote(text), quote(host))
	}
	return nil
}

// hostname reports whether s is a DNS name (RFC 1123), with the underscores that real ones have. A name of digits and
// dots only is a mistyped IP address.
func hostname(s string) bool {
	if len(s) > 253 || strings.Trim(s, "0123456789.") == "" {
		return false
	}
	for _, label := range strings.Split(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range label {
			if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_') {
				return false
			}
		}
	}
	return true
}

func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%s is not a URL: write http://host:port or https://host:port", quote(text))
	}
	if u.User != nil {
		return errors.New("the URL holds a user or password: they would be shown wherever the URL is")
	}
	return nil
}

// listeners finds addresses that two listeners cannot both have.
type listeners struct {
	d    *decoder
	used []listener
}

type listener struct {
	path, text, host, port string
	owner                  *resources.Face // nil: the agent itself, or a resource that the centre defines
	wanted                 bool            // the latter
}

// faces returns the ways to call a resource; what is wrong with them was reported.
func (r *Resource) faces() []resources.Face {
	if r == nil {
		return nil
	}
	own := resources.Declared{Spec: r.Spec, Settings: r.Settings}
	faces, err := resources.Faces(r.Driver, own)
	if err != nil {
		return []resources.Face{{Declared: own, Driver: r.Driver, Path: "listen"}}
	}
	return faces
}

// all adds the addresses below the key listen of a map; owner is nil for a resource that the centre defines.
func (l *listeners) all(n *node, path string, addresses resources.Addresses, owner *resources.Face) {
	for i, address := range addresses {
		at, full := findItem(n, path, "listen", i)
		l.add(at, full, address, owner, owner == nil)
	}
}

// add reports an address that is taken already by a listener that cannot share it. Malformed addresses are left out: they
// are reported as such.
func (l *listeners) add(at *node, path, text string, owner *resources.Face, wanted bool) {
	if checkAddress(text, true) != nil {
		return
	}
	host, port := text, ""
	if !strings.HasPrefix(text, "unix:") {
		host, port, _ = net.SplitHostPort(text)
		if port == "0" {
			return
		}
		if strings.EqualFold(host, "localhost") {
			host = "127.0.0.1"
		}
		if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
			host = ""
		}
	}
	fresh := listener{path: path, text: text, host: host, port: port, owner: owner, wanted: wanted}
	for _, u := range l.used {
		if u.port != port || u.host != host && (port == "" || u.host != "" && host != "") {
			continue
		}
		if err := fresh.shares(&u); err != nil {
			l.d.report(at, path, "%s is taken by %s, which listens on %s: %v", quote(text), u.path, u.text, err)
			return
		}
	}
	l.used = append(l.used, fresh)
}

// mayShare reports whether the listener's kind can have company, or is known to the centre only.
func (l *listener) mayShare() bool {
	if l.owner == nil {
		return l.wanted
	}
	_, ok := l.owner.Driver.(resources.Sharing)
	return ok
}

// shares returns why two listeners cannot have one address; nil when they can, or when only the centre knows.
func (l *listener) shares(other *listener) error {
	switch {
	case l.text == other.text && l.mayShare() && other.mayShare() && (l.wanted || other.wanted):
		return nil
	case l.owner == nil || other.owner == nil || l.text != other.text:
		return errors.New("choose another")
	case l.owner.Settings == nil || other.owner.Settings == nil:
		return nil // reported as wrong
	}
	return resources.Share(l.owner.Driver, other.owner.Driver, l.owner.Declared, other.owner.Declared)
}
