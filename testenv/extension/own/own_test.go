package own

import (
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/agent/discovery"
	"github.com/sluice-mesh/sluice/agent/discovery/discoverytest"
	"github.com/sluice-mesh/sluice/agent/filter/conformance"
	"github.com/sluice-mesh/sluice/resources"
)

func TestSource(t *testing.T) {
	place := "dir://" + t.TempDir()
	discoverytest.Run(t, discoverytest.Back{Services: 40, NoCommands: true, Open: func(t *testing.T) discovery.Source {
		s, err := discovery.Open(place, discovery.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}})
}

func TestFilter(t *testing.T) {
	with := func(settings map[string]any) *resources.Policy {
		return &resources.Policy{Filters: map[string]any{"longest": settings}}
	}
	conformance.Run(t, Longest,
		conformance.Case{Name: "passes", Policy: with(nil)},
		conformance.Case{Name: "refuses", Policy: with(map[string]any{"bytes": "1", "match": map[string]any{"class": "read"}})},
	)
}

func TestPlacesOfRegistries(t *testing.T) {
	for text, want := range map[string]string{
		"dir://": `write dir:///PATH`, "dir:///": `write dir:///PATH`, "dir://host:80/x": `write dir:///PATH`, "file:///x": `write dir:///PATH`,
	} {
		if _, err := discovery.ParseAddress(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if a, err := discovery.ParseAddress("dir:///var/lib/notes"); a.Root != "/var/lib/notes" || err != nil {
		t.Errorf("%+v, %v", a, err)
	}
}
