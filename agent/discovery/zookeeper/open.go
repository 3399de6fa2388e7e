package zookeeper

import "github.com/sluice-mesh/sluice/agent/discovery"

func init() {
	discovery.RegisterKind("zookeeper", func(a discovery.Address, o discovery.Options) (discovery.Source, error) {
		opt := Options{Servers: a.Hosts, Application: o.Application, Log: o.Log}
		if a.Root != "" {
			opt.Root = "/" + a.Root
		}
		return Open(opt)
	})
}
