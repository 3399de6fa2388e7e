package motan

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// Peer is a real implementation of Motan.
type Peer string

// The peers.
const (
	Go   Peer = "go"   // motan-go 1.2.0
	Java Peer = "java" // Motan 1.2.6
	PHP  Peer = "php"  // a client like motan-php 1.1.10
)

// Protocols and serializations, by Motan's names.
const (
	Motan2 = "motan2"
	Motan1 = "motan"

	Simple   = "simple"
	Breeze   = "breeze"
	Protobuf = "protobuf"
	Hessian2 = "hessian2"
)

// Registry is where servers say that they are there, and clients look for them.
type Registry struct {
	Protocol string `json:"protocol"`
	Address  string `json:"address"`
	Proxy    string `json:"proxy,omitempty"`

	manage string // of weibomesh: port of the agent's management interface
}

// Direct is no registry: a client is given the addresses of servers, or of an agent, itself.
func Direct(addresses ...string) Registry {
	r := Registry{Protocol: "direct"}
	for i, a := range addresses {
		if i > 0 {
			r.Address += ","
		}
		r.Address += a
	}
	return r
}

// ZooKeeper is a registry in a ZooKeeper server.
func ZooKeeper(z *server.ZooKeeperServer) Registry {
	return Registry{Protocol: "zookeeper", Address: z.Addr}
}

// Consul is a registry in a Consul server, for Java alone.
func Consul(c *server.ConsulServer) Registry {
	return Registry{Protocol: "consul", Address: c.Addr}
}

// Mesh is an agent that servers and clients of motan-go ask for everything, through its management interface at an address; proxy
// is the registry that the agent is to use for them.
func Mesh(address, proxy string) Registry {
	return Registry{Protocol: "mesh", Address: address, Proxy: proxy}
}

// Weibomesh is an agent that servers and clients of Java ask for everything: its registry of this name sends heartbeats and calls to
// the address forward, and asks the management interface at manage, of the same host. The agent is to use z.
func Weibomesh(forward, manage string, z *server.ZooKeeperServer) Registry {
	_, port, _ := strings.Cut(manage, ":")
	return Registry{Protocol: "weibomesh", Address: forward, Proxy: z.Addr, manage: port}
}

// env is what a program that uses the registry has in its environment.
func (r Registry) env() []string {
	if r.manage == "" {
		return nil
	}
	return []string{"MESH_MPORT=" + r.manage}
}

// command is how a peer's program is started: what follows it is a verb and JSON. The program of motan-go is built unless it is
// given.
func command(t server.TB, p Peer, program, verb string, config any) server.Command {
	t.Helper()
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatalf("configuration of %s: %v", p, err)
	}
	switch p {
	case Go:
		if program == "" {
			program = GoBinary(t)
		}
		return server.Command{Program: program, Args: []string{verb, string(text)}}
	case Java:
		args := append(server.JavaFlags(), javaOpens...)
		args = append(args, "-cp", server.BuildMaven(t, folder(t, "java")), "sluice.testenv.Peer", verb, string(text))
		return server.Command{Program: "java", Args: args}
	case PHP:
		if verb == "client" {
			return server.Command{Program: "php", Args: []string{"-d", "display_errors=stderr", folder(t, "php/client.php"), string(text)}}
		}
	}
	t.Fatalf("there is no %s of %s", verb, p)
	return server.Command{}
}

// javaOpens lets hessian2 look into the JDK's own classes, as it does since before there were modules.
var javaOpens = []string{
	"--add-opens=java.base/java.lang=ALL-UNNAMED",
	"--add-opens=java.base/java.util=ALL-UNNAMED",
	"--add-opens=java.base/java.math=ALL-UNNAMED",
	"--add-opens=java.base/java.lang.reflect=ALL-UNNAMED",
}

// GoBinary builds the program of motan-go and returns its path.
func GoBinary(t server.TB) string {
	t.Helper()
	return server.BuildModule(t, folder(t, "peer"))
}

// folder is a path below this package's folder.
func folder(t server.TB, name string) string {
	t.Helper()
	root, err := server.ModuleRoot()
	if err != nil {
		t.Fatalf("find this module: %v", err)
	}
	return filepath.Join(root, "testenv", "motan", name)
}

// or is the first of two texts that is not empty; "-" stands for an empty one.
func or(s, other string) string {
	switch s {
	case "":
		return other
	case "-":
		return ""
	}
	return s
}

// errorf is for answers that are not what was asked for.
func errorf(p Peer, format string, args ...any) error {
	return fmt.Errorf("the driver of %s: %w", p, fmt.Errorf(format, args...))
}
