package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"path/filepath"
	"time"
)

// Certs is a certificate authority of a test with one server and one client certificate, as PEM files.
type Certs struct {
	CA                    string // file of the authority's certificate
	ServerCert, ServerKey string // files; valid for localhost, 127.0.0.1 and ::1
	ClientCert, ClientKey string // files

	pool   *x509.CertPool
	client tls.Certificate
}

// NewCerts makes an authority and its certificates, valid for one day.
func NewCerts(t TB) *Certs {
	t.Helper()
	dir := newDir(t, "certs")
	c := &Certs{
		CA:         filepath.Join(dir, "ca.crt"),
		ServerCert: filepath.Join(dir, "server.crt"), ServerKey: filepath.Join(dir, "server.key"),
		ClientCert: filepath.Join(dir, "client.crt"), ClientKey: filepath.Join(dir, "client.key"),
		pool: x509.NewCertPool(),
	}
	ca := issue(t, nil, "sluice test authority")
	c.pool.AddCert(ca.cert)
	writeFile(t, c.CA, ca.certPEM)
	server := issue(t, ca, "localhost")
	writeFile(t, c.ServerCert, server.certPEM)
	writeFile(t, c.ServerKey, server.keyPEM)
	client := issue(t, ca, "sluice test client")
	writeFile(t, c.ClientCert, client.certPEM)
	writeFile(t, c.ClientKey, client.keyPEM)
	var err error
	if c.client, err = tls.X509KeyPair([]byte(client.certPEM), []byte(client.keyPEM)); err != nil {
		t.Fatalf("load the client certificate: %v", err)
	}
	return c
}

// Client returns a configuration for clients: it trusts the authority and offers the client certificate.
func (c *Certs) Client() *tls.Config {
	return &tls.Config{RootCAs: c.pool, ServerName: "localhost", Certificates: []tls.Certificate{c.client}, MinVersion: tls.VersionTLS12}
}

type issued struct {
	cert            *x509.Certificate
	key             *ecdsa.PrivateKey
	certPEM, keyPEM string
}

// issue makes a certificate signed by ca, or a self-signed authority when ca is nil.
func issue(t TB, ca *issued, name string) *issued {
	t.Helper()
	fail := func(err error) {
		if err != nil {
			t.Fatalf("make a certificate for %s: %v", name, err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	fail(err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	fail(err)
	tmpl := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	parent, signer := tmpl, key
	if ca == nil {
		tmpl.IsCA, tmpl.BasicConstraintsValid = true, true
		tmpl.KeyUsage |= x509.KeyUsageCertSign
		tmpl.ExtKeyUsage, tmpl.DNSNames, tmpl.IPAddresses = nil, nil, nil
	} else {
		parent, signer = ca.cert, ca.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	fail(err)
	out := &issued{key: key}
	out.cert, err = x509.ParseCertificate(der)
	fail(err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	fail(err)
	out.certPEM = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	out.keyPEM = string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}))
	return out
}
