package registry

import (
	"fmt"
	"slices"
	"testing"
)

func TestFields(t *testing.T) {
	spec := `{"name": "feed", "kind": "redis", "listen": ["127.0.0.1:1"], "groups": {"yf": {"weight": 100, "endpoints": [{"address": "10.0.0.1:1"}]}, "tc": {"weight": 0, "endpoints": []}},
		"policy": {"timeout": "1s", "failover": {"tries": 2}, "limits": [{"rate": "5/s", "burst": 1}]}}`
	doc := "kind: redis\nlisten: 127.0.0.1:1\ngroups: { yf: { endpoints: [10.0.0.1:1] } }\npolicy: { limits: [{ rate: 300/m }], failover: {} }\n"
	got, err := Fields([]byte(spec), []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range got {
		lines = append(lines, fmt.Sprintf("%s %s %v", f.Path, f.Value, f.Written))
	}
	want := []string{
		`groups.tc.weight 0 false`, `groups.yf.endpoints "1 endpoint" true`, `groups.yf.weight 100 false`,
		`kind "redis" true`, `listen[0] "127.0.0.1:1" true`,
		`policy.failover.tries 2 false`, `policy.limits[0] {"burst":1,"rate":"5/s"} true`, `policy.timeout "1s" false`,
	}
	if !slices.Equal(lines, want) {
		t.Errorf("fields are\n%q\nwant\n%q", lines, want)
	}
	if _, err := Fields([]byte(spec), []byte("{")); err == nil {
		t.Error("a document that cannot be read is taken")
	}
}
