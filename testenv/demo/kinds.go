package main

import (
	"context"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// kind is one kind of resource in the demo.
type kind struct {
	name     string // of the driver, as in the configuration
	resource string // the resource's name
	port     int    // where the first agent listens, unless it is taken
	beside   string // another resource, whose servers serve this one too and whose address it shares; empty: it has its own
	settings string // of the driver, in YAML flow style; empty: none
	env      string // "K=V" for the agents: a secret that settings refer to, as the centre keeps none in the clear; empty: none
	// dsn is what an application is told.
	dsn func(addr string) string
	// start starts the embedded server of a group, holding data from which the application can tell the group.
	start func(on *stage, group string) (embedded, error)
	// web is the application that people use, batch one that only reads: the embedded servers stand one writer.
	web, batch caller
	// try is what is worth typing while it runs, at the first agent alone.
	try func(resource string) []hint
}

// caller runs an application: calls through the agent at addr, each recorded, until ctx is done.
type caller func(ctx context.Context, on *stage, addr, application string, s *stats)

// stage is what servers and applications run on.
type stage struct {
	*attempts
	motan string // the program of motan-go; empty: built when it is needed
}

var _ server.TB = (*stage)(nil)

// embedded is a server inside this process, or a small one that belongs to it.
type embedded interface {
	Addr() string // host:port, the same for its whole life
	Down()        // it goes away, with its connections
	Up() error    // it comes back, with its data
	Close()
}

// hint is a line to type and what it shows. The program "sluice" or "demo" stands for the built one; "sluice at centre" is told
// where the centre is, and plain "sluice" speaks to the first agent.
type hint struct {
	program string
	args    string
	shows   string
}

// The groups, each a data centre. The first has the traffic at the start.
var groups = []string{"yf", "tc"}

var kinds = []kind{
	redisKind,
	mysqlKind,
	userKind,
	feedKind,
}
