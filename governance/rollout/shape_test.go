package rollout

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-mesh/sluice/governance/command"
	"github.com/sluice-mesh/sluice/resources"
)

func TestMove(t *testing.T) {
	list := []Info{
		{Name: "orders-db", Kind: "mysql", Groups: []Group{{Name: "yf", Weight: 100}, {Name: "tc"}, {Name: "gz", Weight: 20}}},
		{Name: "feed", Kind: "http", Groups: []Group{{Name: "old", IDC: "yf", Weight: 60}, {Name: "new", IDC: "yf", Weight: 40}, {Name: "tc-a", IDC: "tc", Weight: 5}, {Name: "tc-b", IDC: "tc", Weight: 50}}},
		{Name: "events", Kind: "kafka", Groups: []Group{{Name: "yf", Weight: 100}, {Name: "tc"}}},
		{Name: "user-cache", Kind: "redis", Groups: []Group{{Name: "yf", Weight: 10000}, {Name: "tc", Weight: 10}}},
		{Name: "lonely", Kind: "redis", Groups: []Group{{Name: "yf", Weight: 100}}},
		{Name: "moved", Kind: "redis", Groups: []Group{{Name: "yf"}, {Name: "tc", Weight: 100}}},
	}
	steps, problems := Move("yf", "tc", command.Selector{}, list)
	var got []string
	for _, s := range steps {
		got = append(got, fmt.Sprint(s.Command.Resource, " ", s.Command.Summary()))
	}
	want := []string{"user-cache tc=10000", "feed tc-a=5 tc-b=150", "events tc=100", "orders-db gz=20 tc=100"}
	if !slices.Equal(got, want) {
		t.Errorf("steps %q, want %q", got, want)
	}
	if !slices.Equal(problems, []string{"lonely has calls in yf and no group in tc: add one first"}) {
		t.Errorf("problems %q", problems)
	}
	if steps, _ := Move("yf", "tc", command.Selector{Kind: "mysql"}, list); len(steps) != 1 {
		t.Errorf("selected: %+v", steps)
	}
	if _, problems := Move("yf", "yf", command.Selector{}, list); len(problems) != 1 {
		t.Errorf("to itself: %v", problems)
	}
}

// Shares grow: who is among the first stays among them; there is at least one; and another plan begins with others.
func TestShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 300).Draw(t, "agents")
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf("web-%03d", i))
		}
		a := resources.Percent(rapid.Float64Range(0.1, 100).Draw(t, "a"))
		b := resources.Percent(rapid.Float64Range(float64(a), 100).Draw(t, "b"))
		small, large := share("p-1", names, a), share("p-1", names, b)
		for _, name := range small {
			if !slices.Contains(large, name) {
				t.Fatalf("%s is in %s and not in %s", name, a, b)
			}
		}
		if exact := float64(n) * float64(a) / 100; len(small) < 1 || float64(len(small)) < exact-1e-6 || float64(len(small)) > exact+1 {
			t.Fatalf("%s of %d agents are %d", a, n, len(small))
		}
	})
	var names []string
	for i := range 200 {
		names = append(names, fmt.Sprintf("web-%03d", i))
	}
	if slices.Equal(share("p-1", names, 5), share("p-2", names, 5)) {
		t.Error("two plans begin with the same agents")
	}
}

func TestPlanIsChecked(t *testing.T) {
	for _, c := range []struct {
		want   string
		change func(p *Plan)
	}{
		{"name: give the plan a name", func(p *Plan) { p.Name = " " }},
		{"author: somebody must answer", func(p *Plan) { p.Author = "" }},
		{"steps: 0: a plan has 1 to 64", func(p *Plan) { p.Steps = nil }},
		{"for: -1s is out of range", func(p *Plan) { p.For = -resources.Duration(time.Second) }},
		{"steps[0].wait", func(p *Plan) { p.Steps[0].Wait = -1 }},
		{"steps[1].command.expires: all commands of a plan end together", func(p *Plan) { now := time.Now(); p.Steps[1].Command.Expires = &now }},
		{"stages[0]: it is for nobody", func(p *Plan) { p.Stages = []Stage{{}} }},
		{"stages[0]: it has both", func(p *Plan) { p.Stages = []Stage{{Share: 5, Agents: []string{"a"}}} }},
		{"stages[1].share: 5% is not more than 5%", func(p *Plan) { p.Stages = []Stage{{Share: 5}, {Share: 5}} }},
		{"stages[0].share: 100% is for the last stage", func(p *Plan) { p.Stages = []Stage{{Share: 100}, {Agents: []string{"a"}}} }},
		{"stages[0].bake", func(p *Plan) { p.Stages = []Stage{{Share: 5, Bake: -1}} }},
		{"stages[0].agents[0]: \"a b\" is no name", func(p *Plan) { p.Stages = []Stage{{Agents: []string{"a b"}}} }},
		{"guards: errors and p99 need a time to look at", func(p *Plan) { p.Guards.Errors = 1 }},
		{"guards.p99: 50% is out of range", func(p *Plan) { staged(p); p.Guards.P99 = 0.5 }},
		{"guards.refusals", func(p *Plan) { p.Guards.Refusals = -1 }},
		{"skip[0]: there is no check \"luck\"", func(p *Plan) { p.Skip = []string{"luck"} }},
	} {
		p := moving(c.change)
		if err := p.Validate(); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	for _, c := range []struct {
		want   string
		change func(r *Release)
	}{
		{"resource", func(r *Release) { r.Resource = "a/b" }},
		{"resource", func(r *Release) { r.Resource = "a@b" }},
		{"from: 0 is no version", func(r *Release) { r.From = 0 }},
		{"to: version 1 is not newer", func(r *Release) { r.To = 1 }},
		{"stages: without any", func(r *Release) { r.Stages = nil }},
		{"stages: the last one must be for 100%", func(r *Release) { r.Stages = r.Stages[:1] }},
	} {
		rel := newRelease(c.change)
		if err := rel.Validate(); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

// What is legal keeps its meaning in the store.
func FuzzPlan(f *testing.F) {
	p := moving(staged)
	js, _ := json.Marshal(p)
	f.Add(js)
	f.Add([]byte(`{"name":"x","author":"a","steps":[{"command":{"type":"switch","resource":"r","weights":{"tc":1}}}],"guards":{"p99":"150%"},"stages":[{"share":"5%","bake":"1m"}]}`))
	f.Add([]byte(`{"name":"x","author":"a","for":"1h","steps":[{"wait":"5s"}],"stages":[{"agents":["web-*"]},{"share":"25%"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p := new(Plan)
		if json.Unmarshal(data, p) != nil || p.Validate() != nil {
			return
		}
		p.Revision = 0
		value, err := encode(p)
		if err != nil {
			return
		}
		again, err := decode[Plan](record{value: value})
		if err != nil {
			t.Fatalf("%v\n%s", err, value)
		}
		if err := again.Validate(); err != nil {
			t.Fatalf("%v\n%s", err, value)
		}
		if !reflect.DeepEqual(again.Stages, p.Stages) && len(p.Stages) > 0 {
			t.Fatalf("stages %+v became %+v", p.Stages, again.Stages)
		}
		names := []string{"a", "b", "web-1", "web-2"}
		for k := range p.Course.stages() {
			chosen(&p.Course, k, names, nil)
		}
	})
}

func FuzzRelease(f *testing.F) {
	js, _ := json.Marshal(newRelease())
	f.Add(js)
	f.Fuzz(func(t *testing.T, data []byte) {
		r := new(Release)
		if json.Unmarshal(data, r) == nil && r.Validate() == nil {
			value, err := encode(r)
			if err != nil {
				return
			}
			if _, err := decode[Release](record{value: value}); err != nil {
				t.Fatal(err)
			}
			r.serving()
		}
	})
}

func FuzzRatio(f *testing.F) {
	for _, s := range []string{`"150%"`, `1.5`, `"1.5"`, `null`, `"x"`, `-1`, `"1e300%"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var r Ratio
		if json.Unmarshal(data, &r) != nil {
			return
		}
		js, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var again Ratio
		if err := json.Unmarshal(js, &again); err != nil || again.String() != r.String() {
			t.Fatalf("%v: %s became %s", err, r, again)
		}
	})
}
