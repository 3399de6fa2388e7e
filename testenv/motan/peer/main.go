// Command peer is motan-go v1.2.0 as a program: `peer server JSON`, `peer client JSON` and `peer agent -c FILE ...`, for
// tests that speak to it, and `peer feed JSON` for the demo.
//
// It is a module of its own, so that motan-go and what it depends on are no part of Sluice. It is a program and not a
// library because motan-go has global flags and singletons, keeps goroutines for ever and cannot be stopped: a test
// kills it.
//
// All of them listen on 127.0.0.1 only, where motan-go by itself listens on every interface: see loopback.go. What is
// JSON is described in package testenv/motan, which starts the program.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/weibocom/motan-go/config"
	"github.com/weibocom/motan-go/core"
)

func main() {
	if len(os.Args) < 3 {
		fail(fmt.Errorf("usage: peer server|client|feed JSON, peer agent -c FILE"))
	}
	verb, args := os.Args[1], os.Args[2:]
	answers := os.Stdout
	os.Stdout = os.Stderr // motan-go's log: answers have their own way
	*core.LocalIP = "127.0.0.1"

	if verb == "agent" {
		// Its flags are those of the flag package, which it parses by itself.
		os.Args = append(os.Args[:1], args...)
		serveAgent()
		return
	}
	if err := flag.CommandLine.Parse(nil); err != nil {
		fail(err)
	}
	switch verb {
	case "server":
		var c serverConfig
		parse(args[0], &c)
		serve(c)
	case "feed":
		var c feedConfig
		parse(args[0], &c)
		serveFeed(c)
	case "client":
		var c clientConfig
		parse(args[0], &c)
		drive(c, os.Stdin, answers)
	default:
		fail(fmt.Errorf("no verb %q", verb))
	}
}

func parse(text string, to any) {
	if err := json.Unmarshal([]byte(text), to); err != nil {
		fail(fmt.Errorf("configuration: %w", err))
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "peer:", err)
	os.Exit(2)
}

// registry is where servers say that they are there and clients look for them.
type registry struct {
	Protocol string `json:"protocol"` // direct, zookeeper or mesh
	Address  string `json:"address"`  // host:port, several with commas between them; of servers themselves when direct
	Proxy    string `json:"proxy"`    // of mesh: the registry that the agent at the address is to use
}

// configuration is what motan-go reads, with this registry under the name "here". Its log goes to standard error.
func (r registry) configuration(section, application string) map[string]any {
	here := map[string]any{"protocol": r.Protocol, "registrySessionTimeout": 4} // seconds
	switch {
	case r.Protocol == "mesh":
		host, text, err := net.SplitHostPort(r.Address)
		port, bad := strconv.Atoi(text)
		if err = errors.Join(err, bad); err != nil {
			fail(err)
		}
		here["host"], here["port"], here["proxyRegistry"] = host, port, r.Proxy
	case r.Address != "":
		here["address"] = r.Address
	}
	return map[string]any{
		section:          map[string]any{"application": application, "log_dir": "stdout"},
		"motan-registry": map[string]any{"here": here},
	}
}

// read makes motan-go's configuration of ours. JSON is YAML.
func read(c map[string]any) *config.Config {
	text, err := json.Marshal(c)
	if err != nil {
		fail(err)
	}
	conf, err := config.NewConfigFromReader(bytes.NewReader(text))
	if err != nil {
		fail(err)
	}
	return conf
}
