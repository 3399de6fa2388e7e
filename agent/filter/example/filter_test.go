package example_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/agent/filter/conformance"
	"github.com/sluice-mesh/sluice/agent/filter/example"
	"github.com/sluice-mesh/sluice/resources"
)

func policy(settings map[string]any) *resources.Policy {
	return &resources.Policy{Filters: map[string]any{"office-hours": settings}}
}

func TestConformance(t *testing.T) {
	now := time.Now().UTC()
	ago, soon := now.Add(-6*time.Hour).Format("15:04"), now.Add(6*time.Hour).Format("15:04")
	conformance.Run(t, example.Definition,
		conformance.Case{Name: "open", Policy: policy(map[string]any{"from": ago, "to": soon})},
		conformance.Case{Name: "closed", Policy: policy(map[string]any{"from": soon, "to": ago, "match": map[string]any{"op": "GET,SET"}})},
	)
}

func TestHours(t *testing.T) {
	for _, tc := range []struct {
		from, to, zone string
		open           []int // hours UTC
	}{
		{"08:00", "11:00", "UTC", []int{8, 9, 10}},
		{"22:00", "02:00", "UTC", []int{22, 23, 0, 1}},
		{"08:00", "11:00", "Etc/GMT-8", []int{0, 1, 2}}, // eight hours ahead of UTC
	} {
		fx := conformance.New(t, policy(map[string]any{"from": tc.from, "to": tc.to, "zone": tc.zone}))
		f := fx.Build(t, example.Definition, nil)
		want := map[int]bool{}
		for _, h := range tc.open {
			want[h] = true
		}
		day := time.Now().UTC().Truncate(24 * time.Hour).Add(48*time.Hour + 30*time.Minute)
		for h := range 24 {
			fx.Now = int64(day.Add(time.Duration(h) * time.Hour).Sub(filter.Wall(0)))
			if passed := fx.Do(f, "GET", resources.OutcomeOK, 0) == nil; passed != want[h] {
				t.Errorf("%s to %s %s: open at %02d:30 UTC is %v, want %v", tc.from, tc.to, tc.zone, h, passed, want[h])
			}
		}
		f = fx.Build(t, example.Definition, f)
		if got := f.(*example.Filter).Status().(map[string]int64)["refused"]; got != int64(24-len(want)) {
			t.Errorf("%d refused calls are counted after another compilation, want %d", got, 24-len(want))
		}
	}
}

func TestBadSettingsAreExplained(t *testing.T) {
	for want, set := range map[string]map[string]any{
		`"25:00" is not a time of day`: {"from": "25:00"},
		"from and to are both 18:00":   {"from": "18:00"},
		"write a name such as UTC":     {"zone": "Mars"},
		`unknown class "reed"`:         {"match": map[string]any{"class": "reed"}},
		`unknown field "until"`:        {"until": "18:00"},
	} {
		fx := conformance.New(t, policy(set))
		if _, err := example.Definition.Compile(fx.Env(), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error is %v, want %s", set, err, want)
		}
	}
}

func BenchmarkFilter(b *testing.B) {
	conformance.Benchmark(b, example.Definition, policy(map[string]any{"match": map[string]any{"op": "KEYS"}}))
}
