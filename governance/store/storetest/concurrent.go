package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/sluice-mesh/sluice/governance/store"
)

// Increments by compare and set through both handles: none is lost, none counts twice, and the watch shows each.
func testCounter(l *lab) {
	const workers, each = 8, 15
	start := l.commit(put("counter", "0"))
	w := l.watch(l.b, "counter", start)
	var wg sync.WaitGroup
	for i := range workers {
		s := []store.Store{l.a, l.b}[i%2]
		wg.Go(func() {
			for range each {
				if err := l.increment(s); err != nil {
					l.Errorf("increment: %v", err)
					return
				}
			}
		})
	}
	for i := range workers * each {
		b := w.next()
		if got := string(b.Changes[0].Value); got != strconv.Itoa(i+1) {
			l.Fatalf("revision %d has %s, want %d", b.Revision, got, i+1)
		}
	}
	wg.Wait()
	if e, err := l.a.Get(l.ctx, "counter"); err != nil || string(e.Value) != strconv.Itoa(workers*each) {
		l.Errorf("the counter is %s, want %d; error %v", e.Value, workers*each, err)
	}
}

func (l *lab) increment(s store.Store) error {
	for {
		e, err := s.Get(l.ctx, "counter")
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(string(e.Value))
		if err != nil {
			return err
		}
		_, err = s.Commit(l.ctx, store.Txn{
			If:   []store.Cond{{Key: "counter", Revision: e.Revision}},
			Then: []store.Op{put("counter", strconv.Itoa(n+1))},
		})
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// What was acknowledged through one handle is seen by whoever looks afterwards through the other, alone and in lists.
func testFresh(l *lab) {
	for i := range 50 {
		value := strconv.Itoa(i)
		r := l.commit(put("fresh", value))
		e, err := l.b.Get(l.ctx, "fresh")
		if err != nil || string(e.Value) != value || e.Revision != r {
			l.Fatalf("get gives %s, error %v, want %s at %d", show(e), err, value, r)
		}
		list, rev, err := l.b.List(l.ctx, "fresh")
		if err != nil || len(list) != 1 || list[0].Revision != r || rev < r {
			l.Fatalf("list gives %v at %d, error %v, want revision %d", list, rev, err, r)
		}
	}
}

// Transactions over two keys move amounts between accounts. Every list and every revision of the watch has the same sum:
// they show all of a transaction or nothing of it.
func testTransfers(l *lab) {
	const accounts, total = 4, 400
	var ops []store.Op
	for i := range accounts {
		ops = append(ops, put(fmt.Sprint("bank/", i), strconv.Itoa(total/accounts)))
	}
	start := l.commit(ops...)
	w := l.watch(l.a, "bank/", start)
	var wg sync.WaitGroup
	const workers, each = 4, 12
	for i := range workers {
		s := []store.Store{l.a, l.b}[i%2]
		wg.Go(func() {
			for j := range each {
				if err := l.transfer(s, (i+j)%accounts, (i+j*3+1)%accounts); err != nil {
					l.Errorf("transfer: %v", err)
					return
				}
				list, _, err := s.List(l.ctx, "bank/")
				if sum := sumOf(list); err != nil || sum != total {
					l.Errorf("a list has the sum %d, error %v", sum, err)
				}
			}
		})
	}
	wg.Wait()
	now := map[string]string{}
	for i := range accounts {
		now[fmt.Sprint("bank/", i)] = strconv.Itoa(total / accounts)
	}
	end := l.commit(put("bank/end", "0"))
	for b := w.next(); b.Revision != end; b = w.next() {
		sum := 0
		for _, c := range b.Changes {
			now[c.Key] = string(c.Value)
		}
		for _, v := range now {
			n, _ := strconv.Atoi(v)
			sum += n
		}
		if sum != total {
			l.Fatalf("at revision %d the sum is %d", b.Revision, sum)
		}
	}
}

// transfer moves 1 between two accounts; from one to itself it moves nothing.
func (l *lab) transfer(s store.Store, from, to int) error {
	if from == to {
		return nil
	}
	for {
		var t store.Txn
		for key, by := range map[string]int{fmt.Sprint("bank/", from): -1, fmt.Sprint("bank/", to): 1} {
			e, err := s.Get(l.ctx, key)
			if err != nil {
				return err
			}
			n, err := strconv.Atoi(string(e.Value))
			if err != nil {
				return err
			}
			t.If = append(t.If, store.Cond{Key: key, Revision: e.Revision})
			t.Then = append(t.Then, put(key, strconv.Itoa(n+by)))
		}
		if _, err := s.Commit(l.ctx, t); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

func sumOf(list []store.Entry) (sum int) {
	for _, e := range list {
		n, _ := strconv.Atoi(string(e.Value))
		sum += n
	}
	return sum
}
