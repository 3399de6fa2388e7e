package main

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// configure chooses the ports and writes the agent's configuration.
func (d *demo) configure(adminPort int) (string, error) {
	taken := make(map[int]bool)
	port, err := d.freePort("the admin interface", adminPort, taken)
	if err != nil {
		return "", err
	}
	d.admin = "127.0.0.1:" + strconv.Itoa(port)
	var b strings.Builder
	fmt.Fprintf(&b, `agent:
  name: demo
  application: feed-web
  idc: %s
  admin: %s
  data: %q
  drain: { wait: 0s, timeout: 5s }
resources:
`, groups[0], d.admin, d.folder.abs)
	for _, r := range d.running {
		port, err := d.freePort(r.resource, r.port, taken)
		if err != nil {
			return "", err
		}
		r.addr = "127.0.0.1:" + strconv.Itoa(port)
		fmt.Fprintf(&b, "  %s:\n    kind: %s\n    listen: %s\n", r.resource, r.name, r.addr)
		if r.settings != "" {
			fmt.Fprintf(&b, "    settings: %s\n", r.settings)
		}
		b.WriteString("    groups:\n")
		for i, g := range groups {
			weight := 0
			if i == 0 {
				weight = 100
			}
			fmt.Fprintf(&b, "      %s: { idc: %s, weight: %d, endpoints: [%q] }\n", g, g, weight, r.backends[g])
		}
		b.WriteString("    policy: { slow-start: 1s, breaker: { errors: 50%, mode: observe } }\n")
	}
	return b.String(), nil
}

// freePort returns the wanted port or the next one that nobody listens on, and notes when it is another one.
func (d *demo) freePort(what string, wanted int, taken map[int]bool) (int, error) {
	const further = 200
	for port := wanted; port < wanted+further && port <= 65535; port++ {
		if taken[port] || !listens(port) {
			continue
		}
		taken[port] = true
		if port != wanted {
			d.notes = append(d.notes, fmt.Sprintf("port %d is taken: %s is on %d", wanted, what, port))
		}
		return port, nil
	}
	return 0, fmt.Errorf("no free port for %s from %d to %d", what, wanted, wanted+further-1)
}

// listens reports whether this machine lets us listen on a port.
func listens(port int) bool {
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return false
	}
	l.Close()
	return true
}
