package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/resources"
)

// Options say what a registry works with. Store is required.
type Options struct {
	Store store.Store
	Parse config.Options // how documents are checked: with the filters that agents have
	Log   *slog.Logger   // default: slog.Default()
	Now   func() time.Time
	// Protect bounds how many endpoints that agents export may leave a group at once.
	Protect Protection
	// Grace is how long the services of an agent stay after its link broke; default 30 s.
	Grace time.Duration
	// Allow is asked before a document changes, with the ctx of whoever changes it and the spec that comes of it. Nil: anything
	// that is valid may be.
	Allow func(ctx context.Context, name string, spec []byte) error
}

// Protection holds endpoints that would leave together with too many others.
type Protection struct {
	Share  resources.Percent // of a group that may leave within Window; default 40 %, 100 % switches protection off
	Window time.Duration     // default 1 min
}

// Defaults and bounds.
const (
	defaultShare  = 40
	defaultWindow = time.Minute
	defaultGrace  = 30 * time.Second

	maxText     = 256 << 10             // of a document, in bytes
	keptOf      = 100                   // versions of a document that are kept
	coalesce    = 20 * time.Millisecond // longest wait between a change and its announcement
	seenTimeout = 2 * time.Second       // longest wait of a change for the watch to bring it
)

// Registry holds the resources. All methods may be called from any goroutine.
type Registry struct {
	opt Options
	log *slog.Logger
	now func() time.Time

	stop   context.CancelFunc
	closed <-chan struct{} // stop was called
	done   sync.WaitGroup

	table    atomic.Pointer[table] // of views by name
	revision atomic.Int64          // of the newest document change that was applied
	complete chan struct{}
	wake     chan struct{} // of keep; holds one

	mu      sync.Mutex
	seen    chan struct{} // closed and replaced when revision moves
	exports map[string]*exported
	agents  map[string]map[memberKey]*member
	leaving []leave             // members of agents that are gone, by the time at which they leave
	dirty   map[string]struct{} // whose view must be made again
	pending map[string]struct{} // whose effective spec changed: to be told
	subs    map[int]func(names []string, revision int64)
	nextSub int
}

// table finds views. It is replaced when a name comes or goes.
type table struct {
	cells map[string]*atomic.Pointer[view]
	names []string // sorted
}

// view is all that readers see of one resource. It is never changed.
type view struct {
	doc  *document  // nil: no document
	mark *Doc       // of a deletion; nil unless the document was deleted
	made *effective // nil: there is nothing to serve
	// problem says why made is not what it should be: "" when it is.
	problem string
	exports bool // there are exported endpoints, in the spec or not
	outline Outline
	// versions are others than the newest, that were asked for.
	versions []version
}

// nothing reports that there is nothing to know of the resource.
func (v *view) nothing() bool { return v.doc == nil && v.mark == nil && v.made == nil && !v.exports }

// Open reads the documents and follows their changes. ctx bounds the first reading alone; Close ends the registry.
func Open(ctx context.Context, opt Options) (*Registry, error) {
	if opt.Store == nil {
		return nil, errors.New("registry: no store")
	}
	if opt.Log == nil {
		opt.Log = slog.Default()
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Protect.Share == 0 {
		opt.Protect.Share = defaultShare
	}
	if opt.Protect.Window == 0 {
		opt.Protect.Window = defaultWindow
	}
	if opt.Grace == 0 {
		opt.Grace = defaultGrace
	}
	run, stop := context.WithCancel(context.Background())
	r := &Registry{
		opt: opt, log: opt.Log, now: opt.Now, stop: stop, closed: run.Done(),
		complete: make(chan struct{}), wake: make(chan struct{}, 1), seen: make(chan struct{}),
		exports: make(map[string]*exported), agents: make(map[string]map[memberKey]*member),
		dirty: make(map[string]struct{}), pending: make(map[string]struct{}),
		subs: make(map[int]func([]string, int64)),
	}
	r.table.Store(&table{})
	follower := store.Follower{Store: opt.Store, Prefix: docPrefix, Known: r.listed, Apply: r.apply, What: "resources", Log: r.log}
	if err := follower.List(ctx); err != nil {
		stop()
		return nil, fmt.Errorf("registry: %w", err)
	}
	clear(r.pending) // what is there at the start is no change
	r.done.Go(func() { follower.Follow(run) })
	r.done.Go(func() { r.keep(run) })
	return r, nil
}

// Close ends the registry's goroutines and waits for them. What was read can still be read.
func (r *Registry) Close() {
	r.stop()
	r.done.Wait()
}

// Complete is closed when agents that were linked before this centre started have had the time to come back and export
// their services (the time of grace). Until then an effective spec may lack endpoints, and an agent that runs one that it
// got before is better left with it.
func (r *Registry) Complete() <-chan struct{} { return r.complete }

// Revision is the store's revision of the newest document change that is served.
func (r *Registry) Revision() int64 { return r.revision.Load() }

// Get returns a resource: its document, or what there is of it by exports alone. Else the error is store.ErrNotFound.
func (r *Registry) Get(name string) (Doc, error) {
	v := r.view(name)
	switch {
	case v == nil:
	case v.doc != nil:
		return v.doc.Doc, nil
	case v.made != nil:
		return v.exportedDoc(name), nil
	case v.mark != nil:
		return Doc{}, fmt.Errorf("resource %s was deleted by %s at %s (version %d): %w",
			name, v.mark.Author, v.mark.Changed.Format(time.RFC3339), v.mark.Version, store.ErrNotFound)
	}
	return Doc{}, fmt.Errorf("resource %s: %w", name, store.ErrNotFound)
}

// List returns all resources by name, those that are only exported included.
func (r *Registry) List() []Doc {
	var out []Doc
	r.each(func(name string, v *view) {
		switch {
		case v.doc != nil:
			out = append(out, v.doc.Doc)
		case v.made != nil:
			out = append(out, v.exportedDoc(name))
		}
	})
	return out
}

// Deleted returns the documents that were deleted and not made anew, by name; their versions are in History.
func (r *Registry) Deleted() []Doc {
	var out []Doc
	r.each(func(_ string, v *view) {
		if v.mark != nil {
			out = append(out, *v.mark)
		}
	})
	return out
}

func (r *Registry) each(f func(name string, v *view)) {
	t := r.table.Load()
	for _, name := range t.names {
		f(name, t.cells[name].Load())
	}
}

// view returns what is known of a name, or nil.
func (r *Registry) view(name string) *view {
	if c := r.table.Load().cells[name]; c != nil {
		return c.Load()
	}
	return nil
}

// put replaces the view of a name. mu is held.
func (r *Registry) put(name string, v *view) {
	t := r.table.Load()
	if c := t.cells[name]; c != nil && !v.nothing() {
		c.Store(v)
		return
	}
	r.putAll(map[string]*view{name: v})
}

// putAll replaces several views at the cost of one copy of the table. mu is held.
func (r *Registry) putAll(views map[string]*view) {
	old := r.table.Load()
	cells := make(map[string]*atomic.Pointer[view], len(old.cells)+len(views))
	maps.Copy(cells, old.cells)
	for name, v := range views {
		c := cells[name]
		if c == nil {
			c = new(atomic.Pointer[view])
			cells[name] = c
		}
		c.Store(v)
		if v.nothing() {
			delete(cells, name)
		}
	}
	r.table.Store(&table{cells: cells, names: slices.Sorted(maps.Keys(cells))})
}
