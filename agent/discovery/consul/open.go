package consul

import (
	"os"

	"github.com/sluice-mesh/sluice/agent/discovery"
	"github.com/sluice-mesh/sluice/resources"
)

// tokenVariable names the environment variable with the token, as for Consul's own programs.
const tokenVariable = "CONSUL_HTTP_TOKEN"

func init() {
	discovery.RegisterKind("consul", func(a discovery.Address, o discovery.Options) (discovery.Source, error) {
		opt := Options{Agents: a.Hosts, Datacenter: a.Root, Log: o.Log}
		if os.Getenv(tokenVariable) != "" {
			var err error
			if opt.Token, err = resources.NewSecret("${env:" + tokenVariable + "}"); err != nil {
				return nil, err
			}
		}
		return Open(opt)
	})
}
