package http

import (
	"context"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/resources"
)

// Kind is the word of the `kind:` key.
const Kind = "http"

// DefaultTimeout is the policy's timeout when none is written: from a request to the head of its answer.
const DefaultTimeout = 15 * time.Second

func init() { resources.Register(&Driver{}) }

// Driver makes resources of kind http. The zero value is ready.
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

// Resource is one open service.
type Resource struct {
	rt     resources.Runtime
	set    *Settings
	caller string   // settings.caller in lower case
	key    string   // settings.key in lower case
	shards []*shard // one for each loop, by its number

	life resources.Lifetime
}

// Open implements resources.Driver.
func (d *Driver) Open(set resources.Settings, rt resources.Runtime) (resources.Resource, error) {
	s := set.(*Settings)
	r := &Resource{rt: rt, set: s, caller: strings.ToLower(s.Caller), key: strings.ToLower(s.Key)}
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
	return r.life.Shutdown(ctx, parts, "calls were cut that had no answer yet, or connections that were upgraded")
}
