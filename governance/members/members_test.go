package members

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/governance/store/bolt"
	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/protocols/control"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// book is a Registry that remembers what it was told: the services of an agent, with "(gone)" once it is.
type book struct {
	mu sync.Mutex
	by map[string]string
}

func (b *book) Export(agent, boot string, services []control.Service) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, s := range services {
		text := s.Address
		if !s.Up {
			text += " down"
		}
		out = append(out, text)
	}
	b.by[agent] = boot + " " + strings.Join(out, ",")
	return nil
}

func (b *book) Gone(agent, boot string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if strings.HasPrefix(b.by[agent], boot+" ") {
		b.by[agent] = strings.TrimSuffix(b.by[agent], " (gone)") + " (gone)"
	}
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, a := range slices.Sorted(maps.Keys(b.by)) {
		out = append(out, a+": "+b.by[a])
	}
	return strings.Join(out, "; ")
}

type center struct {
	*Members
	book *book
}

const grace = 300 * time.Millisecond

func open(t *testing.T, s store.Store, name string) *center {
	t.Helper()
	b := &book{by: map[string]string{}}
	m, err := Open(t.Context(), Options{Store: s, Registry: b, Me: name, Grace: grace, Look: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return &center{m, b}
}

func newStore(t *testing.T) store.Store {
	t.Helper()
	s, err := bolt.Open(t.TempDir(), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func services(addresses ...string) (out []control.Service) {
	for _, a := range addresses {
		out = append(out, control.Service{Resource: "feed", Kind: "redis", Group: "yf", Address: a, Up: true})
	}
	return out
}

func (c *center) knows(t *testing.T, want string) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		if c.book.String() == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s knows %q, want %q", c.opt.Me, c.book.String(), want)
		}
	}
}

func records(t *testing.T, s store.Store) string {
	t.Helper()
	entries, _, err := s.List(context.Background(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, strings.TrimPrefix(e.Key, prefix))
	}
	return strings.Join(out, " ")
}

func has(t *testing.T, s store.Store, want string) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); records(t, s) != want; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the store has records of %q, want %q", records(t, s), want)
		}
	}
}

func TestExportsAreShared(t *testing.T) {
	s := newStore(t)
	one, two := open(t, s, "c1"), open(t, s, "c2")
	one.Export("a", "b1", services("x:1"))
	two.knows(t, "a: b1 x:1")
	down := services("x:1", "y:1")
	down[0].Up = false
	one.Export("a", "b1", down)
	two.knows(t, "a: b1 x:1 down,y:1")

	// The agent goes to the other centre, whose word comes before the end of its first link is known, or after.
	two.Export("a", "b1", services("x:1"))
	one.knows(t, "a: b1 x:1 down,y:1")
	for end := time.Now().Add(5 * time.Second); one.center("a") != "c2"; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the first centre does not see where the agent is")
		}
	}
	one.Gone("a", "b1")
	one.knows(t, "a: b1 x:1")
	has(t, s, "a")

	// Its process ends: it is gone for both.
	two.Gone("a", "b1")
	one.knows(t, "a: b1 x:1 (gone)")
	has(t, s, "")
	// And comes back as another one.
	one.Export("a", "b2", services("x:1"))
	two.knows(t, "a: b2 x:1")
	one.Export("a", "b2", nil)
	two.knows(t, "a: b2 x:1 (gone)")
	has(t, s, "")
}

func (m *Members) center(agent string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.records[agent].Center
}

func TestCenterDies(t *testing.T) {
	s := newStore(t)
	one, two := open(t, s, "c1"), open(t, s, "c2")
	one.Export("a", "b1", services("x:1"))
	one.Export("b", "b1", services("y:1"))
	two.knows(t, "a: b1 x:1; b: b1 y:1")
	one.Close()
	// One of its agents comes to the other centre, and the other one does not.
	two.knows(t, "a: b1 x:1 (gone); b: b1 y:1 (gone)")
	two.Export("a", "b1", services("x:1"))
	has(t, s, "a")
	two.knows(t, "a: b1 x:1; b: b1 y:1 (gone)")

	// A centre that starts knows at once what the others know.
	three := open(t, s, "c3")
	three.knows(t, "a: b1 x:1")
	// The first one comes back. What it wrote before it died is not its word any more, if its agents do not come back.
	two.Export("c", "b1", services("z:1"))
	has(t, s, "a c")
	two.Close()
	again := open(t, s, "c2")
	again.knows(t, "a: b1 x:1 (gone); c: b1 z:1 (gone)")
	again.Export("c", "b1", services("z:1"))
	has(t, s, "c")
	three.knows(t, "a: b1 x:1 (gone); c: b1 z:1")
}

// A centre that stood still writes what is not so any more. The agent's own centre takes it back.
func TestOldWord(t *testing.T) {
	s := newStore(t)
	one, two := open(t, s, "c1"), open(t, s, "c2")
	two.Export("a", "b1", services("x:1"))
	one.knows(t, "a: b1 x:1")
	one.Export("a", "b1", services("old:1")) // from a link that is dead already
	for end := time.Now().Add(5 * time.Second); two.center("a") != "c1"; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the old word does not come")
		}
	}
	two.knows(t, "a: b1 x:1")
	one.Gone("a", "b1")
	one.knows(t, "a: b1 x:1")
	two.knows(t, "a: b1 x:1")
	has(t, s, "a")
}

func TestManyAgents(t *testing.T) {
	s := newStore(t)
	one, two := open(t, s, "c1"), open(t, s, "c2")
	var want []string
	for i := range 100 {
		name := fmt.Sprintf("a%03d", i)
		one.Export(name, "b", services("x:1"))
		want = append(want, name+": b x:1")
	}
	two.knows(t, strings.Join(want, "; "))
}

// late is a store whose watches tell of a change a while after it.
type late struct{ store.Store }

type lateWatch struct {
	store.Watch
	c chan store.Batch
}

func (w *lateWatch) C() <-chan store.Batch { return w.c }

func (l late) Watch(ctx context.Context, prefix string, after int64) store.Watch {
	w := &lateWatch{l.Store.Watch(ctx, prefix, after), make(chan store.Batch)}
	go func() {
		defer close(w.c)
		for b := range w.Watch.C() {
			clock.Sleep(ctx, 50*time.Millisecond)
			w.c <- b
		}
	}()
	return w
}

// A service goes down and comes back before its own centre has seen what it wrote of that.
func TestThereAndBack(t *testing.T) {
	s := newStore(t)
	one, two := open(t, late{s}, "c1"), open(t, s, "c2")
	up, down := services("x:1"), services("x:1")
	down[0].Up = false
	one.Export("a", "b1", up)
	two.knows(t, "a: b1 x:1")
	for one.center("a") != "c1" {
		time.Sleep(time.Millisecond)
	}
	one.Export("a", "b1", down)
	two.knows(t, "a: b1 x:1 down")
	one.Export("a", "b1", up)
	two.knows(t, "a: b1 x:1")
}

// A record that is to be removed since its centre is dead is another one by then: it stays.
func TestRemoveIsOfWhatWasSeen(t *testing.T) {
	s := newStore(t)
	one, two := open(t, s, "c1"), open(t, s, "c2")
	one.Export("a", "b1", services("x:1"))
	two.knows(t, "a: b1 x:1")
	two.mu.Lock()
	seen := two.records["a"].revision
	two.mu.Unlock()
	one.Export("a", "b1", services("y:1"))
	two.knows(t, "a: b1 y:1")
	two.remove("a", seen)
	if got := records(t, s); got != "a" {
		t.Errorf("the store has records of %q", got)
	}
}
