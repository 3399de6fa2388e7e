package own

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-mesh/sluice/resources"
)

// driver is the kind `note`: a store that is asked in lines, and answers each with one line.
//
//	get KEY         =VALUE     a missing one is an error
//	put KEY VALUE   =ok
//	ping            =pong      asked by health checks
//
// Errors of a server are -TEXT, those of the agent !CODE TEXT.
type driver struct{}

// Settings is `settings:` of a resource of the kind.
type Settings struct {
	Longest resources.Size `yaml:"longest,omitempty" json:"longest" doc:"longest line of a request or an answer" default:"64KiB" bounds:"64 to 1MiB" reload:"drain"`
}

// The operations, by their places in the table.
var ops = []resources.OpInfo{
	{Name: "get", Class: resources.ClassRead, Retry: resources.RetryIdempotent},
	{Name: "put", Class: resources.ClassWrite},
}

// Kind implements resources.Driver.
func (driver) Kind() string { return "note" }

// Ops implements resources.Driver.
func (driver) Ops() []resources.OpInfo { return ops }

// Settings implements resources.Driver. Bounds, units and unknown fields have been checked by the tags when raw returns.
func (d driver) Settings(raw func(any) error) (resources.Settings, error) {
	s := d.SettingsDoc().(*Settings)
	if err := raw(s); err != nil {
		return nil, err
	}
	if s.Longest&(s.Longest-1) != 0 {
		return nil, resources.At("longest", errors.New("it must be a power of two, such as 4KiB"))
	}
	return s, nil
}

// SettingsDoc implements resources.SettingsDocer: the reference has the settings and their defaults.
func (driver) SettingsDoc() any { return &Settings{Longest: 64 << 10} }

// Open implements resources.Driver.
func (driver) Open(s resources.Settings, rt resources.Runtime) (resources.Resource, error) {
	longest := s.(*Settings).Longest
	r := &store{rt: rt, longest: int(longest)}
	what := fmt.Sprintf("a line is longer than %v (settings.longest)", longest)
	r.tooLong = r.AppendStop(nil, nil, &resources.Stop{Fault: resources.NewFault(resources.TooLarge, resources.FromClient, rt.Name(), what)})
	return r, nil
}

// store is an open resource.
type store struct {
	rt      resources.Runtime
	longest int
	tooLong []byte // the answer to a line that is longer
	clients resources.Clients
}

// Update implements resources.Resource: what changed is asked for with each call.
func (*store) Update() {}

// Shutdown implements resources.Resource.
func (r *store) Shutdown(ctx context.Context) error { return r.clients.Shutdown(ctx) }

// AppendStop implements resources.Resource.
func (r *store) AppendStop(dst []byte, _ *resources.Call, s *resources.Stop) []byte {
	switch {
	case s.Fault != nil:
		return fmt.Appendf(dst, "!%s %s\n", strings.ToUpper(s.Fault.Code.String()), s.Fault.Text)
	case s.Empty:
		return append(dst, "=\n"...)
	}
	return fmt.Appendf(dst, "=%s\n", s.Reply)
}

// Probe implements resources.Resource.
func (r *store) Probe(ep *resources.Endpoint) resources.Probe { return &probe{r: r, ep: ep} }

// probe is the health check of one endpoint, on a connection of its own.
type probe struct {
	r  *store
	ep *resources.Endpoint
	on *link
}

// Check implements resources.Probe.
func (p *probe) Check(ctx context.Context) (resources.Health, error) {
	if p.on == nil {
		l, fault := p.r.dial(ctx, p.ep)
		if fault != nil {
			return resources.Health{}, fault
		}
		p.on = l
	}
	end, _ := ctx.Deadline()
	answer, _, err := p.on.ask("ping\n", end)
	if err != nil {
		p.Close()
		return resources.Health{}, err
	}
	return resources.Health{Ready: answer == "=pong\n", Detail: strings.TrimSpace(answer)}, nil
}

// Close implements resources.Probe.
func (p *probe) Close() {
	if p.on != nil {
		p.on.close()
		p.on = nil
	}
}

// RegisteredAs implements resources.Registered: resources of the kind can be found in registries, by their names.
func (*Settings) RegisteredAs(resource, group string) resources.Service {
	return resources.Service{Group: group, Path: resource, Protocol: "note"}
}
