package api

import (
	"encoding/json"
	"testing"

	"github.com/sluice-mesh/sluice/governance/registry"
)

// Where a rule comes from, of a resource with a document, of one that is only exported, and of one in agents' files.
func TestOriginsOfItems(t *testing.T) {
	const spec = `{"kind": "motan2", "groups": {"yf": {"weight": 100, "endpoints": ["10.0.0.1:1"]}, "tc": {"weight": 0, "endpoints": ["10.0.0.2:1"]}}, "policy": {"timeout": "1s"}}`
	const file, exported = "the files of web-1, web-2", "agents that export it"
	for _, c := range []struct {
		name string
		it   item
		want map[string]string // by path
	}{
		{"a document and exports", item{doc: &registry.Doc{Version: 3, Author: "ana", Text: []byte("kind: motan2\ngroups: { yf: { weight: 100 } }\n")}},
			map[string]string{"kind": "the centre, version 3 by ana", "groups.yf.weight": "the centre, version 3 by ana", "groups.yf.endpoints": exported,
				"groups.tc.weight": exported, "groups.tc.endpoints": exported, "policy.timeout": "default"}},
		{"exports", item{doc: &registry.Doc{Exported: true}},
			map[string]string{"kind": exported, "groups.yf.weight": exported, "groups.tc.endpoints": exported, "policy.timeout": "default"}},
		{"files", item{owners: []string{"web-1", "web-2"}},
			map[string]string{"kind": file, "groups.yf.weight": file, "policy.timeout": file}},
		{"files above a document", item{owners: []string{"web-1"}, doc: &registry.Doc{Version: 1, Author: "ana", Text: []byte("kind: motan2\n")}},
			map[string]string{"": "the file of web-1 stands above the centre there", "kind": "the centre, version 1 by ana"}},
		{"a document that cannot be read", item{doc: &registry.Doc{Text: []byte("{")}}, map[string]string{"kind": ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.it.spec = json.RawMessage(spec)
			from := map[string]string{}
			for _, o := range origins(&c.it, nil) {
				from[o.Path] = o.From
			}
			for path, want := range c.want {
				if from[path] != want {
					t.Errorf("%s is from %q, want %q", path, from[path], want)
				}
			}
		})
	}
}
