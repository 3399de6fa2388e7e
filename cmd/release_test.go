package cmd

import (
	"reflect"
	"testing"
)

func TestReadStage(t *testing.T) {
	for text, want := range map[string]*stage{
		"web-1, web-2 for 5m": {Name: "canary", Agents: []string{"web-1", "web-2"}, Bake: "5m"},
		"web-1,web-2":         {Name: "canary", Agents: []string{"web-1", "web-2"}},
		"25% for 10m":         {Share: "25%", Bake: "10m"},
		" 100% ":              {Share: "100%"},
		"":                    nil,
		" for 5m":             nil,
		"web-1 for ":          nil,
	} {
		got, err := readStage(text)
		if want == nil && err == nil || want != nil && (err != nil || !reflect.DeepEqual(got, *want)) {
			t.Errorf("%q is %+v, %v; want %+v", text, got, err, want)
		}
	}
}
