package rollout

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
)

const (
	planPrefix    = "plans/"
	releasePrefix = "releases/"
	// pinPrefix is followed by a resource; the value is the id of its release that is on its way.
	pinPrefix = "releasing/"
)

// Rollouts are the plans and releases of the mesh. All methods may be called from any goroutine.
type Rollouts struct {
	opt  Options
	stop context.CancelFunc
	done sync.WaitGroup

	served atomic.Pointer[served]
	since  atomic.Int64  // when this process began to lead, Unix ns
	wake   chan struct{} // of the leader; holds one
	news   chan struct{} // of tell; holds one

	// unseen is since when not all agents are seen, and when that was looked at last. The leader's alone.
	unseen [2]time.Time

	mu      sync.Mutex
	records map[string]record // by key
	topics  map[string]struct{}
	names   map[string]struct{} // resources of which agents may get another version now
	subs    map[int]func(topic string)
	changed map[int]func(names []string, revision int64)
	nextSub int
}

// record is a plan or release as it is in the store. One without value is gone, and stands in the way of older news of it.
type record struct {
	value    []byte
	revision int64
	idle     bool // the leader has nothing to do with it
}

// served is which versions agents get. It is never changed.
type served struct {
	revision int64
	releases map[string]*serving // by resource
}

// Open reads the plans and releases and follows their changes. ctx bounds the first reading alone; Close ends it.
func Open(ctx context.Context, opt Options) (*Rollouts, error) {
	if err := opt.fill(); err != nil {
		return nil, err
	}
	run, stop := context.WithCancel(context.Background())
	r := &Rollouts{
		opt: opt, stop: stop, wake: make(chan struct{}, 1), news: make(chan struct{}, 1),
		records: make(map[string]record), topics: make(map[string]struct{}), names: make(map[string]struct{}),
		subs: make(map[int]func(string)), changed: make(map[int]func([]string, int64)),
	}
	r.served.Store(&served{})
	followers := []*store.Follower{r.follower(planPrefix), r.follower(releasePrefix)}
	for _, f := range followers {
		if err := f.List(ctx); err != nil {
			stop()
			return nil, fmt.Errorf("rollouts: %w", err)
		}
	}
	for _, f := range followers {
		r.done.Go(func() { f.Follow(run) })
	}
	r.done.Go(func() { r.tell(run) })
	r.done.Go(func() { r.lead(run) })
	return r, nil
}

// Close ends the goroutines and waits for them. What was read can still be read.
func (r *Rollouts) Close() {
	r.stop()
	r.done.Wait()
}

// Revision is the store's revision of the newest change of a release that Version shows.
func (r *Rollouts) Revision() int64 { return r.served.Load().revision }

// OnChange calls f after plans or releases changed, with "plans", "releases" or both, one by one. f is called from one
// goroutine, with no lock held, and should not wait. The function that is returned ends it.
func (r *Rollouts) OnChange(f func(topic string)) (cancel func()) {
	return subscribe(r, r.subs, f)
}

// OnServed calls f after Version gives other answers for some resources, which are sorted, at a revision: fleet.Changed is
// made for it. Like OnChange else.
func (r *Rollouts) OnServed(f func(names []string, revision int64)) (cancel func()) {
	return subscribe(r, r.changed, f)
}

func subscribe[F any](r *Rollouts, subs map[int]F, f F) (cancel func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := r.nextSub
	r.nextSub++
	subs[id] = f
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(subs, id)
	}
}

// put takes over a record as it is at a revision, unless a newer one is known. A nil value says that it is gone.
func (r *Rollouts) put(key string, value []byte, revision int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, ok := r.records[key]; ok && old.revision >= revision {
		return
	}
	r.records[key] = record{value: value, revision: revision, idle: idle(value)}
	if strings.HasPrefix(key, planPrefix) {
		r.topics["plans"] = struct{}{}
	} else {
		r.topics["releases"] = struct{}{}
		r.serve(revision)
	}
	signal(r.news)
	signal(r.wake)
}

// serve makes anew what agents get. mu is held.
func (r *Rollouts) serve(revision int64) {
	old := r.served.Load()
	next := &served{revision: max(revision, old.revision), releases: make(map[string]*serving)}
	for key, rec := range r.records {
		if !strings.HasPrefix(key, releasePrefix) || rec.value == nil {
			continue
		}
		rel, err := decode[Release](rec)
		if err != nil {
			r.opt.Log.Error("a release in the store cannot be read and is left out", "release", key, "error", err)
		} else if !rel.over() {
			next.releases[rel.Resource] = rel.serving()
		}
	}
	for _, both := range []map[string]*serving{old.releases, next.releases} {
		for name := range both {
			if !sameServing(old.releases[name], next.releases[name]) {
				r.names[name] = struct{}{}
			}
		}
	}
	r.served.Store(next)
}

// idle reports whether a record says that there is nothing to do and no time to wait for.
func idle(value []byte) bool {
	var c struct {
		State   State      `json:"state"`
		Expires *time.Time `json:"expires"`
		Expired bool       `json:"expired"`
	}
	if json.Unmarshal(value, &c) != nil {
		return true
	}
	return c.State != Running && c.State != Undoing && (c.Expires == nil || c.Expired || c.State != Done && c.State != Paused)
}

func sameServing(a, b *serving) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.from == b.from && a.to == b.to && a.all == b.all && maps.Equal(a.agents, b.agents)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// tell tells the subscribers what changed.
func (r *Rollouts) tell(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.news:
		}
		r.mu.Lock()
		topics, names := slices.Sorted(maps.Keys(r.topics)), slices.Sorted(maps.Keys(r.names))
		clear(r.topics)
		clear(r.names)
		subs, changed := slices.Collect(maps.Values(r.subs)), slices.Collect(maps.Values(r.changed))
		revision := r.Revision()
		r.mu.Unlock()
		if len(names) > 0 {
			for _, f := range changed {
				f(slices.Clone(names), revision)
			}
		}
		for _, topic := range topics {
			for _, f := range subs {
				f(topic)
			}
		}
	}
}

// follower takes over changes of records with a prefix.
func (r *Rollouts) follower(prefix string) *store.Follower {
	after := int64(0)
	return &store.Follower{
		Store: r.opt.Store, Prefix: prefix, What: prefix, Log: r.opt.Log,
		Known: func() (keys []string, _ int64) {
			r.mu.Lock()
			defer r.mu.Unlock()
			for key := range r.records {
				if strings.HasPrefix(key, prefix) {
					keys = append(keys, key)
				}
			}
			return keys, after
		},
		Apply: func(b store.Batch) {
			for _, c := range b.Changes {
				if c.Deleted {
					r.put(c.Key, nil, c.Revision)
					r.forget(c.Key, c.Revision)
				} else {
					r.put(c.Key, c.Value, c.Revision)
				}
			}
			after = b.Revision
		},
	}
}

// forget drops the mark of a record that is gone, once the watch has passed it: nothing older can come any more.
func (r *Rollouts) forget(key string, revision int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rec := r.records[key]; rec.value == nil && rec.revision <= revision {
		delete(r.records, key)
	}
}

// Plans returns all plans, the newest first.
func (r *Rollouts) Plans() []Plan {
	return all(r, planPrefix, func(p *Plan) *Course { return &p.Course })
}

// Releases returns all releases, the newest first.
func (r *Rollouts) Releases() []Release {
	return all(r, releasePrefix, func(p *Release) *Course { return &p.Course })
}

// Plan returns one plan, or store.ErrNotFound.
func (r *Rollouts) Plan(id string) (Plan, error) { return one[Plan](r, planPrefix+id, "plan "+id) }

// Release returns one release, or store.ErrNotFound.
func (r *Rollouts) Release(id string) (Release, error) {
	return one[Release](r, releasePrefix+id, "release "+id)
}

func all[T any](r *Rollouts, prefix string, course func(*T) *Course) []T {
	r.mu.Lock()
	var records []record
	for key, rec := range r.records {
		if rec.value != nil && strings.HasPrefix(key, prefix) {
			records = append(records, rec)
		}
	}
	r.mu.Unlock()
	out := []T{}
	for _, rec := range records {
		if v, err := decode[T](rec); err == nil {
			out = append(out, *v)
		}
	}
	slices.SortFunc(out, func(a, b T) int {
		x, y := course(&a), course(&b)
		return cmp.Or(y.Created.Compare(x.Created), cmp.Compare(x.ID, y.ID))
	})
	return out
}

func one[T any](r *Rollouts, key, what string) (T, error) {
	r.mu.Lock()
	rec := r.records[key]
	r.mu.Unlock()
	var none T
	if rec.value == nil {
		return none, fmt.Errorf("%s: %w", what, store.ErrNotFound)
	}
	v, err := decode[T](rec)
	if err != nil {
		return none, fmt.Errorf("%s: %w", what, err)
	}
	return *v, nil
}
