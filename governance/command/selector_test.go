package command

import (
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSelectorMatch(t *testing.T) {
	for _, c := range []struct {
		text string
		want string // of feed-cache, feed-db, user-cache
	}{
		{"name=*", "yyy"}, {"name=feed-*", "yy-"}, {"name=feed-db,user-cache", "-yy"}, {"kind=redis", "y-y"}, {"kind=my*", "-y-"},
		{"idc=yf", "yy-"}, {"idc=tc", "y-y"}, {"idc=gz,t*", "y-y"}, {"label.team=feed", "yy-"}, {"label.tier=*", "y--"},
		{"label.team=feed label.tier=db", "---"}, {"name=feed-* kind=redis idc=yf label.team=f*", "y--"},
	} {
		s, err := ParseSelector(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		got := ""
		for _, r := range known() {
			if s.Match(r) {
				got += "y"
			} else {
				got += "-"
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.text, got, c.want)
		}
	}
}

func TestSelectorRefusals(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "the selector is empty",
		"name":                             "has no =",
		"nome=x":                           `unknown selector key "nome"`,
		"name=a name=b":                    "name is written twice",
		"label.a=b label.a=c":              "label.a is written twice",
		"label.a=":                         "label.a has no value",
		"label.=x":                         "no name of a label",
		"name=a\x00":                       "control characters",
		"name=a\xff":                       "not UTF-8",
		strings.Repeat("x", 600):           "has no =",
		"name=" + strings.Repeat("x", 600): "the limit is 512",
	} {
		if _, err := ParseSelector(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// FuzzSelector reads any text: what is taken is written back and read as the same.
func FuzzSelector(f *testing.F) {
	for _, s := range []string{"name=feed-* kind=redis idc=yf label.team=feed", "name=*", "label.a=b label.c=d=e", "name=a\u00a0b", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSelector(text)
		if err != nil {
			return
		}
		again, err := ParseSelector(s.String())
		if err != nil || !reflect.DeepEqual(s, again) {
			t.Fatalf("%q became %q: %v", text, s.String(), err)
		}
		for _, r := range known() {
			s.Match(r)
		}
	})
}

// Two patterns that some text matches are never said not to meet.
func TestPatternsThatMeet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.SampledFrom([]rune("ab")), 0, 6, -1).Draw(t, "text")
		pattern := func(name string) string {
			var p strings.Builder
			for _, c := range text {
				switch rapid.IntRange(0, 2).Draw(t, name) {
				case 0:
					p.WriteByte('*')
				case 1:
					p.WriteRune(c)
				default:
					p.WriteByte('*')
					p.WriteRune(c)
				}
			}
			return p.String()
		}
		a, b := pattern("a"), pattern("b")
		if !patternsMeet(a, b) || !patternsMeet(b, a) || !listsMeet([]string{"zzz", a}, []string{b}) {
			t.Fatalf("%q and %q both match %q", a, b, text)
		}
	})
}
