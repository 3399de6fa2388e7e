package governance

import (
	"encoding/json"
	"net/http"
	"reflect"
	"testing"
)

// A brief line of the catalogue says of a resource what the whole one says, only less of it.
func TestABriefCatalogueIsAPartOfTheWhole(t *testing.T) {
	z := openedAt(t, t.TempDir())
	token := bearer(z.adminToken(t))
	for name, text := range map[string]string{
		"feed-cache": `{kind: redis, labels: {team: feed}, groups: {yf: {endpoints: ["10.1.0.1:6379"]}, tc: {weight: 0, endpoints: ["10.2.0.1:6379"]}}}`,
		"user-cache": `{kind: redis, groups: {yf: {endpoints: [{address: "10.0.0.5:6379", role: primary}]}}}`,
	} {
		if w := z.ask(http.MethodPut, "/v1/resources/"+name, text, token...); w.Code > 299 {
			t.Fatal(w.Code, w.Body)
		}
	}
	list := func(path string) []any {
		var out struct{ Resources []any }
		w := z.ask(http.MethodGet, path, "", token...)
		if err := json.Unmarshal(w.Body.Bytes(), &out); w.Code != http.StatusOK || err != nil {
			t.Fatal(path, w.Code, w.Body, err)
		}
		return out.Resources
	}
	whole, brief := list("/v1/resources"), list("/v1/resources?brief")
	if len(brief) != 2 || !partOf(brief, whole) {
		t.Errorf("brief: %v\nwhole: %v", brief, whole)
	}
	if partOf(whole, brief) {
		t.Errorf("the brief list is the whole one: %v", brief)
	}
	if w := z.ask(http.MethodGet, "/v1/resources?breif", "", token...); w.Code != http.StatusBadRequest {
		t.Errorf("a parameter that there is not: status %d", w.Code)
	}
}

// partOf reports whether all that JSON says is in other JSON, too: lists have the same length, objects may have fewer keys.
func partOf(some, all any) bool {
	switch some := some.(type) {
	case map[string]any:
		other, ok := all.(map[string]any)
		for k, v := range some {
			w, known := other[k]
			ok = ok && known && partOf(v, w)
		}
		return ok
	case []any:
		other, ok := all.([]any)
		ok = ok && len(some) == len(other)
		for i := range some {
			ok = ok && partOf(some[i], other[i])
		}
		return ok
	}
	return reflect.DeepEqual(some, all)
}
