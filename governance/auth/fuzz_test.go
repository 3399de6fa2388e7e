package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/governance/store/bolt"
	"github.com/sluice-mesh/sluice/protocols/control"
)

// fuzzed is an Auth on a store of its own, for one process of a fuzzer.
func fuzzed(f *testing.F) *Auth {
	f.Helper()
	dir := f.TempDir()
	s, err := bolt.Open(dir, bolt.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	a, err := Open(f.Context(), Options{Store: s, Dir: dir})
	if err != nil {
		f.Fatal(err)
	}
	return a
}

// Claims of an identity provider become exactly the name that they say and the roles of the groups that they list, or nobody.
func FuzzClaims(f *testing.F) {
	for _, seed := range []string{
		`{"email": "ann@example.com", "email_verified": true, "groups": ["sre"]}`, `{"email": "ann@example.com", "email_verified": "true", "groups": "dba"}`,
		`{"email": "ann@example.com", "groups": ["guests", "sre", "dba", 7, null]}`, `{"email": "ann@example.com", "email_verified": false, "groups": ["sre"]}`,
		`{"email": "ann@example.com", "email_verified": "yes", "groups": ["sre"]}`, `{"email": "ann@example.com", "email_verified": null, "groups": ["sre"]}`,
		`{"email": "ann@example.com", "groups": ["guests"]}`, `{"email": "ann@example.com", "groups": {"sre": true}}`, `{"email": "ann@example.com"}`,
		`{"email": ["ann@example.com"], "groups": ["sre"]}`, `{"email": "a/../b", "groups": ["sre"]}`, `{"email": "", "groups": "sre"}`, `{"groups": ["*"]}`,
		`{"email": "ann@example.com", "groups": ["*"]}`, `{"email": "admin.token", "groups": ["sre"]}`, `null`,
	} {
		f.Add([]byte(seed), "")
		f.Add([]byte(seed), "viewer")
	}
	f.Add([]byte(`{"preferred_username": "ann", "email": "x", "groups": ["sre"]}`), "")
	a := fuzzed(f)
	f.Fuzz(func(t *testing.T, data []byte, everybody string) {
		var claims map[string]any
		if json.Unmarshal(data, &claims) != nil {
			return
		}
		config := OIDCConfig{Issuer: "https://login.example.com", ClientID: "sluice", Redirect: "https://sluice.example.com", Roles: map[string]string{"sre": "operator", "dba": "owner"}}
		if everybody != "" {
			config.Roles["*"] = everybody
		}
		o, err := a.NewOIDC(config)
		if known := everybody == "" || slices.Contains(roles, Role(everybody)); known != (err == nil) {
			t.Fatalf("the role %q: %v", everybody, err)
		}
		if err != nil {
			return
		}
		var want []Grant
		listed := groupsOf(claims["groups"])
		for _, role := range roles {
			if role == Role(everybody) || role == Operator && slices.Contains(listed, "sre") || role == Owner && slices.Contains(listed, "dba") {
				want = append(want, Grant{Role: role})
			}
		}
		name, _ := claims["email"].(string)
		verified, said := claims["email_verified"]
		id, err := o.identity(claims)
		switch {
		case err != nil && (id != nil || !errors.Is(err, ErrUnauthorized)):
			t.Fatalf("%s: %+v and %v", data, id, err)
		case checkNew(name) != nil:
			if err == nil || !strings.Contains(err.Error(), "claim email") {
				t.Fatalf("%s: the name %q: %v", data, name, err)
			}
		case said && verified != true && verified != "true":
			if err == nil || !strings.Contains(err.Error(), "verified") {
				t.Fatalf("%s: the address was not verified: %v", data, err)
			}
		case want == nil:
			if err == nil || !strings.Contains(err.Error(), "groups") {
				t.Fatalf("%s: no group has a role: %+v, %v", data, id, err)
			}
		case err != nil:
			t.Fatalf("%s: %v", data, err)
		default:
			var got []Role
			for _, g := range id.Grants {
				if g.Scope != nil {
					t.Fatalf("%s: %+v", data, id)
				}
				got = append(got, g.Role)
			}
			for _, g := range want {
				if !slices.Contains(got, g.Role) {
					t.Fatalf("%s: %v lacks %s", data, got, g.Role)
				}
			}
			slices.Sort(got)
			if id.Name != name || len(slices.Compact(got)) != len(want) {
				t.Fatalf("%s: %+v, want %v", data, id, want)
			}
			cookie, _ := a.Session(id.Name, id.Grants)
			again, err := a.Cookie(t.Context(), cookie)
			if err != nil || !reflect.DeepEqual(again, id) {
				t.Fatalf("%+v is %+v in the next request, %v", id, again, err)
			}
		}
	})
}

// requests are certificate requests of all sorts: what keys, names and extensions there are.
func requests(f *testing.F) []string {
	f.Helper()
	p256, err256 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, err384 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p521, err521 := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	weak, errWeak := rsa.GenerateKey(rand.Reader, 2048)
	_, ed, errEd := ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(err256, err384, err521, errWeak, errEd); err != nil {
		f.Fatal(err)
	}
	center := &url.URL{Scheme: "spiffe", Host: "sluice", Path: "/center/c1"}
	greedy := &x509.CertificateRequest{Subject: pkix.Name{CommonName: ServerName}, DNSNames: []string{ServerName, "localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, URIs: []*url.URL{center}, EmailAddresses: []string{"ann@example.com"}}
	var out []string
	for _, r := range []struct {
		key  any
		what *x509.CertificateRequest
	}{{p256, &x509.CertificateRequest{}}, {p256, greedy}, {p384, greedy}, {p521, greedy}, {weak, greedy}, {ed, greedy}} {
		der, err := x509.CreateCertificateRequest(rand.Reader, r.what, r.key)
		if err != nil {
			f.Fatal(err)
		}
		block := &pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}
		out = append(out, string(pem.EncodeToMemory(block)))
		block.Type = "CERTIFICATE"
		out = append(out, string(pem.EncodeToMemory(block)))
		block.Type, block.Bytes = "CERTIFICATE REQUEST", slices.Clone(der)
		block.Bytes[len(der)-1] ^= 1
		out = append(out, string(pem.EncodeToMemory(block)))
	}
	return append(out, out[0]+out[1], out[0]+"\n \n", out[0][:len(out[0])/2], "", "hello")
}

// What an agent sends to join becomes a certificate for the agent's own name and key and nothing else, whatever the request asks for; or
// it is refused with the field, and the token is not used up.
func FuzzJoinRequest(f *testing.F) {
	a := fuzzed(f)
	token, text, err := a.AddJoin(f.Context(), "feed-*", MaxJoinUses, MaxJoinLife, "ann")
	if err != nil {
		f.Fatal(err)
	}
	for _, csr := range requests(f) {
		f.Add("feed-1", csr)
	}
	good := requests(f)[0]
	for _, name := range []string{"", ".", "web-1", "feed-/../center/c1", "feed-1\n", "feed-%2F", "feed-" + strings.Repeat("x", maxName), "feed-@:+._Z9"} {
		f.Add(name, good)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(a.ca.PEM()))
	f.Fuzz(func(t *testing.T, name, csr string) {
		left := func() int {
			j, err := get[Join](t.Context(), a.store, "joins/"+token.ID, func(*Join, int64) {})
			if err != nil {
				t.Fatal(err)
			}
			return j.Left
		}
		before := left()
		if before == 0 { // by a long run
			if token, text, err = a.AddJoin(t.Context(), "feed-*", MaxJoinUses, MaxJoinLife, "ann"); err != nil {
				t.Fatal(err)
			}
			before = left()
		}
		answer, err := a.Join(t.Context(), text, control.JoinRequest{Name: name, CSR: csr})
		if err != nil {
			named := strings.HasPrefix(err.Error(), "csr: ") || strings.HasPrefix(err.Error(), "join: ") && (strings.Contains(err.Error(), "name"))
			if !named || answer != (control.JoinAnswer{}) || left() != before {
				t.Fatalf("%q %q: %v, %+v, and the token has %d uses of %d", name, csr, err, answer, left(), before)
			}
			return
		}
		if checkName(name) != nil || !strings.HasPrefix(name, "feed-") {
			t.Fatalf("%q joined", name)
		}
		block, rest := pem.Decode([]byte(answer.Certificate))
		if block == nil || len(rest) > 0 {
			t.Fatalf("the answer is %q", answer.Certificate)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		asked, _ := pem.Decode([]byte(csr))
		request, err := x509.ParseCertificateRequest(asked.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(cert.RawSubjectPublicKeyInfo, request.RawSubjectPublicKeyInfo) {
			t.Errorf("the certificate is for another key than the request's")
		}
		chains, err := cert.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		if err != nil {
			t.Fatal(err)
		}
		state := &tls.ConnectionState{VerifiedChains: chains}
		if AgentOf(state) != name || CenterOf(state) != "" || len(cert.URIs) != 1 || cert.Subject.CommonName != name {
			t.Errorf("the certificate is for %q, centre %q: %v %v", AgentOf(state), CenterOf(state), cert.URIs, cert.Subject)
		}
		if cert.IsCA || len(cert.DNSNames)+len(cert.IPAddresses)+len(cert.EmailAddresses) > 0 || !slices.Equal(cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}) {
			t.Errorf("the certificate is good for more than an agent: %+v", cert)
		}
		if life := time.Until(cert.NotAfter); life > agentLife || life < agentLife-time.Minute || cert.NotAfter.UnixMilli()/1000 != answer.Expires/1000 {
			t.Errorf("it ends %v, and the answer says %d", cert.NotAfter, answer.Expires)
		}
		if left() != before-1 {
			t.Errorf("the token has %d uses, and had %d", left(), before)
		}
	})
}
