package cmd

import "testing"

func TestReadGrant(t *testing.T) {
	for on, want := range map[string]string{
		"":       "owner",
		"feed-*": "owner on name=feed-*",
		"kind=redis label.team=feed label.tier=cache": "owner on kind=redis label.team=feed label.tier=cache",
		"idc=yf":      "",
		"name=":       "",
		"name=x feed": "",
	} {
		got, err := readGrant("owner", on)
		if want == "" && err == nil || want != "" && (err != nil || got.String() != want) {
			t.Errorf("%q is %v, %v; want %q", on, got, err, want)
		}
	}
}
