package mesh

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sluice-mesh/sluice/testenv/grpc"
	"github.com/sluice-mesh/sluice/testenv/motan"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// sockets is an agent that is reached by unix sockets alone, in a folder.
const sockets = `
agent: { admin: {{addr "admin"}}, application: mesh-test, drain: { wait: 0s, timeout: 10s } }
resources:
  peers:
    kind: motan2
    listen: unix:{{.dir}}/motan
    settings: { service: sluice.testenv.PeerService }
    groups: { testenv: { endpoints: ["{{.motan}}"] } }
    policy: { timeout: 3s }
  pages:
    kind: http
    listen: unix:{{.dir}}/http
    groups: { g: { endpoints: ["{{.http}}"] } }
  calls:
    kind: grpc
    listen: unix:{{.dir}}/grpc
    groups: { g: { endpoints: ["{{.grpc}}"] } }
    policy: { timeout: 30s }
`

// Applications call through unix sockets, and what they call may be at one: the second agent's servers are the first one's sockets.
func TestUnixSockets(t *testing.T) {
	t.Parallel()
	m, web, g := motan.Serve(t, motan.Server{Peer: motan.Go}), server.Start(t, server.Nginx{Name: "web"}), grpc.Serve(t, grpc.Server{})
	last, first := t.TempDir(), t.TempDir()
	server.Start(t, server.Agent{Config: sockets, Vars: map[string]string{"dir": last, "motan": m.Addr, "http": web.Addr, "grpc": g.Addr}})
	server.Start(t, server.Agent{Config: sockets, Vars: map[string]string{
		"dir": first, "motan": "unix:" + last + "/motan", "http": "unix:" + last + "/http", "grpc": "unix:" + last + "/grpc",
	}})
	for what, dir := range map[string]string{"a socket": last, "sockets on both sides": first} {
		r := dialRaw(t, "unix", filepath.Join(dir, "motan"))
		r.send(7, 0, "name")
		r.want(7, m.Name)
		exercise(t, motan.Dial(t, motan.Client{Registry: motan.Direct("unix://" + dir + "/motan")}), m.Name)
		out, err := exec.Command("curl", "-sS", "-m", "20", "--noproxy", "*", "--unix-socket", dir+"/http", "-w", "%{http_code}", "http://pages/x?a=b").CombinedOutput()
		if err != nil || string(out) != "web GET /x?a=b  200" {
			t.Errorf("curl, %s: %q %v", what, out, err)
		}
		if passed := grpc.CallAll(t, "unix:"+dir+"/grpc", ""); len(passed) != grpc.Cases {
			t.Errorf("grpc-go, %s: it passed %q alone", what, passed)
		}
	}
}
