package filter

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

type plain struct {
	name   string
	closed int
}

func (*plain) OnCall(*resources.Call) *resources.Stop { return nil }
func (*plain) OnDone(*resources.Call)                 {}
func (p *plain) Close() error                         { p.closed++; return nil }
func (p *plain) Status() any                          { return p.name }

type ownSettings struct {
	Share resources.Percent  `json:"share"`
	For   resources.Duration `json:"for"`
}

// fresh makes a new filter each time, kept goes on with the old one, off is off.
var (
	fresh = Definition{Name: "fresh", Order: 1, Build: func(*Env, resources.Filter) (resources.Filter, error) { return &plain{name: "fresh"}, nil }}
	kept  = Definition{Name: "kept", Order: 2, Build: func(_ *Env, old resources.Filter) (resources.Filter, error) {
		if old != nil {
			return old, nil
		}
		return &plain{name: "kept"}, nil
	}}
	off = Definition{Name: "off", Order: 3, Build: func(*Env, resources.Filter) (resources.Filter, error) { return nil, nil }}
)

func own(got *any) Definition {
	return Definition{
		Name: "own", Order: OrderOwn, Settings: func() any { return &ownSettings{Share: 50} },
		Build: func(env *Env, _ resources.Filter) (resources.Filter, error) {
			*got = env.Settings
			return &plain{name: "own"}, nil
		},
	}
}

func envWith(filters map[string]any) *Env {
	p := resources.DefaultPolicy()
	p.Filters = filters
	return &Env{Resource: "feed-cache", Ops: resources.NewOps(nil), Policy: &p}
}

func TestCompileKeepsAndCloses(t *testing.T) {
	defs := []Definition{fresh, kept, off}
	first, err := compile(defs, envWith(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(first) != 2 || first[0].Name != "fresh" || first[1].Name != "kept" || len(first.Filters()) != 2 {
		t.Fatalf("chain is %v", first)
	}
	second, err := compile(defs, envWith(nil), first)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(second); err != nil {
		t.Fatal(err)
	}
	if a, b := first[0].Filter.(*plain).closed, first[1].Filter.(*plain).closed; a != 1 || b != 0 {
		t.Errorf("the replaced filter was closed %d times, the kept one %d times; want 1 and 0", a, b)
	}
	if st := second.Status(); st["kept"] != "kept" || len(st) != 2 {
		t.Errorf("status is %v", st)
	}
}

func TestCompileThatFailsLeavesTheOldChain(t *testing.T) {
	bad := Definition{Name: "bad", Order: 9, Build: func(*Env, resources.Filter) (resources.Filter, error) { return nil, errors.New("no") }}
	old, err := compile([]Definition{fresh, kept}, envWith(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	var made *plain
	spy := Definition{Name: "spy", Order: 3, Build: func(*Env, resources.Filter) (resources.Filter, error) { made = &plain{}; return made, nil }}
	chain, err := compile([]Definition{fresh, kept, spy, bad}, envWith(map[string]any{"nothing": nil}), old)
	if chain != nil || err == nil {
		t.Fatalf("got %v, %v", chain, err)
	}
	for _, want := range []string{"resource feed-cache: filter bad: no", `unknown filter "nothing": this program has no own filters`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	if made.closed != 1 || old[0].Filter.(*plain).closed+old[1].Filter.(*plain).closed != 0 {
		t.Error("what was made for the chain that failed is to be closed, and nothing else")
	}
}

func TestOwnSettings(t *testing.T) {
	var got any
	defs := []Definition{own(&got)}
	decoded := &ownSettings{Share: 7}
	for _, tc := range []struct {
		name string
		raw  any
		want ownSettings
	}{
		{"nothing written", nil, ownSettings{Share: 50}},
		{"some written", map[string]any{"for": "5s"}, ownSettings{Share: 50, For: resources.Duration(5 * time.Second)}},
		{"decoded", decoded, *decoded},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := compile(defs, envWith(map[string]any{"own": tc.raw}), nil); err != nil {
				t.Fatal(err)
			}
			if s, ok := got.(*ownSettings); !ok || *s != tc.want {
				t.Errorf("settings are %+v, want %+v", got, tc.want)
			}
		})
	}
	if chain, err := compile(defs, envWith(nil), nil); err != nil || len(chain) != 0 {
		t.Errorf("a filter that the policy does not name is on: %v, %v", chain, err)
	}
	for raw, want := range map[string]string{"share": `"lots" is not a percentage`, "shares": `unknown field "shares"`} {
		_, err := compile(defs, envWith(map[string]any{"own": map[string]any{raw: "lots"}}), nil)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "policy.filters.own") {
			t.Errorf("%s: error is %v, want %s", raw, err, want)
		}
	}
	if _, err := compile(defs, envWith(map[string]any{"won": nil}), nil); err == nil || !strings.Contains(err.Error(), "use one of own") {
		t.Errorf("error is %v", err)
	}
}

func TestSlotsRunOut(t *testing.T) {
	var slots []int
	def := func(name string) Definition {
		return Definition{Name: name, Build: func(env *Env, _ resources.Filter) (resources.Filter, error) {
			s, err := env.TakeSlot()
			slots = append(slots, s)
			return &plain{}, err
		}}
	}
	env := envWith(nil)
	for range 2 { // each compilation starts from the first slot
		slots = nil
		if _, err := compile([]Definition{def("a"), def("b"), def("c"), def("d")}, env, nil); err != nil {
			t.Fatal(err)
		}
		for i, s := range slots {
			if s != i {
				t.Errorf("slots are %v", slots)
			}
		}
	}
	_, err := compile([]Definition{def("a"), def("b"), def("c"), def("d"), def("e")}, env, nil)
	if err == nil || !strings.Contains(err.Error(), "filter e: no per-call slot is left") {
		t.Errorf("error is %v", err)
	}
}

func TestRegister(t *testing.T) {
	defer func() { registry.list = nil }()
	Register(Definition{Name: "late", Build: fresh.Build})
	Register(Definition{Name: "early", Order: 1, Build: fresh.Build})
	Register(Definition{Name: "also-late", Build: fresh.Build})
	var names []string
	for _, d := range Definitions() {
		names = append(names, d.Name)
	}
	if strings.Join(names, " ") != "early also-late late" {
		t.Errorf("order is %v", names)
	}
	if d, ok := Lookup("late"); !ok || d.Order != OrderOwn {
		t.Errorf("late is %+v, %v", d, ok)
	}
	if _, ok := Lookup("never"); ok {
		t.Error("found a filter that is not there")
	}
	for _, bad := range []Definition{{Name: "early", Build: fresh.Build}, {Name: "x"}, {Build: fresh.Build}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v was registered", bad)
				}
			}()
			Register(bad)
		}()
	}
}

func TestBy(t *testing.T) {
	for want, c := range map[string]resources.Command{
		"command c-1 (ana: KEYS is too slow)": {ID: "c-1", Author: "ana", Why: "KEYS is too slow"},
		"command c-1 (ana)":                   {ID: "c-1", Author: "ana"},
		"command c-1 (two  lines)":            {ID: "c-1", Why: "two\r\nlines"},
		"command c-1":                         {ID: "c-1"},
	} {
		if got := By(&c); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestCoin(t *testing.T) {
	if NewCoin(0).Hit() || !NewCoin(100).Hit() {
		t.Error("0% hit or 100% did not")
	}
	hits := 0
	for c := NewCoin(1); hits < 1000; { // 1 % of 100,000 is 1000 with a standard deviation of 31
		n := 0
		for range 100_000 {
			if c.Hit() {
				n++
			}
		}
		if n < 750 || n > 1250 {
			t.Fatalf("%d of 100000 hits at 1%%", n)
		}
		hits += n
	}
}

func TestCommandsOfATypeNewestFirst(t *testing.T) {
	env := envWith(nil)
	env.Commands = []resources.Command{{ID: "1", Type: "mock"}, {ID: "2", Type: "fault"}, {ID: "3", Type: "mock"}}
	if got := env.CommandsOf(resources.CommandMock); len(got) != 2 || got[0].ID != "3" || got[1].ID != "1" {
		t.Errorf("got %v", got)
	}
}

var _ io.Closer = (*plain)(nil)
