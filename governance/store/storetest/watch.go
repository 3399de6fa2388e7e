package storetest

import (
	"fmt"
	"strconv"
	"sync"

	"github.com/sluice-mesh/sluice/governance/store"
)

func testWatch(l *lab) {
	start := l.revision()
	w := l.watch(l.b, "", start)
	r1 := l.commit(put("b", "1"), put("a", "1"))
	w.expect(fmt.Sprintf("%d: b=1+%d a=1+%d", r1, r1, r1))
	r2 := l.commit(put("a", "2"), del("b"), put("empty", ""))
	w.expect(fmt.Sprintf("%d: a=2+%d b=gone empty=+%d", r2, r1, r2))
	if _, err := l.a.Commit(l.ctx, store.Txn{If: []store.Cond{{Key: "a"}}, Then: []store.Op{put("a", "no")}}); err == nil {
		l.Fatal("a condition that does not hold held")
	}
	r3 := l.commit(put("c", "1"))
	w.expect(fmt.Sprintf("%d: c=1+%d", r3, r3))
}

func testWatchFrom(l *lab) {
	revs := []int64{l.revision()}
	var want []string
	created := int64(0)
	for i := range 20 {
		r := l.commit(put("k", strconv.Itoa(i)))
		if created == 0 {
			created = r
		}
		revs = append(revs, r)
		want = append(want, fmt.Sprintf("%d: k=%d+%d", r, i, created))
	}
	for i, after := range revs {
		l.watch(l.b, "", after).expect(want[i:]...)
		l.watch(l.b, "k", after).expect(want[i:]...)
	}
	l.watch(l.b, "k", 0).expect(want...)
	// A revision that is not reached yet.
	far := revs[20] + 3
	w := l.watch(l.b, "", far)
	for {
		if r := l.commit(put("k", "later")); r > far {
			w.expect(fmt.Sprintf("%d: k=later+%d", r, created))
			break
		}
	}
}

func testWatchPrefix(l *lab) {
	start := l.revision()
	all := l.watch(l.b, "", start)
	res := l.watch(l.b, "resources/", start)
	one := l.watch(l.b, "resources/a", start)
	r1 := l.commit(put("resources/a", "1"), put("users/x", "1"), put("resources/b", "1"))
	r2 := l.commit(put("users/x", "2"))
	r3 := l.commit(del("resources/b"))
	r4 := l.commit(del("resources/a"))
	all.expect(fmt.Sprintf("%d: resources/a=1+%[1]d users/x=1+%[1]d resources/b=1+%[1]d", r1), fmt.Sprintf("%d: users/x=2+%d", r2, r1),
		fmt.Sprintf("%d: resources/b=gone", r3), fmt.Sprintf("%d: resources/a=gone", r4))
	res.expect(fmt.Sprintf("%d: resources/a=1+%[1]d resources/b=1+%[1]d", r1), fmt.Sprintf("%d: resources/b=gone", r3),
		fmt.Sprintf("%d: resources/a=gone", r4))
	one.expect(fmt.Sprintf("%d: resources/a=1+%[1]d", r1), fmt.Sprintf("%d: resources/a=gone", r4))
}

// A watch that nobody reads holds up neither commits nor other watches, and still gets everything.
func testWatchSlow(l *lab) {
	start := l.revision()
	slow, quick := l.watch(l.b, "", start), l.watch(l.b, "", start)
	const n = 300
	value := string(make([]byte, 100_000))
	for i := range n {
		l.commit(put(fmt.Sprint("k", i%5), value))
	}
	last := int64(0)
	for range n {
		last = quick.next().Revision
	}
	got, before := int64(0), start
	for range n {
		b := slow.next()
		if b.Revision <= before || len(b.Changes) != 1 {
			l.Fatalf("revision %d with %d changes follows %d", b.Revision, len(b.Changes), before)
		}
		got, before = b.Revision, b.Revision
	}
	l.equal("the last revision", got, last)
}

// Watches that begin while commits are made see everything once and in order, from wherever they begin.
func testWatchDuring(l *lab) {
	const writers, each = 4, 50
	var mu sync.Mutex
	made := map[int64]string{} // revision -> key
	start := l.revision()
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for j := range each {
				key := fmt.Sprintf("w/%d-%d", i, j)
				r, err := []store.Store{l.a, l.b}[i%2].Commit(l.ctx, store.Txn{Then: []store.Op{put(key, "v")}})
				if err != nil {
					l.Errorf("commit: %v", err)
					return
				}
				mu.Lock()
				if other, ok := made[r]; ok {
					l.Errorf("%s and %s have the same revision %d", key, other, r)
				}
				made[r] = key
				mu.Unlock()
			}
		})
	}
	var watches []*watching
	w := l.watch(l.a, "w/", start)
	watches = append(watches, w)
	var seen []store.Batch
	for range writers * each {
		b := w.next()
		seen = append(seen, b)
		if len(seen)%20 == 0 { // one more, from half way back
			watches = append(watches, l.watch(l.b, "w/", seen[len(seen)/2].Revision))
		}
	}
	wg.Wait()
	if l.Failed() {
		return
	}
	for i, b := range seen {
		if i > 0 && b.Revision <= seen[i-1].Revision {
			l.Fatalf("revision %d follows %d", b.Revision, seen[i-1].Revision)
		}
		if len(b.Changes) != 1 || b.Changes[0].Key != made[b.Revision] {
			l.Fatalf("revision %d is %v, and %s was committed", b.Revision, b.Changes, made[b.Revision])
		}
	}
	for i, w := range watches[1:] {
		for _, b := range seen[(i+1)*10+1:] {
			w.expect(text(b))
		}
	}
}

func testWatchEnds(l *lab) {
	r := l.commit(put("a", "1"))
	w := l.watch(l.a, "", r-1)
	w.next()
	w.cancel()
	if err := w.ends(); err != nil {
		l.Errorf("a watch whose context ended has error %v", err)
	}
	// One that nobody reads, with more than its channel holds.
	w = l.watch(l.a, "", r)
	for i := range 100 {
		l.commit(put("a", strconv.Itoa(i)))
	}
	w.cancel()
	if err := w.ends(); err != nil {
		l.Errorf("a full watch whose context ended has error %v", err)
	}
}

func testCompact(l *lab) {
	var revs []int64
	for i := range 10 {
		revs = append(revs, l.commit(put("k", strconv.Itoa(i))))
	}
	other := l.commit(put("other", "1"))
	live := l.watch(l.b, "", other) // has seen all: compaction does not concern it
	if err := l.a.Compact(l.ctx, revs[5]); err != nil {
		l.Fatalf("compact: %v", err)
	}
	for i, after := range revs {
		w := l.watch(l.b, "k", after)
		if after >= revs[5]-1 {
			for j, r := range revs[i+1:] {
				w.expect(fmt.Sprintf("%d: k=%d+%d", r, i+1+j, revs[0]))
			}
			continue
		}
		l.isErr(fmt.Sprintf("watch after revision %d", after), w.ends(), store.ErrCompacted)
	}
	w := l.watch(l.b, "", revs[5]-1)
	w.expect(fmt.Sprintf("%d: k=5+%d", revs[5], revs[0]))
	l.isErr("watch after 0", l.watch(l.b, "", 0).ends(), store.ErrCompacted)
	// What was forgotten already, and what is not reached yet.
	for _, before := range []int64{0, 1, revs[2], revs[5]} {
		if err := l.b.Compact(l.ctx, before); err != nil {
			l.Errorf("compact before %d once more: %v", before, err)
		}
	}
	if err := l.a.Compact(l.ctx, l.revision()+1000); err == nil {
		l.Error("a revision that is not reached can be compacted")
	}
	if err := l.a.Compact(l.ctx, l.revision()+1); err != nil {
		l.Errorf("compact of everything: %v", err)
	}
	l.equal("k", l.get(l.b, "k"), shown("k", "9", revs[9], revs[0]))
	l.equal("other", l.get(l.b, "other"), shown("other", "1", other, other))
	r := l.commit(put("k", "after"))
	live.expect(fmt.Sprintf("%d: k=after+%d", r, revs[0]))
}

// The end of a key at the very revision that the log begins with is not forgotten.
func testCompactTombstone(l *lab) {
	r1 := l.commit(put("a", "1"), put("b", "1"))
	r2 := l.commit(del("a"))
	r3 := l.commit(del("b"))
	r4 := l.commit(put("c", "1"))
	if err := l.a.Compact(l.ctx, r2); err != nil {
		l.Fatal(err)
	}
	want := []string{fmt.Sprintf("%d: a=gone", r2), fmt.Sprintf("%d: b=gone", r3), fmt.Sprintf("%d: c=1+%d", r4, r4)}
	l.watch(l.b, "", r1).expect(want...)
	if err := l.a.Compact(l.ctx, r3); err != nil {
		l.Fatal(err)
	}
	l.watch(l.b, "", r2).expect(want[1:]...)
	if r2 > r1+1 {
		return // others use the cluster: what lies between is theirs
	}
	l.isErr("a watch from before", l.watch(l.b, "", r1).ends(), store.ErrCompacted)
}
