package grpc

import (
	"fmt"
	"testing"
	"time"

	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// An agent beside a server says in a registry where it is, and the agent of an application finds it there.
func TestRegistry(t *testing.T) {
	s := Serve(t, Server{})
	etcd := server.Start(t, server.Etcd{})
	vars := map[string]string{"etcd": "etcd://" + etcd.Members[0].Addr, "server": s.Addr}
	in := server.Start(t, server.Agent{Vars: vars, Config: `
agent:
  admin: {{addr "admin"}}
  drain: { wait: 1s }
  exports: [{ resource: local, kind: grpc, group: g, address: {{addr "export"}}, registry: "{{.etcd}}" }]
resources:
  local: { kind: grpc, listen: {{addr "export"}}, settings: { services: [grpc.testing.TestService] }, groups: { g: { endpoints: ["{{.server}}"] } } }
`})
	out := server.Start(t, server.Agent{Vars: vars, Config: `
agent: { admin: {{addr "admin"}}, data: data, drain: { wait: 0s } }
resources:
  peers: { kind: grpc, listen: {{addr "grpc"}}, settings: { services: [grpc.testing.TestService] }, groups: { g: { registry: "{{.etcd}}" } } }
`})
	c := dial(t, out.Addr("peers"))
	call := func() error {
		_, err := c.EmptyCall(within(t), &pb.Empty{})
		return err
	}
	server.Wait(t, 20*time.Second, "the agent beside the server to be found", call)
	in.Stop()
	server.Wait(t, 20*time.Second, "it to be gone", func() error {
		if call() == nil {
			return fmt.Errorf("it answers")
		}
		return nil
	})
}
