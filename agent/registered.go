package agent

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/agent/control"
	"github.com/sluice-mesh/sluice/agent/manage"
	"github.com/sluice-mesh/sluice/agent/runtime"
	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/internal/httpapi"
	"github.com/sluice-mesh/sluice/resources"
)

// mostRegistered bounds what applications may register with an agent.
const mostRegistered = 1000

// registered is what applications registered with the agent and subscribed to by themselves. Each is a resource of its own: one
// that is called at agent.motan.forward and finds its endpoints in a registry, or one at agent.motan.export whose endpoints are
// the ports that were registered, and which is exported.
type registered struct {
	*Agent
	config *config.MotanConfig
	kept   *control.Registrations
	told   manage.Metadata // by applications, for others

	list    []*registration // guarded by Agent.changing
	exports sync.Mutex      // held while what is exported is changed
}

// registration is one of them.
type registration struct {
	control.Registered
	name   string    // of its resource
	export *exported // guarded by registered.exports; nil: it is not exported (yet, or any more)
}

var _ manage.Backend = (*registered)(nil)

// openRegistered reads what was registered before; nothing when the config does not let applications register.
func (a *Agent) openRegistered() error {
	if a.identity.Motan == nil {
		return nil
	}
	kept, list, err := control.OpenRegistrations(a.identity.Data, a.log)
	if err != nil {
		return err
	}
	a.registered = &registered{Agent: a, config: a.identity.Motan, kept: kept}
	for _, r := range list {
		if !slices.Contains(slices.Collect(maps.Values(a.identity.Motan.Registries)), r.Registry) {
			a.log.Warn("a service that an application registered is left out: the config does not name its registry any more", "service", r.Path, "registry", r.Registry)
			continue
		}
		a.registered.list = append(a.registered.list, newRegistration(r))
	}
	return nil
}

func newRegistration(r control.Registered) *registration {
	return &registration{Registered: r, name: nameOf(&r)}
}

// nameOf makes the name of a resource: what can be read of the service and the group, and what tells it from all others.
func nameOf(r *control.Registered) string {
	verb := "calls"
	if len(r.Serves) > 0 {
		verb = "serves"
	}
	word := func(s string, most int) string {
		s = strings.Map(func(c rune) rune {
			if c < 0x80 && (c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z') {
				return c
			}
			return '-'
		}, s)
		return s[:min(len(s), most)]
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{verb, r.Group, r.Path, r.Version}, "\n")))
	path := r.Path[strings.LastIndexByte(r.Path, '.')+1:]
	return strings.Join([]string{verb, word(path, 24), word(r.Group, 16), hex.EncodeToString(sum[:3])}, "-")
}

// document is the resource of a registration.
func (r *registration) document(c *config.MotanConfig) ([]byte, error) {
	const group = "all" // a group of ours; Motan's may have any name
	settings := map[string]any{"service": r.Path, "groups": map[string]string{group: r.Group}}
	if r.Version != "" {
		settings["version"] = r.Version
	}
	listen, members := c.Forward, map[string]any{"registry": r.Registry}
	if len(r.Serves) > 0 {
		var at []string
		for _, port := range r.Serves {
			at = append(at, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		}
		listen, members = c.Export, map[string]any{"endpoints": at}
	}
	return json.Marshal(map[string]any{"kind": "motan2", "listen": listen, "settings": settings, "groups": map[string]any{group: members}})
}

// declare adds the resources of a list to others. One that cannot be is an error when it is strict, else it is left out and said
// in the log. A service that the agent's own config lets applications call already needs no resource.
func (s *registered) declare(next map[string]*declared, list []*registration, strict bool) error {
	if s == nil {
		return nil
	}
	for _, r := range list {
		err := s.declareOne(next, r)
		switch {
		case err == nil:
		case strict:
			return err
		default:
			s.log.Warn("a service that an application registered is left out", "service", r.Path, "group", r.Group, "error", err)
		}
	}
	return nil
}

func (s *registered) declareOne(next map[string]*declared, r *registration) error {
	text, err := r.document(s.config)
	if err != nil {
		return err
	}
	parsed, err := s.opt.Config.ParseResource(r.name, text)
	if err != nil {
		return invalid(err)
	}
	d, err := declare(parsed, fromApplication)
	if err != nil {
		return err
	}
	if len(r.Serves) == 0 && s.served(next, d) {
		return nil
	}
	with := maps.Clone(next)
	with[r.name] = d
	if err := conflicts(with); err != nil {
		return httpapi.Conflict("%v", err)
	}
	next[r.name] = d
	return nil
}

// served reports whether another resource at the same address serves all that d would.
func (s *registered) served(next map[string]*declared, d *declared) bool {
	want := d.Settings.(resources.Registered).RegisteredAs("", "all")
	for name, other := range next {
		as, ok := other.Settings.(resources.Registered)
		if !ok || name == d.Spec.Name || other.Spec.Kind != d.Spec.Kind || !slices.Contains(other.Spec.Listen, d.Spec.Listen[0]) {
			continue
		}
		for _, g := range other.Spec.GroupNames() {
			have := as.RegisteredAs(name, g)
			if have.Group == want.Group && have.Path == want.Path && (have.Version == "" || have.Version == want.Version) {
				return true
			}
		}
	}
	return false
}

// change brings another list into force and keeps it, or neither. changing is held.
func (s *registered) change(list []*registration) error {
	if s.draining.Load() {
		return httpapi.Unavailable("%v", errDraining)
	}
	if len(list) > mostRegistered {
		return httpapi.Unavailable("%d services are registered already", mostRegistered)
	}
	next := s.running()
	maps.DeleteFunc(next, func(_ string, d *declared) bool { return d.source == fromApplication })
	if err := s.declare(next, list, true); err != nil {
		return err
	}
	b := &backend{s.Agent}
	err := b.put(next, func() error {
		kept := make([]control.Registered, len(list))
		for i, r := range list {
			kept[i] = r.Registered
		}
		return s.kept.Save(kept)
	})
	if err == nil {
		s.list = list
		b.ownedChanged()
	}
	return err
}

// find returns the place of a service in the list; -1: it is not there. changing is held.
func (s *registered) find(one control.Registered) int {
	name := nameOf(&one)
	return slices.IndexFunc(s.list, func(r *registration) bool { return r.name == name })
}

func recordOf(s manage.Service) control.Registered {
	r := control.Registered{Group: s.Group, Path: s.Path, Version: s.Version, Registry: s.Registry}
	if s.Port > 0 {
		r.Serves = []int{s.Port}
	}
	return r
}

// foundTime is how long an application that subscribes waits for somebody whom it can call. Java gives the agent 5 s.
const foundTime = 3 * time.Second

// Subscribe implements manage.Backend.
func (s *registered) Subscribe(ctx context.Context, service manage.Service) error {
	if err := s.subscribe(service); err != nil {
		return err
	}
	record := recordOf(service)
	m := s.set.get(nameOf(&record))
	if m == nil { // the agent's own config lets it be called
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, foundTime)
	defer cancel()
	up := func(e runtime.EndpointStatus) bool { return e.State == "up" }
	for ctx.Err() == nil && !slices.ContainsFunc(m.run.Endpoints(), up) {
		clock.Sleep(ctx, 5*time.Millisecond)
	}
	return nil
}

func (s *registered) subscribe(service manage.Service) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	r := newRegistration(recordOf(service))
	if i := s.find(r.Registered); i >= 0 && s.list[i].Registry == r.Registry {
		return nil
	} else if i >= 0 {
		return httpapi.Conflict("%s in group %s is subscribed to in %s already", r.Path, r.Group, s.list[i].Registry)
	}
	err := s.change(append(slices.Clone(s.list), r))
	s.said("an application subscribed to a service", r, err)
	return err
}

// Register implements manage.Backend.
func (s *registered) Register(_ context.Context, service manage.Service) error {
	if s.config.Export == "" {
		return httpapi.Conflict("agent.motan.export is not set: this agent does not serve others")
	}
	r, err := s.serve(recordOf(service))
	if err != nil {
		return err
	}
	return s.export(r)
}

// serve adds a port to what is served.
func (s *registered) serve(one control.Registered) (*registration, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	i := s.find(one)
	if i >= 0 && s.list[i].Registry != one.Registry {
		return nil, httpapi.Conflict("%s in group %s is registered in %s already", one.Path, one.Group, s.list[i].Registry)
	}
	if i >= 0 && slices.Contains(s.list[i].Serves, one.Serves[0]) {
		return s.list[i], nil
	}
	list, r := slices.Clone(s.list), newRegistration(one)
	if i < 0 {
		list = append(list, r)
	} else {
		before := list[i]
		r.Serves, r.export = append(slices.Clone(before.Serves), one.Serves...), s.exportOf(before)
		list[i] = r
	}
	err := s.change(list)
	s.said("an application registered a service", r, err)
	return r, err
}

func (s *registered) exportOf(r *registration) *exported {
	s.exports.Lock()
	defer s.exports.Unlock()
	return r.export
}

// export announces a registration, unless it is.
func (s *registered) export(r *registration) error {
	s.exports.Lock()
	defer s.exports.Unlock()
	if r.export != nil {
		return nil
	}
	c := config.ExportConfig{Resource: r.name, Kind: "motan2", Group: "all", IDC: s.identity.IDC, Address: s.config.Announce, Registry: r.Registry}
	c.SetDefaults()
	x := &exported{ExportConfig: c, registered: true}
	if err := s.announcer.add(x); err != nil {
		return httpapi.Unavailable("%v", err)
	}
	s.Agent.exports.add(x)
	r.export = x
	return nil
}

// Unregister implements manage.Backend. The last port of a service is withdrawn first, and serves on for agent.drain.wait.
func (s *registered) Unregister(ctx context.Context, service manage.Service) error {
	one := recordOf(service)
	s.changing.Lock()
	i := s.find(one)
	if i < 0 || !slices.Contains(s.list[i].Serves, one.Serves[0]) {
		s.changing.Unlock()
		return nil
	}
	r := s.list[i]
	if len(r.Serves) > 1 {
		defer s.changing.Unlock()
		return s.leave(one)
	}
	s.changing.Unlock()

	s.exports.Lock()
	if x := r.export; x != nil {
		s.Agent.exports.remove(x)
		s.announcer.remove(x)
		r.export = nil
	}
	s.exports.Unlock()
	clock.Sleep(ctx, s.drainConfig().Wait.D())

	s.changing.Lock()
	defer s.changing.Unlock()
	if i = s.find(one); i >= 0 && len(s.list[i].Serves) == 1 && s.exportOf(s.list[i]) != nil {
		return nil // it was registered anew meanwhile
	}
	return s.leave(one)
}

// leave takes a port away from what is served. changing is held.
func (s *registered) leave(one control.Registered) error {
	i := s.find(one)
	if i < 0 {
		return nil
	}
	list, before := slices.Clone(s.list), s.list[i]
	left := before.Registered
	left.Serves = slices.DeleteFunc(slices.Clone(left.Serves), func(port int) bool { return port == one.Serves[0] })
	if len(left.Serves) == 0 {
		list = slices.Delete(list, i, i+1)
	} else {
		list[i] = &registration{Registered: left, name: before.name, export: s.exportOf(before)}
	}
	err := s.change(list)
	s.said("an application took a service back", newRegistration(one), err)
	return err
}

func (s *registered) said(what string, r *registration, err error) {
	level := slog.LevelInfo
	if err != nil {
		level = slog.LevelWarn
	}
	s.log.Log(context.Background(), level, what, "resource", r.name, "service", r.Path, "group", r.Group, "version", r.Version,
		"registry", r.Registry, "ports", r.Serves, "error", err)
}

// Registered implements manage.Backend.
func (s *registered) Registered() (served, called []manage.Service) {
	s.changing.Lock()
	defer s.changing.Unlock()
	for _, r := range s.list {
		one := manage.Service{Group: r.Group, Path: r.Path, Version: r.Version, Registry: r.Registry}
		if len(r.Serves) == 0 {
			called = append(called, one)
		}
		for _, port := range r.Serves {
			one.Port = port
			served = append(served, one)
		}
	}
	order := func(a, b manage.Service) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Port, b.Port))
	}
	slices.SortFunc(served, order)
	slices.SortFunc(called, order)
	return served, called
}

// exportRegistered announces what was registered before the agent started.
func (s *registered) exportRegistered() error {
	if s == nil {
		return nil
	}
	for _, r := range s.list {
		if len(r.Serves) == 0 || s.set.get(r.name) == nil {
			continue
		}
		if err := s.export(r); err != nil {
			return fmt.Errorf("%s in group %s: %w", r.Path, r.Group, err)
		}
	}
	return nil
}

// manage returns what answers applications that register by themselves; nil when they may not.
func (a *Agent) manage() http.Handler {
	s := a.registered
	if s == nil {
		return nil
	}
	_, port, _ := net.SplitHostPort(s.config.Forward) // the config was checked
	number, _ := strconv.Atoi(port)
	return manage.Handler(manage.Options{Backend: s, Registries: s.config.Registries, Port: number, Metadata: &s.told})
}

// said returns what applications have the agent tell others while it runs; nil when they may not.
func (a *Agent) said() map[string]string {
	if a.registered == nil {
		return nil
	}
	return a.registered.told.All()
}
