package agent

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/sluice-mesh/sluice/agent/admin"
	"github.com/sluice-mesh/sluice/agent/discovery"
	"github.com/sluice-mesh/sluice/resources"
)

// registries holds a source for each registry that a resource or an export names, for as long as one does.
type registries struct {
	application string
	log         *slog.Logger

	mu   sync.Mutex
	open map[string]*registry // guarded by mu: by address
}

// registry is an open source and how many use it.
type registry struct {
	discovery.Source
	users int
}

var _ resources.Finder = (*registries)(nil)

func newRegistries(application string, log *slog.Logger) *registries {
	return &registries{application: application, log: log, open: make(map[string]*registry)}
}

// use returns the source at an address, until done is called.
func (r *registries) use(address string) (source discovery.Source, done func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.open[address]
	if one == nil {
		s, err := discovery.Open(address, discovery.Options{Application: r.application, Log: r.log.With("registry", address)})
		if err != nil {
			return nil, nil, err
		}
		one = &registry{Source: s}
		r.open[address] = one
	}
	one.users++
	return one.Source, func() { r.leave(address, one) }, nil
}

func (r *registries) leave(address string, one *registry) {
	r.mu.Lock()
	one.users--
	last := one.users == 0
	if last {
		delete(r.open, address)
	}
	r.mu.Unlock()
	if last {
		if err := one.Close(); err != nil {
			r.log.Warn("closing a registry", "registry", address, "error", err)
		}
	}
}

// Find implements [resources.Finder].
func (r *registries) Find(ctx context.Context, address string, s resources.Service, report func([]resources.Member)) error {
	source, done, err := r.use(address)
	if err != nil {
		return err
	}
	defer done()
	return source.Watch(ctx, discovery.Service(s), func(found discovery.Report) {
		report(discovery.Members(found.Nodes))
	})
}

// views are the registries as they are, by address.
func (r *registries) views() []admin.Registry {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []admin.Registry
	for _, address := range slices.Sorted(maps.Keys(r.open)) {
		st := r.open[address].Status()
		v := admin.Registry{Address: address, Connected: st.Connected, Since: st.Since, Error: st.Error, Watches: st.Watches}
		for _, a := range st.Announced {
			v.Announced = append(v.Announced, admin.Announced{
				Service: resources.Service(a.Node.Service).String(), Address: a.Node.Address, Available: a.Node.Available, Stands: a.Stands, Error: a.Error,
			})
		}
		out = append(out, v)
	}
	return out
}
