package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
)

func (l *lab) lead(ctx context.Context, s store.Store, name, me string) store.Leadership {
	l.Helper()
	got, err := s.Lead(ctx, name, me)
	if err != nil {
		l.Fatalf("lead: %v", err)
	}
	return got
}

// leader returns who leads.
func (l *lab) leader(s store.Store, name string) string {
	l.Helper()
	who, err := s.Leader(l.ctx, name)
	if err != nil {
		l.Errorf("leader of %s: %v", name, err)
	}
	return who
}

// lost waits until a leadership has ended.
func (l *lab) lost(who string, lead store.Leadership) {
	l.Helper()
	select {
	case <-lead.Lost():
	case <-time.After(patience):
		l.Fatalf("the leadership of %s did not end within %v", who, patience)
	}
}

func (l *lab) leads(lead store.Leadership) bool {
	select {
	case <-lead.Lost():
		return false
	default:
		return true
	}
}

func testLead(l *lab) {
	l.equal("the leader before there is one", l.leader(l.b, "rollout"), "")
	one := l.lead(l.ctx, l.a, "rollout", "centre-1")
	other := l.lead(l.ctx, l.b, "sweeper", "centre-2")
	l.equal("the leader", l.leader(l.b, "rollout"), "centre-1")
	l.equal("the other leader", l.leader(l.a, "sweeper"), "centre-2")
	l.equal("the leader of a part of the name", l.leader(l.a, "roll"), "")
	if !l.leads(one) || !l.leads(other) {
		l.Error("a leadership is lost that was not given up")
	}
	if err := one.Resign(l.ctx); err != nil {
		l.Errorf("resign: %v", err)
	}
	l.lost("who resigned", one)
	l.equal("the leader after resigning", l.leader(l.b, "rollout"), "")
	if err := one.Resign(l.ctx); err != nil {
		l.Errorf("resign again: %v", err)
	}
	if !l.leads(other) {
		l.Error("the other leadership ended too")
	}
	for _, bad := range [][2]string{{"", "me"}, {"x", ""}, {"a/b", "me"}} {
		if _, err := l.a.Lead(l.ctx, bad[0], bad[1]); err == nil {
			l.Errorf("lead %q as %q gives no error", bad[0], bad[1])
		}
	}
}

func testGuard(l *lab) {
	write := func(s store.Store, g store.Cond, value string) error {
		_, err := s.Commit(l.ctx, store.Txn{If: []store.Cond{g}, Then: []store.Op{put("work", value)}})
		return err
	}
	first := l.lead(l.ctx, l.a, "rollout", "one")
	if err := write(l.a, first.Guard(), "1"); err != nil {
		l.Errorf("a leader's change: %v", err)
	}
	if err := first.Resign(l.ctx); err != nil {
		l.Fatal(err)
	}
	l.isErr("a change of who resigned", write(l.a, first.Guard(), "2"), store.ErrConflict)
	second := l.lead(l.ctx, l.b, "rollout", "two")
	if first.Guard() == second.Guard() {
		l.Errorf("two leaderships have the same guard %v", first.Guard())
	}
	if err := write(l.b, second.Guard(), "3"); err != nil {
		l.Errorf("the next leader's change: %v", err)
	}
	l.isErr("a change of who was replaced", write(l.a, first.Guard(), "4"), store.ErrConflict)
	if e, _ := l.a.Get(l.ctx, "work"); string(e.Value) != "3" {
		l.Errorf("the value is %q", e.Value)
	}
	third := l.lead(l.ctx, l.a, "other", "one")
	if err := write(l.a, third.Guard(), "5"); err != nil {
		l.Errorf("a change with the guard of another name: %v", err)
	}
}

// Several want to lead: one does at a time, and each gets its turn.
func testLeadQueue(l *lab) {
	const n = 6
	var now, turns atomic.Int32
	var wg sync.WaitGroup
	for i := range n {
		s := []store.Store{l.a, l.b}[i%2]
		wg.Go(func() {
			lead, err := s.Lead(l.ctx, "queue", fmt.Sprint("candidate-", i))
			if err != nil {
				l.Errorf("lead: %v", err)
				return
			}
			if now.Add(1) != 1 {
				l.Error("two lead at the same time")
			}
			turn := turns.Add(1)
			_, err = s.Commit(l.ctx, store.Txn{If: []store.Cond{lead.Guard()}, Then: []store.Op{put("turn", fmt.Sprint(turn))}})
			if err != nil {
				l.Errorf("commit as leader: %v", err)
			}
			now.Add(-1)
			if err := lead.Resign(l.ctx); err != nil {
				l.Errorf("resign: %v", err)
			}
		})
	}
	wg.Wait()
	l.equal("the turns", turns.Load(), n)
	// Who waits and goes away stands in nobody's way.
	first := l.lead(l.ctx, l.a, "queue", "first")
	ctx, cancel := context.WithCancel(l.ctx)
	waiting := make(chan error, 1)
	go func() {
		_, err := l.b.Lead(ctx, "queue", "leaver")
		waiting <- err
	}()
	select {
	case err := <-waiting:
		l.Fatalf("Lead returned while another led: %v", err)
	case <-time.After(200 * time.Millisecond): // that it does not return has no event to wait for
	}
	cancel()
	select {
	case err := <-waiting:
		l.isErr("a candidate that went away", err, context.Canceled)
	case <-time.After(patience):
		l.Fatal("a candidate whose context ended still waits")
	}
	if err := first.Resign(l.ctx); err != nil {
		l.Fatal(err)
	}
	next := l.lead(l.ctx, l.b, "queue", "next")
	l.equal("the leader", l.leader(l.a, "queue"), "next")
	if !l.leads(next) {
		l.Error("the next leader lost it at once")
	}
}

func testLeadContext(l *lab) {
	ctx, cancel := context.WithCancel(l.ctx)
	one := l.lead(ctx, l.a, "rollout", "one")
	cancel()
	l.lost("one", one)
	started := time.Now()
	two := l.lead(l.ctx, l.b, "rollout", "two")
	if took := time.Since(started); took > store.LeaseTime/2 {
		l.Errorf("a leader whose context ended stood in the way for %v", took)
	}
	if _, err := l.a.Commit(l.ctx, store.Txn{If: []store.Cond{one.Guard()}, Then: []store.Op{put("a", "1")}}); !errors.Is(err, store.ErrConflict) {
		l.Errorf("the guard of a leadership that ended: error is %v", err)
	}
	if !l.leads(two) {
		l.Error("the second leader lost it")
	}
}

func testLeadClose(l *lab) {
	one := l.lead(l.ctx, l.a, "rollout", "one")
	waits := make(chan error, 1)
	go func() {
		_, err := l.a.Lead(l.ctx, "rollout", "two")
		waits <- err
	}()
	if err := l.a.Close(); err != nil {
		l.Fatal(err)
	}
	l.lost("a store that is closed", one)
	select {
	case err := <-waits:
		l.isErr("a candidate of a store that is closed", err, store.ErrClosed)
	case <-time.After(patience):
		l.Fatal("a candidate of a store that is closed still waits")
	}
	if err := one.Resign(l.ctx); err != nil {
		l.Errorf("resign after close: %v", err)
	}
	if l.back.Shared {
		started := time.Now()
		l.lead(l.ctx, l.b, "rollout", "three")
		if took := time.Since(started); took > store.LeaseTime/2 {
			l.Errorf("a leader whose store was closed stood in the way for %v", took)
		}
	}
}
