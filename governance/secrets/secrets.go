// Package secrets keeps the credentials of resources: sealed in the store, written and never shown. A document refers to one as
// ${secret:NAME}; agents get its value together with the resource, and nobody else does.
//
//	secrets/NAME    record: the sealed value, and which resources may refer to it
package secrets

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/protocols/control"
	"github.com/sluice-mesh/sluice/resources"
)

const (
	prefix       = "secrets/"
	maxValue     = 64 << 10 // bytes
	mostPatterns = 100
	seenTimeout  = 2 * time.Second
)

// Sealer encrypts a value for one place in the store; see auth.Sealer.
type Sealer interface {
	Seal(place string, plain []byte) []byte
	Open(place string, sealed []byte) ([]byte, error)
}

// Options of a store of secrets. Store and Sealer must be set.
type Options struct {
	Store  store.Store
	Sealer Sealer
	Log    *slog.Logger
	Now    func() time.Time
}

// Secret is what is shown of one.
type Secret struct {
	Name      string    `json:"name"`
	Resources []string  `json:"resources,omitempty"` // names that may refer to it, with * for anything; none: all may
	Author    string    `json:"author"`
	Changed   time.Time `json:"changed"`
	Revision  int64     `json:"revision"`
}

// For reports whether a resource may refer to the secret.
func (s *Secret) For(resource string) bool {
	return len(s.Resources) == 0 || slices.ContainsFunc(s.Resources, func(p string) bool { return resources.Glob(p, resource) })
}

type record struct {
	Sealed    []byte    `json:"sealed"`
	Mark      string    `json:"mark"` // another one with each value
	Resources []string  `json:"resources,omitempty"`
	Author    string    `json:"author"`
	Changed   time.Time `json:"changed"`
}

type held struct {
	Secret
	mark  string
	value string // "" when it cannot be opened
}

// Secrets knows all secrets of a store. Its methods may be called from any goroutine.
type Secrets struct {
	opt  Options
	stop context.CancelFunc
	done sync.WaitGroup

	mu       sync.RWMutex
	by       map[string]held
	revision int64
	seen     chan struct{}                        // closed when revision grows
	changed  func(names []string, revision int64) // nil: nobody wants to know
}

// Open reads the secrets and follows their changes. ctx bounds the first reading alone; Close ends it.
func Open(ctx context.Context, o Options) (*Secrets, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	run, stop := context.WithCancel(context.Background())
	s := &Secrets{opt: o, stop: stop, by: make(map[string]held), seen: make(chan struct{})}
	follower := store.Follower{Store: o.Store, Prefix: prefix, Known: s.known, Apply: s.apply, What: "the secrets", Log: o.Log}
	if err := follower.List(ctx); err != nil {
		stop()
		return nil, fmt.Errorf("secrets: %w", err)
	}
	s.done.Go(func() { follower.Follow(run) })
	return s, nil
}

// Close ends what follows the store, and waits for it.
func (s *Secrets) Close() {
	s.stop()
	s.done.Wait()
}

// OnChange sets who is told of changed secrets. It must not wait, and is called from one goroutine.
func (s *Secrets) OnChange(f func(names []string, revision int64)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed = f
}

// Revision is the store's revision of the newest change that is seen here.
func (s *Secrets) Revision() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.revision
}

// known returns the keys of all secrets, and the revision at which they were.
func (s *Secrets) known() (keys []string, after int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for name := range s.by {
		keys = append(keys, prefix+name)
	}
	return keys, s.revision
}

// apply takes over what changed.
func (s *Secrets) apply(b store.Batch) {
	var names []string
	s.mu.Lock()
	for _, c := range b.Changes {
		name := strings.TrimPrefix(c.Key, prefix)
		was, had := s.by[name]
		switch {
		case c.Deleted && had:
			delete(s.by, name)
		case c.Deleted || had && was.Revision == c.Revision:
			continue
		default:
			s.by[name] = s.open(name, c.Entry)
		}
		names = append(names, name)
	}
	s.revision = b.Revision
	close(s.seen)
	s.seen = make(chan struct{})
	changed, revision := s.changed, s.revision
	s.mu.Unlock()
	if changed != nil && len(names) > 0 {
		changed(names, revision)
	}
}

// open unseals a record. One that cannot be read is kept without its value, and the log says why.
func (s *Secrets) open(name string, e store.Entry) held {
	h := held{Secret: Secret{Name: name, Revision: e.Revision}}
	var r record
	err := json.Unmarshal(e.Value, &r)
	if err == nil {
		h.Resources, h.Author, h.Changed, h.mark = r.Resources, r.Author, r.Changed, r.Mark
		var value []byte
		value, err = s.opt.Sealer.Open(e.Key, r.Sealed)
		h.value = string(value)
	}
	if err != nil {
		s.opt.Log.Error("a secret cannot be opened: agents do not get it", "secret", name, "error", err)
	}
	return h
}

// Put keeps a value under a name, in place of the one before, for resources whose names match one of the patterns; none means
// all.
func (s *Secrets) Put(ctx context.Context, name string, value []byte, patterns []string, author string) (Secret, error) {
	if _, err := resources.NewSecret("${secret:" + name + "}"); err != nil {
		return Secret{}, fmt.Errorf("secret %.40q: %w", name, err)
	}
	if len(value) == 0 || len(value) > maxValue {
		return Secret{}, fmt.Errorf("secret %s: a value has 1 to %d bytes", name, maxValue)
	}
	if len(patterns) > mostPatterns {
		return Secret{}, fmt.Errorf("secret %s: %d names of resources, at most %d", name, len(patterns), mostPatterns)
	}
	for _, p := range patterns {
		if p == "" {
			return Secret{}, fmt.Errorf("secret %s: a name of resources is empty: write one as feed-cache or feed-*", name)
		}
	}
	key := prefix + name
	r := record{Sealed: s.opt.Sealer.Seal(key, value), Mark: rand.Text(), Resources: patterns, Author: author, Changed: s.opt.Now().UTC()}
	text, err := json.Marshal(r)
	if err != nil {
		return Secret{}, fmt.Errorf("secret %s: %w", name, err)
	}
	revision, err := s.opt.Store.Commit(ctx, store.Txn{Then: []store.Op{{Key: key, Value: text}}})
	if err != nil {
		return Secret{}, fmt.Errorf("secret %s: %w", name, err)
	}
	s.await(ctx, revision)
	return Secret{Name: name, Resources: patterns, Author: author, Changed: r.Changed, Revision: revision}, nil
}

// await waits until this centre has seen a change of its own, so that what comes next can build on it. It is made in any case.
func (s *Secrets) await(ctx context.Context, revision int64) {
	ctx, cancel := context.WithTimeout(ctx, seenTimeout)
	defer cancel()
	for {
		s.mu.RLock()
		now, seen := s.revision, s.seen
		s.mu.RUnlock()
		if now >= revision {
			return
		}
		select {
		case <-seen:
		case <-ctx.Done():
			return
		}
	}
}

// Delete forgets a secret, or returns store.ErrNotFound.
func (s *Secrets) Delete(ctx context.Context, name string) error {
	e, err := s.opt.Store.Get(ctx, prefix+name)
	var revision int64
	if err == nil {
		revision, err = s.opt.Store.Commit(ctx, store.Txn{If: []store.Cond{{Key: e.Key, Revision: e.Revision}}, Then: []store.Op{{Key: e.Key, Delete: true}}})
	}
	if err != nil {
		return fmt.Errorf("secret %s: %w", name, err)
	}
	s.await(ctx, revision)
	return nil
}

// List returns what is shown of all, by name.
func (s *Secrets) List() []Secret {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]Secret, 0, len(s.by))
	for _, name := range slices.Sorted(maps.Keys(s.by)) {
		out = append(out, s.by[name].Secret)
	}
	return out
}

// ErrMissing is the error of a document that refers to a secret that is not there or is not for it.
var ErrMissing = errors.New("the secret cannot be used")

// Check says whether a resource may refer to the secrets of its text. open is whether those that name no resources may be used,
// too: whoever may publish some resources only must not send any other credential to a server of theirs.
func (s *Secrets) Check(resource string, text []byte, open bool) error {
	names := resources.SecretNames(text)
	if len(names) == 0 {
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, name := range names {
		h, ok := s.by[name]
		switch {
		case !ok:
			return fmt.Errorf("%w: there is no secret %s: an admin sets it first (Access, Secrets)", ErrMissing, name)
		case !h.For(resource):
			return fmt.Errorf("%w: secret %s is for %s, not for %s", ErrMissing, name, strings.Join(h.Resources, ", "), resource)
		case len(h.Resources) == 0 && !open:
			return fmt.Errorf("%w: secret %s names no resources: whoever may not publish all of them needs one that names %s", ErrMissing, name, resource)
		}
	}
	return nil
}

// Of returns the secrets that a spec of a resource refers to, as agents get them. One that is gone, is for others or cannot be
// opened is left out: the agent says so.
func (s *Secrets) Of(resource string, spec []byte) []control.Secret {
	names := resources.SecretNames(spec)
	if len(names) == 0 {
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []control.Secret
	for _, name := range names {
		if h, ok := s.by[name]; ok && h.value != "" && h.For(resource) {
			out = append(out, control.Secret{Name: name, Mark: h.mark, Value: h.value})
		}
	}
	return out
}
