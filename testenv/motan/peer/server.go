package main

import (
	"fmt"
	"net"
	"os"
	"strings"

	motan "github.com/weibocom/motan-go"
	"github.com/weibocom/motan-go/core"
)

type serverConfig struct {
	Name          string            `json:"name"`    // what it says when it is asked
	Address       string            `json:"address"` // 127.0.0.1:port
	Protocol      string            `json:"protocol"`
	Service       string            `json:"service"`
	More          int               `json:"more"` // further services: the first one by other names
	Group         string            `json:"group"`
	Version       string            `json:"version"`
	Serialization string            `json:"serialization"`
	Registry      registry          `json:"registry"`
	Parameters    map[string]string `json:"parameters"` // further ones of the service's URL
}

// plainSuffix is what the second service has after the name of the first.
const plainSuffix = "Plain"

// serve exports the service of methods.go, and, under its name and "Plain", one that motan-go's own provider calls by
// reflection, and the further ones. It says "ready PID" when both are available in the registry, and never returns.
func serve(c serverConfig) {
	_, port, err := net.SplitHostPort(c.Address)
	if err != nil {
		fail(err)
	}
	service := func(path, ref, provider string) map[string]any {
		s := map[string]any{
			"path": path, "ref": ref, "provider": provider, "group": c.Group, "version": c.Version, "registry": "here",
			"export": c.Protocol + ":" + port, "serialization": c.Serialization, "host": "127.0.0.1",
		}
		for k, v := range c.Parameters {
			s[k] = v
		}
		return s
	}
	conf := c.Registry.configuration("motan-server", "testenv-server")
	m := newMethods(c.Name)
	exports := map[string]any{
		"peer":  service(c.Service, "peer", "testenv"),
		"plain": service(c.Service+plainSuffix, "plain", "default"),
	}
	services := map[string]any{"peer": m, "plain": &Plain{}}
	for n := range c.More {
		ref := fmt.Sprint("peer", n)
		exports[ref], services[ref] = service(fmt.Sprint(c.Service, n), ref, "testenv"), m
	}
	conf["motan-service"] = exports
	f := extensions()
	f.RegistExtProvider("testenv", func(u *core.URL) core.Provider { return &provider{url: u, methods: m} })

	s := motan.NewMotanServerContextFromConfig(read(conf))
	for ref, service := range services {
		if err := s.RegisterService(service, ref); err != nil {
			fail(err)
		}
	}
	s.Start(f)
	s.ServicesAvailable()
	fmt.Fprintln(os.Stderr, "ready", os.Getpid())
	select {}
}

// Plain is a service as motan-go's users write them.
type Plain struct{}

// Hello greets.
func (*Plain) Hello(name string) string { return "hello " + name }

// Sum adds.
func (*Plain) Sum(a, b int64) int64 { return a + b }

// Shout returns m with keys and values in upper case.
func (*Plain) Shout(m map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range m {
		out[strings.ToUpper(k)] = strings.ToUpper(v)
	}
	return out
}

// Ping has no argument.
func (*Plain) Ping() string { return "pong" }

// Panic panics.
func (*Plain) Panic() string { panic("as asked") }
