package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
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
	t := &tlsConfig{
		base: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: s.Insecure, ClientSessionCache: tls.NewLRUClientSessionCache(64)},
		name: s.ServerName,
	}
	if protocol != "" {
		t.base.NextProtos = []string{protocol}
	}
	if s.CA != "" {
		pem, err := os.ReadFile(s.CA)
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		t.base.RootCAs = x509.NewCertPool()
		if !t.base.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca: %s holds no PEM certificate", s.CA)
		}
	}
	if (s.Cert == "") != (s.Key == "") {
		return nil, fmt.Errorf("cert and key belong together: give both or none")
	}
	if s.Cert != "" {
		pair, err := tls.LoadX509KeyPair(s.Cert, s.Key)
		if err != nil {
			return nil, fmt.Errorf("cert and key: %w", err)
		}
		t.base.Certificates = []tls.Certificate{pair}
	}
	return t, nil
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
