package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/sluice-mesh/sluice/governance/audit"
	"github.com/sluice-mesh/sluice/governance/auth"
	"github.com/sluice-mesh/sluice/governance/command"
	"github.com/sluice-mesh/sluice/governance/fleet"
	"github.com/sluice-mesh/sluice/governance/peers"
	"github.com/sluice-mesh/sluice/governance/registry"
	"github.com/sluice-mesh/sluice/governance/rollout"
	"github.com/sluice-mesh/sluice/governance/secrets"
	"github.com/sluice-mesh/sluice/governance/series"
	"github.com/sluice-mesh/sluice/governance/store"
)

// Options are the rooms behind the interface.
type Options struct {
	Name     string // of this centre
	Version  string // of the program
	Cluster  string
	Hosts    []string // names, beside addresses and localhost, that a Host header may hold
	Insecure bool     // serve plain HTTP to other machines too
	Log      *slog.Logger
	Now      func() time.Time

	Auth     *auth.Auth
	OIDC     *auth.OIDC // nil: people log in by links alone
	Audit    *audit.Log
	Registry *registry.Registry
	Commands *command.Commands
	Rollouts *rollout.Rollouts
	// Resources is that of command.Options.
	Resources func() []command.ResourceInfo
	Secrets   *secrets.Secrets
	Fleet     *fleet.Fleet
	Peers     *peers.Peers // nil: no other centre can be on the store
	Series    *series.Store
	// History is Series.Query, with what other centres know better.
	History func(ctx context.Context, q series.Query) ([]series.Point, error)
	// Operations is Series.Top and Edges is Series.Edges, likewise. partial: there were more calls, which no centre knows.
	Operations func(ctx context.Context, q series.Query, by string, n int) (top []series.Operation, partial bool, err error)
	Edges      func(ctx context.Context, from, to time.Time) (edges []series.Edge, partial bool, err error)
	Graphite   *series.Reader // of what is older than Series; nil: nothing is
	UI         http.Handler
}

// isOurs reports whether an error has an answer of its own, and is not the client's mistake by default.
func isOurs(err error) bool {
	for _, known := range []error{store.ErrConflict, store.ErrNotFound, store.ErrClosed, store.ErrFailed, auth.ErrUnauthorized,
		context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}
