package cluster

import (
	"crypto/tls"
	"net"
	"strings"

	"github.com/sluice-mesh/sluice/resources"
)

// tlsConfig is upstream TLS with its files loaded.
type tlsConfig struct {
	base *tls.Config
	name string // fixed server name; "": the host of the address
}

// loadTLS reads the files of an upstream-tls section; nil gives nil. protocol is the name of what will be spoken; "": none.
func loadTLS(s *resources.ClientTLS, protocol string) (*tlsConfig, error) {
	if s == nil {
		return nil, nil
	}
	base, err := s.Config()
	if err != nil {
		return nil, err
	}
	base.ClientSessionCache = tls.NewLRUClientSessionCache(64)
	if protocol != "" {
		base.NextProtos = []string{protocol}
	}
	return &tlsConfig{base: base, name: s.ServerName}, nil
}

func (t *tlsConfig) forAddress(address string) *tls.Config {
	conf := t.base.Clone()
	conf.ServerName = t.name
	if conf.ServerName == "" && !strings.HasPrefix(address, "unix:") {
		conf.ServerName, _, _ = net.SplitHostPort(address)
	}
	if conf.ServerName == "" {
		conf.ServerName = "localhost"
	}
	return conf
}
