package motan

import (
	"fmt"
	"net"
	"strings"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// Server describes a Motan server. The zero value is motan-go, protocol motan2, on a free port of 127.0.0.1.
type Server struct {
	Peer          Peer     // Go or Java; default Go
	Name          string   // what it answers to Name; default the peer and its port
	Protocol      string   // default Motan2; Motan1 for Java alone, which then takes both
	Serialization string   // what it says in the registry; default Simple, and Hessian2 for Motan1. It takes all that it knows
	Registry      Registry // default Direct: none
	Service       string   // default Service
	More          int      // of Go: so many further services, named Service and 0, 1, ..., which are this one by other names
	Group         string   // default Group
	Version       string   // default Version
	Address       string   // default a free port
	// Parameters are further ones of the service's URL: "filter", "mingzSize", "maxContentLength".
	Parameters map[string]string
}

// ServerProcess is a running server.
type ServerProcess struct {
	*server.Process
	Addr string // "127.0.0.1:port"
	Name string // what it answers to Name
}

// serverConfig is what the program of a peer is told.
type serverConfig struct {
	Name          string            `json:"name"`
	Address       string            `json:"address"`
	Protocol      string            `json:"protocol"`
	Service       string            `json:"service"`
	More          int               `json:"more,omitempty"`
	Group         string            `json:"group"`
	Version       string            `json:"version"`
	Serialization string            `json:"serialization"`
	Registry      Registry          `json:"registry"`
	Parameters    map[string]string `json:"parameters,omitempty"`
}

// Serve starts a server, and waits until it serves and is available in its registry.
func Serve(t server.TB, s Server) *ServerProcess {
	t.Helper()
	if s.Peer == "" {
		s.Peer = Go
	}
	c := serverConfig{
		Name: s.Name, Address: s.Address, Protocol: or(s.Protocol, Motan2), Service: or(s.Service, Service), More: s.More, Group: or(s.Group, Group),
		Version: or(s.Version, Version), Serialization: s.Serialization, Registry: s.Registry, Parameters: s.Parameters,
	}
	if c.Address == "" {
		c.Address = server.FreeAddr(t)
	}
	if c.Name == "" {
		_, port, _ := strings.Cut(c.Address, ":")
		c.Name = string(s.Peer) + "-" + port
	}
	if c.Serialization == "" {
		c.Serialization = usual(c.Protocol)
	}
	if c.Registry.Protocol == "" {
		c.Registry = Direct()
	}
	p := &ServerProcess{Addr: c.Address, Name: c.Name}
	cmd := command(t, s.Peer, "", "server", c)
	cmd.Env = c.Registry.env()
	p.Process = server.Start(t, server.Program{
		Kind:    "motan-" + string(s.Peer),
		Command: cmd,
		Ready:   func(p *server.Process) error { return ready(p, c.Address) },
	})
	return p
}

// usual is the serialization that comes with a protocol.
func usual(protocol string) string {
	if protocol == Motan1 {
		return Hessian2
	}
	return Simple
}

// ready asks whether a program accepts connections and has said "ready PID" in its log, in this run.
func ready(p *server.Process, addr string) error {
	if said := fmt.Sprint("ready ", p.PID(), "\n"); !strings.Contains(p.Output(), said) {
		return fmt.Errorf("it did not say %q", said)
	}
	c, err := net.Dial("tcp", addr)
	if err == nil {
		c.Close()
	}
	return err
}
