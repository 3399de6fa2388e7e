// Command sluice is the one binary of the mesh: the agent that runs beside an application, and the operator's verbs that speak
// to an agent or a centre over HTTP.
//
//	sluice agent -c sluice.yaml
//	sluice get resources
//	sluice switch feed-cache tc=100 --for 10m --why "yf is being rebuilt"
//
// The package declares the command line and nothing else: the agent is package agent, and what the verbs show is package
// internal/cli.
//
// Exit codes: 0 done; 1 it failed, with one line on stderr that says why; 2 wrong usage.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the linker: -X main.version=v1.2.3.
var version = "dev"

func main() {
	os.Exit(run(context.Background(), &host{
		env:     os.Getenv,
		stdout:  os.Stdout,
		stderr:  os.Stderr,
		signals: notify,
		version: version,
	}, os.Args[1:]))
}

// notify takes over the signals for verbs that end in their own way; the others are ended by the system.
func notify() <-chan os.Signal {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	return signals
}
