package main

import "context"

// kind is one kind of resource in the demo.
type kind struct {
	name     string // of the driver, as in the configuration
	resource string // the resource's name
	port     int    // where the agent listens, unless it is taken
	settings string // of the driver, in YAML flow style; empty: none
	// dsn is what an application is told.
	dsn func(addr string) string
	// start starts the embedded server of a group, holding data from which the application can tell the group.
	start func(group string) (embedded, error)
	// call runs the application: calls through the agent at addr, each recorded, until ctx is done.
	call func(ctx context.Context, addr string, s *stats)
	// try is what is worth typing while it runs.
	try func(resource string) []hint
}

// embedded is a server inside this process.
type embedded interface {
	Addr() string // host:port, the same for its whole life
	Down()        // it goes away, with its connections
	Up() error    // it comes back, with its data
	Close()
}

// hint is a line to type and what it shows. A program of "sluice" or "demo" stands for the built one.
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
}
