package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/resources"
)

func TestAddAndUndo(t *testing.T) {
	s := open(t, newStore(t))
	c := add(t, s, order(toTC("feed-cache"), func(c *Command) { c.Why = "moving" }))
	if !regexp.MustCompile(`^g-[0-9a-f]{8}$`).MatchString(c.ID) || c.Revision == 0 || c.Created.IsZero() || c.Percent != 100 {
		t.Errorf("%+v", c)
	}
	got, err := s.Get(c.ID)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(c, got); d != "" {
		t.Error(d)
	}
	if got := s.For(feedCache, web); len(got) != 1 || got[0].ID != c.ID || got[0].Resource != "feed-cache" {
		t.Errorf("%+v", got)
	}
	if s.For(feedDB, web) != nil {
		t.Error("it holds for another resource")
	}
	ended, err := s.Undo(t.Context(), c.ID, "ben", "enough")
	if err != nil || ended.How != Undone || ended.By != "ben" || ended.Why != "enough" || ended.Command.ID != c.ID {
		t.Fatalf("%+v, %v", ended, err)
	}
	if len(s.List()) != 0 || s.For(feedCache, web) != nil {
		t.Error("it is undone and still holds")
	}
	if _, err := s.Undo(t.Context(), c.ID, "cat", ""); !errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), "was undone by ben at") {
		t.Error(err)
	}
	if _, err := s.Undo(t.Context(), "g-00000000", "cat", ""); !errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), "there is no command") {
		t.Error(err)
	}
	if _, err := s.Get(c.ID); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	history, err := s.History(t.Context())
	if err != nil || len(history) != 1 {
		t.Fatalf("%+v, %v", history, err)
	}
	if d := cmp.Diff(ended, history[0]); d != "" {
		t.Error(d)
	}
}

func TestRefusals(t *testing.T) {
	s := open(t, newStore(t))
	past := time.Now().Add(-time.Second)
	for _, c := range []struct {
		name string
		in   Command
		want string
	}{
		{"nothing to act on", order(degrade("")), "needs a resource, or a selector"},
		{"both", order(degrade(""), func(c *Command) { c.Resource, c.Select = "feed-cache", &Selector{Name: "*"} }), "not both"},
		{"no author", Command{Command: degrade("feed-cache")}, "needs an author"},
		{"no such resource", order(degrade("feed-cash")), `there is no resource "feed-cash": there are feed-cache, feed-db, user-cache; say`},
		{"a pattern as a name", order(degrade("feed-*")), "for several use select"},
		{"selects nothing", order(degrade(""), selecting(Selector{Kind: "kafka"})), "no resource matches kind=kafka"},
		{"selects everything", order(degrade(""), selecting(Selector{})), "write name=* if every resource is meant"},
		{"unknown group", order(toTC(""), selecting(Selector{Name: "feed-*"})), `resource feed-db: resource feed-db has no group "tc": its groups are gz, yf`},
		{"expired", order(degrade("feed-cache"), func(c *Command) { c.Expires = &past }), "is past"},
		{"observes a switch", order(toTC("feed-cache"), func(c *Command) { c.Mode = resources.Observe }), "only a limit has a mode"},
		{"not the type", order(resources.Command{Type: "stop", Resource: "feed-cache"}), `unknown command type "stop"`},
		{"not the type, later", order(resources.Command{Type: "stop", Resource: "new"}, func(c *Command) { c.Later = true }), `unknown command type "stop"`},
		{"spaces", order(degrade("feed-cache"), func(c *Command) { c.Agents = []string{"web 1"} }), "agents[0] has spaces"},
		{"too many", order(degrade("feed-cache"), func(c *Command) { c.IDCs = make([]string, 257) }), "at most 256"},
		{"long reason", order(degrade("feed-cache"), func(c *Command) { c.Why = strings.Repeat("x", 5000) }), "at most 4096 bytes"},
	} {
		if _, _, err := s.Check(c.in); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if _, err := s.Add(t.Context(), c.in); err == nil {
			t.Errorf("%s: it was taken", c.name)
		}
	}
	if _, err := s.AddAll(t.Context(), nil); err == nil {
		t.Error("no commands at all were taken")
	}
	if _, err := s.AddAll(t.Context(), []Command{order(degrade("feed-cache")), order(degrade("nobody"))}); err == nil || !strings.Contains(err.Error(), "command 2 of 2") {
		t.Error(err)
	}
	if _, err := s.Undo(t.Context(), "g-00000000", "", ""); err == nil || !strings.Contains(err.Error(), "who asks") {
		t.Error(err)
	}
	if len(s.List()) != 0 {
		t.Errorf("a refusal left something: %+v", s.List())
	}
}

func TestSelectorsAreExpandedLate(t *testing.T) {
	s := open(t, newStore(t))
	all := add(t, s, order(degrade(""), selecting(Selector{Name: "feed-*"})))
	caches := add(t, s, order(toTC(""), selecting(Selector{Kind: "redis"}), func(c *Command) { c.Agents = []string{"web-*", "api"} }))
	local := add(t, s, order(degrade(""), selecting(Selector{Labels: map[string]string{"team": "feed"}, IDC: "t*,xx"}), func(c *Command) { c.IDCs = []string{"yf"} }))
	later := add(t, s, order(degrade("new-queue"), func(c *Command) { c.Later = true }))
	api := AgentInfo{Name: "api", IDC: "tc"}
	newCache := ResourceInfo{Name: "feed-new", Kind: "redis", Groups: []string{"gz"}}
	for _, c := range []struct {
		r    ResourceInfo
		a    AgentInfo
		want []string
	}{
		{feedCache, web, []string{all.ID, caches.ID, local.ID}},
		{feedCache, api, []string{all.ID, caches.ID}},
		{feedCache, AgentInfo{Name: "batch", IDC: "yf"}, []string{all.ID, local.ID}},
		{feedDB, web, []string{all.ID}},
		{userCache, web, []string{caches.ID}},
		{newCache, web, []string{all.ID}}, // it has no group tc
		{ResourceInfo{Name: "new-queue", Kind: "kafka"}, web, []string{later.ID}},
		{ResourceInfo{Name: "unknown-groups", Kind: "redis"}, web, []string{caches.ID}},
	} {
		if got := ids(s, c.r, c.a); !slices.Equal(got, c.want) {
			t.Errorf("%s at %s: %q, want %q", c.r.Name, c.a.Name, got, c.want)
		}
	}
	if m := s.Misfits(newCache); len(m) != 1 || m[0].ID != caches.ID || !strings.Contains(m[0].Err.Error(), `no group "tc"`) {
		t.Errorf("%+v", m)
	}
	if _, names, err := s.Check(order(degrade(""), selecting(Selector{Name: "feed-*,user-*"}))); err != nil || !slices.Equal(names, []string{"feed-cache", "feed-db", "user-cache"}) {
		t.Errorf("%q, %v", names, err)
	}
}

func TestObserve(t *testing.T) {
	s := open(t, newStore(t))
	c := add(t, s, order(resources.Command{Type: resources.CommandLimit, Resource: "feed-cache", Rate: 10}, func(c *Command) { c.Mode = resources.Observe }))
	if got := s.For(feedCache, web); len(got) != 1 || got[0].ID != c.ID || got[0].Mode != resources.Observe {
		t.Errorf("%+v", got)
	}
}

func TestReplace(t *testing.T) {
	s := open(t, newStore(t))
	old := add(t, s, order(toTC("feed-cache"), func(c *Command) { c.Agents = []string{"canary"} }))
	next, err := s.Replace(t.Context(), old.ID, order(toTC("feed-cache"), func(c *Command) { c.Why = "all of them" }))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.List(); len(got) != 1 || got[0].ID != next.ID {
		t.Errorf("%+v", got)
	}
	history, err := s.History(t.Context())
	if err != nil || len(history) != 1 || history[0].How != Replaced || history[0].Next != next.ID || history[0].By != "ana" {
		t.Errorf("%+v, %v", history, err)
	}
	if _, err := s.Replace(t.Context(), old.ID, order(toTC("feed-cache"))); !errors.Is(err, store.ErrNotFound) || len(s.List()) != 1 {
		t.Error(err)
	}
}

func TestAllOrNone(t *testing.T) {
	s := open(t, newStore(t))
	got, err := s.AddAll(t.Context(), []Command{order(toTC("feed-cache")), order(degrade("feed-db")), order(toTC("user-cache"))})
	if err != nil || got[0].Revision != got[2].Revision {
		t.Fatalf("%+v, %v", got, err)
	}
	first, second := got[0].ID, got[1].ID
	if _, err := s.Undo(t.Context(), second, "ana", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UndoAll(t.Context(), []string{first, second}, "ana", ""); !errors.Is(err, store.ErrNotFound) || len(s.List()) != 2 {
		t.Errorf("%v, %d left", err, len(s.List()))
	}
	if _, err := s.UndoAll(t.Context(), []string{first, first}, "ana", ""); err == nil {
		t.Error("one command was undone twice")
	}
	if out, err := s.UndoAll(t.Context(), []string{first, got[2].ID}, "ana", "one undo"); err != nil || len(out) != 2 || len(s.List()) != 0 {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStore(t)
		a, b := open(t, st, func(o *Options) { o.Me = "a" }), open(t, st, func(o *Options) { o.Me = "b" })
		var mu sync.Mutex
		var told []string
		start := time.Now()
		b.OnChange(func(ids []string, targets []Selector, revision int64) {
			b.List() // no lock is held
			mu.Lock()
			defer mu.Unlock()
			told = append(told, fmt.Sprintf("%s %v %v %v", time.Since(start), strings.Join(ids, ","), targets, revision == b.Revision()))
		})
		c := add(t, a, order(degrade("feed-cache"), until(10*time.Minute)))
		stays := add(t, a, order(degrade("feed-db")))
		time.Sleep(10*time.Minute - time.Nanosecond)
		synctest.Wait()
		if len(a.List()) != 2 || len(b.List()) != 2 {
			t.Error("it ended before its time")
		}
		time.Sleep(time.Nanosecond)
		if got := b.For(feedCache, web); got != nil { // at once, whatever the timers do
			t.Errorf("%+v", got)
		}
		synctest.Wait()
		if len(a.List()) != 1 || len(b.List()) != 1 || a.List()[0].ID != stays.ID {
			t.Error("it did not end at its time")
		}
		if _, err := a.Undo(t.Context(), c.ID, "ana", ""); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%v", err)
		}
		time.Sleep(time.Second)
		history, err := b.History(t.Context())
		if err != nil || len(history) != 1 || history[0].How != Expired || history[0].By != "" || !history[0].At.Equal(*c.Expires) {
			t.Errorf("%+v, %v", history, err)
		}
		if _, err := st.Get(t.Context(), prefix+c.ID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("its record is still there: %v", err)
		}
		want := []string{
			"0s " + c.ID + " [name=feed-cache] true",
			"0s " + stays.ID + " [name=feed-db] true",
			"10m0s " + c.ID + " [name=feed-cache] true",
		}
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(told, want) && !slices.Equal(told, append([]string{mergeFirst(c.ID, stays.ID)}, want[2:]...)) {
			t.Errorf("%q, want %q", told, want)
		}
	})
}

// mergeFirst is the news of two commands told at once.
func mergeFirst(a, b string) string {
	names := map[string]string{a: "name=feed-cache", b: "name=feed-db"}
	both := []string{a, b}
	slices.Sort(both)
	return fmt.Sprintf("0s %s [%s %s] true", strings.Join(both, ","), names[both[0]], names[both[1]])
}

// A wall clock that is set back or forward ends nothing sooner or later, as long as the process runs.
func TestClockThatIsMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStore(t)
		var mu sync.Mutex
		var shift time.Duration
		s := open(t, st, func(o *Options) {
			o.Now = func() time.Time {
				mu.Lock()
				defer mu.Unlock()
				return time.Now().Add(shift)
			}
		})
		c := add(t, s, order(degrade("feed-cache"), until(time.Hour)))
		for _, d := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
			mu.Lock()
			shift = d
			mu.Unlock()
			st.BreakWatches() // all is read anew, under the wrong clock
			time.Sleep(time.Minute)
			if got := ids(s, feedCache, web); !slices.Equal(got, []string{c.ID}) {
				t.Errorf("with the clock moved by %s: %q", d, got)
			}
		}
		time.Sleep(58 * time.Minute)
		if got := ids(s, feedCache, web); got != nil {
			t.Errorf("%q after its time", got)
		}
	})
}

func TestRestartWithExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStore(t)
		s := open(t, st)
		c := add(t, s, order(degrade("feed-cache"), until(time.Minute)))
		s.Close()
		time.Sleep(time.Hour)
		s = open(t, st)
		if s.List() != nil || s.For(feedCache, web) != nil {
			t.Error("what expired while no centre ran holds again")
		}
		time.Sleep(time.Second)
		history, err := s.History(t.Context())
		if err != nil || len(history) != 1 || history[0].Command.ID != c.ID || history[0].How != Expired {
			t.Errorf("%+v, %v", history, err)
		}
	})
}

func TestHistoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStore(t)
		at := time.Now().UTC()
		for n := 0; n < kept+250; n += 50 {
			var txn store.Txn
			for i := n; i < n+50; i++ {
				e := Ended{How: Undone, At: at.Add(time.Duration(i) * time.Second)}
				e.Command.ID = fmt.Sprintf("g-%08x", i)
				ops, err := endOps(e)
				if err != nil {
					t.Fatal(err)
				}
				txn.Then = append(txn.Then, ops[1])
			}
			if _, err := st.Commit(t.Context(), txn); err != nil {
				t.Fatal(err)
			}
		}
		s := open(t, st)
		history, err := s.History(t.Context())
		if err != nil || len(history) != kept || history[0].Command.ID != fmt.Sprintf("g-%08x", kept+249) {
			t.Fatalf("%d, %v", len(history), err)
		}
		time.Sleep(time.Second)
		if entries, _, err := st.List(t.Context(), endedPrefix); err != nil || len(entries) != kept {
			t.Errorf("%d are kept, %v", len(entries), err)
		}
	})
}

func TestConflicts(t *testing.T) {
	s := open(t, newStore(t))
	a := add(t, s, order(toTC("feed-cache"), func(c *Command) { c.Agents = []string{"web-*"} }))
	b := add(t, s, order(resources.Command{Type: resources.CommandLimit, Rate: 5, Match: resources.Match{Op: "GET,SET", Caller: "batch-*"}},
		selecting(Selector{Name: "feed-*"}), func(c *Command) { c.Mode = resources.Observe }, until(time.Hour)))
	for _, c := range []struct {
		name string
		in   Command
		want []string
	}{
		{"same resource", order(degrade("feed-cache")), []string{a.ID, b.ID}},
		{"other agents", order(degrade("feed-cache"), func(c *Command) { c.Agents = []string{"api-*"} }), []string{b.ID}},
		{"other resource", order(degrade("user-cache")), nil},
		{"selector", order(degrade(""), selecting(Selector{Kind: "mysql"})), []string{b.ID}},
		{"other operation", order(resources.Command{Type: resources.CommandDegrade, Resource: "feed-db", Match: resources.Match{Op: "DEL"}}), nil},
		{"operations that may meet", order(resources.Command{Type: resources.CommandDegrade, Resource: "feed-db", Match: resources.Match{Op: "S*"}}), []string{b.ID}},
		{"other caller", order(resources.Command{Type: resources.CommandDegrade, Resource: "feed-db", Match: resources.Match{Caller: "web*"}}), nil},
	} {
		var got []string
		for _, line := range s.Conflicts(c.in) {
			id, _, _ := strings.Cut(line.Text, " ")
			got = append(got, id)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	want := fmt.Sprintf("%s (limit 5/s (observing), by ana, until %s) is about calls with op=GET,SET caller=batch-* of feed-db too", b.ID, b.Expires.UTC().Format(time.RFC3339))
	if got := s.Conflicts(order(degrade("feed-db"))); len(got) != 1 || got[0].Text != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestRecordsKeepEverything(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	in := order(resources.Command{Type: resources.CommandLimit, Rate: 5, Burst: 3, Percent: 50, Match: resources.Match{Op: "GET"}, Created: at, Expires: &at, Why: "x"},
		selecting(Selector{Name: "a", Kind: "b", IDC: "c", Labels: map[string]string{"d": "e"}}))
	in.Agents, in.IDCs, in.Plan, in.Step, in.Mode, in.Later = []string{"f"}, []string{"g"}, "h", 2, "observe", true
	b, err := encode(&in)
	if err != nil {
		t.Fatal(err)
	}
	var out Command
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(in, out); d != "" {
		t.Error(d)
	}
}

func TestWatchThatBreaks(t *testing.T) {
	st := newStore(t)
	here, there := open(t, st), open(t, st, func(o *Options) { o.Me = "there" })
	gone := add(t, here, order(degrade("feed-cache")))
	eventually(t, "the other centre has it", func() bool { return len(there.List()) == 1 })
	st.BreakWatches()
	if _, err := here.Undo(t.Context(), gone.ID, "ana", ""); err != nil {
		t.Fatal(err)
	}
	kept := add(t, here, order(degrade("feed-db")))
	for _, s := range []*Commands{here, there} {
		eventually(t, "it has what changed while the watch was broken", func() bool {
			l := s.List()
			return len(l) == 1 && l[0].ID == kept.ID
		})
	}
}

func TestTwoUndoAtOnce(t *testing.T) {
	s := open(t, newStore(t))
	c := add(t, s, order(degrade("feed-cache")))
	errs := make(chan error, 2)
	for _, by := range []string{"ana", "ben"} {
		go func() {
			_, err := s.Undo(context.Background(), c.ID, by, "")
			errs <- err
		}()
	}
	a, b := <-errs, <-errs
	if (a == nil) == (b == nil) || !errors.Is(errors.Join(a, b), store.ErrNotFound) {
		t.Errorf("one of two must hear that it is over: %v, %v", a, b)
	}
	if history, err := s.History(t.Context()); err != nil || len(history) != 1 {
		t.Errorf("%+v, %v", history, err)
	}
}

func TestDamagedRecord(t *testing.T) {
	st := newStore(t)
	if _, err := st.Commit(t.Context(), store.Txn{Then: []store.Op{{Key: prefix + "g-0", Value: []byte("{")}}}); err != nil {
		t.Fatal(err)
	}
	s := open(t, st)
	c := add(t, s, order(degrade("feed-cache")))
	if got := s.List(); len(got) != 1 || got[0].ID != c.ID {
		t.Errorf("%+v", got)
	}
}
