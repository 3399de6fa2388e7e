package discovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// slow is a Back that takes its time and counts who is in it.
type slow struct {
	takes     time.Duration
	now, most atomic.Int32
	mu        sync.Mutex
	refuse    error           // guarded by mu
	has       map[string]Node // guarded by mu
	announced atomic.Int32
}

func (b *slow) in(ctx context.Context) error {
	n := b.now.Add(1)
	defer b.now.Add(-1)
	for m := b.most.Load(); n > m && !b.most.CompareAndSwap(m, n); m = b.most.Load() {
	}
	select {
	case <-time.After(b.takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refuse
}

func (b *slow) Announce(ctx context.Context, n Node) error {
	b.announced.Add(1)
	if err := b.in(ctx); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.has[n.Address] = n
	return nil
}

func (b *slow) Withdraw(ctx context.Context, n Node) error {
	if err := b.in(ctx); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.has, n.Address)
	return nil
}

func (b *slow) set(refuse error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refuse = refuse
}

func (b *slow) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.has)
}

func node(i int) Node {
	return Node{Service: Service{Group: "g", Path: "svc", Version: "1.0", Protocol: "motan2"}, Address: fmt.Sprintf("10.0.0.1:%d", i+1), Weight: 100}
}

// However many there are, few attempts run at once, and all of them have their turn.
func TestAttemptsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &slow{takes: 10 * time.Millisecond, has: make(map[string]Node)}
		a := NewAnnouncements(b, slog.New(slog.DiscardHandler))
		defer a.Close()
		const many = 1000
		for i := range many {
			if _, err := a.Register(node(i)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(many / atOnce * 12 * time.Millisecond)
		synctest.Wait()
		if b.count() != many || b.most.Load() != atOnce {
			t.Errorf("%d of %d were made, %d at once", b.count(), many, b.most.Load())
		}
		a.Check() // all at once, as after a session was lost
		time.Sleep(many / atOnce * 12 * time.Millisecond)
		synctest.Wait()
		if n := b.announced.Load(); n != 2*many || b.most.Load() != atOnce {
			t.Errorf("%d attempts, %d at once", n, b.most.Load())
		}
	})
}

// What fails is tried again with pauses that grow to 5 s, at once when it is asked for, and says why in its state.
func TestFailedAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &slow{has: make(map[string]Node), refuse: errors.New("refused")}
		a := NewAnnouncements(b, slog.New(slog.DiscardHandler))
		defer a.Close()
		r, err := a.Register(node(0))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := b.announced.Load(); n < 60/5 || n > 60/2 {
			t.Errorf("%d attempts in a minute", n)
		}
		if st := r.State(); st.Stands || st.Error != "refused" || st.Since.After(start) {
			t.Errorf("its state is %+v", st)
		}
		b.set(nil)
		a.CheckOne(node(0))
		synctest.Wait()
		if st := r.State(); !st.Stands || st.Error != "" || !st.Since.Equal(time.Now()) {
			t.Errorf("its state is %+v", st)
		}
		// While it cannot be withdrawn, who waits for that is told why, and it is withdrawn later all the same.
		b.set(errors.New("refused"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Withdraw(ctx); err == nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("withdrawn from a registry that refuses: %v", err)
		}
		b.set(nil)
		if err := r.Withdraw(t.Context()); err != nil || b.count() != 0 {
			t.Errorf("withdrawn: %v, %d are left", err, b.count())
		}
	})
}

// An address that is being withdrawn can be announced again, by a Registration of its own.
func TestAnnouncedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &slow{takes: time.Second, has: make(map[string]Node)}
		a := NewAnnouncements(b, slog.New(slog.DiscardHandler))
		defer a.Close()
		first, err := a.Register(node(0))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Register(node(0)); err == nil {
			t.Error("announced twice")
		}
		time.Sleep(2 * time.Second)
		waited := make(chan error)
		go func() { waited <- first.Withdraw(t.Context()) }()
		synctest.Wait() // it is under way
		n := node(0)
		n.Weight = 7
		second, err := a.Register(n)
		if err != nil {
			t.Fatal(err)
		}
		if err := <-waited; err != nil {
			t.Errorf("who withdrew has nothing to wait for any more: %v", err)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if b.count() != 1 || b.has[n.Address].Weight != 7 || !second.State().Stands {
			t.Errorf("there is %+v, state %+v", b.has, second.State())
		}
		if err := first.Update(node(0)); err == nil {
			t.Error("the first one still speaks for the address")
		}
	})
}
