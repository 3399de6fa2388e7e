package agent

import (
	"io"
	"log/slog"
	"os"

	"github.com/sluice-mesh/sluice/agent/balance"
	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/agent/ha"
	"github.com/sluice-mesh/sluice/agent/listen"
	"github.com/sluice-mesh/sluice/config"
)

// Options are what the process gives to an agent. The zero value serves without logs and signals.
type Options struct {
	Version string
	Log     *slog.Logger
	// Signals delivers SIGTERM and SIGINT (drain; the second one stops now) and SIGHUP (read the file again).
	Signals <-chan os.Signal
	// Inherited are sockets that a service manager opened; nil: none.
	Inherited *listen.Inherited
	// Config reads files and what is sent over HTTP; the zero value is replaced by ConfigOptions().
	Config config.Options
}

// ConfigOptions returns config options that know the registered filters, balances and strategies.
func ConfigOptions() config.Options {
	o := config.Options{Words: map[string][]string{"policy.balance": balance.Names(), "policy.failover.strategy": ha.Names()}, FilterSettings: func(name string) (any, bool) {
		d, ok := filter.Lookup(name)
		if !ok || d.Settings == nil { // standard filters have their own places in a policy
			return nil, false
		}
		return d.Settings(), true
	}}
	for _, d := range filter.Definitions() {
		if d.Settings != nil {
			o.FilterNames = append(o.FilterNames, d.Name)
		}
	}
	return o
}

// NewLogger returns the agent's own log as its config wants it.
func NewLogger(w io.Writer, c config.LogConfig) *slog.Logger {
	var level slog.Level
	level.UnmarshalText([]byte(c.Level)) // checked by config; an empty one is info
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
