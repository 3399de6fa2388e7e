package resources

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// testView is a request with fixed keys.
type testView struct {
	keys   [][]byte
	digest uint64
}

func (v *testView) Key(i int) ([]byte, bool) {
	if i >= len(v.keys) {
		return nil, false
	}
	return v.keys[i], true
}

func (v *testView) AppendText(dst []byte) []byte { return dst }
func (v *testView) Digest() uint64               { return v.digest }

var matchOps = NewOps([]OpInfo{
	{Name: "GET", Class: ClassRead}, {Name: "SET", Class: ClassWrite}, {Name: "CONFIG|GET", Class: ClassAdmin},
	{Name: "CONFIG|SET", Class: ClassAdmin}, {Name: "KEYS", Class: ClassRead},
})

func testCall(op string, class Class) *Call {
	s := &Session{}
	s.SetIdentity(&Identity{Caller: "batch-7", User: "app", IDC: "yf"})
	id, _ := matchOps.Lookup(op)
	return &Call{Session: s, Op: id, Class: class, View: &testView{
		keys: [][]byte{[]byte("user:1"), []byte("feed:{2}")}, digest: 0x0123456789abcdef,
	}}
}

func TestSelector(t *testing.T) {
	get := testCall("GET", ClassRead)
	for _, c := range []struct {
		match string
		call  *Call
		want  bool
	}{
		{"", get, true},
		{"op=GET", get, true},
		{"op=get", get, true},
		{"op=SET", get, false},
		{"op=SET,G*", get, true},
		{"op=SET, GET", get, true},
		{"op=NOSUCH", get, false},
		{"op=CONFIG|*", testCall("CONFIG|SET", ClassAdmin), true},
		{"op=CONFIG|*", testCall("KEYS", ClassRead), false},
		{"op=*", testCall("nothing", ClassOther), true},
		{"op=other", testCall("nothing", ClassOther), true},
		{"class=read", get, true},
		{"class=write", get, false},
		{"class=write,read", get, true},
		{"class=*", get, true},
		{"class=read", testCall("GET", ClassWrite), false}, // the call's own class counts
		{"caller=batch-*", get, true},
		{"caller=web-*", get, false},
		{"caller=web-*,batch-7", get, true},
		{"user=app", get, true},
		{"user=App", get, false},
		{"idc=tc", get, false},
		{"idc=yf", get, true},
		{"key=user:*", get, true},
		{"key=feed:*", get, true},
		{"key=order:*", get, false},
		{"key=user:", get, false},
		{"table=user:1", get, true},
		{"topic=order:*,feed:{2}", get, true},
		{"digest=0123456789abcdef", get, true},
		{"digest=0123456789ABCDEF", get, true},
		{"digest=0000000000000001", get, false},
		{"digest=0000000000000001,0123456789abcdef", get, true},
		{"op=GET class=read caller=batch-* user=app idc=yf key=user:*", get, true},
		{"op=GET class=read caller=batch-* user=app idc=tc key=user:*", get, false},
	} {
		m, err := ParseMatch(strings.Fields(strings.ReplaceAll(c.match, ", ", ",")))
		if err != nil {
			t.Fatal(err)
		}
		s, err := m.Compile(matchOps)
		if err != nil {
			t.Fatalf("%s: %v", c.match, err)
		}
		if got := s.Match(c.call); got != c.want {
			t.Errorf("%s on %s: %v", c.match, matchOps.Info(c.call.Op).Name, got)
		}
		if n := testing.AllocsPerRun(100, func() { s.Match(c.call) }); n != 0 {
			t.Errorf("%s allocates %v times a call", c.match, n)
		}
	}
}

func TestMatchErrors(t *testing.T) {
	for _, c := range []struct{ pair, want string }{
		{"op", `match "op" has no =: write KEY=VALUE, such as op=GET`},
		{"opp=GET", `unknown match key "opp": use one of op, class, caller, key, digest, table, topic, user, idc`},
		{"op=", "match op= has no value"},
	} {
		if _, err := ParseMatch([]string{c.pair}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.pair, err, c.want)
		}
	}
	for _, c := range []struct {
		match Match
		want  string
	}{
		{Match{Class: "raed"}, `unknown class "raed": use one of other, read`},
		{Match{Class: "read,"}, `unknown class ""`},
		{Match{Digest: "12"}, `digest "12" is not 16 hexadecimal digits`},
		{Match{Digest: "0123456789abcdeg"}, "is not 16 hexadecimal digits"}, // a prefix of digits is not enough
		{Match{Digest: "+123456789abcdef"}, "is not 16 hexadecimal digits"},
	} {
		if _, err := c.match.Compile(matchOps); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.match, err, c.want)
		}
		if err := c.match.ValidateConfig(); err == nil {
			t.Errorf("%s is valid in a config", c.match)
		}
	}
}

func TestMatchString(t *testing.T) {
	m := Match{Op: "GET", Caller: "batch-*", IDC: "yf"}
	if got := m.String(); got != "op=GET caller=batch-* idc=yf" {
		t.Fatal(got)
	}
	again, err := ParseMatch(strings.Fields(m.String()))
	if err != nil || again != m || m.IsZero() || !(Match{}).IsZero() {
		t.Fatal(again, err)
	}
}

// Glob against the plain recursive definition.
func TestGlob(t *testing.T) {
	var naive func(p, s string) bool
	naive = func(p, s string) bool {
		switch {
		case p == "":
			return s == ""
		case p[0] == '*':
			return naive(p[1:], s) || s != "" && naive(p, s[1:])
		}
		return s != "" && p[0] == s[0] && naive(p[1:], s[1:])
	}
	rapid.Check(t, func(t *rapid.T) {
		p, s := rapid.StringMatching(`[ab*]{0,8}`).Draw(t, "pattern"), rapid.StringMatching(`[ab]{0,12}`).Draw(t, "text")
		if Glob(p, s) != naive(p, s) || Glob(p, []byte(s)) != naive(p, s) {
			t.Fatalf("Glob(%q, %q) = %v", p, s, Glob(p, s))
		}
	})
}

func TestGlobAny(t *testing.T) {
	for patterns, want := range map[string]bool{"": true, "b": true, "a,b": true, "a, b ,c": true, "*": true, "a,*x": false, "a": false, ",": false} {
		if GlobAny(patterns, "b") != want {
			t.Errorf("GlobAny(%q, b) is not %t", patterns, want)
		}
	}
	have := map[string]string{"team": "feed", "tier": ""}
	for _, c := range []struct {
		labels map[string]string
		want   bool
	}{
		{nil, true}, {map[string]string{"team": "f*,x", "tier": ""}, true}, {map[string]string{"team": "feed", "owner": "*"}, false},
		{map[string]string{"team": "x"}, false}, {map[string]string{"tier": "1"}, false},
	} {
		if GlobLabels(c.labels, have) != c.want {
			t.Errorf("GlobLabels(%v) is not %t", c.labels, c.want)
		}
	}
}

func BenchmarkSelectorOpAndClass(b *testing.B) { benchmarkSelector(b, "op=GET class=read") }
func BenchmarkSelectorEverything(b *testing.B) {
	benchmarkSelector(b, "op=GET class=read caller=batch-* user=app idc=yf key=user:*")
}

func benchmarkSelector(b *testing.B, match string) {
	m, err := ParseMatch(strings.Fields(match))
	if err != nil {
		b.Fatal(err)
	}
	s, err := m.Compile(matchOps)
	if err != nil {
		b.Fatal(err)
	}
	c := testCall("GET", ClassRead)
	b.ReportAllocs()
	for b.Loop() {
		s.Match(c)
	}
}

// A rule holds for an operation from its first call on, not only from the next compilation.
func TestSelectorOfLearntOperations(t *testing.T) {
	ops := NewOps([]OpInfo{{Name: "GET"}})
	rule := func(op string) *Selector {
		s, err := Match{Op: op}.Compile(ops)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	exact, pattern, of, other := rule("/a.S/Delete"), rule("GET,/A.*/del*"), rule("SELECT"), rule("/a.S/Get")
	learnt, _ := ops.Intern(OpInfo{Name: "/a.S/Delete"})
	shape, _ := ops.Intern(OpInfo{Name: "SELECT a FROM b", Of: "SELECT"})
	for _, c := range []struct {
		name string
		rule *Selector
		op   OpID
		want bool
	}{
		{"exact", exact, learnt, true}, {"pattern", pattern, learnt, true}, {"part", of, shape, true},
		{"another", other, learnt, false}, {"another's part", exact, shape, false}, {"none", exact, learnt + 100, false}, {"other", pattern, OpOther, false},
	} {
		if got := c.rule.Match(&Call{Op: c.op}); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

// named is a view of a request whose operation the table does not have.
type named struct {
	View
	name string
}

func (n named) OpName() string { return n.name }

// A rule holds for an operation that the table has no room for.
func TestSelectorOfOperationsThatHaveNoPlace(t *testing.T) {
	ops := NewOps([]OpInfo{{Name: "GET"}})
	rule, err := Match{Op: "/a.S/Del*"}.Compile(ops)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		call Call
		want bool
	}{
		{"its name", Call{View: named{name: "/a.S/delete"}}, true},
		{"another", Call{View: named{name: "/a.S/Get"}}, false},
		{"one that is known", Call{Op: 1, View: named{name: "/a.S/delete"}}, false},
		{"a view that does not say", Call{View: struct{ View }{}}, false},
	} {
		if got := rule.Match(&c.call); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}
