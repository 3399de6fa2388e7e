package sql

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for v := range numVerbs {
		if v.String() == "" || strings.ToUpper(v.String()) != v.String() {
			t.Errorf("verb %d is %q", v, v)
		}
	}
	for k := range numKinds {
		if k.String() == "" {
			t.Errorf("kind %d has no name", k)
		}
	}
	if Verb(200).String() != "OTHER" || Kind(200).String() != "unknown" {
		t.Error("a number that is none has a name")
	}
	// Every verb's word begins a statement of that verb.
	for v := VerbSelect; v < numVerbs; v++ {
		text := v.String() + " x"
		if v == VerbCreate || v == VerbAlter {
			text = v.String() + " TABLE x"
		}
		if got := scan(text, 0).Verb; got != v {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestWords(t *testing.T) {
	if len(words.rows) > wordSlots/2 {
		t.Errorf("%d words in %d slots", len(words.rows), wordSlots)
	}
	seen := map[string]bool{}
	check := func(w string, k kw) {
		if seen[w] || len(w) > maxWord || strings.ToLower(w) != w {
			t.Errorf("%q: twice, too long or not in lower case", w)
		}
		seen[w] = true
		for _, text := range []string{w, strings.ToUpper(w), "........" + w + "........"} {
			at := strings.Index(strings.ToLower(text), w)
			if r := words.find([]byte(text), at, len(w)); r.kw != k {
				t.Errorf("%q: %d, want %d", text, r.kw, k)
			}
		}
		if r := words.find([]byte(w+"x"), 0, len(w)+1); r.kw != kwNone && keywords[r.kw].word == w {
			t.Errorf("%qx is found", w)
		}
	}
	for i, k := range keywords {
		if i > 0 {
			check(k.word, kw(i))
		}
	}
	for _, s := range synonyms {
		for _, w := range s.words {
			check(w, s.kw)
		}
	}
}

func TestCharsetDialect(t *testing.T) {
	for name, want := range map[string]Dialect{
		"utf8mb4": 0, "gbk": TrailByte, "sjis": TrailByte | SJIS, "big5": TrailByte | Big5, "latin1": SingleByte, "new": 0,
	} {
		if got := CharsetDialect(name); got != want {
			t.Errorf("%s: %b, want %b", name, got, want)
		}
	}
}
