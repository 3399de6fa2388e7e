package registry

import (
	"testing"

	"github.com/sluice-mesh/sluice/resources"
)

// A group whose endpoints agents find in a registry needs none in the document.
func TestGroupsOfARegistry(t *testing.T) {
	resources.RegisterRegistry("zookeeper", false)
	bubble(t, func(t *testing.T, r *Registry) {
		put(t, r, "feed", "kind: motan2\ngroups: { yf: { registry: 'zookeeper://10.0.0.1:2181' }, tc: { weight: 0, endpoints: ['10.0.0.2:8001'] }, gz: { endpoints: [] } }\n")
		settled()
		s := spec(t, r, "feed")
		if len(s.Groups) != 2 || s.Groups["yf"].Registry != "zookeeper://10.0.0.1:2181" || len(s.Groups["tc"].Endpoints) != 1 {
			t.Errorf("agents get %+v", s.Groups)
		}
		if o, _ := r.Outline("feed"); o.Problem != "" || len(o.Groups) != 2 || o.Groups[1].Name != "yf" || o.Groups[1].Endpoints != 0 {
			t.Errorf("%+v", o)
		}
	})
}
