package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
)

// How long certificates hold. An agent renews at two thirds.
const (
	caLife     = 10 * 365 * 24 * time.Hour
	agentLife  = 24 * time.Hour
	serverLife = 24 * time.Hour
	// backdate of agents' certificates covers clocks of other centres that are behind.
	backdate = 5 * time.Minute
	// longBackdate, of those that agents verify, covers clocks of agents that are behind: an agent learns the centre's time by
	// the link, which it gives to nobody whose certificate does not hold. That they hold before they were made harms nobody.
	// Browsers take a certificate for 398 days at most.
	longBackdate = 30 * 24 * time.Hour
	// ServerName is what agents ask a centre for, whatever its address is.
	ServerName = "center.sluice"
)

const caKey = "ca/current"

// CA is the authority of the mesh: agents know centres by it, centres know agents.
type CA struct {
	now  func() time.Time
	cert *x509.Certificate
	key  crypto.Signer

	server held // as which agents and browsers see the centre
}

// held is a certificate of the centre itself, which is made anew at two thirds of its life.
type held struct {
	mu    sync.Mutex
	cert  *tls.Certificate // guarded by mu
	renew time.Time        // guarded by mu
}

// authority is what the store holds.
type authority struct {
	Cert []byte `json:"cert"` // DER
	Key  []byte `json:"key"`  // PKCS #8, sealed
}

// LoadCA returns the authority of a store, which it makes when there is none.
func LoadCA(ctx context.Context, s store.Store, seal *Sealer, now func() time.Time) (*CA, error) {
	for {
		e, err := s.Get(ctx, caKey)
		if err == nil {
			return openCA(e.Value, seal, now)
		}
		if !errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("authority: %w", err)
		}
		value, err := newAuthority(seal, now())
		if err != nil {
			return nil, fmt.Errorf("authority: %w", err)
		}
		_, err = s.Commit(ctx, store.Txn{If: []store.Cond{{Key: caKey}}, Then: []store.Op{{Key: caKey, Value: value}}})
		if err != nil && !errors.Is(err, store.ErrConflict) { // else another centre made it
			return nil, fmt.Errorf("authority: %w", err)
		}
	}
}

func newAuthority(seal *Sealer, now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Sluice authority"}, NotBefore: now.Add(-longBackdate), NotAfter: now.Add(caLife),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return json.Marshal(authority{Cert: der, Key: seal.Seal(caKey, pkcs8)})
}

func openCA(value []byte, seal *Sealer, now func() time.Time) (*CA, error) {
	var a authority
	if err := json.Unmarshal(value, &a); err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	pkcs8, err := seal.Open(caKey, a.Key)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	key, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return nil, fmt.Errorf("authority: its key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("authority: its key is a %T, which cannot sign", key)
	}
	cert, err := x509.ParseCertificate(a.Cert)
	if err != nil {
		return nil, fmt.Errorf("authority: its certificate: %w", err)
	}
	return &CA{now: now, cert: cert, key: signer}, nil
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic("auth: no random numbers: " + err.Error()) // crypto/rand never fails on the systems that we build for
	}
	return n
}

// Hash is what join tokens pin: base64url of the SHA-256 of the certificate's DER.
func (a *CA) Hash() string {
	sum := sha256.Sum256(a.cert.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// PEM returns the authority's certificate.
func (a *CA) PEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

// ServerConfig is TLS towards agents and browsers. Client certificates are asked for, and verified when they are given.
func (a *CA) ServerConfig() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ClientAuth: tls.VerifyClientCertIfGiven,
		ClientCAs:  pool,
		Time:       a.now,
		NextProtos: []string{"http/1.1"}, // the agents' links leave HTTP
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return a.serverCertificate()
		},
	}
}

// serverCertificate returns the centre's own certificate, with the authority behind it, so that an agent that joins sees what its
// token pins.
func (a *CA) serverCertificate() (*tls.Certificate, error) {
	return a.hold(&a.server, &x509.Certificate{
		Subject: pkix.Name{CommonName: ServerName}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{ServerName, "localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	})
}

// hold returns a certificate of the centre itself, and makes it from a template when its time has come.
func (a *CA) hold(h *held, template *x509.Certificate) (*tls.Certificate, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := a.now()
	if h.cert != nil && now.Before(h.renew) {
		return h.cert, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = serial(), now.Add(-longBackdate), now.Add(serverLife)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("certificate of the centre: %w", err)
	}
	h.cert = &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}
	h.renew = now.Add(serverLife * 2 / 3)
	return h.cert, nil
}

// PeerConfig is TLS towards another centre, as the centre that is called me. Whoever answers must have a centre's certificate.
func (a *CA) PeerConfig(me string) (*tls.Config, error) {
	if err := checkName(me); err != nil {
		return nil, fmt.Errorf("the centre cannot have a certificate of its own: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	var own held
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		RootCAs:    pool,
		ServerName: ServerName,
		Time:       a.now,
		NextProtos: []string{"http/1.1"},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return a.hold(&own, &x509.Certificate{
				Subject: pkix.Name{CommonName: me}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
				URIs: []*url.URL{{Scheme: "spiffe", Host: "sluice", Path: "/center/" + me}},
			})
		},
	}, nil
}

// The URIs by which a certificate names its agent or its centre begin with these. Nobody signs a request for the second: a centre
// makes its own certificate, and names have no slash.
const (
	idPrefix     = "spiffe://sluice/agent/"
	centerPrefix = "spiffe://sluice/center/"
)

// sign makes a certificate for an agent. The request must prove that the agent has the key.
func (a *CA) sign(name, csr string) (certificate string, expires time.Time, err error) {
	block, rest := pem.Decode([]byte(csr))
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(strings.TrimSpace(string(rest))) > 0 {
		return "", time.Time{}, errors.New("csr: not one PEM block of type CERTIFICATE REQUEST")
	}
	req, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("csr: %w", err)
	}
	if err := req.CheckSignature(); err != nil {
		return "", time.Time{}, fmt.Errorf("csr: it is not signed by its own key: %w", err)
	}
	switch k := req.PublicKey.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() && k.Curve != elliptic.P384() {
			return "", time.Time{}, errors.New("csr: use a key on P-256 or P-384, or Ed25519")
		}
	default:
		return "", time.Time{}, fmt.Errorf("csr: a %T is not accepted: use ECDSA on P-256, or Ed25519", k)
	}
	now := a.now()
	expires = now.Add(agentLife)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-backdate), NotAfter: expires,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		URIs: []*url.URL{{Scheme: "spiffe", Host: "sluice", Path: "/agent/" + name}},
	}, a.cert, req.PublicKey, a.key)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("signing for %s: %w", name, err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), expires, nil
}

// AgentOf returns the name of the agent that a verified certificate is for; "" when it is none of an agent.
func AgentOf(state *tls.ConnectionState) string { return nameOf(state, idPrefix) }

// CenterOf returns the name of the centre that a verified certificate is for; "" when it is none of a centre.
func CenterOf(state *tls.ConnectionState) string { return nameOf(state, centerPrefix) }

func nameOf(state *tls.ConnectionState, prefix string) string {
	if state == nil || len(state.VerifiedChains) == 0 {
		return ""
	}
	for _, u := range state.VerifiedChains[0][0].URIs {
		if name, ok := strings.CutPrefix(u.String(), prefix); ok {
			plain, err := url.PathUnescape(name)
			if err != nil || checkName(plain) != nil {
				return ""
			}
			return plain
		}
	}
	return ""
}
