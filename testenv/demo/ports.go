package main

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// choosePorts gives everything that people connect to its address: the documented ports to the centre and the first agent,
// the next ones to the second.
func (d *demo) choosePorts(admin, center int) error {
	taken := make(map[int]bool)
	choose := func(what string, wanted int) (string, error) {
		port, err := d.freePort(what, wanted, taken)
		return "127.0.0.1:" + strconv.Itoa(port), err
	}
	var err error
	if d.centerAt, err = choose("the centre", center); err != nil {
		return err
	}
	for i, s := range d.sites {
		if i > 0 {
			admin = portOf(d.sites[i-1].admin) + 1
		}
		if s.admin, err = choose("the admin interface of "+s.name, admin); err != nil {
			return err
		}
		for _, r := range d.running {
			if r.beside != "" {
				s.listen[r.resource] = s.listen[r.beside]
				continue
			}
			wanted := r.port
			if i > 0 {
				wanted = portOf(d.sites[i-1].listen[r.resource]) + 1
			}
			if s.listen[r.resource], err = choose(r.resource+" of "+s.name, wanted); err != nil {
				return err
			}
		}
	}
	return nil
}

// portOf returns the port of an address that choosePorts made.
func portOf(addr string) int {
	_, text, _ := strings.Cut(addr, ":")
	port, _ := strconv.Atoi(text)
	return port
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
