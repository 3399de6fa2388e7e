package command

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/internal/clock"
)

// seen is what one reader saw at one moment.
type seen struct {
	at       int64 // internal/clock, after it looked
	revision int64
	ids      []string
}

// checker collects what happened in the store and what readers saw of it.
type checker struct {
	mu      sync.Mutex
	readers map[string][]seen
}

func (c *checker) look(reader string, s *Commands) {
	snap := s.snap.Load()
	o := seen{at: clock.Now(), revision: snap.revision}
	for _, a := range snap.list {
		o.ids = append(o.ids, a.ID)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if all := c.readers[reader]; len(all) > 0 && all[len(all)-1].revision == o.revision && slices.Equal(all[len(all)-1].ids, o.ids) {
		return
	}
	c.readers[reader] = append(c.readers[reader], o)
}

// history is every change of the store, in order.
type history struct {
	batches []store.Batch
	ends    map[string]int64 // by id: when its time comes, by internal/clock; 0: never
	began   map[string]int64 // revision
}

// marker is the last command that the recorder waits for.
const marker = "g-end"

// record follows the store from its beginning to the marker, which finish waits for.
func record(ctx context.Context, st store.Store) (h *history, finish func(until int64) bool) {
	h = &history{ends: make(map[string]int64), began: make(map[string]int64)}
	w := st.Watch(ctx, prefix, 0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b := range w.C() {
			h.batches = append(h.batches, b)
			for _, c := range b.Changes {
				if !c.Deleted {
					h.began[strings.TrimPrefix(c.Key, prefix)] = b.Revision
				}
			}
			if b.Changes[0].Key == prefix+marker {
				return
			}
		}
	}()
	return h, func(revision int64) bool {
		<-done
		return len(h.batches) > 0 && h.batches[len(h.batches)-1].Revision == revision
	}
}

// at returns the commands in the store at a revision.
func (h *history) at(revision int64) map[string]bool {
	out := make(map[string]bool)
	for _, b := range h.batches {
		if b.Revision > revision {
			break
		}
		for _, c := range b.Changes {
			if id := strings.TrimPrefix(c.Key, prefix); c.Deleted {
				delete(out, id)
			} else {
				out[id] = true
			}
		}
	}
	return out
}

// check holds each reader's observations to the history: every one is the state at its revision less what is over, in the
// order of the revisions; revisions never fall; nothing that was gone comes back.
func (c *checker) check(t *testing.T, h *history) {
	t.Helper()
	total := 0
	for reader, all := range c.readers {
		gone := make(map[string]bool)
		last := seen{}
		for _, o := range all {
			total++
			if o.revision < last.revision {
				t.Fatalf("%s: revision %d after %d", reader, o.revision, last.revision)
			}
			state := h.at(o.revision)
			for _, id := range o.ids {
				if !state[id] {
					t.Fatalf("%s at revision %d: sees %s of revision %d, which the store does not have (%v)", reader, o.revision, id, h.began[id], o.ids)
				}
				if gone[id] {
					t.Fatalf("%s at revision %d: %s came back", reader, o.revision, id)
				}
				delete(state, id)
			}
			for id := range state { // not seen: its time has come, give or take how exactly this test knows it
				if end := h.ends[id]; end == 0 || end > o.at+int64(50*time.Millisecond) {
					t.Fatalf("%s at revision %d: does not see %s", reader, o.revision, id)
				}
			}
			if !slices.IsSortedFunc(o.ids, func(a, b string) int {
				return int(h.began[a]-h.began[b])*2 + strings.Compare(a, b)
			}) {
				t.Fatalf("%s at revision %d: order %v", reader, o.revision, o.ids)
			}
			for _, id := range last.ids {
				if !slices.Contains(o.ids, id) {
					gone[id] = true
				}
			}
			last = o
		}
	}
	if total < 100 {
		t.Fatalf("only %d observations: the test saw nothing", total)
	}
	t.Logf("%d observations of %d revisions by %d readers", total, len(h.batches), len(c.readers))
}

// Several centres on one store: operators give and take back commands, their times end, watches break, the leader leaves.
func TestHistory(t *testing.T) {
	st := newStore(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	h, finish := record(ctx, st.Store) // not one of the watches that break
	c := &checker{readers: make(map[string][]seen)}
	var mu sync.Mutex
	centres := make([]*Commands, 3)
	start := func(i, life int) {
		s, err := Open(ctx, Options{Store: st, Resources: known, Log: quiet, Me: fmt.Sprint("centre ", i, " life ", life)})
		if err != nil {
			t.Error(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		centres[i] = s
	}
	pick := func(i int) *Commands {
		mu.Lock()
		defer mu.Unlock()
		return centres[i]
	}
	for i := range centres {
		start(i, 0)
	}
	stop := time.After(1500 * time.Millisecond)
	over := make(chan struct{})
	var all sync.WaitGroup
	loop := func(f func()) {
		all.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
					f()
				}
			}
		})
	}
	var given []string
	for i := range centres {
		loop(func() { // an operator
			s := pick(i)
			cmd := order(degrade("feed-cache"))
			short := rand.IntN(2) == 0
			if short {
				until(time.Duration(5+rand.IntN(60)) * time.Millisecond)(&cmd)
			}
			out, err := s.Add(ctx, cmd)
			if err != nil {
				if !strings.Contains(err.Error(), "is past") {
					t.Error(err)
				}
				return
			}
			mu.Lock()
			if short {
				h.ends[out.ID] = clock.Now() + int64(time.Until(*out.Expires))
			}
			given = append(given, out.ID)
			id := given[rand.IntN(len(given))]
			mu.Unlock()
			if _, err := s.Undo(ctx, id, "ana", ""); err != nil {
				if !errors.Is(err, store.ErrNotFound) {
					t.Error(err)
				}
				return // somebody else ended it; this centre may not have heard of it yet
			}
			if _, err := s.Get(id); err == nil && pick(i) == s {
				t.Errorf("%s was undone here and still holds", id)
			}
		})
		loop(func() { // a reader, of one life of the centre at a time
			mu.Lock()
			s := centres[i]
			mu.Unlock()
			c.look(s.opt.Me, s)
			time.Sleep(50 * time.Microsecond)
		})
	}
	life := 0
	loop(func() {
		time.Sleep(100 * time.Millisecond)
		st.BreakWatches()
		if life++; life%4 == 0 { // the centre that may lead leaves
			i := rand.IntN(len(centres))
			old := pick(i)
			start(i, life)
			old.Close()
		}
	})
	<-stop
	close(over)
	all.Wait()
	revision, err := st.Commit(ctx, store.Txn{Then: []store.Op{{Key: prefix + marker, Value: []byte(`{}`)}}})
	if err != nil {
		t.Fatal(err)
	}
	if !finish(revision) {
		t.Fatal("the recorder's watch ended early")
	}
	for _, s := range centres {
		s.await(ctx, revision)
		c.look(s.opt.Me, s)
		s.Close()
	}
	c.check(t, h)
}
