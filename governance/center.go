package governance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/governance/api"
	"github.com/sluice-mesh/sluice/governance/audit"
	"github.com/sluice-mesh/sluice/governance/auth"
	"github.com/sluice-mesh/sluice/governance/command"
	"github.com/sluice-mesh/sluice/governance/fleet"
	"github.com/sluice-mesh/sluice/governance/members"
	"github.com/sluice-mesh/sluice/governance/peers"
	"github.com/sluice-mesh/sluice/governance/registry"
	"github.com/sluice-mesh/sluice/governance/rollout"
	"github.com/sluice-mesh/sluice/governance/secrets"
	"github.com/sluice-mesh/sluice/governance/series"
	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/governance/store/bolt"
	"github.com/sluice-mesh/sluice/governance/store/etcd"
	"github.com/sluice-mesh/sluice/governance/ui"
)

// Options are what the program gives to a centre.
type Options struct {
	Version string
	Log     *slog.Logger
	Parse   config.Options // the kinds and filters that agents have

	over func(store.Store) store.Store // of tests: what stands before the store; nil: nothing
}

// Center is a running centre. Make it with Open, run it with Run, which ends it.
type Center struct {
	config Config
	log    *slog.Logger

	source   *source
	store    store.Store
	audit    *audit.Log
	auth     *auth.Auth
	secrets  *secrets.Secrets
	registry *registry.Registry
	commands *command.Commands
	rollouts *rollout.Rollouts
	series   *series.Store
	members  *members.Members // nil: no other centre can be on the store
	peers    *peers.Peers     // likewise
	fleet    *fleet.Fleet
	api      *api.Server
	port     *port

	firstLink string

	mu      sync.Mutex
	waiting map[string]struct{} // resources with exports that changed while not all agents had reported; nil once they have
}

// Open starts a centre: it listens when it returns, and answers when Run runs.
func Open(ctx context.Context, c Config, o Options) (_ *Center, err error) {
	if c.Name == "" {
		c.Name, _ = os.Hostname()
		c.Name = cmp.Or(c.Name, "center")
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	z := &Center{config: c, log: o.Log, waiting: make(map[string]struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, z.close())
		}
	}()
	if z.store, err = openStore(ctx, c, o.Log); err != nil {
		return nil, err
	}
	if o.over != nil {
		z.store = o.over(z.store)
	}
	z.audit = audit.Wrap(z.store, audit.Options{Center: c.Name, File: filepath.Join(c.Data, "audit.head"), Log: o.Log})
	start := audit.By(ctx, audit.Actor{Who: "center " + c.Name, What: "start"})
	if z.auth, err = auth.Open(start, auth.Options{Store: z.audit, Dir: c.Data}); err != nil {
		return nil, err
	}
	if z.secrets, err = secrets.Open(ctx, secrets.Options{Store: z.audit, Sealer: z.auth.Sealer(), Log: o.Log}); err != nil {
		return nil, err
	}
	o.Parse.Secrets = func(string) (string, bool) { return "", true } // agents get the values, and Allow says which
	z.registry, err = registry.Open(ctx, registry.Options{Store: z.audit, Parse: o.Parse, Log: o.Log, Grace: c.Protection.Grace.D(), Allow: z.allow,
		Protect: registry.Protection{Share: c.Protection.Share, Window: c.Protection.Window.D()}})
	if err != nil {
		return nil, err
	}
	if z.series, err = series.Open(series.Options{Dir: filepath.Join(c.Data, "series"), Log: o.Log}); err != nil {
		return nil, err
	}
	source := &source{registry: z.registry, secrets: z.secrets, log: o.Log}
	z.source = source
	if c.Etcd != nil {
		z.members, err = members.Open(ctx, members.Options{Store: z.store, Registry: z.registry, Me: c.Name, Grace: c.Protection.Grace.D(), Log: o.Log})
		if err != nil {
			return nil, fmt.Errorf("exports: %w", err)
		}
	}
	z.commands, err = command.Open(ctx, command.Options{Store: z.audit, Resources: source.infos, Log: o.Log, Me: c.Name})
	if err != nil {
		return nil, err
	}
	source.commands = z.commands
	ln, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	z.port = newPort(ln, z.auth.CA().ServerConfig())
	options := fleet.Options{Source: source, Log: o.Log, Name: c.Name, Cluster: z.store.Cluster(),
		OnReport: z.reported, OnExport: z.exported, OnGone: z.gone, OnState: z.said}
	if c.Etcd != nil {
		if z.peers, err = z.newPeers(); err != nil {
			return nil, fmt.Errorf("other centres: %w", err)
		}
		options.Elsewhere = z.peers
	}
	if z.fleet, err = fleet.New(options); err != nil {
		return nil, err
	}
	source.fleet.Store(z.fleet)
	if z.rollouts, err = rollout.Open(ctx, z.rolloutOptions()); err != nil {
		return nil, err
	}
	source.rollouts.Store(z.rollouts)
	if err := z.openAPI(o); err != nil {
		return nil, err
	}
	z.registry.OnChange(z.documentsChanged)
	z.commands.OnChange(z.commandsChanged)
	z.secrets.OnChange(z.secretsChanged)
	z.rollouts.OnServed(func(names []string, revision int64) {
		z.fleet.Changed(names, revision)
		z.api.Changed("releases", "resources", "overview")
	})
	z.rollouts.OnChange(func(topic string) { z.api.Changed(topic, "overview", "audit") })
	if z.peers != nil {
		if err := z.peers.Start(ctx, z.fleet); err != nil {
			return nil, err
		}
	}
	return z, z.offerFirstLogin(ctx)
}

func openStore(ctx context.Context, c Config, log *slog.Logger) (store.Store, error) {
	e := c.Etcd
	if e == nil {
		return bolt.Open(c.Data, bolt.Options{})
	}
	password, err := e.Password.Reveal()
	if err != nil {
		return nil, fmt.Errorf("etcd.password: %w", err)
	}
	cfg := etcd.Config{Endpoints: e.Endpoints, Prefix: e.Prefix, Username: e.User, Password: password}
	if e.TLS != nil {
		if cfg.TLS, err = e.TLS.Config(); err != nil {
			return nil, fmt.Errorf("etcd.tls: %w", err)
		}
	}
	return etcd.Open(ctx, cfg, log)
}

func (z *Center) openAPI(o Options) error {
	var provider *auth.OIDC
	if c := z.config.OIDC; c != nil {
		secret, err := c.Secret.Reveal()
		if err != nil {
			return fmt.Errorf("oidc.client-secret: %w", err)
		}
		provider, err = z.auth.NewOIDC(auth.OIDCConfig{Name: c.Name, Issuer: c.Issuer, ClientID: c.ClientID, Secret: secret, Redirect: c.Redirect,
			User: c.User, Groups: c.Groups, Roles: c.Roles})
		if err != nil {
			return err
		}
	}
	var older *series.Reader
	if g := z.config.Graphite; g != nil {
		older = &series.Reader{URL: strings.TrimRight(g.URL, "/"), Prefix: g.Prefix}
	}
	pages, err := ui.New()
	if err != nil {
		return err
	}
	z.api = api.New(api.Options{
		Name: z.config.Name, Version: o.Version, Cluster: z.store.Cluster(), Hosts: z.config.Hosts, Insecure: z.config.Insecure, Log: o.Log,
		Auth: z.auth, OIDC: provider, Audit: z.audit, Registry: z.registry, Commands: z.commands, Rollouts: z.rollouts,
		Resources: z.source.infos, Secrets: z.secrets, Fleet: z.fleet, Peers: z.peers, Series: z.series, History: z.history, Operations: z.operations, Edges: z.edges,
		Graphite: older, UI: pages,
	})
	return nil
}

// offerFirstLogin makes a link when nobody can log in yet.
func (z *Center) offerFirstLogin(ctx context.Context) error {
	users, err := z.auth.Users(ctx)
	if err != nil || len(users) > 0 {
		return err
	}
	code, err := z.auth.Link(audit.By(ctx, audit.Actor{Who: "center " + z.config.Name, What: "offer the first login"}), "admin",
		[]auth.Grant{{Role: auth.Admin}}, "center "+z.config.Name)
	if err == nil {
		z.firstLink = z.URL() + "/login?code=" + code
	}
	return err
}

// FirstLogin returns the link of the first start.
func (z *Center) FirstLogin() (link string, first bool) { return z.firstLink, z.firstLink != "" }

// URL is where the pages are, as seen from this machine.
func (z *Center) URL() string { return "http://" + z.port.Addr().String() }

// Run serves until ctx is done.
func (z *Center) Run(ctx context.Context) error {
	var background sync.WaitGroup
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	background.Go(func() { z.housekeep(work) })
	background.Go(func() { z.api.Watch(work) })
	background.Go(func() { z.completed(work) })
	serving := make(chan error, 1)
	go func() { serving <- z.api.Serve(z.port) }()
	z.log.Info("centre is serving", "center", z.config.Name, "cluster", z.store.Cluster(), "url", z.URL())
	var err error
	select {
	case <-ctx.Done():
		z.log.Info("centre stops")
	case err = <-serving:
		err = fmt.Errorf("serving: %w", err)
	}
	stop()
	background.Wait()
	return errors.Join(err, z.close())
}

// sweepEvery is how often what is over is forgotten.
const sweepEvery = 10 * time.Minute

// housekeep does what one centre must do for all.
func (z *Center) housekeep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	store.Reign(ctx, z.store, "housekeeping", z.config.Name, "forgetting what is over", z.log, func(ctx context.Context, l store.Leadership) error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-l.Lost():
				return nil
			case <-tick.C:
				by := audit.By(ctx, audit.Actor{Who: "center " + z.config.Name, What: "forget what is over"})
				if err := z.auth.Sweep(by); err != nil {
					return err
				}
			}
		}
	})
}

// stopTime bounds how long a centre takes to stop.
const stopTime = 5 * time.Second

// close ends what was opened, in the reverse order.
func (z *Center) close() error {
	var errs []error
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	if z.fleet != nil {
		z.fleet.Close(ctx)
	}
	if z.peers != nil {
		errs = append(errs, z.peers.Close())
	}
	if z.api != nil {
		errs = append(errs, z.api.Shutdown(ctx))
	}
	if z.port != nil {
		z.port.Close() // a second time after Shutdown, unless it never served
	}
	if z.rollouts != nil {
		z.rollouts.Close()
	}
	if z.commands != nil {
		z.commands.Close()
	}
	if z.members != nil {
		z.members.Close()
	}
	if z.registry != nil {
		z.registry.Close()
	}
	if z.secrets != nil {
		z.secrets.Close()
	}
	if z.series != nil {
		errs = append(errs, z.series.Close())
	}
	if z.store != nil {
		errs = append(errs, z.store.Close())
	}
	return errors.Join(errs...)
}
