package linktest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
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

// Center is a centre. Fields may be set before an agent comes.
type Center struct {
	Name      string
	Cluster   string
	Heartbeat time.Duration // of Welcome
	Report    time.Duration // likewise
	Refuse    string        // answer links by this text, with status 503
	NoClock   bool          // it is of a version that does not say what its clock shows

	ca     *x509.Certificate
	key    *ecdsa.PrivateKey
	server tls.Certificate
	links  chan *Conn
	addr   string

	mu       sync.Mutex
	http     *http.Server    // guarded by mu
	stopped  chan struct{}   // guarded by mu; closed by Stop
	open     map[*Conn]bool  // guarded by mu
	requests map[string]int  // guarded by mu; by path
	used     map[string]bool // guarded by mu; public keys that were certified
	life     time.Duration   // guarded by mu; of the agents' certificates
	ahead    time.Duration   // guarded by mu; its clock, of the machine's
	serving  *sync.WaitGroup // guarded by mu
}

// New makes a centre and starts it on a port of the loopback.
func New() (*Center, error) {
	c := &Center{Name: "center-1", Cluster: "cluster-1", Heartbeat: time.Second, Report: time.Second, life: time.Hour,
		links: make(chan *Conn, 64), open: map[*Conn]bool{}, requests: map[string]int{}, used: map[string]bool{}}
	if err := c.makeAuthority(); err != nil {
		return nil, err
	}
	return c, c.Start()
}

func (c *Center) makeAuthority() (err error) {
	if c.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-1000 * time.Hour),
		NotAfter: time.Now().Add(1000 * time.Hour), KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, t, t, c.key.Public(), c.key)
	if err != nil {
		return err
	}
	if c.ca, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	leaf, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-1000 * time.Hour),
		NotAfter: time.Now().Add(1000 * time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, DNSNames: []string{"center.sluice"}},
		c.ca, key.Public(), c.key)
	c.server = tls.Certificate{Certificate: [][]byte{leaf, der}, PrivateKey: key}
	return err
}

// now is what the centre's clock shows.
func (c *Center) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

// SetAhead sets how far the centre's clock is ahead of the machine's, which agents' certificates are of. Its own certificate
// holds for weeks before and after now.
func (c *Center) SetAhead(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead = d
}

// clock is what the centre says of it, as in control.Clock.
func (c *Center) clock() int64 {
	if c.NoClock {
		return 0
	}
	return c.now().UnixMilli()
}

// SetLife sets how long the certificates of agents hold, from the next one on; at first an hour.
func (c *Center) SetLife(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.life = d
}

// URL is where the centre is, also while it is stopped.
func (c *Center) URL() string { return "http://" + c.addr }

// Token returns a join token.
func (c *Center) Token() string { return c.TokenOf(c) }

// TokenOf returns a join token that pins another centre's authority.
func (c *Center) TokenOf(other *Center) string {
	sum := sha256.Sum256(other.ca.Raw)
	return "sluice-join.j1.s3cret." + base64.RawURLEncoding.EncodeToString(sum[:])
}

// Requests returns how often a path was asked for.
func (c *Center) Requests(path string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests[path]
}

// Start begins to listen: again on the same port, after Stop.
func (c *Center) Start() error {
	at := c.addr
	if at == "" {
		at = "127.0.0.1:0"
	}
	ln, err := net.Listen("tcp", at)
	if err != nil {
		return err
	}
	c.addr = ln.Addr().String()
	pool := x509.NewCertPool()
	pool.AddCert(c.ca)
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+control.PathJoin, c.join)
	mux.HandleFunc("POST "+control.PathRenew, c.renew)
	mux.HandleFunc("POST "+control.PathLink, c.link)
	srv := &http.Server{Handler: mux, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{c.server},
		ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool, Time: c.now, NextProtos: []string{"http/1.1"}}}
	serving := &sync.WaitGroup{}
	c.mu.Lock()
	c.http, c.stopped, c.serving = srv, make(chan struct{}), serving
	c.mu.Unlock()
	serving.Go(func() { srv.ServeTLS(ln, "", "") })
	return nil
}

// Stop ends the centre and its links, as a crash would.
func (c *Center) Stop() {
	c.mu.Lock()
	srv, serving := c.http, c.serving
	c.http = nil
	if srv != nil {
		close(c.stopped)
	}
	for conn := range c.open {
		conn.tcp.Close()
	}
	c.mu.Unlock()
	if srv != nil {
		srv.Close()
		serving.Wait()
	}
}

// Accept returns the next link that an agent made, after Hello and Welcome.
func (c *Center) Accept(within time.Duration) (*Conn, error) {
	t := time.NewTimer(within)
	defer t.Stop()
	select {
	case conn := <-c.links:
		return conn, nil
	case <-t.C:
		return nil, fmt.Errorf("no agent linked within %s", within)
	}
}

func (c *Center) count(r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests[r.URL.Path]++
}

func refuse(w http.ResponseWriter, status int, text string) {
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"code": "refused", "message": text}})
}

func (c *Center) join(w http.ResponseWriter, r *http.Request) {
	c.count(r)
	text, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !strings.HasPrefix(text, "sluice-join.j1.s3cret.") {
		refuse(w, http.StatusUnauthorized, "this join token is not known")
		return
	}
	c.certify(w, r, "")
}

func (c *Center) renew(w http.ResponseWriter, r *http.Request) {
	c.count(r)
	name := agentOf(r.TLS)
	if name == "" {
		refuse(w, http.StatusUnauthorized, "a renewal needs a certificate")
		return
	}
	c.certify(w, r, name)
}

// certify answers a request for a certificate; name is who asks, "" when it is not known.
func (c *Center) certify(w http.ResponseWriter, r *http.Request, name string) {
	var ask control.JoinRequest
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	block, _ := pem.Decode([]byte(ask.CSR))
	if block == nil || name != "" && name != ask.Name {
		refuse(w, http.StatusBadRequest, "no CSR, or not the agent's own")
		return
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	now := c.now()
	c.mu.Lock()
	end := now.Add(c.life)
	c.mu.Unlock()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: now, NotAfter: end,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, URIs: []*url.URL{{Scheme: "spiffe", Host: "sluice", Path: "/agent/" + ask.Name}}},
		c.ca, csr.PublicKey, c.key)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	c.mu.Lock()
	fresh := !c.used[string(csr.RawSubjectPublicKeyInfo)]
	c.used[string(csr.RawSubjectPublicKeyInfo)] = true
	c.mu.Unlock()
	if !fresh {
		refuse(w, http.StatusBadRequest, "this key was certified before")
		return
	}
	json.NewEncoder(w).Encode(control.JoinAnswer{
		Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		CA:          string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.ca.Raw})), Expires: end.UnixMilli(), Now: c.clock(),
	})
}

func agentOf(state *tls.ConnectionState) string {
	if state == nil || len(state.VerifiedChains) == 0 || len(state.PeerCertificates[0].URIs) != 1 {
		return ""
	}
	return strings.TrimPrefix(state.PeerCertificates[0].URIs[0].Path, "/agent/")
}

// link turns a request into a link and waits for its end.
func (c *Center) link(w http.ResponseWriter, r *http.Request) {
	c.count(r)
	name := agentOf(r.TLS)
	if name == "" {
		refuse(w, http.StatusUnauthorized, "a link needs a certificate")
		return
	}
	if c.Refuse != "" {
		refuse(w, http.StatusServiceUnavailable, c.Refuse)
		return
	}
	if r.Header.Get("Upgrade") != control.Upgrade {
		refuse(w, http.StatusUpgradeRequired, "use "+control.Upgrade)
		return
	}
	tcp, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	defer tcp.Close()
	tcp.SetDeadline(time.Time{})
	io.WriteString(tcp, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+control.Upgrade+"\r\n\r\n")
	conn := &Conn{Agent: name, tcp: tcp, in: control.NewReader(rw, control.MaxToCenter), frames: make(chan Frame, 1024), Ended: make(chan struct{})}
	c.mu.Lock()
	c.open[conn] = true
	stopped := c.stopped
	c.mu.Unlock()
	conn.serve(c, stopped)
	c.mu.Lock()
	delete(c.open, conn)
	c.mu.Unlock()
}
