package fleet

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// spiffe is what the URI of an agent's certificate starts with.
const spiffe = "spiffe://sluice/agent/"

// serverName is what the certificate of every centre names.
const serverName = "center.sluice"

// Authority makes the certificates of a test: it is the centre's CA.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
	leaf *ecdsa.PrivateKey // of all certificates: a thousand keys would take seconds
}

// NewAuthority makes a CA.
func NewAuthority() (*Authority, error) {
	a := &Authority{pool: x509.NewCertPool()}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	if a.leaf, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	t := template("a test's CA")
	t.IsCA, t.BasicConstraintsValid, t.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, a.key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	a.pool.AddCert(a.cert)
	return a, nil
}

// MarshalText gives the CA to another process of the test, with its keys.
func (a *Authority) MarshalText() ([]byte, error) {
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	for _, key := range []*ecdsa.PrivateKey{a.key, a.leaf} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	}
	return text, nil
}

// UnmarshalText reads what MarshalText wrote.
func (a *Authority) UnmarshalText(text []byte) error {
	var blocks [3]*pem.Block
	for i := range blocks {
		if blocks[i], text = pem.Decode(text); blocks[i] == nil {
			return fmt.Errorf("block %d of an authority is missing", i)
		}
	}
	var err error
	if a.cert, err = x509.ParseCertificate(blocks[0].Bytes); err != nil {
		return err
	}
	for i, to := range []**ecdsa.PrivateKey{&a.key, &a.leaf} {
		key, err := x509.ParsePKCS8PrivateKey(blocks[i+1].Bytes)
		if err != nil {
			return err
		}
		ec, ok := key.(*ecdsa.PrivateKey)
		if !ok {
			return fmt.Errorf("key %d of an authority is a %T", i, key)
		}
		*to = ec
	}
	a.pool = x509.NewCertPool()
	a.pool.AddCert(a.cert)
	return nil
}

func template(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62)) // the reader of crypto/rand does not fail
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
}

func (a *Authority) sign(t *x509.Certificate) (tls.Certificate, error) {
	t.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, a.leaf.Public(), a.key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.leaf}, err
}

// Server is the TLS of a centre.
func (a *Authority) Server() (*tls.Config, error) {
	t := template(serverName)
	t.DNSNames, t.ExtKeyUsage = []string{serverName}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	cert, err := a.sign(t)
	return &tls.Config{
		Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13,
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.pool,
	}, err
}

// Agent is the TLS of an agent.
func (a *Authority) Agent(name string) (*tls.Config, error) {
	t := template(name)
	t.URIs, t.ExtKeyUsage = []*url.URL{{Scheme: "spiffe", Host: "sluice", Path: "/agent/" + name}}, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	cert, err := a.sign(t)
	return &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: a.pool, ServerName: serverName, MinVersion: tls.VersionTLS13}, err
}

// Dialer returns what an Agent dials with.
func (a *Authority) Dialer(addr, name string) (func(ctx context.Context) (net.Conn, error), error) {
	config, err := a.Agent(name)
	if err != nil {
		return nil, err
	}
	return DialTLS(addr, config), nil
}

// DialTLS connects to a centre and asks for the link.
func DialTLS(addr string, config *tls.Config) func(ctx context.Context) (net.Conn, error) {
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: 30 * time.Second}, Config: config}
	return func(ctx context.Context) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		if err := upgrade(conn); err != nil {
			conn.Close()
			return nil, err
		}
		return conn, nil
	}
}

// upgrade asks for the link. The head of the answer is read byte by byte, so that nothing of the first frame is lost.
func upgrade(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: center.sluice\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", control.PathLink, control.Upgrade); err != nil {
		return err
	}
	var head []byte
	for b := make([]byte, 1); !strings.HasSuffix(string(head), "\r\n\r\n"); {
		if len(head) > 4096 {
			return errors.New("the head of the centre's answer has more than 4096 bytes")
		}
		if _, err := io.ReadFull(conn, b); err != nil {
			return fmt.Errorf("after %q: %w", head, err)
		}
		head = append(head, b[0])
	}
	if !strings.HasPrefix(string(head), "HTTP/1.1 101 ") {
		return fmt.Errorf("the centre answered %q", head)
	}
	return conn.SetDeadline(time.Time{})
}

// Gate accepts links over TLS as the centre's server does.
type Gate struct {
	Addr   string
	server *http.Server
	links  sync.WaitGroup

	mu     sync.Mutex
	ctx    context.Context // of the links
	cancel context.CancelFunc
}

// Open listens on a free port of the loopback and calls serve for each link.
func (a *Authority) Open(serve func(ctx context.Context, conn net.Conn, name string) error) (*Gate, error) {
	config, err := a.Server()
	if err != nil {
		return nil, err
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	g := &Gate{Addr: l.Addr().String(), ctx: ctx, cancel: cancel}
	quiet := slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // agents that are refused know why
	g.server = &http.Server{ReadHeaderTimeout: 30 * time.Second, ErrorLog: quiet, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, err := nameOf(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		g.mu.Lock()
		ctx := g.ctx
		g.mu.Unlock()
		g.links.Add(1)
		go func() {
			defer g.links.Done()
			g.link(ctx, conn, buf, name, serve)
		}()
	})}
	g.links.Go(func() { _ = g.server.Serve(l) })
	return g, nil
}

// nameOf returns the agent that a request comes from.
func nameOf(r *http.Request) (string, error) {
	if r.URL.Path != control.PathLink || r.Header.Get("Upgrade") != control.Upgrade {
		return "", fmt.Errorf("%s is no link", r.URL.Path)
	}
	for _, u := range r.TLS.PeerCertificates[0].URIs {
		if name, ok := strings.CutPrefix(u.String(), spiffe); ok {
			return name, nil
		}
	}
	return "", errors.New("the certificate names no agent")
}

func (g *Gate) link(ctx context.Context, conn net.Conn, buf *bufio.ReadWriter, name string, serve func(context.Context, net.Conn, string) error) {
	defer conn.Close()
	if buf.Reader.Buffered() > 0 { // it did not wait for the answer
		return
	}
	if conn.SetDeadline(time.Now().Add(10*time.Second)) != nil {
		return
	}
	if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+control.Upgrade+"\r\n\r\n"); err != nil {
		return
	}
	_ = serve(ctx, conn, name) // the tests look at both ends
}

// Cut ends all links; the gate stays open.
func (g *Gate) Cut() {
	g.mu.Lock()
	g.cancel()
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.mu.Unlock()
}

// Close cuts all links and waits for them.
func (g *Gate) Close() {
	g.server.Close()
	g.mu.Lock()
	g.cancel()
	g.mu.Unlock()
	g.links.Wait()
}
