package agent

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/agent/admin"
	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/internal/httpapi"
	"github.com/sluice-mesh/sluice/metrics/prometheus"
	"github.com/sluice-mesh/sluice/resources"
)

// backend is what the admin interface shows of an agent; changes.go has what it changes.
type backend struct{ *Agent }

var _ admin.Backend = (*backend)(nil)

// Ready implements admin.Health.
func (b *backend) Ready() (bool, string) {
	return b.ready.ready(time.Now(), b.draining.Load(), func() (waiting []string) {
		for _, m := range b.set.list() {
			if !m.run.Ready() {
				waiting = append(waiting, "the first check of "+m.Spec.Name)
			}
		}
		return waiting
	}, b.awaited)
}

// Metrics implements admin.Health.
func (b *backend) Metrics() http.Handler { return prometheus.Handler(b.registry) }

// Status implements admin.Inventory.
func (b *backend) Status() admin.Status {
	c := &b.identity
	ready, detail := b.Ready()
	if detail == "" {
		detail = b.pressure.Gate().Detail()
	}
	s := admin.Status{
		Name: c.Name, Application: c.Application, IDC: c.IDC, Version: b.opt.Version, Started: b.started.UTC(),
		Uptime: uptime(b.started), Revision: b.revisionNumber(), Ready: ready, Draining: b.draining.Load(), Detail: detail,
		Center: b.center.view(), Registries: b.registries.views(), Resources: b.Resources(), Commands: b.Commands(),
	}
	for i := range s.Resources {
		s.Resources[i].Endpoints, _ = b.Endpoints(s.Resources[i].Name) // none when it was removed meanwhile
	}
	return s
}

func uptime(since time.Time) resources.Duration {
	return resources.Duration(time.Since(since).Round(time.Second))
}

// Agents implements admin.Inventory: this one.
func (b *backend) Agents() []admin.Agent {
	c := &b.identity
	ready, _ := b.Ready()
	return []admin.Agent{{
		Name: c.Name, Application: c.Application, IDC: c.IDC, Version: b.opt.Version, Uptime: uptime(b.started),
		Revision: b.revisionNumber(), Ready: ready, Resources: len(b.set.list()),
	}}
}

// Resources implements admin.Inventory.
func (b *backend) Resources() []admin.Resource {
	out := []admin.Resource{}
	for _, m := range b.set.list() {
		out = append(out, b.resource(m))
	}
	return out
}

// Resource implements admin.Inventory.
func (b *backend) Resource(name string) (admin.Resource, error) {
	m, err := b.member(name)
	if err != nil {
		return admin.Resource{}, err
	}
	r := b.resource(m)
	r.Filters = m.run.Status().Filters
	return r, nil
}

// member finds a resource, or says which there are.
func (b *backend) member(name string) (*member, error) {
	if m := b.set.get(name); m != nil {
		return m, nil
	}
	var have []string
	for _, m := range b.set.list() {
		have = append(have, m.Spec.Name)
	}
	if len(have) == 0 {
		return nil, httpapi.NotFound("there is no resource %q: there are none at all", name)
	}
	return nil, httpapi.NotFound("there is no resource %q: there are %s", name, strings.Join(have, ", "))
}

// Endpoints implements admin.Inventory.
func (b *backend) Endpoints(name string) ([]admin.Endpoint, error) {
	m, err := b.member(name)
	if err != nil {
		return nil, err
	}
	return endpointViews(m.run.Endpoints(), m.run.Status().Groups), nil
}

// Operations implements admin.Inventory.
func (b *backend) Operations(name string) ([]admin.Operation, error) {
	m, err := b.member(name)
	if err != nil {
		return nil, err
	}
	return operationViews(m.run.Operations()), nil
}

// Sessions implements admin.Inventory.
func (b *backend) Sessions(name string) ([]admin.Session, error) {
	m, err := b.member(name)
	if err != nil {
		return nil, err
	}
	return sessionViews(m.run.Sessions(), time.Now()), nil
}

// Spec implements admin.Inventory.
func (b *backend) Spec(name string) ([]byte, string, error) {
	m, err := b.member(name)
	if err != nil {
		return nil, "", err
	}
	return m.json, m.etag, nil
}

// Commands implements admin.Inventory.
func (b *backend) Commands() []admin.Command {
	out := []admin.Command{}
	for _, c := range b.commandsOf("") {
		out = append(out, admin.NewCommand(c))
	}
	for _, o := range b.console.of("") {
		out = append(out, orderView(o))
	}
	slices.SortStableFunc(out, func(x, y admin.Command) int { return x.Created.Compare(y.Created) })
	return out
}

// eventBuffer is how many calls may wait for an observer.
const eventBuffer = 1024

// Observe implements admin.Inventory. The observation ends when the resource is replaced or removed.
func (b *backend) Observe(name string, match resources.Match, slowerThan time.Duration, sample resources.Percent) (*admin.Watch, error) {
	m, err := b.member(name)
	if err != nil {
		return nil, err
	}
	selector, err := match.Compile(m.run.Ops())
	if err != nil {
		return nil, httpapi.Invalid("match", "%v", err)
	}
	tap := m.run.Tap()
	events, cancel := tap.SubscribeSample(selector, slowerThan, sample, eventBuffer)
	select {
	case _, open := <-events: // closed at once when there are too many; else a first call that nobody will miss
		if !open {
			return nil, &httpapi.Error{Status: http.StatusTooManyRequests, Code: "too_many",
				Message: fmt.Sprintf("%d observers watch %s already: end one first", filter.MaxSubscribers, name)}
		}
	default:
	}
	before := tap.Dropped()
	out, stop := make(chan admin.Event), make(chan struct{})
	go b.forward(m, events, out, stop)
	return &admin.Watch{
		Events:  out,
		Dropped: func() uint64 { return tap.Dropped() - before },
		Cancel:  func() { cancel(); close(stop) },
	}, nil
}

// forward turns events into views until the observer leaves or the resource is another one.
func (b *backend) forward(m *member, events <-chan filter.Event, out chan<- admin.Event, stop <-chan struct{}) {
	defer close(out)
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		select {
		case ev := <-events:
			select {
			case out <- eventView(&ev):
			case <-stop:
				return
			}
		case <-look.C:
			if now := b.set.get(m.Spec.Name); now == nil || now.run != m.run {
				return
			}
		case <-stop:
			return
		}
	}
}
