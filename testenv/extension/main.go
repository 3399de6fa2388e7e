// Command extension is an agent with extensions of one's own: it has two kinds of resources and what package own registers.
//
//	extension agent -c FILE
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/sluice-mesh/sluice/agent"
	_ "github.com/sluice-mesh/sluice/agent/filter/standard"
	_ "github.com/sluice-mesh/sluice/resources/motan"
	_ "github.com/sluice-mesh/sluice/resources/redis"

	_ "github.com/sluice-mesh/sluice/testenv/extension/own"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 || args[0] != "agent" || args[1] != "-c" {
		return errors.New("usage: extension agent -c FILE")
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	cfg, err := agent.ConfigOptions().Load(args[2])
	if err != nil {
		return err
	}
	a, err := agent.New(cfg, agent.Options{Version: "extension", Log: agent.NewLogger(os.Stderr, cfg.Agent.Log), Signals: signals})
	if err != nil {
		return err
	}
	return a.Run(context.Background())
}
