package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-mesh/sluice/protocols/control"
	sim "github.com/sluice-mesh/sluice/testenv/fleet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source is what the registry, the commands and the rollouts are to a fleet.
type source struct {
	mu       sync.Mutex
	revision int64
	docs     map[string]doc
	only     map[string]map[string]doc // agent -> resource -> what a rollout gives it
	commands []command
	secrets  map[string][]control.Secret
}

type doc struct {
	spec     json.RawMessage
	hash     string
	revision int64
}

type command struct {
	id, resource, text string // resource "": all
}

func newSource() *source {
	return &source{revision: 100, docs: make(map[string]doc), only: make(map[string]map[string]doc)}
}

func (s *source) Revision() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision
}

func (s *source) Resource(name string, a *Agent) (json.RawMessage, string, int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.docs[name]
	if a != nil {
		if special, has := s.only[a.Name][name]; has {
			d, ok = special, true
		}
	}
	return d.spec, d.hash, d.revision, ok
}

func (s *source) Secrets(name string, _ json.RawMessage) []control.Secret {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.secrets[name]
}

func (s *source) Commands(name string, a *Agent) []json.RawMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []json.RawMessage
	for _, c := range s.commands {
		if c.resource == "" || c.resource == name {
			list = append(list, json.RawMessage(fmt.Sprintf(`{"id":%q,"resource":%q,"why":%q}`, c.id, name, c.text)))
		}
	}
	return list
}

func (s *source) put(name, text string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	s.docs[name] = s.doc(name, text)
	return s.revision
}

func (s *source) doc(name, text string) doc {
	spec := json.RawMessage(fmt.Sprintf(`{"name":%q,"text":%q}`, name, text))
	return doc{spec, control.Hash(spec), s.revision}
}

// putFor gives one agent what the others do not get.
func (s *source) putFor(agent, name, text string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	if s.only[agent] == nil {
		s.only[agent] = make(map[string]doc)
	}
	s.only[agent][name] = s.doc(name, text)
	return s.revision
}

func (s *source) remove(name string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	delete(s.docs, name)
	return s.revision
}

func (s *source) order(id, resource, text string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	s.commands = slices.DeleteFunc(s.commands, func(c command) bool { return c.id == id })
	if text != "" {
		s.commands = append(s.commands, command{id, resource, text})
	}
	return s.revision
}

// should is what an agent should have in the end.
func (s *source) should(h *control.Hello) (resources, commands map[string]string) {
	resources, commands = make(map[string]string), make(map[string]string)
	a := &Agent{Name: h.Name}
	orders := func(name string) {
		for _, text := range s.Commands(name, a) {
			commands[idOf(text)+" "+name] = string(text)
		}
	}
	for _, n := range h.Wants {
		if _, hash, _, ok := s.Resource(n, a); ok {
			resources[n] = hash
		}
		orders(n)
	}
	for _, o := range h.Owns {
		orders(o.Name)
	}
	return resources, commands
}

// lab is a fleet with simulated agents, in a synctest bubble.
type lab struct {
	t   *testing.T
	src *source
	f   *Fleet
	ctx context.Context
	end context.CancelFunc
	run sync.WaitGroup

	mu     sync.Mutex
	served []error
	gone   []string // name/boot
	export map[string]int
}

func newLab(t *testing.T, src *source, change func(o *Options)) *lab {
	l := &lab{t: t, src: src, export: make(map[string]int)}
	o := Options{Source: src, Name: "c1", Cluster: "cluster", OnGone: func(a *Agent) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.gone = append(l.gone, a.Name+"/"+a.Boot)
		delete(l.export, a.Name+"/"+a.Boot)
	}, OnExport: func(a *Agent, s []control.Service) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.export[a.Name+"/"+a.Boot] = len(s)
	}}
	if change != nil {
		change(&o)
	}
	var err error
	if l.f, err = New(o); err != nil {
		t.Fatal(err)
	}
	l.ctx, l.end = context.WithCancel(context.Background())
	return l
}

// close ends the agents and the fleet.
func (l *lab) close() {
	l.end()
	l.run.Wait()
	if err := l.f.Close(context.Background()); err != nil {
		l.t.Error(err)
	}
}

// dial connects an agent by a pipe.
func (l *lab) dial(name string) func(context.Context) (net.Conn, error) {
	return func(context.Context) (net.Conn, error) { return l.pipe(name), nil }
}

func (l *lab) pipe(name string) net.Conn {
	near, far := net.Pipe()
	go func() {
		err := l.f.Serve(context.Background(), far, name)
		l.mu.Lock()
		l.served = append(l.served, err)
		l.mu.Unlock()
	}()
	return near
}

func (l *lab) agent(name string, wants ...string) *sim.Agent {
	return &sim.Agent{Hello: control.Hello{Name: name, Boot: "b-" + name, Wants: wants}, Dial: l.dial(name)}
}

// start runs one link of an agent, and returns how to end it and how it ended.
func (l *lab) start(a *sim.Agent) (stop func() error) {
	ctx, cancel := context.WithCancel(l.ctx)
	ended := make(chan error, 1)
	l.run.Go(func() { ended <- a.Run(ctx) })
	synctest.Wait()
	return func() error {
		cancel()
		err := <-ended
		ended <- err
		synctest.Wait()
		return err
	}
}

// settle lets everything happen that a change sets off.
func (l *lab) settle() {
	time.Sleep(300 * time.Millisecond)
	synctest.Wait()
}

func (l *lab) changed(revision int64, names ...string) {
	l.f.Changed(names, revision)
	l.settle()
}

// runs checks what an agent has.
func (l *lab) runs(a *sim.Agent) {
	l.t.Helper()
	resources, commands := l.src.should(&a.Hello)
	if got := a.Resources(); !maps.Equal(got, resources) {
		l.t.Errorf("%s runs %v, should run %v", a.Hello.Name, got, resources)
	}
	if got := a.Commands(); !maps.Equal(got, commands) {
		l.t.Errorf("%s obeys %v, should obey %v", a.Hello.Name, got, commands)
	}
}

func (l *lab) view(name string) AgentView {
	l.t.Helper()
	v, ok := l.f.Agent(name)
	if !ok {
		l.t.Fatalf("%s is not listed", name)
	}
	return v
}

// went lists name/boot of who went.
func (l *lab) went() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.gone)
}

// exports counts the services that are vouched for.
func (l *lab) exports() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, services := range l.export {
		n += services
	}
	return n
}

// end1 is how the first link ended that did.
func (l *lab) end1() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.served) == 0 {
		return nil
	}
	return l.served[0]
}

func contains(t *testing.T, err error, what string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), what) {
		t.Errorf("error %v does not say %q", err, what)
	}
}
