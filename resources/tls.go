package resources

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// Config reads the files of a section for TLS towards servers. The certificate is read again for each handshake, so that one that
// is renewed in its place is used, and when that fails the last one that could be read is offered. The authority is read once.
// An error names the field.
func (t *ClientTLS) Config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.Insecure}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca: %s holds no PEM certificate", t.CA)
		}
	}
	if (t.Cert == "") != (t.Key == "") {
		return nil, errors.New("cert and key belong together: give both or none")
	}
	if t.Cert != "" {
		first, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("cert and key: %w", err)
		}
		cert, key := t.Cert, t.Key
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			now, err := tls.LoadX509KeyPair(cert, key)
			if err != nil {
				return &first, nil // it is being written, or gone: the server decides
			}
			return &now, nil
		}
	}
	return c, nil
}
