package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// A commit's tick is missing for good: the watch sends what is before, tries again, and then says that it has to be listed.
func TestGapThatStays(t *testing.T) {
	c := server.Start(t, server.Etcd{})
	s := open(t, Config{Endpoints: c.Endpoints()})
	put := func() int64 {
		t.Helper()
		rev, err := s.Commit(t.Context(), store.Txn{Then: []store.Op{{Key: "a", Value: []byte("v")}}})
		if err != nil {
			t.Fatal(err)
		}
		return rev
	}
	first := put()
	f := &follower{s: s, c: make(chan store.Batch, 16), last: place{first - 1, 7}} // commit 7 was before, it is said
	err := f.run(t.Context())
	if !errors.Is(err, store.ErrCompacted) || !errors.Is(err, errGap) || !strings.Contains(err.Error(), "commit 1,") {
		t.Errorf("the watch ended with %v", err)
	}
	if f.last != (place{first - 1, 7}) || len(f.c) > 0 {
		t.Errorf("it went on to %v", f.last)
	}
	// A watch that begins between two commits knows which comes next, whatever it watches.
	second, third := put(), put()
	w := s.Watch(t.Context(), "a", second)
	if b := <-w.C(); b.Revision != third {
		t.Errorf("after %d the watch sent %d", second, b.Revision)
	}
	if at, err := s.tickAt(t.Context(), second); at != 2 || err != nil {
		t.Errorf("revision %d has tick %d, error %v", second, at, err)
	}
	if at, err := s.tickAt(t.Context(), third+100); at != unknownTick || err != nil {
		t.Errorf("a revision to come has tick %d, error %v", at, err)
	}
}

// As many changes as a transaction may have are one revision, and so is what is watched of them.
func TestMostChanges(t *testing.T) {
	c := server.Start(t, server.Etcd{})
	s := open(t, Config{Endpoints: c.Endpoints()})
	w := s.Watch(t.Context(), "most/", 0)
	for n := store.MaxChanges - 2; n <= store.MaxChanges; n++ {
		var txn store.Txn
		for i := range n {
			txn.Then = append(txn.Then, store.Op{Key: fmt.Sprintf("most/%03d", i), Value: []byte("v")})
		}
		rev, err := s.Commit(t.Context(), txn)
		if err != nil {
			t.Fatalf("%d changes: %v", n, err)
		}
		b := <-w.C()
		if b.Revision != rev || len(b.Changes) != n {
			t.Errorf("revision %d of %d changes is watched as %d of %d", rev, n, b.Revision, len(b.Changes))
		}
		for i, ch := range b.Changes {
			if ch.Key != txn.Then[i].Key {
				t.Fatalf("change %d is of %s", i, ch.Key)
			}
		}
	}
	r, err := s.client.Get(t.Context(), s.prefix+tickKey, clientv3.WithKeysOnly())
	if err != nil || len(r.Kvs) != 1 || r.Kvs[0].Version != 3 {
		t.Errorf("the tick is %v, error %v", r, err)
	}
}

// faulty is an etcd whose watches do not all send what they should: each is changed by the next of faults, and those after
// them by none.
type faulty struct {
	clientv3.Watcher
	mu     sync.Mutex
	faults []func(*clientv3.Event) (instead []*clientv3.Event)
}

func (f *faulty) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	in := f.Watcher.Watch(ctx, key, opts...)
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.faults) == 0 {
		return in
	}
	fault := f.faults[0]
	f.faults = f.faults[1:]
	out := make(chan clientv3.WatchResponse)
	go func() { // ends with ctx, which ends in
		defer close(out)
		for r := range in {
			var events []*clientv3.Event
			for _, ev := range r.Events {
				events = append(events, fault(ev)...)
			}
			r.Events = events
			select {
			case out <- r:
			case <-ctx.Done():
			}
		}
	}()
	return out
}

// Etcd leaves revisions out, and sends one late: the watch sends all of them, once and in order.
func TestGapsAreRepaired(t *testing.T) {
	c := server.Start(t, server.Etcd{})
	s := open(t, Config{Endpoints: c.Endpoints()})
	var revs []int64
	for i := range 20 {
		rev, err := s.Commit(t.Context(), store.Txn{Then: []store.Op{
			{Key: "load/a", Value: []byte("v")}, {Key: fmt.Sprint("load/", i), Value: []byte("v")},
		}})
		if err != nil {
			t.Fatal(err)
		}
		revs = append(revs, rev)
	}
	without := func(n int) func(*clientv3.Event) []*clientv3.Event {
		return func(ev *clientv3.Event) []*clientv3.Event {
			if ev.Kv.ModRevision == revs[n] {
				return nil
			}
			return []*clientv3.Event{ev}
		}
	}
	var kept []*clientv3.Event
	late := func(ev *clientv3.Event) []*clientv3.Event {
		if ev.Kv.ModRevision == revs[9] {
			kept = append(kept, ev)
			return nil
		}
		if ev.Kv.ModRevision == revs[10] && kept != nil {
			instead := append([]*clientv3.Event{ev}, kept...)
			kept = nil
			return instead
		}
		return []*clientv3.Event{ev}
	}
	etcd := &faulty{Watcher: s.client.Watcher, faults: []func(*clientv3.Event) []*clientv3.Event{
		without(0), without(0), without(4), late, without(11), without(18),
	}}
	s.client.Watcher = etcd
	w := s.Watch(t.Context(), "load/", 0)
	var got []int64
	for len(got) < len(revs) {
		b, ok := <-w.C()
		if !ok {
			t.Fatalf("the watch ended: %v", w.Err())
		}
		if len(b.Changes) != 2 {
			t.Errorf("revision %d has %d changes", b.Revision, len(b.Changes))
		}
		got = append(got, b.Revision)
	}
	if !slices.Equal(got, revs) {
		t.Errorf("the watch sent %v, want %v", got, revs)
	}
	etcd.mu.Lock()
	defer etcd.mu.Unlock()
	if len(etcd.faults) > 0 {
		t.Errorf("%d faults were not met", len(etcd.faults))
	}
}
