package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-mesh/sluice/governance/store"
)

func testGet(l *lab) {
	_, err := l.a.Get(l.ctx, "resources/a")
	l.isErr("get of what is not there", err, store.ErrNotFound)
	if err != nil && !strings.Contains(err.Error(), "resources/a") {
		l.Errorf("%q does not name the key", err)
	}
	r1 := l.commit(put("resources/a", "one"))
	l.equal("a new key", l.get(l.b, "resources/a"), shown("resources/a", "one", r1, r1))
	r2 := l.commit(put("resources/a", "two"))
	l.equal("a changed key", l.get(l.b, "resources/a"), shown("resources/a", "two", r2, r1))
	l.equal("the key before it", l.get(l.b, "resources/"), "none")
	l.commit(put("empty", ""))
	if e, err := l.b.Get(l.ctx, "empty"); err != nil || e.Value == nil || len(e.Value) != 0 {
		l.Errorf("an empty value is %#v, error %v", e.Value, err)
	}
}

func testList(l *lab) {
	list, rev, err := l.a.List(l.ctx, "")
	l.equal("an empty store", fmt.Sprint(len(list), err), "0 <nil>")
	r := l.commit(put("b/2", "x"), put("b/10", "y"), put("a", "z"), put("b", "w"), put("b0", "v"), put("b/\xff\xff", "last"))
	if r <= rev {
		l.Errorf("revision %d follows %d", r, rev)
	}
	for prefix, want := range map[string]string{
		"b/": `b/10=y b/2=x b/` + "\xff\xff" + `=last`, "b": "b=w b/10=y b/2=x b/\xff\xff=last b0=v", "a": "a=z", "c": "", "b/1": "b/10=y",
		"b/\xff": "b/\xff\xff=last",
	} {
		list, rev, err := l.b.List(l.ctx, prefix)
		var got []string
		for _, e := range list {
			got = append(got, e.Key+"="+string(e.Value))
			if e.Revision != r || e.Created != r {
				l.Errorf("%s has revisions %d and %d, want %d", e.Key, e.Revision, e.Created, r)
			}
		}
		l.equal("list of "+prefix, strings.Join(got, " "), want)
		if err != nil || rev < r {
			l.Errorf("list of %s: revision %d of %d, error %v", prefix, rev, r, err)
		}
	}
	// More keys than a store would take from a server at once.
	const many = 1200
	for i := 0; i < many; i += 100 {
		var ops []store.Op
		for j := range 100 {
			ops = append(ops, put(fmt.Sprintf("many/%04d", i+j), "v"))
		}
		l.commit(ops...)
	}
	list, _, err = l.b.List(l.ctx, "many/")
	if err != nil || len(list) != many {
		l.Fatalf("%d of %d keys, error %v", len(list), many, err)
	}
	for i, e := range list {
		if e.Key != fmt.Sprintf("many/%04d", i) {
			l.Fatalf("key %d is %s", i, e.Key)
		}
	}
}

func testCommit(l *lab) {
	r1 := l.commit(put("a", "1"), put("b", "1"))
	r2 := l.commit(put("b", "2"))
	if r2 <= r1 {
		l.Errorf("revision %d follows %d", r2, r1)
	}
	l.equal("a", l.get(l.b, "a"), shown("a", "1", r1, r1))
	l.equal("b", l.get(l.b, "b"), shown("b", "2", r2, r1))
	r3 := l.commit(put("b", "2"))
	if r3 <= r2 {
		l.Errorf("a value that stays the same is a change too: revision %d follows %d", r3, r2)
	}
	// Conditions alone change nothing.
	if r, err := l.a.Commit(l.ctx, store.Txn{If: []store.Cond{{Key: "b", Revision: r3}, {Key: "c"}}}); err != nil || r < r3 {
		l.Errorf("conditions that hold: revision %d, error %v", r, err)
	}
	l.equal("b after it", l.get(l.b, "b"), shown("b", "2", r3, r1))
}

func testDelete(l *lab) {
	r1 := l.commit(put("a", "1"), put("b", "1"))
	r2 := l.commit(del("a"), put("b", "2"), del("never"))
	l.equal("a deleted key", l.get(l.b, "a"), "none")
	l.equal("its neighbour", l.get(l.b, "b"), shown("b", "2", r2, r1))
	r3 := l.commit(put("a", "again"))
	l.equal("a key that was deleted before", l.get(l.b, "a"), shown("a", "again", r3, r3))
	w := l.watch(l.b, "", r3)
	l.commit(del("never"))
	r4 := l.commit(put("c", "1"))
	w.expect(fmt.Sprintf("%d: c=1+%d", r4, r4))
}

func testConditions(l *lab) {
	r := l.commit(put("a", "1"))
	gone := l.commit(put("gone", "1"))
	l.commit(del("gone"))
	try := func(t store.Txn) error {
		_, err := l.b.Commit(l.ctx, t)
		return err
	}
	then := []store.Op{put("a", "changed"), put("new", "1"), del("a2")}
	for _, c := range []struct {
		conds []store.Cond
		want  store.ConflictError
	}{
		{[]store.Cond{{Key: "a", Revision: 0}}, store.ConflictError{Key: "a", Want: 0, Have: r}},
		{[]store.Cond{{Key: "a", Revision: r + 1000}}, store.ConflictError{Key: "a", Want: r + 1000, Have: r}},
		{[]store.Cond{{Key: "none", Revision: r}}, store.ConflictError{Key: "none", Want: r, Have: 0}},
		{[]store.Cond{{Key: "gone", Revision: gone}}, store.ConflictError{Key: "gone", Want: gone, Have: 0}},
		{[]store.Cond{{Key: "a", Revision: r}, {Key: "x"}, {Key: "none", Revision: 3}}, store.ConflictError{Key: "none", Want: 3, Have: 0}},
	} {
		before := l.revision()
		err := try(store.Txn{If: c.conds, Then: then})
		l.isErr(fmt.Sprint(c.conds), err, store.ErrConflict)
		var got *store.ConflictError
		if !errors.As(err, &got) || *got != c.want {
			l.Errorf("%v: error %v, want %v", c.conds, err, &c.want)
		}
		l.equal("a after a conflict", l.get(l.a, "a"), shown("a", "1", r, r))
		l.equal("new after a conflict", l.get(l.a, "new"), "none")
		if !l.back.Shared {
			l.equal("the revision after a conflict", l.revision(), before)
		}
	}
	if err := try(store.Txn{If: []store.Cond{{Key: "a", Revision: r}, {Key: "gone"}, {Key: "a", Revision: r}}, Then: then}); err != nil {
		l.Errorf("conditions that hold: %v", err)
	}
	if e, _ := l.a.Get(l.ctx, "a"); string(e.Value) != "changed" {
		l.Errorf("a is %q", e.Value)
	}
}

func testBounds(l *lab) {
	long, big := strings.Repeat("k", store.MaxKey), strings.Repeat("v", store.MaxValue)
	r := l.commit(put(long, big))
	if got := l.get(l.b, long); got != shown(long, big, r, r) {
		l.Errorf("the greatest entry comes back with %d bytes", len(got))
	}
	w := l.watch(l.b, "", r-1)
	if b := w.next(); len(b.Changes) != 1 || string(b.Changes[0].Value) != big {
		l.Errorf("the greatest entry is not watched")
	}
	most := store.Txn{If: []store.Cond{{Key: long, Revision: r}}}
	for i := range store.MaxChanges - 1 {
		most.Then = append(most.Then, put(fmt.Sprint("most/", i), "v"))
	}
	if _, err := l.a.Commit(l.ctx, most); err != nil {
		l.Errorf("a transaction of %d: %v", store.MaxChanges, err)
	}
	conds := store.Txn{}
	for i := range store.MaxChanges {
		conds.If = append(conds.If, store.Cond{Key: fmt.Sprint("cond/", i)})
	}
	if _, err := l.a.Commit(l.ctx, conds); err != nil {
		l.Errorf("a transaction of %d conditions: %v", store.MaxChanges, err)
	}
	half := strings.Repeat("v", store.MaxTxn/2-1)
	if _, err := l.a.Commit(l.ctx, store.Txn{Then: []store.Op{put("h", half), put("i", half)}}); err != nil {
		l.Errorf("a transaction of %d bytes: %v", store.MaxTxn, err)
	}
	rev := l.revision()
	for name, t := range map[string]store.Txn{
		"empty":          {},
		"empty key":      {Then: []store.Op{put("", "v")}},
		"long key":       {Then: []store.Op{put(long+"k", "v")}},
		"slash":          {Then: []store.Op{put("/a", "v")}},
		"long condition": {If: []store.Cond{{Key: long + "k"}}},
		"negative":       {If: []store.Cond{{Key: "a", Revision: -1}}},
		"big value":      {Then: []store.Op{put("a", big+"v")}},
		"twice":          {Then: []store.Op{put("a", "1"), del("a")}},
		"deleted value":  {Then: []store.Op{{Key: "a", Value: []byte("x"), Delete: true}}},
		"too many":       {If: append(conds.If, store.Cond{Key: "one more"})},
		"too big":        {Then: []store.Op{put("h", half+"vv"), put("i", half)}},
	} {
		_, err := l.a.Commit(l.ctx, t)
		if err == nil || errors.Is(err, store.ErrConflict) || errors.Is(err, context.DeadlineExceeded) {
			l.Errorf("%s: error is %v", name, err)
		}
	}
	l.equal("the revision after what was refused", l.revision(), rev)
	for _, key := range []string{"", "/a", long + "k"} {
		if _, err := l.a.Get(l.ctx, key); err == nil || errors.Is(err, store.ErrNotFound) {
			l.Errorf("get of %.10q: error is %v", key, err)
		}
	}
	if _, _, err := l.a.List(l.ctx, "/a"); err == nil {
		l.Error("list of /a gives no error")
	}
	for _, w := range []*watching{l.watch(l.a, "/a", 0), l.watch(l.a, "", -1)} {
		if err := w.ends(); err == nil {
			l.Error("a watch that cannot be gives no error")
		}
	}
}

// What the store keeps for itself is not seen and cannot be changed.
func testInternal(l *lab) {
	after := l.revision()
	lead, err := l.a.Lead(l.ctx, "internal", "me")
	if err != nil {
		l.Fatalf("lead: %v", err)
	}
	guard := lead.Guard()
	for _, key := range []string{guard.Key, "meta/cluster", "leaders/x"} {
		if _, err := l.a.Get(l.ctx, key); !errors.Is(err, store.ErrNotFound) {
			l.Errorf("get of %s: error is %v", key, err)
		}
		for _, op := range []store.Op{put(key, "x"), del(key)} {
			if _, err := l.a.Commit(l.ctx, store.Txn{Then: []store.Op{op}}); err == nil {
				l.Errorf("%s can be changed", key)
			}
		}
		for _, prefix := range []string{"", key[:3], key} {
			if list, _, err := l.a.List(l.ctx, prefix); err != nil || len(list) > 0 {
				l.Errorf("list of %q: %v, error %v", prefix, list, err)
			}
		}
	}
	l.equal("the leader", l.leader(l.b, "internal"), "me")
	w := l.watch(l.b, "", after)
	r := l.commit(put("z", "1"))
	w.expect(fmt.Sprintf("%d: z=1+%d", r, r))
}

func testCopies(l *lab) {
	after := l.revision()
	value := []byte("value")
	if _, err := l.a.Commit(l.ctx, store.Txn{Then: []store.Op{{Key: "a", Value: value}}}); err != nil {
		l.Fatal(err)
	}
	scratch := func(b []byte) {
		for i := range b {
			b[i] = 'X'
		}
		_ = append(b, "YYYY"...)
	}
	scratch(value)
	e, _ := l.a.Get(l.ctx, "a")
	scratch(e.Value)
	list, _, _ := l.a.List(l.ctx, "a")
	scratch(list[0].Value)
	scratch(l.watch(l.a, "", after).next().Changes[0].Value)
	if e, err := l.a.Get(l.ctx, "a"); err != nil || string(e.Value) != "value" {
		l.Errorf("the value is %q, error %v", e.Value, err)
	}
	if b := l.watch(l.a, "", after).next(); string(b.Changes[0].Value) != "value" {
		l.Errorf("the watched value is %q", b.Changes[0].Value)
	}
}

func testReopen(l *lab) {
	cluster := l.a.Cluster()
	if len(cluster) < 16 || l.b.Cluster() != cluster {
		l.Errorf("clusters are %q and %q", cluster, l.b.Cluster())
	}
	r1 := l.commit(put("a", "1"))
	r2 := l.commit(put("a", "2"), put("b", "1"))
	for _, s := range []store.Store{l.a, l.b} {
		if err := s.Close(); err != nil {
			l.Fatal(err)
		}
	}
	l.a = l.must(l.open())
	l.equal("the cluster of the same data", l.a.Cluster(), cluster)
	l.equal("a", l.get(l.a, "a"), shown("a", "2", r2, r1))
	l.watch(l.a, "", r1-1).expect(fmt.Sprintf("%d: a=1+%d", r1, r1), fmt.Sprintf("%d: a=2+%d b=1+%d", r2, r1, r2))
	if r3 := l.commit(put("a", "3")); r3 <= r2 {
		l.Errorf("revision %d follows %d", r3, r2)
	}
	other := l.must(l.back.Fresh(l.T)())
	if other.Cluster() == cluster {
		l.Error("another store has the same identity")
	}
}

func testClose(l *lab) {
	r := l.commit(put("a", "1"))
	w := l.watch(l.a, "", r)
	if err := l.a.Close(); err != nil {
		l.Fatalf("close: %v", err)
	}
	l.isErr("a watch", w.ends(), store.ErrClosed)
	if err := l.a.Close(); err != nil {
		l.Errorf("close again: %v", err)
	}
	for name, err := range l.everything(l.ctx, l.a) {
		l.isErr(name, err, store.ErrClosed)
	}
	if w := l.watch(l.a, "", 0); !errors.Is(w.ends(), store.ErrClosed) {
		l.Errorf("a watch of a closed store ends with %v", w.Err())
	}
}

func testCancel(l *lab) {
	ctx, cancel := context.WithCancel(l.ctx)
	cancel()
	for name, err := range l.everything(ctx, l.a) {
		l.isErr(name, err, context.Canceled)
	}
	if _, err := l.a.Get(l.ctx, "a"); !errors.Is(err, store.ErrNotFound) {
		l.Errorf("a commit with a context that had ended was made: %v", err)
	}
	w := &watching{l, l.a.Watch(ctx, "", 0), cancel}
	if err := w.ends(); err != nil {
		l.Errorf("a watch with a context that had ended: %v", err)
	}
}

// everything calls each method once and returns the errors.
func (l *lab) everything(ctx context.Context, s store.Store) map[string]error {
	errs := map[string]error{}
	_, errs["get"] = s.Get(ctx, "a")
	_, _, errs["list"] = s.List(ctx, "a")
	_, errs["commit"] = s.Commit(ctx, store.Txn{Then: []store.Op{put("a", "x")}})
	errs["compact"] = s.Compact(ctx, 1)
	_, errs["lead"] = s.Lead(ctx, "x", "me")
	_, errs["leader"] = s.Leader(ctx, "x")
	return errs
}
