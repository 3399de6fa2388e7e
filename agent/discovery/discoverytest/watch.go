package discoverytest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/agent/discovery"
)

// Patience is how long a test waits for what must happen soon.
const Patience = 60 * time.Second

// Watcher is a watch that runs, with all reports that it made.
type Watcher struct {
	t    *testing.T
	stop context.CancelFunc
	done chan error

	mu      sync.Mutex
	reports []discovery.Report // guarded by mu
	changed chan struct{}      // guarded by mu: closed by the next report
}

// Watch watches a service until the test ends.
func Watch(t *testing.T, s discovery.Source, service discovery.Service) *Watcher {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	w := &Watcher{t: t, stop: stop, done: make(chan error, 1), changed: make(chan struct{})}
	go func() {
		w.done <- s.Watch(ctx, service, func(r discovery.Report) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.reports = append(w.reports, r)
			close(w.changed)
			w.changed = make(chan struct{})
		})
	}()
	t.Cleanup(func() {
		if err := w.Stop(); err != nil && !errors.Is(err, discovery.ErrClosed) {
			t.Errorf("the watch of %s: %v", service, err)
		}
	})
	return w
}

// Stop ends the watch and returns its error.
func (w *Watcher) Stop() error {
	w.stop()
	return w.wait()
}

// wait waits for the end of the watch.
func (w *Watcher) wait() error {
	select {
	case err := <-w.done:
		w.done <- err
		return err
	case <-time.After(Patience):
		return errors.New("it does not end")
	}
}

// Reports returns all reports so far.
func (w *Watcher) Reports() []discovery.Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.reports)
}

// Until waits until the last report is as wanted and returns it.
func (w *Watcher) Until(what string, good func(discovery.Report) bool) discovery.Report {
	w.t.Helper()
	deadline := time.After(Patience)
	for {
		w.mu.Lock()
		n, changed := len(w.reports), w.changed
		var last discovery.Report
		if n > 0 {
			last = w.reports[n-1]
		}
		w.mu.Unlock()
		if n > 0 && good(last) {
			return last
		}
		select {
		case <-changed:
		case <-deadline:
			w.t.Fatalf("waited for %s; %d reports, the last is %s", what, n, Text(last))
		}
	}
}

// UntilNodes waits until the last report has these nodes, in any order.
func (w *Watcher) UntilNodes(nodes ...discovery.Node) discovery.Report {
	w.t.Helper()
	want := Text(discovery.Report{Nodes: nodes})
	return w.Until(want, func(r discovery.Report) bool { return Text(discovery.Report{Nodes: r.Nodes}) == want })
}

// NeverWithout fails the test if a report, after the first one that had the address, did not have it.
func (w *Watcher) NeverWithout(address string) {
	w.t.Helper()
	had := false
	for i, r := range w.Reports() {
		has := slices.ContainsFunc(r.Nodes, func(n discovery.Node) bool { return n.Address == address })
		if had && !has {
			w.t.Errorf("report %d is without %s: %s", i, address, Text(r))
		}
		had = had || has
	}
	if !had {
		w.t.Errorf("no report has %s", address)
	}
}

// Text writes a report for comparing and for people.
func Text(r discovery.Report) string {
	var nodes []string
	for _, n := range r.Nodes {
		line := fmt.Sprintf("%s %s %s@%d available=%t", n.Protocol, n.Address, n.Version, n.Weight, n.Available)
		for _, k := range slices.Sorted(maps.Keys(n.Params)) {
			line += fmt.Sprintf(" %s=%q", k, n.Params[k])
		}
		nodes = append(nodes, line)
	}
	slices.Sort(nodes)
	text := fmt.Sprintf("%d nodes", len(nodes))
	if r.Others > 0 {
		text += fmt.Sprintf(", %d others", r.Others)
	}
	if r.Unread > 0 {
		text += fmt.Sprintf(", %d unread", r.Unread)
	}
	if r.Unknown {
		text += ", unknown"
	}
	if r.Emptied {
		text += ", emptied"
	}
	return strings.Join(append([]string{text}, nodes...), "\n  ")
}

// Eventually waits until cond returns nil.
func Eventually(t *testing.T, what string, cond func() error) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for {
		err := cond()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s: %v", what, err)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// Stands waits until an announcement stands.
func Stands(t *testing.T, r *discovery.Registration) {
	t.Helper()
	Eventually(t, "the announcement to stand", func() error {
		if st := r.State(); !st.Stands {
			return fmt.Errorf("it does not: %q", st.Error)
		}
		return nil
	})
}
