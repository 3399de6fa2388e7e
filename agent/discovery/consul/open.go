package consul

import (
	"os"

	"github.com/sluice-mesh/sluice/agent/discovery"
	"github.com/sluice-mesh/sluice/resources"
)

// What Consul wants of those who ask it comes from the environment, under the names that Consul's own programs have for it
// (https://developer.hashicorp.com/consul/commands#environment-variables).
const (
	tokenVariable  = "CONSUL_HTTP_TOKEN"
	sslVariable    = "CONSUL_HTTP_SSL" // true: TLS
	verifyVariable = "CONSUL_HTTP_SSL_VERIFY"
	caVariable     = "CONSUL_CACERT"
	certVariable   = "CONSUL_CLIENT_CERT"
	keyVariable    = "CONSUL_CLIENT_KEY"
	nameVariable   = "CONSUL_TLS_SERVER_NAME"
)

func init() {
	discovery.RegisterKind("consul", func(a discovery.Address, o discovery.Options) (discovery.Source, error) {
		opt := Options{Agents: a.Hosts, Datacenter: a.Root, Log: o.Log}
		if err := opt.fromEnvironment(); err != nil {
			return nil, err
		}
		return Open(opt)
	})
}

// fromEnvironment adds the token and TLS, as far as they are set.
func (o *Options) fromEnvironment() (err error) {
	if os.Getenv(tokenVariable) != "" {
		if o.Token, err = resources.NewSecret("${env:" + tokenVariable + "}"); err != nil {
			return err
		}
	}
	on, err := discovery.EnvBool(sslVariable, false)
	if err != nil || !on {
		return err // files alone do not mean TLS, for Consul's programs as well
	}
	o.TLS, err = discovery.EnvTLS(discovery.TLSVariables{CA: caVariable, Cert: certVariable, Key: keyVariable, ServerName: nameVariable,
		Verify: verifyVariable}, true)
	return err
}
