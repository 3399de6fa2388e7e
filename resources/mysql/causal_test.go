package mysql

import (
	"strings"
	"testing"
)

const uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562"

func TestGTIDs(t *testing.T) {
	for _, c := range []struct{ add, want string }{
		{"0-1-8", "0-1-8"},
		{"0-1-8 0-2-9", "0-2-9"},
		{"0-1-8 0-1-7", "0-1-8"},
		{"0-1-8,1-2-3 1-2-4", "0-1-8,1-2-4"},
		{uuid + ":5", uuid + ":5"},
		{uuid + ":5 " + uuid + ":6", uuid + ":5-6"},
		{uuid + ":5 " + uuid + ":7 " + uuid + ":6", uuid + ":5-6," + uuid + ":7"},
		{uuid + ":1-3:7-9", uuid + ":1-3," + uuid + ":7-9"},
		{uuid + ":tag:4," + uuid + ":4", uuid + ":tag:4," + uuid + ":4"},
		{uuid + ":1 " + uuid + ":3 " + uuid + ":5 " + uuid + ":7 " + uuid + ":9 " + uuid + ":11 " + uuid + ":13 " + uuid + ":15 " + uuid + ":17",
			uuid + ":1-17"},
		{"nonsense 1-2 a-b-c 0-1-'; :5 " + uuid + ":x' 0--1", ""},
	} {
		g := &gtids{}
		for part := range strings.SplitSeq(c.add, " ") {
			g.merge([]byte(part))
		}
		if g.String() != c.want {
			t.Errorf("%s makes %s, want %s", c.add, g, c.want)
		}
	}
}

func TestGTIDsCover(t *testing.T) {
	for _, c := range []struct {
		have, want string
		covers     bool
	}{
		{"0-1-8", "0-1-8", true},
		{"0-1-8", "0-2-5", true}, // of one domain the newest stands for all
		{"0-1-8", "0-1-9", false},
		{"0-1-8", "1-1-1", false},
		{"0-1-8,1-1-1", "1-1-1", true},
		{uuid + ":1-10", uuid + ":5-6", true},
		{uuid + ":1-10:12", uuid + ":10-12", false},
		{uuid + ":1-10", uuid + ":tag:5", false},
		{"", uuid + ":1", false},
	} {
		have, want := &gtids{}, &gtids{}
		have.merge([]byte(c.have))
		have.upTo()
		want.merge([]byte(c.want))
		if got := have.covers(want); got != c.covers {
			t.Errorf("%s covers %s: %v", c.have, c.want, got)
		}
	}
	var none *gtids
	if none.covers(&gtids{list: []gtid{{key: "0", server: "1", hi: 1}}}) {
		t.Error("no position covers one")
	}
}

// TestSessionPositionAllocates: a session that writes in one domain keeps its position in place.
func TestGTIDsInPlace(t *testing.T) {
	have, want := &gtids{}, &gtids{}
	have.merge([]byte("0-1-1000"))
	have.upTo()
	want.merge([]byte("0-1-999"))
	if n := testing.AllocsPerRun(100, func() {
		if !have.covers(want) {
			t.Error("it does not cover it")
		}
	}); n != 0 && !raceEnabled {
		t.Errorf("%.0f allocations", n)
	}
}

// FuzzGTIDs reads what servers send. What it writes it reads as the same, and as nothing that could end a text in SQL.
func FuzzGTIDs(f *testing.F) {
	for _, s := range []string{"", "0-1-8", "0-1-8,1-2-9", uuid + ":1-5:7", uuid + ":tag:4, " + uuid + ":4", "0-1-18446744073709551615", "'"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		g := &gtids{}
		g.merge([]byte(s))
		text := g.String()
		if strings.Trim(strings.ToLower(text), "0123456789abcdefghijklmnopqrstuvwxyz_-:,") != "" {
			t.Fatalf("%q makes %q", s, text)
		}
		again := &gtids{}
		again.merge([]byte(text))
		if !again.covers(g) || !g.covers(again) {
			t.Fatalf("%q makes %q, which makes %q", s, text, again)
		}
	})
}
