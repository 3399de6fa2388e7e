package cmd

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/sluice-mesh/sluice/internal/cli"
)

type endpointCmd struct {
	Add    endpointAddCmd    `cmd:"" help:"Add an endpoint to a group of a resource."`
	Remove endpointRemoveCmd `cmd:"" help:"Remove an endpoint from a group of a resource."`
}

// endpointAt names an endpoint.
type endpointAt struct {
	Resource string `arg:"" help:"Name of the resource."`
	Group    string `arg:"" help:"Group of the resource."`
	Address  string `arg:"" help:"host:port, or unix:/path."`
	Why      string `help:"Why: kept with the version." placeholder:"TEXT"`
	remote
}

type endpointAddCmd struct {
	endpointAt
	Role   string `help:"Role of it." enum:"any,primary,replica" default:"any"`
	Weight int    `help:"Its share of the group's traffic." default:"100"`
}

// Run adds an endpoint.
func (v *endpointAddCmd) Run(h *host) error {
	return v.with(func(c *cli.Client) error {
		in := map[string]any{"group": v.Group, "address": v.Address, "role": v.Role, "weight": v.Weight, "why": v.Why}
		var done struct{ Version int }
		if err := c.Do(context.Background(), http.MethodPost, resourcePath(v.Resource, "endpoints"), nil, in, &done); err != nil {
			return err
		}
		return published(h, v.Resource, done.Version)
	})
}

type endpointRemoveCmd struct{ endpointAt }

// Run removes an endpoint.
func (v *endpointRemoveCmd) Run(h *host) error {
	return v.with(func(c *cli.Client) error {
		q := url.Values{"group": {v.Group}, "address": {v.Address}}
		if v.Why != "" {
			q.Set("why", v.Why)
		}
		if err := c.Do(context.Background(), http.MethodDelete, resourcePath(v.Resource, "endpoints"), q, nil, nil); err != nil {
			return err
		}
		_, err := fmt.Fprintf(h.stdout, "%s: %s %s is removed\n", cli.Clean(v.Resource), cli.Clean(v.Group), cli.Clean(v.Address))
		return err
	})
}
