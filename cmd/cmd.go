package cmd

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Main runs the command line of the process and ends it. version is what `sluice version` and the agent say they are.
func Main(version string) {
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
