// Package own extends sluice at each of its seven points, to copy and change: a filter, a strategy for failures (HA), a balance, a kind
// of resource with its endpoints and its server (a driver), a serialization and a registry. It is a module of its own, which
// needs nothing but sluice's public packages. A program that imports it has them all: see sluice/main.go.
//
//	resources:
//	  notes:
//	    kind: note
//	    listen: 127.0.0.1:7000
//	    settings: { longest: 4KiB }
//	    groups: { main: { registry: "dir:///var/lib/notes" } }
//	    policy: { balance: first, failover: { strategy: fail-fast }, filters: { longest: { bytes: 1KiB } } }
package own

import (
	"github.com/sluice-mesh/sluice/agent/balance"
	"github.com/sluice-mesh/sluice/agent/discovery"
	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/agent/ha"
	"github.com/sluice-mesh/sluice/protocols/serial"
	"github.com/sluice-mesh/sluice/resources"
)

func init() {
	filter.Register(Longest)
	ha.Register("fail-fast", newFailFast)
	balance.Register("first", newFirst)
	resources.Register(driver{}) // endpoint and server
	serial.Register(json{})
	discovery.RegisterLocalKind("dir", openDir)
}
