package grpc

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// Cases is how many test cases CallAll makes.
const Cases = 14

// Server describes a server of grpc-go. The zero value speaks in clear on a free port of 127.0.0.1.
type Server struct {
	Address string        // default a free port
	Certs   *server.Certs // for TLS
}

// ServerProcess is a running server. SIGTERM makes it end in order, SIGUSR1 say that it is not well, SIGUSR2 that it is.
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
	args := []string{"server", s.Address}
	if s.Certs != nil {
		args = append(args, s.Certs.ServerCert, s.Certs.ServerKey)
	}
	p := &ServerProcess{Addr: s.Address}
	p.Process = server.Start(t, server.Program{
		Kind:    "grpc-go",
		Command: server.Command{Program: binary(t), Args: args},
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

// CallAll makes all test cases at an address, host:port or unix:/path, in another process, and returns the names of those that passed. The test fails with
// the first one that does not. ca is a file with the authority that the server's certificate is from; "": no TLS.
func CallAll(t server.TB, addr, ca string) []string {
	t.Helper()
	args := []string{"client", addr}
	if ca != "" {
		args = append(args, ca)
	}
	out, err := exec.Command(binary(t), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("the client of grpc-go: %v\n%s", err, out)
	}
	var passed []string
	for line := range strings.Lines(string(out)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "passed "); ok {
			passed = append(passed, name)
		}
	}
	return passed
}

// binary builds the peer.
func binary(t server.TB) string {
	t.Helper()
	root, err := server.ModuleRoot()
	if err != nil {
		t.Fatalf("find this module: %v", err)
	}
	return server.BuildModule(t, filepath.Join(root, "testenv", "grpc", "peer"))
}
