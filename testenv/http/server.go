package http

import (
	"fmt"
	"net"
	"strings"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// Server describes a server on a port of 127.0.0.1.
type Server struct {
	Address string // default a free port
}

// ServerProcess is a running server. SIGTERM makes it end in order.
type ServerProcess struct {
	*server.Process
	Addr string // "127.0.0.1:port"
}

// Serve starts a server, and waits until it serves.
func Serve(t server.TB, s Server) *ServerProcess {
	t.Helper()
	if s.Address == "" {
		s.Address = server.FreeAddr(t)
	}
	p := &ServerProcess{Addr: s.Address}
	p.Process = server.Start(t, server.Program{
		Kind:    "http-go",
		Command: server.Command{Program: server.Build(t, "github.com/sluice-mesh/sluice/testenv/http/peer", false), Args: []string{s.Address}},
		Ready: func(p *server.Process) error {
			if said := fmt.Sprint("ready ", p.PID(), "\n"); !strings.Contains(p.Output(), said) {
				return fmt.Errorf("it did not say %q", said)
			}
			c, err := net.Dial("tcp", s.Address)
			if err == nil {
				c.Close()
			}
			return err
		},
	})
	return p
}
