package governance

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/governance/api"
	"github.com/sluice-mesh/sluice/governance/command"
	"github.com/sluice-mesh/sluice/governance/fleet"
	"github.com/sluice-mesh/sluice/governance/members"
	"github.com/sluice-mesh/sluice/governance/registry"
	"github.com/sluice-mesh/sluice/governance/rollout"
	"github.com/sluice-mesh/sluice/governance/secrets"
	"github.com/sluice-mesh/sluice/governance/series"
	"github.com/sluice-mesh/sluice/internal/httpapi"
	"github.com/sluice-mesh/sluice/protocols/control"
	"github.com/sluice-mesh/sluice/resources"
)

// source is what agents run, put together from the rooms that know it. It implements fleet.Source.
type source struct {
	registry *registry.Registry
	secrets  *secrets.Secrets
	commands *command.Commands
	rollouts atomic.Pointer[rollout.Rollouts] // nil until there are any
	fleet    atomic.Pointer[fleet.Fleet]      // nil until there is one
	owned    ownedInfos
	log      *slog.Logger
}

var _ fleet.Source = (*source)(nil)

// Revision implements fleet.Source.
func (s *source) Revision() int64 {
	revision := max(s.registry.Revision(), s.commands.Revision(), s.secrets.Revision())
	if r := s.rollouts.Load(); r != nil {
		revision = max(revision, r.Revision())
	}
	return revision
}

// Resource implements fleet.Source. While a release is on its way, it decides which version an agent gets.
func (s *source) Resource(name string, a *fleet.Agent) (json.RawMessage, string, int64, bool) {
	spec, hash, revision, ok := s.spec(name, a)
	if secrets := s.Secrets(name, spec); len(secrets) > 0 {
		hash, revision = control.WithSecrets(hash, secrets), max(revision, s.secrets.Revision())
	}
	return spec, hash, revision, ok
}

// Secrets implements fleet.Source.
func (s *source) Secrets(name string, spec json.RawMessage) []control.Secret {
	return s.secrets.Of(name, spec)
}

// spec is Resource without secrets.
func (s *source) spec(name string, a *fleet.Agent) (json.RawMessage, string, int64, bool) {
	spec, hash, revision, ok := s.registry.Effective(name)
	r := s.rollouts.Load()
	if r == nil || a == nil || !ok {
		return spec, hash, revision, ok
	}
	version, rolling := r.Version(name, a.Name)
	if !rolling {
		return spec, hash, revision, ok
	}
	pinned, pinnedHash, err := s.registry.EffectiveAt(name, version)
	if err != nil {
		s.log.Error("an agent gets the newest version instead of the one of a release, which cannot be read", "agent", a.Name, "resource", name,
			"version", version, "error", err)
		return spec, hash, revision, ok
	}
	return pinned, pinnedHash, max(revision, r.Revision()), true
}

// Doubtful implements fleet.Doubter: until all agents had the time to say what they export, what seems not to be there may be.
func (s *source) Doubtful(name string) bool {
	if s.Settled() {
		return false
	}
	_, _, _, ok := s.registry.Effective(name)
	return !ok
}

// Settled implements fleet.Settler: agents' exports are known some time after the start.
func (s *source) Settled() bool {
	select {
	case <-s.registry.Complete():
		return true
	default:
		return false
	}
}

// Commands implements fleet.Source.
func (s *source) Commands(name string, a *fleet.Agent) []json.RawMessage {
	if a == nil {
		return nil
	}
	info, ok := s.info(name, a)
	if !ok {
		return nil
	}
	var out []json.RawMessage
	for _, c := range s.commands.For(info, command.AgentInfo{Name: a.Name, IDC: a.IDC, Application: a.Application, Labels: a.Labels}) {
		if js, err := json.Marshal(c); err == nil { // plain fields
			out = append(out, js)
		}
	}
	return out
}

// info is a resource as commands select it: as the agent's file has it, else as the centre has it.
func (s *source) info(name string, a *fleet.Agent) (command.ResourceInfo, bool) {
	i, own := slices.BinarySearchFunc(a.Owns, name, func(o fleet.Owned, n string) int { return strings.Compare(o.Name, n) })
	if own {
		return s.owned.info(&a.Owns[i])
	}
	o, ok := s.registry.Outline(name)
	if !ok {
		return command.ResourceInfo{}, false
	}
	return infoOfOutline(o), true
}

func infoOfOutline(o registry.Outline) command.ResourceInfo {
	r := command.ResourceInfo{Name: o.Name, Kind: o.Kind, Labels: o.Labels}
	for _, g := range o.Groups {
		r.AddGroup(g.Name, g.IDC)
	}
	return r
}

// ownedInfos keeps what was read from specs of agents' files, which many agents have in common.
type ownedInfos struct {
	mu sync.Mutex
	by map[string]command.ResourceInfo // by name and spec
}

// mostOwned bounds what is kept.
const mostOwned = 4096

func (o *ownedInfos) info(owned *fleet.Owned) (command.ResourceInfo, bool) {
	spec := owned.Spec()
	key := owned.Name + "\n" + string(spec) // not the hash, which is the agent's word
	o.mu.Lock()
	defer o.mu.Unlock()
	if info, ok := o.by[key]; ok {
		return info, true
	}
	info, ok := infoOfSpec(owned.Name, spec)
	if !ok {
		return info, false
	}
	if o.by == nil || len(o.by) >= mostOwned {
		o.by = make(map[string]command.ResourceInfo)
	}
	o.by[key] = info
	return info, true
}

// infoOfSpec reads what commands need from a spec that an agent's parser wrote.
func infoOfSpec(name string, spec json.RawMessage) (command.ResourceInfo, bool) {
	var s struct {
		Kind   string                     `json:"kind"`
		Labels map[string]string          `json:"labels"`
		Groups map[string]resources.Group `json:"groups"`
	}
	if json.Unmarshal(spec, &s) != nil {
		return command.ResourceInfo{}, false
	}
	r := command.ResourceInfo{Name: name, Kind: s.Kind, Labels: s.Labels}
	for g, group := range s.Groups {
		r.AddGroup(g, group.IDC)
	}
	return r, true
}

// infos are all resources, for commands that select them: the centre's, and then those of agents' files, each definition of a
// name once.
func (s *source) infos() []command.ResourceInfo {
	var out []command.ResourceInfo
	for _, o := range s.registry.Outlines() {
		out = append(out, infoOfOutline(o))
	}
	f := s.fleet.Load()
	if f == nil {
		return out
	}
	type definition struct{ name, spec string }
	seen := make(map[definition]struct{})
	for _, a := range f.Agents() {
		for _, o := range a.Owns {
			if _, dup := seen[definition{o.Name, string(o.Spec())}]; dup {
				continue
			}
			seen[definition{o.Name, string(o.Spec())}] = struct{}{}
			if info, ok := s.owned.info(&o); ok {
				out = append(out, info)
			}
		}
	}
	return out
}

// reported takes a report of an agent.
func (z *Center) reported(a *fleet.Agent, payload []byte, at time.Time) {
	if z.peers != nil {
		z.peers.Report(a, payload, at)
	}
	if err := z.series.Ingest(series.AgentInfo{Name: a.Name, Application: a.Application, IDC: a.IDC}, payload, at); err != nil {
		z.log.Warn("a report cannot be read", "agent", a.Name, "error", err)
	}
}

// exported takes what an agent vouches for.
// exports is who takes what agents export: the registry, or what shares it with other centres as well.
func (z *Center) exports() members.Registry {
	if z.members != nil {
		return z.members
	}
	return z.registry
}

func (z *Center) exported(a *fleet.Agent, services []control.Service) {
	if err := z.exports().Export(a.Name, a.Boot, services); err != nil {
		z.log.Warn("not all services that an agent exports are taken", "agent", a.Name, "error", err)
	}
}

// gone notes that an agent's link ended.
func (z *Center) gone(a *fleet.Agent) {
	z.exports().Gone(a.Name, a.Boot)
	if !z.fleet.Connected(a.Name) { // else it is at another centre, which says what it does
		z.series.Gone(a.Name)
	}
	z.api.Changed("agents", "overview")
}

// said notes that an agent has something new to say of itself.
func (z *Center) said(*fleet.Agent) { z.api.Changed("agents", "resources", "overview") }

// documentsChanged passes on that resources are others than before. While the centre has just started it does not know yet what
// agents export, and must not tell others that it is gone: what has such endpoints waits until every agent had the time to report.
func (z *Center) documentsChanged(names []string, revision int64) {
	z.mu.Lock()
	if z.waiting != nil {
		names = slices.DeleteFunc(slices.Clone(names), func(n string) bool {
			exported := z.hasExports(n)
			if exported {
				z.waiting[n] = struct{}{}
			}
			return exported
		})
	}
	z.mu.Unlock()
	if len(names) > 0 {
		z.fleet.Changed(names, revision)
	}
	topics := []string{"resources", "overview", "audit"}
	for _, n := range names {
		topics = append(topics, "resource/"+n)
	}
	z.api.Changed(topics...)
}

// hasExports reports whether agents vouch for endpoints of a resource.
func (z *Center) hasExports(name string) bool {
	endpoints, _ := z.registry.Endpoints(name) // none when it went meanwhile
	return slices.ContainsFunc(endpoints, func(e registry.Endpoint) bool { return e.Origin != "operator" })
}

// completed passes on what waited for the agents' exports.
func (z *Center) completed(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-z.registry.Complete():
	}
	z.mu.Lock()
	names := slices.Sorted(maps.Keys(z.waiting))
	z.waiting = nil
	z.mu.Unlock()
	if len(names) > 0 {
		z.fleet.Changed(names, z.registry.Revision())
	}
	z.fleet.Settle()
}

func (z *Center) commandsChanged(_ []string, targets []command.Selector, revision int64) {
	var names []string
	for _, info := range z.source.infos() {
		if slices.ContainsFunc(targets, func(t command.Selector) bool { return t.Match(info) }) {
			names = append(names, info.Name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > 0 {
		z.fleet.Changed(names, revision)
	}
	z.api.Changed("commands", "resources", "overview", "audit")
}

// allow says whether a document may be what it is to become.
func (z *Center) allow(ctx context.Context, name string, spec []byte) error {
	if err := z.secrets.Check(name, spec, api.Everywhere(ctx)); err != nil {
		return httpapi.Invalid("settings", "%v", err)
	}
	return nil
}

// secretsChanged sends resources that refer to changed secrets to agents anew.
func (z *Center) secretsChanged(changed []string, revision int64) {
	var names []string
	for _, o := range z.registry.Outlines() {
		spec, _, _, _ := z.registry.Effective(o.Name)
		if slices.ContainsFunc(resources.SecretNames(spec), func(n string) bool { return slices.Contains(changed, n) }) {
			names = append(names, o.Name)
		}
	}
	if len(names) > 0 {
		z.fleet.Changed(names, revision)
	}
	z.api.Changed("access", "audit")
}
