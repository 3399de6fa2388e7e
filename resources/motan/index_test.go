package motan

import (
	"github.com/sluice-mesh/sluice/resources/servicetest"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/resources"
)

// A request goes to the only resource that fits what it says, and is told what there is when none does, or more than one.
func TestIndex(t *testing.T) {
	open := func(name string, s *Settings, groups ...string) *Resource {
		f := servicetest.NewRuntime(t, nil, nil, name)
		f.GroupNames = groups
		return &Resource{rt: f, set: s, service: s.service(name)}
	}
	ix := newIndex([]resources.Resource{
		open("old", &Settings{Service: "a.B", Version: "1.0"}, "yf", "tc"),
		open("new", &Settings{Service: "a.B", Version: "2.0"}, "yf"),
		open("core", &Settings{Service: "a.B", Groups: map[string]string{"yf": "core-rpc"}}, "yf"),
		open("a.C", &Settings{}, "yf"),
	}, nil)
	for _, c := range []struct{ service, group, version, want string }{
		{"a.B", "yf", "1.0", "old"},
		{"a.B", "tc", "", "old"},
		{"a.B", "yf", "2.0", "new"},
		{"a.B", "core-rpc", "7", "core"},
		{"a.B", "core-rpc", "", "core"},
		{"a.C", "", "", "a.C"},
		{"a.C", "yf", "9", "a.C"},
		{"a.B", "yf", "", "several resources here serve a.B, and the request does not say which it is for"},
		{"a.B", "", "", "several resources here serve a.B"},
		{"a.B", "tc", "2.0", `a.B is not served in group "tc", version "2.0"; there is core in core-rpc; new in yf, version 2.0; old in yf, tc, version 1.0`},
		{"a.C", "tc", "", `a.C is not served in group "tc"`},
		{"a.D", "yf", "", "no resource here serves a.D"},
		{"", "yf", "", "the request names no service"},
	} {
		d := motan2.Call{Service: []byte(c.service), Group: []byte(c.group), Version: []byte(c.version)}
		got := ""
		if r := ix.find(&d); r != nil {
			got = r.name
		} else {
			got = ix.explain(&d)
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s in %q, version %q: %s, want %s", c.service, c.group, c.version, got, c.want)
		}
	}
}

// What requests could not tell apart may not share an address.
func TestApart(t *testing.T) {
	declared := func(name string, s *Settings, groups ...string) resources.Declared {
		spec := &resources.Spec{Name: name, Groups: map[string]resources.Group{}}
		for _, g := range groups {
			spec.Groups[g] = resources.Group{}
		}
		return resources.Declared{Spec: spec, Settings: s}
	}
	one := declared("a.B", &Settings{}, "yf", "tc")
	for name, c := range map[string]struct {
		other resources.Declared
		apart bool
	}{
		"another service":   {declared("a.C", &Settings{}, "yf"), true},
		"other groups":      {declared("x", &Settings{Service: "a.B"}, "core"), true},
		"the same group":    {declared("x", &Settings{Service: "a.B"}, "tc"), false},
		"by another name":   {declared("x", &Settings{Service: "a.B", Groups: map[string]string{"core": "yf"}}, "core"), false},
		"one has a version": {declared("x", &Settings{Service: "a.B", Version: "2"}, "yf"), false},
	} {
		if err := (&Driver{}).Apart(one, c.other); (err == nil) != c.apart {
			t.Errorf("%s: %v", name, err)
		}
	}
	v1, v2 := declared("a", &Settings{Service: "a.B", Version: "1"}, "yf"), declared("b", &Settings{Service: "a.B", Version: "2"}, "yf")
	if err := (&Driver{}).Apart(v1, v2); err != nil {
		t.Error(err)
	}
}

func TestSettingsThatAreRefused(t *testing.T) {
	for says, s := range map[string]*Settings{
		"is no name of a service": {Service: "a\nb"},
		"is no version":           {Version: "1\n"},
		"is no name of a group":   {Groups: map[string]string{"yf": "a\nb"}},
		"has the name":            {Groups: map[string]string{"yf": "x", "tc": "x"}},
		"matches no method":       {Idempotent: []string{"get*", ""}},
	} {
		if err := s.fill(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want %q", s, err, says)
		}
	}
}

// A caller may be let ask for more than the policy gives: the default is twice as much, and what is shown can be written.
func TestMaxTimeoutAboveThePolicys(t *testing.T) {
	var s Settings
	if err := s.fill(); err != nil {
		t.Fatal(err)
	}
	shown, err := s.MaxTimeout.MarshalText()
	if err != nil || string(shown) != "200%" {
		t.Fatalf("the default is shown as %s, %v", shown, err)
	}
	for text, want := range map[string]float64{"200%": 2, "600%": 6, "50%": 0.5} {
		if err := s.MaxTimeout.UnmarshalText([]byte(text)); err != nil || s.MaxTimeout.Fraction() != want {
			t.Errorf("%s is %v, %v", text, s.MaxTimeout.Fraction(), err)
		}
	}
}
