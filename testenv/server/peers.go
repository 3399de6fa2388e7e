package server

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
)

// Twemproxy describes a twemproxy (Debian package nutcracker) in front of Redis servers: the peer that the bench
// compares with.
type Twemproxy struct {
	Redis             []string // addresses, "127.0.0.1:6379"
	ServerConnections int      // to each server; default 1, as in twemproxy itself
}

// HAProxy describes an haproxy in TCP mode in front of Redis servers, or in HTTP mode in front of others.
type HAProxy struct {
	Redis   []string
	HTTP    []string // addresses; then Redis is empty
	Threads int      // default 1
}

// Proxy is a running peer.
type Proxy struct {
	*Process
	Addr string // where clients connect
}

func (spec Twemproxy) start(t TB) *Proxy {
	t.Helper()
	addr, stats := FreeAddr(t), freePort(t)
	dir := newDir(t, "twemproxy")
	conf := fmt.Sprintf("sluice:\n  listen: %s\n  redis: true\n  hash: fnv1a_64\n  distribution: ketama\n"+
		"  preconnect: true\n  server_connections: %d\n  servers:\n", addr, max(spec.ServerConnections, 1))
	for _, r := range spec.Redis {
		conf += "   - " + r + ":1\n"
	}
	file := filepath.Join(dir, "nutcracker.yml")
	writeFile(t, file, conf)
	args := []string{"-c", file, "-a", "127.0.0.1", "-s", strconv.Itoa(stats)}
	return startProxy(t, "twemproxy", dir, addr, Command{Program: "nutcracker", Args: args})
}

func (spec HAProxy) start(t TB) *Proxy {
	t.Helper()
	addr := FreeAddr(t)
	dir := newDir(t, "haproxy")
	conf := fmt.Sprintf("global\n  nbthread %d\n  no strict-limits\n  maxconn 4000\ndefaults\n  mode tcp\n  timeout connect 1s\n"+
		"  timeout client 1h\n  timeout server 1h\nlisten bench\n  bind %s\n  balance leastconn\n", max(spec.Threads, 1), addr)
	if spec.HTTP != nil {
		conf += "  mode http\n  option forwardfor\n"
	}
	for i, r := range append(spec.Redis, spec.HTTP...) {
		conf += fmt.Sprintf("  server r%d %s\n", i, r)
	}
	file := filepath.Join(dir, "haproxy.cfg")
	writeFile(t, file, conf)
	return startProxy(t, "haproxy", dir, addr, Command{Program: "haproxy", Image: "haproxy:2.6", Args: []string{"-db", "-f", file}})
}

func startProxy(t TB, kind, dir, addr string, cmd Command) *Proxy {
	t.Helper()
	p := &Proxy{Addr: addr}
	p.Process = newProcess(t, kind, dir, cmd, func() error {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err
	})
	p.launch()
	p.awaitReady()
	return p
}
