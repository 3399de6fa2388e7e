package discovery_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/agent/discovery"
	_ "github.com/sluice-mesh/sluice/agent/discovery/consul"
	_ "github.com/sluice-mesh/sluice/agent/discovery/etcd"
	_ "github.com/sluice-mesh/sluice/agent/discovery/zookeeper"
)

func TestOpen(t *testing.T) {
	a, err := discovery.ParseAddress("zookeeper://b:2,a:1/mesh/")
	if err != nil || !reflect.DeepEqual(a, discovery.Address{Kind: "zookeeper", Hosts: []string{"b:2", "a:1"}, Root: "mesh"}) {
		t.Errorf("%+v %v", a, err)
	}
	for _, address := range []string{"zookeeper://127.0.0.1:1", "zookeeper://127.0.0.1:1/mesh", "etcd://127.0.0.1:1/prefix", "consul://127.0.0.1:1", "consul://127.0.0.1:1/dc2"} {
		s, err := discovery.Open(address, discovery.Options{})
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if s.Status().Connected {
			t.Errorf("%s is connected", address)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	for address, says := range map[string]string{"127.0.0.1:1": "is no registry: write consul://HOST:PORT or etcd://HOST:PORT or zookeeper://HOST:PORT", "zookeeper://a:1/b//c": "root"} {
		if s, err := discovery.Open(address, discovery.Options{}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v %v", address, s, err)
		}
	}
}
