package cmd

import (
	"context"
	"errors"

	"github.com/sluice-mesh/sluice/agent"
	"github.com/sluice-mesh/sluice/agent/listen"
	"github.com/sluice-mesh/sluice/config"
)

type agentCmd struct {
	Config string `short:"c" required:"" help:"Config file." placeholder:"FILE"`
}

// Run runs the agent until a signal ends it.
func (v *agentCmd) Run(h *host) error {
	cfg, err := configOptions().Load(v.Config)
	var problems *config.Errors
	switch {
	case errors.As(err, &problems):
		printProblems(h, problems)
		return &shownError{err}
	case err != nil:
		return err
	}
	signals := h.signals() // from here on, so that none is lost while it starts
	inherited, err := listen.FromEnvironment()
	if err != nil {
		return err
	}
	a, err := agent.New(cfg, agent.Options{
		Version:   h.version,
		Log:       agent.NewLogger(h.stderr, cfg.Agent.Log),
		Signals:   signals,
		Inherited: inherited,
	})
	if err != nil {
		return err
	}
	return a.Run(context.Background())
}

func configOptions() config.Options { return agent.ConfigOptions() }
