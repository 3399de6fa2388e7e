package etcd

import (
	"fmt"
	"os"
	"strings"

	"github.com/sluice-mesh/sluice/agent/discovery"
	"github.com/sluice-mesh/sluice/resources"
)

// What etcd wants of those who ask it comes from the environment, under the names that etcd's own program has for it
// (https://etcd.io/docs/v3.4/op-guide/authentication/rbac/ and its --help): a registry's address is shown wherever it is used, and an
// agent gets it from the centre, which need not know what this machine may do.
const (
	userVariable     = "ETCDCTL_USER" // NAME or NAME:PASSWORD
	passwordVariable = "ETCDCTL_PASSWORD"
	caVariable       = "ETCDCTL_CACERT"
	certVariable     = "ETCDCTL_CERT"
	keyVariable      = "ETCDCTL_KEY"
	plainVariable    = "ETCDCTL_INSECURE_TRANSPORT" // false: TLS with the system's authorities
)

func init() {
	discovery.RegisterKind("etcd", func(a discovery.Address, o discovery.Options) (discovery.Source, error) {
		opt := Options{Endpoints: a.Hosts, Prefix: a.Root, Log: o.Log}
		if err := opt.fromEnvironment(); err != nil {
			return nil, err
		}
		return Open(opt)
	})
}

// fromEnvironment adds user, password and TLS, as far as they are set.
func (o *Options) fromEnvironment() error {
	name, password, written := strings.Cut(os.Getenv(userVariable), ":")
	if !written {
		password = "${env:" + passwordVariable + "}"
	}
	if o.Username = name; name != "" {
		var err error
		if o.Password, err = resources.NewSecret(password); err != nil {
			return err
		}
		if text, err := o.Password.Reveal(); err != nil || text == "" {
			return fmt.Errorf("the environment: %s names a user without a password: write it behind a colon, or into %s", userVariable, passwordVariable)
		}
	}
	plain, err := discovery.EnvBool(plainVariable, true)
	if err != nil {
		return err
	}
	o.TLS, err = discovery.EnvTLS(discovery.TLSVariables{CA: caVariable, Cert: certVariable, Key: keyVariable}, !plain)
	if o.TLS == nil || err != nil {
		return err
	}
	urls := make([]string, len(o.Endpoints))
	for i, host := range o.Endpoints {
		urls[i] = "https://" + host
	}
	o.Endpoints = urls
	return nil
}
