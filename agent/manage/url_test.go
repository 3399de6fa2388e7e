package manage

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

var registries = map[string]string{"zk": "zookeeper://10.0.0.1:2181,10.0.0.2:2181", "local": "etcd://127.0.0.1:2379/sluice"}

func TestParse(t *testing.T) {
	for body, want := range map[string]string{
		`{"protocol":"motan2","host":"h","port":8001,"path":"a.B","group":"g","parameters":{"version":"1.0","proxyRegistry":"zk"}}`:                                                                         "[{g a.B 1.0 zk 8001}]",
		`{"protocol":"motan2","port":8001,"path":"a.B","group":"g, h,g","parameters":{"proxyRegistry":"zookeeper://10.0.0.2:2181"}}`:                                                                        "[{g a.B  zk 8001} {h a.B  zk 8001}]",
		`{"protocol":"motan2","port":8001,"path":"a.B","parameters":{"group":"g","meshRegistryName":"local"}}`:                                                                                              "[{g a.B  local 8001}]",
		`{"protocol":"motan2","port":8001,"path":"a.B","group":"g","parameters":{"proxyRegistryUrlString":"zk%3A%2F%2F10.0.0.1%3A2181%2Fx%3Fa%3Db"}}`:                                                       "[{g a.B  zk 8001}]",
		`{"protocol":"motan2","port":8001,"path":"a.B","group":"g","parameters":{"proxyRegistryUrlString":"zookeeper%3A%2F%2Fx%3A1%2Fy%3Faddress%3D10.0.0.9%3A1%2C10.0.0.2%3A2181"}}`:                       "[{g a.B  zk 8001}]",
		`{"protocol":"motan2","port":8001,"path":"a.B","group":"g","parameters":{"proxyRegistry":"etcd://localhost:2379"}}`:                                                                                 "[{g a.B  local 8001}]",
		`{"protocol":"motan2","port":8001,"path":"a.B","group":"g"}`:                                                                                                                                        "write one of agent.motan.registries as proxyRegistry: local, zk",
		`{"protocol":"motan2","port":8001,"path":"a.B","group":"g","parameters":{"proxyRegistry":"consul://10.0.0.1:2181"}}`:                                                                                `"consul://10.0.0.1:2181" is none of those in agent.motan.registries: write one of local, zk`,
		`{"protocol":"motan2","port":8001,"path":"a/B","group":"g","parameters":{"proxyRegistry":"zk"}}`:                                                                                                    "path",
		`{"protocol":"motan2","port":8001,"path":"a.B","parameters":{"proxyRegistry":"zk"}}`:                                                                                                                "group",
		`{"protocol":"motan2","port":70000,"path":"a.B","group":"g","parameters":{"proxyRegistry":"zk"}}`:                                                                                                   "from 1 to 65535",
		`{"protocol":"motan2","port":8001,"path":"a.B","group":"` + strings.Join(slices.Collect(strings.SplitSeq("abcdefghijklmnopqrstuvwxyz0123456", "")), ",") + `","parameters":{"proxyRegistry":"zk"}}`: "more than 32",
		`{"protocol":"motan","port":8001,"path":"a.B","group":"g","parameters":{"proxyRegistry":"zk"}}`:                                                                                                     "use motan2",
	} {
		list, err := Parse([]byte(body), registries, true)
		for i := range list {
			for name, address := range registries {
				if list[i].Registry == address {
					list[i].Registry = name
				}
			}
		}
		if got := fmt.Sprint(list); err == nil && got != want || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s, %v, want %s", body, got, err, want)
		}
	}
	if _, err := Parse([]byte(`{"protocol":"motan2","port":5,"path":"a","group":"g"}`), nil, true); err == nil || !strings.Contains(err.Error(), "there is no registry") {
		t.Errorf("without any registry: %v", err)
	}
	if list, err := Parse([]byte(`{"protocol":"motan2","port":5,"path":"a","group":"g"}`), map[string]string{"only": "etcd://h:1"}, false); err != nil ||
		list[0].Registry != "etcd://h:1" || list[0].Port != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}

// Whatever comes: what is taken names a registry of the configuration and can be written into one.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"protocol":"motan2","port":8001,"path":"a.B","group":"g,h","parameters":{"version":"1","proxyRegistry":"zk"}}`))
	f.Add([]byte(`{"protocol":"motan2","port":8001,"path":"a","group":"g","parameters":{"proxyRegistryUrlString":"zk%3A%2F%2F10.0.0.1%3A2181%2Fx%3Faddress%3Dh%3A1"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		list, err := Parse(body, registries, true)
		if err != nil {
			if list != nil {
				t.Errorf("%v with %v", list, err)
			}
			return
		}
		for _, s := range list {
			if s.Registry != registries["zk"] && s.Registry != registries["local"] || s.check() != nil || s.Port < 1 || s.Port > 65535 {
				t.Errorf("%+v", s)
			}
		}
		if len(list) == 0 || len(list) > mostGroups || len(slices.Compact(slices.Clone(list))) != len(list) {
			t.Errorf("%v", list)
		}
	})
}

// Who is on another machine may not even look.
func TestOnlyForThisMachine(t *testing.T) {
	h := Handler(Options{Backend: struct{ Backend }{}, Registries: registries, Port: 9981, Metadata: &Metadata{}})
	for from, want := range map[string]int{"127.0.0.1:9": 200, "[::1]:9": 200, "@": 200, "10.0.0.9:9": 403, "[2001:db8::1]:9": 403} {
		r := httptest.NewRequest("GET", "/registry/info", nil)
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want || want == http.StatusOK && !strings.Contains(w.Body.String(), `"mesh_port":9981`) {
			t.Errorf("%s: %d %s", from, w.Code, w.Body)
		}
	}
}
