package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/governance/store/bolt"
	"github.com/sluice-mesh/sluice/protocols/control"
)

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// opened is an Auth on a store of its own.
func opened(t *testing.T) (*Auth, *clock, store.Store, string) {
	t.Helper()
	dir := t.TempDir()
	s := openStore(t, dir)
	c := &clock{at: time.Now()}
	a, err := Open(t.Context(), Options{Store: s, Dir: dir, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return a, c, s, dir
}

func openStore(t *testing.T, dir string) store.Store {
	t.Helper()
	s, err := bolt.Open(dir, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func mustRefuse(t *testing.T, err error, says string) {
	t.Helper()
	if !errors.Is(err, ErrUnauthorized) || !strings.Contains(err.Error(), says) {
		t.Fatalf("got %v, want a refusal that says %q", err, says)
	}
}

func TestTokens(t *testing.T) {
	a, c, s, _ := opened(t)
	ctx := t.Context()
	tok, text, err := a.AddToken(ctx, "ci", []Grant{{Role: Operator, Scope: &Scope{Name: "feed-*"}}}, time.Hour, "ann")
	if err != nil {
		t.Fatal(err)
	}
	id, err := a.Bearer(ctx, text)
	if err != nil || id.Name != "token ci" {
		t.Fatalf("got %+v, %v", id, err)
	}
	e, err := s.Get(ctx, "tokens/"+tok.ID)
	_, secret, _ := strings.Cut(strings.TrimPrefix(text, tokenPrefix), ".")
	if err != nil || strings.Contains(string(e.Value), secret) {
		t.Fatalf("the store holds the secret of a token, or not the token: %v", err)
	}
	for _, bad := range []string{"", "x", text + "x", text[:len(text)-1], "sluice-token.." + secret, "sluice-token." + tok.ID + ".", "sluice-token.../../users/x." + secret} {
		_, err := a.Bearer(ctx, bad)
		mustRefuse(t, err, "token")
	}
	c.add(time.Hour)
	_, err = a.Bearer(ctx, text)
	mustRefuse(t, err, "expired")

	_, forever, err := a.AddToken(ctx, "x", []Grant{{Role: Viewer}}, 0, "ann")
	if err != nil {
		t.Fatal(err)
	}
	list, err := a.Tokens(ctx)
	if err != nil || len(list) != 2 || list[0].Hash != nil {
		t.Fatalf("got %+v, %v", list, err)
	}
	for _, l := range list {
		if err := a.DeleteToken(ctx, l.ID); err != nil {
			t.Fatal(err)
		}
	}
	_, err = a.Bearer(ctx, forever)
	mustRefuse(t, err, "there is none")
}

func TestAdminTokenFile(t *testing.T) {
	a, _, s, dir := opened(t)
	file := filepath.Join(dir, "admin.token")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	info, _ := os.Stat(file)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	id, err := a.Bearer(t.Context(), strings.TrimSpace(string(data)))
	if err != nil || !id.Everywhere(Authorize) {
		t.Fatalf("got %+v, %v", id, err)
	}
	again, err := Open(t.Context(), Options{Store: s, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Bearer(t.Context(), strings.TrimSpace(string(data))); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	if err := os.WriteFile(file, []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Store: s, Dir: dir}); err == nil || !strings.Contains(err.Error(), "fewer than 32") {
		t.Errorf("a short token is accepted: %v", err)
	}
}

func TestSealing(t *testing.T) {
	a, _, s, dir := opened(t)
	ctx := t.Context()
	// A value does not open at another place.
	sealed := a.seal.Seal("secrets/a", []byte("x"))
	if _, err := a.seal.Open("secrets/b", sealed); err == nil {
		t.Error("a sealed value opens at another place")
	}
	// A centre with another key says so.
	if err := os.Remove(filepath.Join(dir, "seal.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ctx, Options{Store: s, Dir: dir}); err == nil || !strings.Contains(err.Error(), "seal.key") {
		t.Errorf("another sealing key is accepted: %v", err)
	}
	// A key that others can read is refused.
	loose := filepath.Join(t.TempDir(), "seal.key")
	if _, _, err := LoadSealer(loose); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(loose, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := LoadSealer(loose); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others can read is accepted: %v", err)
	}
}

func TestSessions(t *testing.T) {
	a, c, _, _ := opened(t)
	ctx := t.Context()
	code, err := a.Link(ctx, "ann", []Grant{{Role: Owner}}, "test")
	if err != nil {
		t.Fatal(err)
	}
	id, err := a.Login(ctx, code)
	if err != nil || id.Name != "ann" || !id.Can(Publish) || id.Can(Authorize) {
		t.Fatalf("got %+v, %v", id, err)
	}
	_, err = a.Login(ctx, code)
	mustRefuse(t, err, "was used")

	late, _ := a.Link(ctx, "ann", []Grant{{Role: Owner}}, "test")
	c.add(LinkLife)
	_, err = a.Login(ctx, late)
	mustRefuse(t, err, "older than")

	cookie, _ := a.Session("ann", nil)
	if id, err := a.Cookie(ctx, cookie); err != nil || id.Name != "ann" {
		t.Fatalf("got %+v, %v", id, err)
	}
	text, mac, _ := strings.Cut(cookie, ".")
	for _, bad := range []string{"", ".", text, text + ".", text + "x." + mac, text + "." + mac + "x", mac + "." + text} {
		_, err := a.Cookie(ctx, bad)
		mustRefuse(t, err, "session")
	}
	// What was signed for another use is no session.
	_, err = a.Cookie(ctx, text+"."+a.mac("login", text))
	mustRefuse(t, err, "not ours")

	// Roles are those of now; a user that is disabled or gone is out at once.
	u, _ := a.User(ctx, "ann")
	u.Grants = []Grant{{Role: Viewer}}
	if u, err = a.PutUser(ctx, u, u.Revision); err != nil {
		t.Fatal(err)
	}
	if id, _ := a.Cookie(ctx, cookie); id == nil || id.Can(Publish) {
		t.Errorf("an old cookie keeps old rights: %+v", id)
	}
	if _, err := a.PutUser(ctx, u, 1); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a lost race: %v", err)
	}
	u.Disabled = true
	if _, err := a.PutUser(ctx, u, -1); err != nil {
		t.Fatal(err)
	}
	_, err = a.Cookie(ctx, cookie)
	mustRefuse(t, err, "disabled")

	bob, _ := a.Link(ctx, "bob", []Grant{{Role: Viewer}}, "test")
	if _, err := a.Login(ctx, bob); err != nil {
		t.Fatal(err)
	}
	cookie, _ = a.Session("bob", nil)
	if err := a.Logout(ctx, cookie); err != nil {
		t.Fatal(err)
	}
	_, err = a.Cookie(ctx, cookie)
	mustRefuse(t, err, "logged out")
	cookie, _ = a.Session("bob", nil)
	c.add(SessionLife)
	_, err = a.Cookie(ctx, cookie)
	mustRefuse(t, err, "over")
	if err := a.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if left, _, _ := a.store.List(ctx, "sessions/"); len(left) != 0 {
		t.Errorf("%d logouts are kept for ever", len(left))
	}
}

// A link that one centre made lets in once at any of them, and the store has nothing by which it could be used.
func TestLinksOfOneStore(t *testing.T) {
	a, c, s, dir := opened(t)
	ctx := t.Context()
	other := t.TempDir()
	seal, err := os.ReadFile(filepath.Join(dir, "seal.key"))
	if err == nil {
		err = os.WriteFile(filepath.Join(other, "seal.key"), seal, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(ctx, Options{Store: s, Dir: other, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	code, err := a.Link(ctx, "ann", []Grant{{Role: Owner}}, "test")
	if err != nil {
		t.Fatal(err)
	}
	kept, _, err := s.List(ctx, "links/")
	if err != nil || len(kept) != 1 || strings.Contains(kept[0].Key+string(kept[0].Value), code) {
		t.Fatalf("%q %v", fmt.Sprint(kept), err)
	}
	var let, refused atomic.Int64
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			at := a
			if i%2 == 1 {
				at = b
			}
			id, err := at.Login(ctx, code)
			switch {
			case errors.Is(err, ErrUnauthorized):
				refused.Add(1)
			case err != nil || id.Name != "ann" || !id.Can(Publish):
				t.Errorf("%+v %v", id, err)
			default:
				let.Add(1)
			}
		})
	}
	all.Wait()
	if let.Load() != 1 || refused.Load() != 15 {
		t.Errorf("%d were let in, %d refused", let.Load(), refused.Load())
	}
	if u, err := b.User(ctx, "ann"); err != nil || u.Author != "login link" {
		t.Errorf("%+v %v", u, err)
	}
	again, _ := b.Link(ctx, "ann", []Grant{{Role: Admin}}, "test")
	if id, err := a.Login(ctx, again); err != nil || id.Can(Authorize) {
		t.Errorf("a link changed the roles of a user that there was: %+v %v", id, err)
	}
	if _, err := a.Link(ctx, "old", []Grant{{Role: Viewer}}, "test"); err != nil {
		t.Fatal(err)
	}
	c.add(LinkLife)
	if err := b.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if left, _, _ := s.List(ctx, "links/"); len(left) != 0 {
		t.Errorf("%d links are kept for ever", len(left))
	}
}

func TestGrants(t *testing.T) {
	feed := Target{Name: "feed-cache", Kind: "redis", Labels: map[string]string{"team": "feed"}}
	orders := Target{Name: "orders-db", Kind: "mysql", Labels: map[string]string{"team": "shop"}}
	owner := &Identity{Grants: []Grant{{Role: Viewer}, {Role: Owner, Scope: &Scope{Labels: map[string]string{"team": "feed"}}}}}
	for _, c := range []struct {
		id      *Identity
		right   Right
		targets []Target
		want    bool
	}{
		{owner, Publish, []Target{feed}, true},
		{owner, Publish, []Target{orders}, false},
		{owner, Publish, []Target{feed, orders}, false},
		{owner, View, []Target{orders}, true},
		{owner, Publish, nil, true},
		{owner, Authorize, nil, false},
		{&Identity{Grants: []Grant{{Role: Operator}}}, Edit, []Target{orders}, true},
		{&Identity{Grants: []Grant{{Role: Operator}}}, Publish, []Target{orders}, false},
		{&Identity{Grants: []Grant{{Role: Operator, Scope: &Scope{Name: "a*, feed-*", Kind: "redis"}}}}, Command, []Target{feed}, true},
		{&Identity{Grants: []Grant{{Role: Operator, Scope: &Scope{Name: "feed-*", Kind: "mysql"}}}}, Command, []Target{feed}, false},
		{nil, View, nil, false},
	} {
		if got := c.id.Can(c.right, c.targets...); got != c.want {
			t.Errorf("%+v may %s %v: %v", c.id, c.right, c.targets, got)
		}
	}
	if owner.Everywhere(Publish) || !owner.Everywhere(View) {
		t.Error("a narrowed right holds everywhere, or a whole one does not")
	}
	for _, g := range []Grant{{}, {Role: "root"}, {Role: Admin, Scope: &Scope{Name: "x"}}} {
		if g.validate() == nil {
			t.Errorf("%+v is accepted", g)
		}
	}
}

// csr makes a key and a request for a certificate.
func csr(t *testing.T, name string) (*ecdsa.PrivateKey, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

func TestJoin(t *testing.T) {
	a, c, _, _ := opened(t)
	ctx := t.Context()
	j, token, err := a.AddJoin(ctx, "feed-*", 2, 0, "ann")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(token, "."+a.CA().Hash()) {
		t.Fatalf("the token does not pin the authority: %s", token)
	}
	key, request := csr(t, "feed-1")
	answer, err := a.Join(ctx, token, control.JoinRequest{Name: "feed-1", CSR: request})
	if err != nil {
		t.Fatal(err)
	}
	if got := shake(t, a, c, key, answer); got != "feed-1" {
		t.Errorf("the certificate is of %q", got)
	}
	_, err = a.Join(ctx, token, control.JoinRequest{Name: "orders-1", CSR: request})
	mustRefuse(t, err, "feed-*")
	_, err = a.Join(ctx, strings.Replace(token, ".", ".0", 1), control.JoinRequest{Name: "feed-1", CSR: request})
	mustRefuse(t, err, "deleted, or is of another centre")
	if _, err := a.Join(ctx, token, control.JoinRequest{Name: "feed-2", CSR: request}); err != nil {
		t.Fatal(err)
	}
	_, err = a.Join(ctx, token, control.JoinRequest{Name: "feed-3", CSR: request})
	mustRefuse(t, err, "as often as it may")

	// Of many that use the last place at once, one gets it.
	_, last, _ := a.AddJoin(ctx, "", 1, 0, "ann")
	var won, lost int
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			_, err := a.Join(ctx, last, control.JoinRequest{Name: "x", CSR: request})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if errors.Is(err, ErrUnauthorized) {
				lost++
			}
		})
	}
	all.Wait()
	if won != 1 || lost != 7 {
		t.Errorf("%d joined by a token for one, %d were refused", won, lost)
	}
	_, old, _ := a.AddJoin(ctx, "", 1, time.Minute, "ann")
	c.add(time.Minute)
	_, err = a.Join(ctx, old, control.JoinRequest{Name: "x", CSR: request})
	mustRefuse(t, err, "expired")
	if err := a.DeleteJoin(ctx, j.ID); err != nil {
		t.Fatal(err)
	}
}

// shake does a handshake with a certificate and returns the agent that the centre sees.
func shake(t *testing.T, a *Auth, c *clock, key *ecdsa.PrivateKey, answer control.JoinAnswer) string {
	t.Helper()
	block, _ := pem.Decode([]byte(answer.Certificate))
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(answer.CA)) {
		t.Fatal("no authority")
	}
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	name := make(chan string, 1)
	go func() {
		s := tls.Server(server, a.CA().ServerConfig())
		if err := s.Handshake(); err != nil {
			name <- err.Error()
			return
		}
		state := s.ConnectionState()
		name <- AgentOf(&state)
	}()
	cl := tls.Client(client, &tls.Config{RootCAs: pool, ServerName: ServerName, Time: c.now,
		Certificates: []tls.Certificate{{Certificate: [][]byte{block.Bytes}, PrivateKey: key}}})
	if err := cl.Handshake(); err != nil {
		t.Fatal(err)
	}
	go cl.Read(make([]byte, 1)) // what follows the handshake needs a reader
	return <-name
}

func TestRenewAndBlock(t *testing.T) {
	a, c, _, _ := opened(t)
	ctx := t.Context()
	_, token, _ := a.AddJoin(ctx, "", 1, 0, "ann")
	key, request := csr(t, "x")
	if _, err := a.Join(ctx, token, control.JoinRequest{Name: "x", CSR: request}); err != nil {
		t.Fatal(err)
	}
	c.add(16 * time.Hour)
	answer, err := a.Renew(ctx, "x", control.JoinRequest{Name: "x", CSR: request})
	if err != nil || answer.Expires != c.now().Add(agentLife).UnixMilli() {
		t.Fatalf("got %v, %v", answer.Expires, err)
	}
	_, err = a.Renew(ctx, "x", control.JoinRequest{Name: "y", CSR: request})
	mustRefuse(t, err, `"y"`)
	if err := a.Block(ctx, "x", "ann", "stolen"); err != nil {
		t.Fatal(err)
	}
	_, err = a.Renew(ctx, "x", control.JoinRequest{Name: "x", CSR: request})
	mustRefuse(t, err, "stolen")
	if err := a.Unblock(ctx, "x"); err != nil {
		t.Fatal(err)
	}
	if err := a.Admitted(ctx, "x"); err != nil {
		t.Error(err)
	}
	// A certificate past its day is worth nothing.
	answer, _ = a.Renew(ctx, "x", control.JoinRequest{Name: "x", CSR: request})
	if got := shake(t, a, c, key, answer); got != "x" {
		t.Fatalf("got %s", got)
	}
	c.add(25 * time.Hour)
	if got := shake(t, a, c, key, answer); !strings.Contains(got, "expired") {
		t.Errorf("a certificate of yesterday is accepted: %s", got)
	}
}

func TestSignRefusals(t *testing.T) {
	a, _, _, _ := opened(t)
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, _ := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, weak)
	_, good := csr(t, "x")
	block, _ := pem.Decode([]byte(good))
	block.Bytes[len(block.Bytes)-1] ^= 1
	for name, request := range map[string]string{
		"empty":     "",
		"text":      "hello",
		"two":       good + good,
		"rsa":       string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})),
		"signature": string(pem.EncodeToMemory(block)),
	} {
		if _, _, err := a.ca.sign("x", request); err == nil || !strings.HasPrefix(err.Error(), "csr: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", ".x", "a/b", "a b", "x\n", strings.Repeat("x", maxName+1), "ä"} {
		if checkName(name) == nil {
			t.Errorf("%q is a name", name)
		}
	}
}

// Two centres that start on one empty store agree on one authority.
func TestTwoCentresOneAuthority(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	var all sync.WaitGroup
	hashes := make([]string, 4)
	if _, _, err := LoadSealer(filepath.Join(dir, "seal.key")); err != nil {
		t.Fatal(err)
	}
	seal, _, err := LoadSealer(filepath.Join(dir, "seal.key"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range hashes {
		all.Go(func() {
			ca, err := LoadCA(context.Background(), s, seal, time.Now)
			if err != nil {
				t.Error(err)
				return
			}
			hashes[i] = ca.Hash()
		})
	}
	all.Wait()
	for _, h := range hashes {
		if h != hashes[0] || h == "" {
			t.Errorf("authorities %q", hashes)
		}
	}
}

func FuzzCookie(f *testing.F) {
	f.Add("a.b")
	f.Add("..")
	a := &Auth{now: time.Now, key: make([]byte, 32)}
	good, _ := a.Session("ann", nil)
	f.Add(good)
	f.Fuzz(func(t *testing.T, text string) {
		var s session
		if a.open("session", text, &s) == nil && s.User != "ann" {
			t.Errorf("%q opens", text)
		}
	})
}
