package link

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
	"github.com/sluice-mesh/sluice/resources"
)

// Bounds of asking for a certificate.
const (
	dialTimeout  = 3 * time.Second
	shakeTimeout = 5 * time.Second
	askTimeout   = 15 * time.Second
	maxAnswer    = 256 << 10
	renewAgain   = time.Minute // at most, after a renewal that failed
)

// identity is the agent's key and certificate, and the authority that it trusts.
type identity struct {
	store files
	name  string
	join  resources.Secret
	log   *slog.Logger
	now   func() time.Time // the centre's clock, as far as it is known

	hear func(now int64, asked time.Time) // see Link.hear

	changed chan struct{} // there is another certificate, or another clock

	changing sync.Mutex // serialises joining and renewing
	failures int        // renewals that failed in a row; guarded by changing
	tried    [sha256.Size]byte
	// tried is the token of another authority that was refused; it is not tried again. Guarded by changing.

	mu   sync.Mutex
	held *credential // guarded by mu; nil: there is none
	due  time.Time   // guarded by mu: when to renew
	over *credential // guarded by mu: a centre said that its time is over, whatever the clock here says
}

// credential is a certificate with its key and the authority's certificates. It is not changed.
type credential struct {
	cert  tls.Certificate // with Leaf
	roots []*x509.Certificate
}

func (c *credential) pool() *x509.CertPool {
	p := x509.NewCertPool()
	for _, r := range c.roots {
		p.AddCert(r)
	}
	return p
}

// knows reports whether an authority is the one that is trusted.
func (c *credential) knows(pin [sha256.Size]byte) bool {
	for _, r := range c.roots {
		if sha256.Sum256(r.Raw) == pin {
			return true
		}
	}
	return false
}

func openIdentity(o Options) (*identity, error) {
	id := &identity{store: files{o.Dir}, name: o.Name, join: o.Join, log: o.Log, now: o.Clock.Now, changed: make(chan struct{}, 1)}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("certificates for the centre: %w", err)
	}
	key, cert, ca, err := id.store.load()
	switch {
	case err != nil:
		return nil, fmt.Errorf("certificates for the centre: %w", err)
	case cert == nil:
		return id, nil
	}
	c, err := id.check(key, cert, ca)
	if err != nil {
		id.log.Error("the certificate for the centre cannot be used: the agent has to join anew", "folder", o.Dir, "error", err)
		return id, nil
	}
	id.hold(c)
	return id, nil
}

// check puts a certificate together with its key and its authority, and finds out whether it is this agent's. Whether its
// time is over is not asked here.
func (id *identity) check(key, cert, ca []byte) (*credential, error) {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	c := &credential{cert: pair}
	for rest := ca; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		root, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("the authority's certificate: %w", err)
		}
		c.roots = append(c.roots, root)
	}
	if len(c.roots) == 0 {
		return nil, errors.New("there is no certificate of the authority")
	}
	leaf := c.cert.Leaf
	_, err = leaf.Verify(x509.VerifyOptions{Roots: c.pool(), CurrentTime: leaf.NotBefore, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return nil, fmt.Errorf("the certificate is not of its authority: %w", err)
	}
	if len(leaf.URIs) != 1 || leaf.URIs[0].Scheme != "spiffe" || leaf.URIs[0].Host != "sluice" || leaf.URIs[0].Path != "/agent/"+id.name {
		return nil, fmt.Errorf("the certificate is for %v and this is agent %s", leaf.URIs, id.name)
	}
	return c, nil
}

// hold makes a credential the one that counts.
func (id *identity) hold(c *credential) {
	leaf := c.cert.Leaf
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	id.mu.Lock()
	id.held = c
	// Agents that joined together do not renew together.
	id.due = leaf.NotBefore.Add(life*2/3 + mathrand.N(life/20+1))
	id.mu.Unlock()
	select {
	case id.changed <- struct{}{}:
	default:
	}
}

// credential returns what is held; nil when there is none.
func (id *identity) credential() *credential {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.held
}

func (id *identity) expires() time.Time {
	if c := id.credential(); c != nil {
		return c.cert.Leaf.NotAfter
	}
	return time.Time{}
}

// untilRenewal returns when to renew; an hour when there is nothing to renew yet, since joining wakes the waiter.
func (id *identity) untilRenewal() time.Duration {
	id.changing.Lock()
	failures := id.failures
	id.changing.Unlock()
	id.mu.Lock()
	defer id.mu.Unlock()
	switch {
	case id.held == nil:
		return time.Hour
	case failures > 0:
		return time.Second + mathrand.N(min(renewAgain, time.Second<<min(failures, 6)))
	}
	return max(0, id.due.Sub(id.now()))
}

// ensure makes sure that there is a certificate before a link: it joins when there is none, when its time is over and it
// cannot be renewed, or when the token is of another authority than the one that was joined.
func (id *identity) ensure(ctx context.Context, center string) error {
	id.changing.Lock()
	defer id.changing.Unlock()
	held := id.credential()
	t, errToken := id.token()
	if held == nil {
		if errToken != nil {
			return errToken
		}
		return id.joinWith(ctx, center, &t)
	}
	if errToken == nil && !held.knows(t.pin) && id.tried != sha256.Sum256([]byte(t.text)) {
		err := id.joinWith(ctx, center, &t)
		if err == nil {
			return nil
		}
		id.log.Warn("the join token is of another authority than the one that this agent joined, and joining it failed; going on with the one it has",
			"center", center, "error", err)
		var refused *refusal
		if errors.As(err, &refused) {
			id.tried = sha256.Sum256([]byte(t.text))
		}
	}
	if id.holds(held) {
		return nil
	}
	err := id.renewWith(ctx, center, held)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("the certificate expired %s (it is %s here) and was not renewed: %w",
		held.cert.Leaf.NotAfter.UTC().Format(time.RFC3339), id.now().UTC().Format(time.RFC3339), err)
	if errToken != nil {
		return fmt.Errorf("%w; give the agent a new join token", err)
	}
	if again := id.joinWith(ctx, center, &t); again != nil {
		return errors.Join(err, again)
	}
	return nil
}

// holds reports whether a certificate's time is not over.
func (id *identity) holds(c *credential) bool {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.over != c && id.now().Before(c.cert.Leaf.NotAfter)
}

// refusedBy looks whether a centre refused a connection because it holds the certificate for expired (TLS alert 45). With a clock
// that is behind, the agent would not find that out by itself.
func (id *identity) refusedBy(err error) {
	var remote *net.OpError
	if !errors.As(err, &remote) || remote.Op != "remote error" || !strings.Contains(remote.Err.Error(), "expired certificate") {
		return
	}
	id.mu.Lock()
	defer id.mu.Unlock()
	id.over = id.held
}

// token follows the secret.
func (id *identity) token() (token, error) {
	if id.join.IsZero() {
		return token{}, errors.New("there is no certificate for the centre and no join token: make one there, and set agent.join or SLUICE_JOIN")
	}
	text, err := id.join.Reveal()
	if err != nil {
		return token{}, fmt.Errorf("join token: %w", err)
	}
	return parseToken(text)
}

// joinWith asks for the first certificate. changing is held.
func (id *identity) joinWith(ctx context.Context, center string, t *token) error {
	cfg := &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: ServerName, Time: id.now, NextProtos: []string{"http/1.1"},
		InsecureSkipVerify: true, // there is nothing to verify by but the token's pin, which VerifyConnection does
		VerifyConnection:   func(cs tls.ConnectionState) error { return t.verify(cs.PeerCertificates, id.now()) },
	}
	c, err := id.ask(ctx, center, control.PathJoin, cfg, t.text)
	if err != nil {
		return fmt.Errorf("joining with token %s: %w", t.id, err)
	}
	if !c.knows(t.pin) {
		return fmt.Errorf("joining with token %s: the answer holds another authority than the one that the token pins", t.id)
	}
	id.log.Info("joined the mesh", "center", center, "agent", id.name, "expires", c.cert.Leaf.NotAfter.UTC())
	return nil
}

// renew asks for the next certificate.
func (id *identity) renew(ctx context.Context, center string) error {
	id.changing.Lock()
	defer id.changing.Unlock()
	held := id.credential()
	if held == nil {
		return nil
	}
	return id.renewWith(ctx, center, held)
}

// renewWith is renew with changing held.
func (id *identity) renewWith(ctx context.Context, center string, held *credential) error {
	if _, err := id.ask(ctx, center, control.PathRenew, held.config(id.now), ""); err != nil {
		id.failures++
		return fmt.Errorf("renewing: %w", err)
	}
	id.failures = 0
	id.log.Debug("the certificate for the centre was renewed", "center", center, "expires", id.expires().UTC())
	return nil
}

// config is TLS towards a centre.
func (c *credential) config(now func() time.Time) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: ServerName, Time: now, NextProtos: []string{"http/1.1"},
		RootCAs: c.pool(), Certificates: []tls.Certificate{c.cert},
	}
}

// ask makes a key, asks a centre to certify it, and keeps what it gets. changing is held.
func (id *identity) ask(ctx context.Context, center, path string, cfg *tls.Config, bearer string) (*credential, error) {
	key, csr, err := newKey(id.name)
	if err != nil {
		return nil, err
	}
	at, err := address(center)
	if err != nil {
		return nil, err
	}
	asked := time.Now()
	answer, err := post(ctx, "https://"+at+path, cfg, bearer, control.JoinRequest{Name: id.name, CSR: csr})
	if err != nil {
		return nil, err
	}
	id.hear(answer.Now, asked)
	c, err := id.check(key, []byte(answer.Certificate), []byte(answer.CA))
	if err != nil {
		return nil, fmt.Errorf("the centre's answer cannot be used: %w", err)
	}
	if err := id.store.save(key, []byte(answer.Certificate), []byte(answer.CA)); err != nil {
		// It holds for this process; the next start has the one before, or has to join again.
		id.log.Error("the certificate for the centre could not be kept", "error", err)
	}
	id.hold(c)
	return c, nil
}

// newKey makes a private key and a request to certify it, both PEM.
func newKey(name string) (key []byte, csr string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, "", err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, private)
	if err != nil {
		return nil, "", err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request})), nil
}

// refusal is a centre that answered no.
type refusal struct {
	status  int
	message string
}

func (e *refusal) Error() string {
	if e.message == "" {
		return fmt.Sprintf("the centre answers %d %s", e.status, http.StatusText(e.status))
	}
	return fmt.Sprintf("the centre refuses (%d): %s", e.status, e.message)
}

// refusalOf reads the shape of errors, {"error": {"message"}}.
func refusalOf(status int, body []byte) *refusal {
	var v struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	_ = json.Unmarshal(body, &v) // a body of another shape has no message
	return &refusal{status, v.Error.Message}
}

// post sends a request over TLS of its own and returns the answer.
func post(ctx context.Context, url string, cfg *tls.Config, bearer string, ask control.JoinRequest) (control.JoinAnswer, error) {
	var answer control.JoinAnswer
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	body, err := json.Marshal(ask)
	if err != nil {
		return answer, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return answer, err
	}
	req.Header.Set("Content-Type", "application/json")
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	transport := &http.Transport{
		TLSClientConfig: cfg, DisableKeepAlives: true, TLSHandshakeTimeout: shakeTimeout, ResponseHeaderTimeout: askTimeout,
		DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return answer, explainTLS(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return answer, err
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
		return answer, refusalOf(resp.StatusCode, data)
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return answer, fmt.Errorf("the centre's answer: %w", err)
	}
	return answer, nil
}

// explainTLS says what a failed verification means here.
func explainTLS(err error) error {
	var unknown x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("a certificate of the centre holds from %s to %s, which is not now by the clock of this machine: is it right? %w",
			invalid.Cert.NotBefore.UTC().Format(time.RFC3339), invalid.Cert.NotAfter.UTC().Format(time.RFC3339), err)
	case errors.As(err, &unknown):
		return fmt.Errorf("the server is not certified by the authority that this agent joined: it is another centre, or something stands between: %w", err)
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response"):
		return fmt.Errorf("the server does not speak TLS on this port: the link needs the port of the centre itself: %w", err)
	}
	return err
}
