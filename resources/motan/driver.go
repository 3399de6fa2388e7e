package motan

import (
	"context"
	"time"

	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/resources"
)

// Kind is the word of the `kind:` key.
const Kind = "motan2"

// DefaultTimeout is the policy's timeout when none is written.
const DefaultTimeout = time.Second

func init() { resources.Register(&Driver{}) }

// Driver makes resources of kind motan2. The zero value is ready.
type Driver struct{}

var (
	_ resources.Sharing = (*Driver)(nil)
	_ resources.Alike   = (*Driver)(nil)
)

// Alike implements resources.Alike.
func (d *Driver) Alike() {}

// Kind implements resources.Driver.
func (d *Driver) Kind() string { return Kind }

// Settings implements resources.Driver.
func (d *Driver) Settings(raw func(any) error) (resources.Settings, error) {
	s := &Settings{}
	if err := raw(s); err != nil {
		return nil, err
	}
	if err := s.fill(); err != nil {
		return nil, err
	}
	return s, nil
}

// PolicyDefaults implements resources.PolicyDefaulter.
func (d *Driver) PolicyDefaults(p *resources.Policy) { p.Timeout = resources.Duration(DefaultTimeout) }

// SettingsDoc returns the settings with their defaults, for the reference.
func (d *Driver) SettingsDoc() any {
	s := &Settings{}
	_ = s.fill()
	return s
}

// Ops implements resources.Driver: the methods of a service are learnt from its callers.
func (d *Driver) Ops() []resources.OpInfo { return nil }

// Resource is one open service.
type Resource struct {
	rt      resources.Runtime
	set     *Settings
	service string
	shards  []*shard // one for each loop, by its number

	life resources.Lifetime
}

// Open implements resources.Driver.
func (d *Driver) Open(set resources.Settings, rt resources.Runtime) (resources.Resource, error) {
	s := set.(*Settings)
	r := &Resource{rt: rt, set: s, service: s.service(rt.Name())}
	loops, err := rt.Loops()
	if err != nil {
		return nil, err
	}
	r.life.Begin()
	loops.Each(func(_ int, l *loop.Loop) { r.shards = append(r.shards, newShard(r, l)) })
	return r, nil
}

// Update implements resources.Resource.
func (r *Resource) Update() {
	for _, sh := range r.shards {
		sh.loop.Post(sh.update)
	}
}

// Shutdown implements resources.Resource.
func (r *Resource) Shutdown(ctx context.Context) error {
	parts := make([]resources.Part, 0, len(r.shards))
	for _, sh := range r.shards {
		parts = append(parts, resources.Part{Loop: sh.loop, Drain: sh.links.Drain, End: sh.end})
	}
	return r.life.Shutdown(ctx, parts, "calls were cut that had no answer yet")
}
