package agent

import (
	"log/slog"
	"reflect"
	"testing"

	"github.com/sluice-mesh/sluice/agent/cluster"
	"github.com/sluice-mesh/sluice/agent/control"
	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/resources"
)

// What is known of a resource is for that resource with these settings: with others its seeds may tell of other servers.
func TestNotesAreOfOneDeclaration(t *testing.T) {
	a := &Agent{notes: control.OpenNotes(t.TempDir(), slog.New(slog.DiscardHandler))}
	a.console = newMotanConsole(a)
	defer a.notes.Close()
	with := func(name, kind string, settings map[string]any) *declared {
		return &declared{Resource: &config.Resource{Spec: &resources.Spec{Name: name, Kind: kind, Settings: settings}}}
	}
	first := with("cache", "redis", map[string]any{"topology": "sentinel", "master": "main"})
	want := cluster.Memory{Seeds: []string{"s:1"}, Writer: "a:1"}
	a.bookOf(first).Keep("g", want)
	if got, ok := a.bookOf(with("cache", "redis", map[string]any{"master": "main", "topology": "sentinel"})).Recall("g"); !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("the same again knows %+v, %t", got, ok)
	}
	for what, d := range map[string]*declared{
		"another master": with("cache", "redis", map[string]any{"topology": "sentinel", "master": "other"}),
		"another kind":   with("cache", "mysql", first.Spec.Settings),
		"another name":   with("cache2", "redis", first.Spec.Settings),
	} {
		if got, ok := a.bookOf(d).Recall("g"); ok {
			t.Errorf("%s knows %+v", what, got)
		}
		a.bookOf(d).Keep("g", want)
	}
	if _, ok := a.bookOf(first).Recall("h"); ok {
		t.Error("another group knows it")
	}
	waiting := with("cache3", "redis", nil)
	a.bookOf(waiting).Keep("g", want)
	a.forgetNotes(map[string]*declared{"cache": first}, "cache3")
	if _, ok := a.bookOf(waiting).Recall("g"); !ok {
		t.Error("what the centre has to declare yet was forgotten")
	}
	if _, ok := a.bookOf(first).Recall("g"); !ok {
		t.Error("what is declared was forgotten")
	}
	if _, ok := a.bookOf(with("cache2", "redis", first.Spec.Settings)).Recall("g"); ok {
		t.Error("what is not declared any more was not forgotten")
	}
}
