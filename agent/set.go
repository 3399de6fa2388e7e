package agent

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/agent/gateway"
	"github.com/sluice-mesh/sluice/agent/listen"
	"github.com/sluice-mesh/sluice/agent/runtime"
	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/internal/loop"
	wire "github.com/sluice-mesh/sluice/protocols/control"
	"github.com/sluice-mesh/sluice/resources"
)

// Sources of a resource's declaration.
const (
	fromFile   = "file"
	fromHTTP   = "http"
	fromCenter = "center"

	fromApplication = "application" // that registered it: see registered.go
)

// declared is a resource as it should be.
type declared struct {
	*config.Resource
	source string
	json   []byte
	etag   string
	hash   string // of the spec as the centre knows it: its own, or that of json
}

// label names the resource in errors, and where an operator finds one that is not in the file.
func (d *declared) label() string {
	switch d.source {
	case fromHTTP:
		return "resource " + d.Spec.Name + " (put over HTTP)"
	case fromApplication:
		return "resource " + d.Spec.Name + " (registered by an application)"
	case fromCenter:
		return "resource " + d.Spec.Name + " (of the centre)"
	}
	return "resource " + d.Spec.Name
}

func declare(r *config.Resource, source string) (*declared, error) {
	js, err := r.JSON()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(js)
	return &declared{Resource: r, source: source, json: js, etag: `"` + hex.EncodeToString(sum[:8]) + `"`, hash: wire.Hash(js)}, nil
}

// member is a running resource.
type member struct {
	*declared
	run   *runtime.Resource
	certs *listen.Certificates // nil: plain

	spec     *resources.Spec     // as it runs: the declared one, with what commands borrow
	commands []resources.Command // those last compiled
	failed   error               // why the newest commands are not in force; nil: they are
}

// set is the running resources and their listeners.
type set struct {
	log      *slog.Logger
	open     func(*declared, *resources.Spec, []resources.Command) (*runtime.Resource, error)
	commands func(d *declared, run *runtime.Resource) (*resources.Spec, []resources.Command) // what it should run with; run may be nil
	bind     func(address string) (*listen.Listener, error)
	grace    func() time.Duration  // how long a replaced resource may take to end
	forget   func(resource string) // drops the metrics of a resource, unless there is one of that name again

	loops *loop.Group              // of the process
	said  func() map[string]string // what applications have the agent tell others; nil: they may not

	closing    sync.WaitGroup        // ends of replaced resources
	started    bool                  // listeners accept; guarded by Agent.changing, as is the next
	entrances  map[string]*entrance  // addresses of resources that can share them; see listenKey
	gateways   map[string]*converter // of resources that accept other protocols, by name
	converting sync.WaitGroup        // their calls

	mu        sync.RWMutex
	members   map[string]*member          // guarded by mu; replaced whole
	listeners map[string]*listen.Listener // guarded by mu; replaced whole; see listenKey
}

// get returns a member, nil when there is none.
func (s *set) get(name string) *member {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.members[name]
}

// list returns the members by name.
func (s *set) list() []*member {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.SortedFunc(maps.Values(s.members), func(a, b *member) int { return cmp.Compare(a.Spec.Name, b.Spec.Name) })
}

// addresses returns where a resource listens, as bound.
func (s *set) addresses(d *declared) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]string, 0, len(d.Spec.Listen))
	for _, a := range d.Spec.Listen {
		if l := s.listeners[listenKey(d.Spec.Name, a)]; l != nil && strings.HasSuffix(a, ":0") {
			a = l.Addr().String()
		}
		out = append(out, a)
	}
	return out
}

// listenKey is an address, made unique where the system chooses the port.
func listenKey(resource, address string) string {
	if strings.HasSuffix(address, ":0") && !strings.HasPrefix(address, "unix:") {
		return resource + " " + address
	}
	return address
}

// plan is a change of the set: what was prepared, and what to do when all of it is ready.
type plan struct {
	set       *set
	members   map[string]*member
	listeners map[string]*listen.Listener
	entrances map[string]*entrance
	gateways  map[string]*converter

	entered   []*entrance                 // new ones
	converted []*gateway.HTTP             // new ones
	opened    []*member                   // new runtimes
	bound     []*listen.Listener          // new listeners
	updated   []*member                   // running members that were given a new spec, as they were before
	retired   []*member                   // to be ended after the change
	unbound   map[string]*listen.Listener // to be closed after the change
}

// apply makes the running resources those of next, whole or not at all. Agent.changing is held.
func (s *set) apply(next map[string]*declared) error {
	if err := conflicts(next); err != nil {
		return err
	}
	p := &plan{set: s, members: make(map[string]*member, len(next)), listeners: make(map[string]*listen.Listener), entrances: make(map[string]*entrance), gateways: make(map[string]*converter), unbound: maps.Clone(s.listeners)}
	for _, name := range slices.Sorted(maps.Keys(next)) {
		if err := p.prepare(next[name]); err != nil {
			p.undo()
			return err
		}
	}
	for name, m := range s.members {
		if next[name] == nil {
			p.retired = append(p.retired, m)
		}
	}
	p.commit()
	return nil
}

// prepare does for one resource what may fail.
func (p *plan) prepare(d *declared) error {
	old := p.set.members[d.Spec.Name]
	if err := p.listen(d); err != nil {
		return err
	}
	if err := p.enter(d); err != nil {
		return err
	}
	certs, err := p.certificates(d, old)
	if err != nil {
		return err
	}
	m := &member{declared: d, certs: certs}
	fresh := old == nil || reopens(old.declared, d)
	var run *runtime.Resource
	if !fresh {
		run = old.run
	}
	var commands []resources.Command
	m.spec, commands = p.set.commands(d, run)
	m.commands, m.failed = usable(commands, m.spec, p.set.log)
	switch {
	case fresh:
		if m.run, err = p.set.open(d, m.spec, m.commands); err != nil {
			return err
		}
		p.opened = append(p.opened, m)
		if old != nil {
			p.retired = append(p.retired, old)
		}
	case reflect.DeepEqual(old.spec, m.spec) && reflect.DeepEqual(old.commands, m.commands):
		m.run = old.run
	default:
		if err := old.run.Update(m.spec, m.commands); err != nil {
			return fmt.Errorf("%s: %w", d.label(), err)
		}
		m.run = old.run
		p.updated = append(p.updated, old)
	}
	p.members[d.Spec.Name] = m
	return nil
}

// everywhere returns the addresses of a resource, in whatever protocol it is called there.
func (d *declared) everywhere() (all []string) {
	for _, f := range d.faces() {
		all = append(all, f.Spec.Listen...)
	}
	return all
}

// listen takes over or binds the listeners of a resource.
func (p *plan) listen(d *declared) error {
	for _, a := range d.everywhere() {
		key := listenKey(d.Spec.Name, a)
		if p.listeners[key] != nil {
			continue // another resource shares it
		}
		if l := p.unbound[key]; l != nil {
			delete(p.unbound, key)
			p.listeners[key] = l
			continue
		}
		l, err := p.set.bind(a)
		if err != nil {
			return fmt.Errorf("%s: %w", d.label(), err)
		}
		p.bound = append(p.bound, l)
		p.listeners[key] = l
	}
	return nil
}

func (p *plan) certificates(d *declared, old *member) (*listen.Certificates, error) {
	t := d.Spec.TLS
	if t == nil {
		return nil, nil
	}
	files := listen.Files{Cert: t.Cert, Key: t.Key, ClientCA: t.ClientCA}
	if n, ok := d.Driver.(resources.TLSNamed); ok {
		files.Protocol = n.TLSProtocol()
	}
	if old != nil && old.certs != nil && old.certs.Files() == files {
		return old.certs, nil
	}
	c, err := listen.LoadCertificates(files, p.set.log.With("resource", d.Spec.Name))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.label(), err)
	}
	return c, nil
}

// undo takes back what prepare did.
func (p *plan) undo() {
	for _, l := range p.bound {
		l.Close()
	}
	for _, was := range slices.Backward(p.updated) {
		if err := was.run.Update(was.spec, was.commands); err != nil {
			p.set.log.Error("a change was refused, and what was before cannot be restored", "resource", was.Spec.Name, "error", err)
		}
	}
	now, cancel := context.WithCancel(context.Background())
	cancel() // nobody was served by them yet
	closeDoors(now, p.entered, p.converted)
	for _, m := range p.opened {
		m.run.Shutdown(now)
	}
}

// commit swaps. Nothing here fails.
func (p *plan) commit() {
	s := p.set
	for _, m := range p.members {
		certs := m.certs
		if m.run.NegotiatesTLS() {
			m.run.SetServerTLS(certs.Config())
			certs = nil
		}
		if g := p.gateways[m.Spec.Name]; g != nil && g.http != nil {
			for _, a := range m.Spec.Accept.HTTP.Listen {
				p.listeners[listenKey(m.Spec.Name, a)].Handle(g.http.Serve, certs)
			}
		}
		if m.sharing() != nil {
			continue
		}
		for _, a := range m.Spec.Listen {
			p.listeners[listenKey(m.Spec.Name, a)].Handle(m.run.Accept, certs)
		}
	}
	p.leadEntrances()
	var left []*entrance
	for key, e := range s.entrances {
		if p.entrances[key] != e {
			left = append(left, e)
		}
	}
	converted := ended(s.gateways, p.gateways)
	s.entrances, s.gateways = p.entrances, p.gateways
	s.mu.Lock()
	s.members, s.listeners = p.members, p.listeners
	s.mu.Unlock()
	if s.started {
		for _, l := range p.bound {
			l.Start()
		}
	}
	for _, l := range p.unbound {
		l.Close()
	}
	doors := make(chan struct{})
	s.closing.Go(func() {
		defer close(doors)
		ctx, cancel := context.WithTimeout(context.Background(), s.grace())
		defer cancel()
		closeDoors(ctx, left, converted)
	})
	for _, m := range p.retired {
		s.closing.Go(func() {
			if m.sharing() != nil {
				<-doors // calls that are under way there may be its own
			}
			s.retire(m)
		})
	}
}

// retire ends a resource that was removed or replaced.
func (s *set) retire(m *member) {
	ctx, cancel := context.WithTimeout(context.Background(), s.grace())
	defer cancel()
	if err := m.run.Shutdown(ctx); err != nil {
		s.log.Warn("a replaced resource did not end in time, its sessions were cut", "resource", m.Spec.Name, "error", err)
	}
	s.forget(m.Spec.Name)
}

// start begins to accept. Agent.changing is held.
func (s *set) start() {
	s.started = true
	for _, l := range s.listeners {
		l.Start()
	}
}

// stopAccepting closes all listeners.
func (s *set) stopAccepting() {
	s.mu.Lock()
	listeners := s.listeners
	s.listeners = nil
	s.mu.Unlock()
	var all sync.WaitGroup
	for _, l := range listeners {
		all.Go(l.Close)
	}
	all.Wait()
}

// shutdown ends all resources at once: at their boundaries until ctx is done, then by force. It returns how many sessions
// were cut.
func (s *set) shutdown(ctx context.Context) error {
	var all sync.WaitGroup
	var mu sync.Mutex
	var late []string
	if !closeDoors(ctx, slices.Collect(maps.Values(s.entrances)), ended(s.gateways, nil)) {
		late = append(late, "at a shared address")
	}
	for _, m := range s.list() {
		all.Go(func() {
			if err := m.run.Shutdown(ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				late = append(late, m.Spec.Name)
			}
		})
	}
	all.Wait()
	s.closing.Wait()
	s.converting.Wait()
	if len(late) > 0 {
		slices.Sort(late)
		return fmt.Errorf("sessions were cut that did not end in time: %s", strings.Join(late, ", "))
	}
	return nil
}

// reopens reports whether a change needs the driver to be opened anew.
func reopens(old, next *declared) bool {
	same := len(old.Spec.Settings) == 0 && len(next.Spec.Settings) == 0 || reflect.DeepEqual(old.Spec.Settings, next.Spec.Settings)
	return !same || old.Spec.Kind != next.Spec.Kind || !reflect.DeepEqual(old.Settings, next.Settings) ||
		!reflect.DeepEqual(old.Spec.UpstreamTLS, next.Spec.UpstreamTLS)
}

// conflicts finds two resources on one address that cannot share it, and what one of them accepts and cannot. A file was checked for
// that; what is put over HTTP was not.
func conflicts(next map[string]*declared) error {
	type taker struct {
		name string
		face resources.Face
	}
	taken := make(map[string][]taker)
	for _, name := range slices.Sorted(maps.Keys(next)) {
		d := next[name]
		faces, err := resources.Faces(d.Driver, resources.Declared{Spec: d.Spec, Settings: d.Settings})
		if err != nil {
			return fmt.Errorf("%s: %w", d.label(), err)
		}
		for _, f := range faces {
			for _, address := range f.Spec.Listen {
				key := listenKey(name, address)
				for _, other := range taken[key] {
					if err := resources.Share(f.Driver, other.face.Driver, f.Declared, other.face.Declared); err != nil {
						return &listenError{name, f.Path, fmt.Errorf("%s is taken by resource %s: %w", address, other.name, err)}
					}
				}
				taken[key] = append(taken[key], taker{name, f})
			}
		}
	}
	return nil
}

// listenError is about the listen addresses of a resource.
type listenError struct {
	resource string
	path     string
	err      error
}

func (e *listenError) Error() string {
	return "resource " + e.resource + ": " + e.path + ": " + e.err.Error()
}
func (e *listenError) Unwrap() error { return e.err }

// usable leaves out commands that no longer fit the spec: a group may be gone since they were given. They stay in the
// store, so that they hold again when the spec fits again; the error says which are not in force.
func usable(commands []resources.Command, spec *resources.Spec, log *slog.Logger) (fit []resources.Command, failed error) {
	for _, c := range commands {
		if err := c.Validate(spec); err != nil {
			failed = fmt.Errorf("command %s is not in force: %w", c.ID, err)
			log.Warn("a command does not fit its resource and is not in force", "resource", spec.Name, "command", c.ID, "error", err)
			continue
		}
		fit = append(fit, c)
	}
	return fit, failed
}

// recompile brings the commands that the store has now into a running resource. When they are refused, those before
// stay in force and the member remembers why. Agent.changing is held.
func (s *set) recompile(m *member) error {
	spec, commands := s.commands(m.declared, m.run)
	commands, failed := usable(commands, spec, s.log)
	if reflect.DeepEqual(commands, m.commands) && reflect.DeepEqual(spec, m.spec) {
		return failed
	}
	if err := m.run.Update(spec, commands); err != nil {
		s.log.Error("commands are not in force", "resource", m.Spec.Name, "error", err)
		return fmt.Errorf("resource %s: %w", m.Spec.Name, err)
	}
	fresh := *m
	fresh.spec, fresh.commands, fresh.failed = spec, commands, failed
	next := maps.Clone(s.members)
	next[m.Spec.Name] = &fresh
	s.mu.Lock()
	s.members = next
	s.mu.Unlock()
	return failed
}
