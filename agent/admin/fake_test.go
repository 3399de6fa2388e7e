package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-mesh/sluice/internal/httpapi"
	"github.com/sluice-mesh/sluice/resources"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a backend in memory: specs are JSON objects, tagged with a number.
type fake struct {
	mu       sync.Mutex
	specs    map[string]string
	tags     map[string]int
	commands []resources.Command
	ready    string // why not; "" is ready
	previews int
	events   chan Event
	dropped  uint64
	canceled chan struct{}
}

func newFake() *fake {
	return &fake{
		specs:    map[string]string{"cache": `{"kind":"redis","policy":{"timeout":"1s","reads":"primary"}}`},
		tags:     map[string]int{"cache": 1},
		events:   make(chan Event, 16),
		canceled: make(chan struct{}),
	}
}

func (f *fake) Ready() (bool, string) { return f.ready == "", f.ready }
func (f *fake) Metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "sluice_calls_total 1\n") })
}
func (f *fake) Status() Status {
	return Status{Name: "a", Version: "v", Ready: f.ready == "", Resources: f.Resources(), Commands: f.Commands()}
}
func (f *fake) Agents() []Agent { return []Agent{{Name: "a"}} }
func (f *fake) Resources() []Resource {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []Resource{}
	for n := range f.specs {
		out = append(out, Resource{Name: n, Kind: "redis"})
	}
	return out
}
func (f *fake) Resource(name string) (Resource, error) {
	for _, r := range f.Resources() {
		if r.Name == name {
			return r, nil
		}
	}
	return Resource{}, httpapi.NotFound("there is no resource %q", name)
}
func (f *fake) Endpoints(name string) ([]Endpoint, error) {
	_, err := f.Resource(name)
	return []Endpoint{{Group: "yf", Address: "10.0.0.1:6379", Role: "primary", State: "up"}}, err
}
func (f *fake) Operations(name string) ([]Operation, error) {
	_, err := f.Resource(name)
	return nil, err
}
func (f *fake) Sessions(name string) ([]Session, error) {
	_, err := f.Resource(name)
	return nil, err
}
func (f *fake) tag(name string) string { return fmt.Sprintf(`"%d"`, f.tags[name]) }
func (f *fake) Spec(name string) ([]byte, string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	spec, ok := f.specs[name]
	if !ok {
		return nil, "", httpapi.NotFound("there is no resource %q", name)
	}
	return []byte(spec), f.tag(name), nil
}
func (f *fake) Commands() []Command {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []Command{}
	for _, c := range f.commands {
		out = append(out, NewCommand(c))
	}
	return out
}
func (f *fake) Change(name, by string, check Check, edit func([]byte) ([]byte, error)) (string, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	spec, exists := f.specs[name]
	if err := check(exists, f.tag(name)); err != nil {
		return "", false, err
	}
	var current []byte
	if exists {
		current = []byte(spec)
	}
	next, err := edit(current)
	if err != nil {
		return "", false, err
	}
	if !json.Valid(next) {
		return "", false, httpapi.Invalid("policy.timeout", "not valid")
	}
	f.specs[name] = string(next)
	f.tags[name]++
	return f.tag(name), !exists, nil
}
func (f *fake) Remove(name, by string, check Check) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, exists := f.specs[name]
	if err := check(exists, f.tag(name)); err != nil {
		return err
	}
	if !exists {
		return httpapi.NotFound("there is no resource %q", name)
	}
	delete(f.specs, name)
	return nil
}
func (f *fake) AddCommand(c resources.Command) (Command, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c.ID = fmt.Sprintf("c-%d", len(f.commands)+1)
	f.commands = append(f.commands, c)
	return NewCommand(c), nil
}
func (f *fake) Preview(c resources.Command) (Preview, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.previews++
	return Preview{Command: NewCommand(c), Text: []string{"12 calls a second would move."}}, nil
}
func (f *fake) Undo(id, by string) (Command, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, c := range f.commands {
		if c.ID == id {
			f.commands = slices.Delete(f.commands, i, i+1)
			return NewCommand(c), nil
		}
	}
	return Command{}, httpapi.NotFound("no command %q", id)
}
func (f *fake) Observe(resource string, match resources.Match, slower time.Duration, _ resources.Percent) (*Watch, error) {
	if _, err := f.Resource(resource); err != nil {
		return nil, err
	}
	if match.Op != "" {
		f.events <- Event{Op: match.Op, Outcome: "ok", Latency: resources.Duration(slower)}
	}
	return &Watch{Events: f.events, Dropped: func() uint64 {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.dropped
	}, Cancel: func() { close(f.canceled) }}, nil
}
