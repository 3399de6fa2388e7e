package etcd

import "github.com/sluice-mesh/sluice/agent/discovery"

func init() {
	discovery.RegisterKind("etcd", func(a discovery.Address, o discovery.Options) (discovery.Source, error) {
		return Open(Options{Endpoints: a.Hosts, Prefix: a.Root, Log: o.Log})
	})
}
