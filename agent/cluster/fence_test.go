package cluster

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/resources"
)

// healthOf reads what a server answers: P primary, R replica, A neither, L loading, X unreachable. A digit after it is
// the epoch.
func healthOf(word string) resources.Health {
	h := resources.Health{Ready: true}
	switch word[0] {
	case 'P':
		h.Role = resources.RolePrimary
	case 'R':
		h.Role = resources.RoleReplica
	case 'L':
		h = resources.Health{Detail: "LOADING"}
	case 'X':
		h = resources.Health{Detail: unreachable}
	}
	if len(word) > 1 {
		h.Epoch = uint64(word[1] - '0')
	}
	return h
}

// say sets what a:1, b:1 and so on answer, "P R X".
func (g *rig) say(words string) {
	for i, w := range strings.Fields(words) {
		g.f.set(fmt.Sprintf("%c:1", 'a'+i), healthOf(w))
	}
}

// writers and fenced name the endpoints that are written to, and those that get no calls, by their letters.
func (g *rig) writers() string {
	out := ""
	for _, a := range g.used("g", resources.RolePrimary) {
		out += a[:1]
	}
	return out
}

func (g *rig) fenced() string {
	out := ""
	for _, s := range g.c.Status() {
		if s.State == "fenced" {
			out += s.Address[:1]
		}
	}
	return out
}

// spell is longer than any of the times within which probes find out what changed, and shorter than the patience with a
// group whose writer gave up.
const spell = 5 * time.Second

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

type step struct {
	say     string // see rig.say
	writers string
	fenced  string
	after   time.Duration // spell
}

func TestFence(t *testing.T) {
	for name, c := range map[string]struct {
		roles string // of the spec: P, R or A for each endpoint; all A when empty
		steps []step
	}{
		"an orderly failover": {steps: []step{
			{say: "P R R", writers: "a"}, {say: "R P R", writers: "b"}, {say: "R R P", writers: "c"}, {say: "P R R", writers: "a"},
		}},
		"a second one begins to say primary": {steps: []step{
			{say: "P R", writers: "a"}, {say: "P P", writers: "a", fenced: "b"}, {say: "P R", writers: "a"},
		}},
		"it is believed when the writer is gone": {steps: []step{
			{say: "P R", writers: "a"}, {say: "P P", writers: "a", fenced: "b"}, {say: "X P", writers: "b", fenced: "a"},
		}},
		"an old writer comes back": {steps: []step{
			{say: "P R", writers: "a"}, {say: "X P", writers: "b", fenced: "a"},
			{say: "P P", writers: "b", fenced: "a"}, {say: "R P", writers: "b"}, {say: "P P", writers: "b", fenced: "a"},
		}},
		"an old writer is not believed when the new one is gone": {steps: []step{
			{say: "P R", writers: "a"}, {say: "X P", writers: "b", fenced: "a"}, {say: "P P", writers: "b", fenced: "a"},
			{say: "P X", writers: "b", fenced: "a"}, {say: "P L", writers: "b", fenced: "a", after: time.Hour}, {say: "P P", writers: "b", fenced: "a"},
		}},
		"an old writer that was a replica meanwhile is promoted": {steps: []step{
			{say: "P R", writers: "a"}, {say: "X P", writers: "b", fenced: "a"}, {say: "R P", writers: "b"}, {say: "P X", writers: "a", fenced: "b"},
		}},
		"the new writer gives up for the old one": {steps: []step{
			{say: "P R R", writers: "a"}, {say: "X P R", writers: "b", fenced: "a"}, {say: "P P R", writers: "b", fenced: "a"},
			{say: "P R R", writers: "", fenced: "a", after: 3 * time.Second}, {say: "P R R", writers: "a", after: 10 * time.Second},
		}},
		"the new writer gives up for a third one": {steps: []step{
			{say: "P R R", writers: "a"}, {say: "X P R", writers: "b", fenced: "a"}, {say: "P P R", writers: "b", fenced: "a"},
			{say: "P R R", writers: "", fenced: "a", after: 3 * time.Second}, {say: "P R P", writers: "c", fenced: "a", after: 3 * time.Second},
			{say: "P R P", writers: "c", fenced: "a", after: time.Minute},
		}},
		"a writer that loads is replaced": {steps: []step{
			{say: "P R", writers: "a"}, {say: "L R", writers: "a"}, {say: "L P", writers: "b", fenced: "a"}, {say: "P P", writers: "b", fenced: "a"},
		}},
		"a writer that is away alone stays the writer": {steps: []step{
			{say: "P R", writers: "a"}, {say: "X R", writers: "a"}, {say: "P R", writers: "a"},
		}},
		"a higher epoch wins": {steps: []step{
			{say: "P3 R", writers: "a"}, {say: "P3 P4", writers: "b", fenced: "a"}, {say: "P3 P4", writers: "b", fenced: "a"}, {say: "P5 P4", writers: "a", fenced: "b"},
		}},
		"a lower, equal or unknown epoch does not": {steps: []step{
			{say: "P3 R R R", writers: "a"}, {say: "P3 P2 P3 P", writers: "a", fenced: "bcd"},
		}},
		"without an epoch of the writer no epoch wins": {steps: []step{
			{say: "P R", writers: "a"}, {say: "P P4", writers: "a", fenced: "b"},
		}},
		"at the start two say primary": {steps: []step{
			{say: "P P R", writers: "", fenced: "ab"}, {say: "P R R", writers: "a"},
		}},
		"at the start two say primary and one is declared": {roles: "APA", steps: []step{
			{say: "P P R", writers: "b", fenced: "a"}, {say: "P R R", writers: "a"},
		}},
		"at the start two say primary and one of them is gone later": {steps: []step{
			{say: "P P", writers: "", fenced: "ab"}, {say: "X P", writers: "b", fenced: "a"}, {say: "P P", writers: "b", fenced: "a"},
		}},
		"at the start all tell their epochs": {roles: "PAA", steps: []step{
			{say: "P1 P3 P2", writers: "b", fenced: "ac"},
		}},
		"at the start not all tell their epochs": {steps: []step{
			{say: "P1 P3 P", writers: "", fenced: "abc"},
		}},
		"the declared primary is gone at the start": {roles: "PR", steps: []step{
			{say: "X P", writers: "b"}, {say: "P P", writers: "b", fenced: "a"},
		}},
		"several declared primaries are all written to": {roles: "PPR", steps: []step{
			{say: "P P R", writers: "ab"}, {say: "P P P", writers: "abc"},
		}},
		"servers that tell no role are written to until one says primary": {steps: []step{
			{say: "A A", writers: "ab"}, {say: "A P", writers: "b"}, {say: "A R", writers: "a"},
		}},
		"a declared primary of a kind without roles": {roles: "PAR", steps: []step{
			{say: "A A A", writers: "ab"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := spec(len(strings.Fields(c.steps[0].say)))
				for i, r := range c.roles {
					s.Groups["g"].Endpoints[i].Role = map[rune]string{'P': "primary", 'R': "replica", 'A': "any"}[r]
				}
				g := newRig(t, s)
				defer g.c.Close()
				for i, st := range c.steps {
					g.say(st.say)
					if i == 0 {
						g.start()
					}
					if st.after == 0 {
						st.after = spell
					}
					pass(st.after)
					if w, f := g.writers(), g.fenced(); w != st.writers || f != st.fenced {
						t.Errorf("step %d: servers say %s: %q are written to and %q fenced, want %q and %q", i, st.say, w, f, st.writers, st.fenced)
					}
				}
			})
		})
	}
}

// How long a writer must be away is the policy's word; one that answers that it is not ready is not waited for.
func TestPromotionIsAcceptedAfterFall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(2)
		s.Policy.Probe.Fall = 5
		g := newRig(t, s)
		defer g.c.Close()
		g.say("P R")
		g.start()
		g.say("X P")
		pass(6 * time.Second)
		if w, f := g.writers(), g.fenced(); w != "a" || f != "b" {
			t.Errorf("after three failed checks %q is written to and %q fenced", w, f)
		}
		pass(7 * time.Second)
		if w, f := g.writers(), g.fenced(); w != "b" || f != "a" {
			t.Errorf("after five failed checks %q is written to and %q fenced", w, f)
		}
		g.say("R P")
		pass(spell)
		g.say("P L")
		pass(spell)
		if w, f := g.writers(), g.fenced(); w != "a" || f != "b" {
			t.Errorf("when the writer loads %q is written to and %q fenced", w, f)
		}
	})
}

// More than half of the group is out, so that all are used: the fenced ones are not.
func TestPanicDoesNotUseTheFenced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, spec(3))
		defer g.c.Close()
		g.say("P P X")
		g.start()
		pass(spell)
		g.wantUsed("c:1")
		if g.fenced() != "ab" {
			t.Errorf("%q are fenced", g.fenced())
		}
	})
}

// The others of the group are not waited for when the declared primary says that it is one.
func TestDeclaredPrimaryIsWrittenToAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(2)
		s.Groups["g"].Endpoints[0].Role = "primary"
		for _, declared := range []bool{true, false} {
			if !declared {
				s = spec(2)
			}
			g := newRig(t, s)
			g.f.hangs.Store(new("b:1"))
			g.say("P")
			g.start()
			if w := g.writers(); (w == "a") != declared {
				t.Errorf("declared: %t, before the other one was checked %q is written to", declared, w)
			}
			pass(spell)
			if w := g.writers(); w != "a" {
				t.Errorf("declared: %t, %q is written to", declared, w)
			}
			g.c.Close()
		}
	})
}

func TestFencedEndpointGetsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log syncBuffer
		g := newRig(t, spec(3))
		defer g.c.Close()
		g.c.log = slog.New(slog.NewTextHandler(&log, nil))
		g.say("P R R")
		g.start()
		changes := g.changes.Load()
		g.say("P P R")
		pass(time.Minute)
		b := g.member("b:1")
		for _, r := range []resources.Role{resources.RoleAny, resources.RolePrimary, resources.RoleReplica} {
			if slices.Contains(g.used("g", r), "b:1") {
				t.Errorf("it is in the list for %s", r)
			}
		}
		if !b.Endpoint.Gone() || b.Sound() || g.changes.Load() != changes+1 {
			t.Errorf("gone %t, sound %t, %d notices", b.Endpoint.Gone(), b.Sound(), g.changes.Load()-changes)
		}
		if _, fault := g.c.Dial(t.Context(), b.Endpoint); fault == nil {
			t.Error("it can be dialled")
		}
		if st := g.c.Status()[1]; st.Role != "primary (fenced)" || st.State != "fenced" || st.Share != 0 ||
			st.Why != "it says that it is the primary, and a:1 is written to: make it a replica" {
			t.Errorf("status %+v", st)
		}
		if up := g.series(metrics.EndpointUp); up["g a:1 primary"] != 1 || up["g b:1 primary"] != 0 {
			t.Errorf("series %v", up)
		}
		if n := strings.Count(log.String(), "is fenced"); n != 1 {
			t.Errorf("the log says %d times that it is fenced:\n%s", n, log.String())
		}
		g.say("P R R")
		pass(spell)
		if st := g.c.Status()[1]; b.Endpoint.Gone() || st.Role != "replica" || st.State != "up" || st.Why != "" {
			t.Errorf("as a replica it is %+v", st)
		}
	})
}

func TestFenceFollowsTheOperator(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(2)
		g := newRig(t, s)
		defer g.c.Close()
		check := func(what, writers, fenced string) {
			t.Helper()
			pass(spell)
			if w, f := g.writers(), g.fenced(); w != writers || f != fenced {
				t.Errorf("%s: %q are written to and %q fenced, want %q and %q", what, w, f, writers, fenced)
			}
		}
		g.say("P P")
		g.start()
		check("two at the start", "", "ab")
		declared := spec(2)
		declared.Groups["g"].Endpoints[0].Role = "primary"
		g.apply(declared)
		check("one is declared", "a", "b")
		g.apply(declared, "a:1")
		check("the writer is drained", "b", "")
		g.apply(declared)
		check("it is back", "b", "a")
		g.say("P X")
		check("the new one is gone", "b", "a")
		g.apply(s)
		g.apply(declared)
		check("the old one is declared again", "a", "b")
		both := spec(2)
		both.Groups["g"].Endpoints[0].Role, both.Groups["g"].Endpoints[1].Role = "primary", "primary"
		g.say("P P")
		g.apply(both)
		check("both are declared", "ab", "")
		g.apply(spec(1))
		check("one is taken away", "a", "")
	})
}

func TestWriterThatTellsOtherwiseInACall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, spec(2))
		defer g.c.Close()
		g.say("P P")
		g.start()
		g.say("P R")
		pass(spell)
		g.f.slow = time.Hour // no check ends any more
		g.c.Report(g.member("a:1").Endpoint, resources.Health{Ready: true, Role: resources.RoleReplica})
		if w := g.writers(); w != "" {
			t.Errorf("%q is written to although it said that it is a replica", w)
		}
	})
}

func TestPartitionedAndDiscoveredGroupsHaveNoFence(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, spec(3))
		defer g.c.Close()
		g.f.parted = true
		g.say("P P P")
		g.start()
		pass(spell)
		if w, f := g.writers(), g.fenced(); w != "abc" || f != "" {
			t.Errorf("%q are written to and %q fenced", w, f)
		}
	})
	bubble(t, func(t *testing.T) {
		g := newRig(t, spec(2))
		g.f.reports = make(chan []resources.Member)
		defer g.c.Close()
		g.say("P P")
		g.start()
		pass(spell)
		if w, f := g.writers(), g.fenced(); w != "" || f != "ab" {
			t.Errorf("before a report %q are written to and %q fenced", w, f)
		}
		g.report(resources.Member{Address: "a:1", Role: resources.RolePrimary}, resources.Member{Address: "b:1", Role: resources.RolePrimary})
		pass(spell)
		if w, f := g.writers(), g.fenced(); w != "ab" || f != "" {
			t.Errorf("the topology's primaries: %q are written to and %q fenced", w, f)
		}
	})
}

// Whatever servers say and whenever they are away: never two writers; never another writer while the one there is says
// that it is primary; and never back to one that was replaced and has not said since that it is a replica, unless the
// last writer says so.
func TestFenceModel(t *testing.T) {
	bubble(t, func(bt *testing.T) {
		rapid.Check(noDeadline{bt}, func(t *rapid.T) {
			const n = 3
			g := newRig(bt, spec(n))
			defer g.c.Close()
			words := rapid.SampledFrom([]string{"P", "P", "P", "R", "R", "L", "X"})
			said := make([]string, n)
			draw := func() {
				for i := range said {
					said[i] = words.Draw(t, "says")
				}
				g.say(strings.Join(said, " "))
			}
			draw()
			g.start()
			pass(spell)
			writer := func() string {
				if !slices.Contains(said, "P") { // what is listed then is no more than a guess
					return ""
				}
				return g.writers()
			}
			old, last, replaced, told := writer(), writer(), map[string]bool{}, slices.Clone(said) // told: the last P or R
			for range 12 {
				i := rapid.IntRange(0, n-1).Draw(t, "who")
				said[i] = words.Draw(t, "says")
				g.say(strings.Join(said, " "))
				pass(rapid.SampledFrom([]time.Duration{spell, time.Minute}).Draw(t, "for"))
				now := writer()
				if w := said[i]; w == "R" || w == "P" {
					told[i] = w
				}
				if told[i] == "R" {
					delete(replaced, string(rune('a'+i)))
				}
				if len(now) > 1 {
					t.Fatalf("%q are written to, servers say %v", now, said)
				}
				if len(old) == 1 && now != old && said[old[0]-'a'] == "P" {
					t.Fatalf("%q is written to and not %q, servers say %v", now, old, said)
				}
				if len(now) == 1 && now != last && len(last) == 1 {
					gaveUp := told[last[0]-'a'] == "R"
					if replaced[now] && !gaveUp {
						t.Fatalf("%q is written to again, servers say %v", now, said)
					}
					replaced[last] = !gaveUp
				}
				if len(now) == 1 {
					last = now
				}
				old = now
			}
		})
	})
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
