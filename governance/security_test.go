package governance

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/governance/api"
	"github.com/sluice-mesh/sluice/governance/auth"
	"github.com/sluice-mesh/sluice/governance/peers"
	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/protocols/control"
)

// concrete fills the names into a route's path.
func concrete(pattern string) (method, path string) {
	method, path, _ = strings.Cut(pattern, " ")
	return method, strings.NewReplacer("{name}", "feed-cache", "{id}", "x", "{version}", "1", "{order}", "pause").Replace(path)
}

// Nobody gets anything without saying who he is: not from this machine either (a control plane whose loopback is its admin hands
// itself to every page that a browser there opens), and not by a header that claims something.
func TestNothingWithoutIdentity(t *testing.T) {
	z := opened(t)
	routes := api.Routes()
	if len(routes) < 40 {
		t.Fatalf("only %d routes are known", len(routes))
	}
	for pattern := range routes {
		method, path := concrete(pattern)
		for _, headers := range [][]string{
			nil,
			{"User-Agent", "sluice-center"},
			{"X-Forwarded-For", "127.0.0.1", "X-Forwarded-User", "admin", "X-Sluice", "1"},
			{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("admin:admin"))},
			{"Authorization", "Bearer "},
			{"Authorization", "Bearer sluice-token.x.y"},
			{"Cookie", "sluice_session=x.y"},
			{"Cookie", "sluice_session=", "X-Sluice", "1"},
		} {
			if w := z.ask(method, path, "{}", headers...); w.Code != http.StatusUnauthorized && w.Code != http.StatusForbidden {
				t.Errorf("%s with %q: %d %s", pattern, headers, w.Code, w.Body)
			}
		}
	}
}

// What a browser sends for a foreign page is refused, with a valid cookie too.
func TestForeignPages(t *testing.T) {
	z := opened(t)
	if _, err := z.auth.PutUser(t.Context(), auth.User{Name: "ann", Grants: []auth.Grant{{Role: auth.Admin}}}, 0); err != nil {
		t.Fatal(err)
	}
	cookie, _ := z.auth.Session("ann", nil)
	cookie = "sluice_session=" + cookie
	mustStatus(t, z.ask("GET", "/v1/me", "", "Cookie", cookie), http.StatusOK, "ann")
	for _, c := range []struct {
		headers []string
		says    string
	}{
		{[]string{"Host", "evil.example"}, "Host"}, // a name that was re-bound to our address
		{[]string{"Host", "evil.example:9980"}, "Host"},
		{[]string{"Origin", "https://evil.example"}, "Origin"},
		{[]string{"Origin", "null"}, "Origin"},
		{[]string{"Origin", "http://127.0.0.1:3000"}, "Origin"}, // another program on this machine
		{[]string{"Sec-Fetch-Site", "cross-site"}, "another site"},
		{[]string{"Sec-Fetch-Site", "same-site"}, "another site"},
	} {
		headers := append([]string{"Cookie", cookie, "X-Sluice", "1"}, c.headers...)
		mustStatus(t, z.ask("GET", "/v1/me", "", headers...), http.StatusForbidden, c.says)
		mustStatus(t, z.ask("POST", "/v1/joins", "{}", headers...), http.StatusForbidden, c.says)
	}
	// A form of another page cannot send our header.
	mustStatus(t, z.ask("POST", "/v1/joins", "{}", "Cookie", cookie), http.StatusForbidden, "X-Sluice")
	mustStatus(t, z.ask("POST", "/v1/joins", "{}", "Cookie", cookie, "X-Sluice", "1"), http.StatusCreated, "sluice-join.")
	// No page of another origin may read an answer.
	w := z.ask("GET", "/v1/me", "", "Cookie", cookie)
	for h := range w.Header() {
		if strings.HasPrefix(h, "Access-Control-") {
			t.Errorf("it answers with %s", h)
		}
	}
}

// A link to one of our pages may be followed from elsewhere, and is under a strict policy.
func TestPagesArePoliced(t *testing.T) {
	z := opened(t)
	w := z.ask("GET", "/resources/feed-cache", "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	csp := w.Header().Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(csp, want) {
			t.Errorf("the policy %q lacks %q", csp, want)
		}
	}
	if strings.Contains(csp, "unsafe") {
		t.Errorf("the policy allows something unsafe: %s", csp)
	}
}

// Plain HTTP is for this machine alone: no token or cookie travels in clear.
func TestPlainHTTPFromElsewhere(t *testing.T) {
	z := opened(t)
	for _, path := range []string{"/", "/v1/me", "/readyz"} {
		r := httptest.NewRequest("GET", "http://10.0.0.1:9980"+path, nil)
		r.RemoteAddr = "10.0.0.9:4711"
		r.Header.Set("Authorization", "Bearer "+z.adminToken(t))
		w := httptest.NewRecorder()
		z.api.ServeHTTP(w, r)
		mustStatus(t, w, http.StatusForbidden, "plain HTTP is for this machine alone")
	}
}

// A viewer changes nothing; whatever is read changes nothing.
func TestRightsOfEachPath(t *testing.T) {
	z := opened(t)
	z.put(t, "feed-cache", cacheYAML)
	viewer := z.token(t, auth.Grant{Role: auth.Viewer})
	operator := z.token(t, auth.Grant{Role: auth.Operator})
	_, before, err := z.store.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for pattern, right := range api.Routes() {
		method, path := concrete(pattern)
		if method == http.MethodGet {
			if strings.HasSuffix(path, "/events") || strings.HasSuffix(path, "/observe") {
				continue // streams: see below for their rights
			}
			z.ask(method, path, "", bearer(z.adminToken(t))...)
			continue
		}
		if pattern == "POST /v1/logout" {
			continue // everybody may
		}
		if w := z.ask(method, path, "{}", bearer(viewer)...); w.Code != http.StatusForbidden {
			t.Errorf("a viewer: %s: %d %s", pattern, w.Code, w.Body)
		}
		if right == auth.Publish || right == auth.Authorize {
			if w := z.ask(method, path, "{}", bearer(operator)...); w.Code != http.StatusForbidden {
				t.Errorf("an operator: %s: %d %s", pattern, w.Code, w.Body)
			}
		}
	}
	if _, after, err := z.store.List(t.Context(), ""); err != nil || after != before {
		t.Errorf("reading, or what was refused, changed the store: revision %d, then %d, %v", before, after, err)
	}
	mustStatus(t, z.ask("PUT", "/v1/resources/feed-cache", cacheYAML+"# more\n", bearer(operator)...), http.StatusForbidden, "publish")
	mustStatus(t, z.ask("PUT", "/v1/resources/feed-cache/draft", cacheYAML+"# more\n", bearer(operator)...), http.StatusOK, "yaml")
	mustStatus(t, z.ask("POST", "/v1/resources/feed-cache/publish", `{"why": "x"}`, bearer(operator)...), http.StatusForbidden, "publish")
	mustStatus(t, z.ask("GET", "/v1/observe?resource=feed-cache", "", bearer(viewer)...), http.StatusForbidden, "command")
}

// Who may change some resources cannot widen what that is.
func TestScopeCannotBeWidened(t *testing.T) {
	z := opened(t)
	z.put(t, "feed-cache", cacheYAML)
	z.put(t, "orders", strings.Replace(cacheYAML, "feed", "shop", 1))
	owner := z.token(t, auth.Grant{Role: auth.Viewer}, auth.Grant{Role: auth.Owner, Scope: &auth.Scope{Labels: map[string]string{"team": "feed"}}})
	mine := bearer(owner)
	mustStatus(t, z.ask("PUT", "/v1/resources/feed-cache", cacheYAML+"# mine\n", mine...), http.StatusOK, "etag")
	for name, c := range map[string]struct{ method, path, body string }{
		"another's":              {"PUT", "/v1/resources/orders", cacheYAML},
		"another's, as mine":     {"PUT", "/v1/resources/orders", strings.Replace(cacheYAML, "shop", "feed", 1)},
		"mine, given away":       {"PUT", "/v1/resources/feed-cache", strings.Replace(cacheYAML, "feed", "shop", 1)},
		"mine, by a patch":       {"PATCH", "/v1/resources/feed-cache", `{"labels": {"team": "shop"}}`},
		"delete another's":       {"DELETE", "/v1/resources/orders", ""},
		"endpoint of another's":  {"POST", "/v1/resources/orders/endpoints", `{"group": "yf", "address": "127.0.0.1:3"}`},
		"revert another's":       {"POST", "/v1/resources/orders/revert", `{"version": 1}`},
		"command on all":         {"POST", "/v1/commands", `{"type": "switch", "select": {"name": "*"}, "weights": {"tc": 1}}`},
		"command on another's":   {"POST", "/v1/commands", `{"type": "switch", "resource": "orders", "weights": {"tc": 1}}`},
		"dry run on another's":   {"POST", "/v1/commands?dry-run", `{"type": "switch", "resource": "orders", "weights": {"tc": 1}}`},
		"command on what may be": {"POST", "/v1/commands", `{"type": "mock", "select": {"name": "x*"}, "reply": "x", "later": true}`},
		"users":                  {"PUT", "/v1/users/me", `{"roles": [{"role": "admin"}]}`},
		"tokens":                 {"POST", "/v1/tokens", `{"name": "x", "roles": [{"role": "admin"}]}`},
	} {
		if w := z.ask(c.method, c.path, c.body, mine...); w.Code != http.StatusForbidden {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	w := z.ask("POST", "/v1/commands", `{"type": "switch", "resource": "orders", "weights": {"tc": 1}}`, bearer(z.adminToken(t))...)
	var theirs struct{ ID string }
	if err := json.Unmarshal(w.Body.Bytes(), &theirs); err != nil || theirs.ID == "" {
		t.Fatalf("%v %s", err, w.Body)
	}
	mustStatus(t, z.ask("DELETE", "/v1/commands/"+theirs.ID, "", mine...), http.StatusForbidden, "orders")
	mustStatus(t, z.ask("POST", "/v1/commands", `{"type": "switch", "resource": "feed-cache", "weights": {"tc": 1}}`, mine...), http.StatusCreated, "g-")
}

// Who may publish one team's resources only must not send another's credential to a server of theirs.
func TestSecretsOfOthers(t *testing.T) {
	z := opened(t)
	admin := bearer(z.adminToken(t))
	z.put(t, "feed-cache", cacheYAML)
	mustStatus(t, z.ask("PUT", "/v1/secrets/orders", `{"value": "correct-horse-battery"}`, admin...), http.StatusOK, "orders")
	mine := bearer(z.token(t, auth.Grant{Role: auth.Owner, Scope: &auth.Scope{Labels: map[string]string{"team": "feed"}}}))
	const login = "settings: { login: { password: \"${secret:orders}\" } }\n"
	escaped := strings.Replace(login, "${", `\u0024\u007b`, 1)
	for name, c := range map[string]struct{ method, path, body string }{
		"published": {"PUT", "/v1/resources/feed-cache", cacheYAML + login},
		"escaped":   {"PUT", "/v1/resources/feed-cache", cacheYAML + escaped},
		"patched":   {"PATCH", "/v1/resources/feed-cache", `{"settings": {"login": {"password": "\u0024{secret:orders}"}}}`},
		"a new one": {"PUT", "/v1/resources/feed-more", cacheYAML + login},
	} {
		w := z.ask(c.method, c.path, c.body, mine...)
		if w.Code != http.StatusForbidden { // of a name that has no label yet
			mustStatus(t, w, http.StatusBadRequest, "names no resources")
		}
		if spec, _, _, _ := z.source.Resource("feed-cache", nil); strings.Contains(string(spec), "secret:") || len(z.source.Secrets("feed-cache", spec)) > 0 {
			t.Errorf("%s: the secret goes out with %s", name, spec)
		}
	}
	mustStatus(t, z.ask("PUT", "/v1/resources/feed-cache/draft", cacheYAML+login, mine...), http.StatusOK, "yaml")
	mustStatus(t, z.ask("POST", "/v1/resources/feed-cache/publish", "{}", mine...), http.StatusBadRequest, "names no resources")

	mustStatus(t, z.ask("PUT", "/v1/secrets/orders", `{"value": "correct-horse-battery", "resources": ["feed-*"]}`, admin...), http.StatusOK, "feed-*")
	mustStatus(t, z.ask("PUT", "/v1/resources/feed-cache", cacheYAML+login, mine...), http.StatusOK, "etag")
	spec, hash, _, _ := z.source.Resource("feed-cache", nil)
	sent := z.source.Secrets("feed-cache", spec)
	if len(sent) != 1 || sent[0].Value != "correct-horse-battery" || hash != control.HashOf(spec, sent) {
		t.Errorf("agents get %+v with hash %s", sent, hash)
	}
}

// No answer holds a secret: not to an admin, not in the audit log, not in errors.
func TestSecretsStayInside(t *testing.T) {
	z := opened(t)
	admin := bearer(z.adminToken(t))
	const secret = "correct-horse-battery"
	mustStatus(t, z.ask("PUT", "/v1/secrets/orders", `{"value": "`+secret+`"}`, admin...), http.StatusOK, "orders")
	withPassword := "kind: redis\ngroups: { yf: { endpoints: [\"127.0.0.1:1\"] } }\nsettings: { users: [{ name: app, password: " + secret + " }] }\n"
	w := z.ask("PUT", "/v1/resources/x", withPassword, admin...)
	mustStatus(t, w, http.StatusBadRequest, "reference")
	if strings.Contains(w.Body.String(), secret) {
		t.Errorf("an error shows a secret: %s", w.Body)
	}
	z.put(t, "feed-cache", cacheYAML)
	token := z.token(t, auth.Grant{Role: auth.Viewer})
	hidden := []string{secret, strings.TrimPrefix(token, "sluice-token.")[13:]}
	for _, file := range []string{"seal.key", "admin.token"} {
		b, err := os.ReadFile(filepath.Join(z.config.Data, file))
		if err != nil {
			t.Fatal(err)
		}
		if info, _ := os.Stat(filepath.Join(z.config.Data, file)); info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", file, info.Mode())
		}
		hidden = append(hidden, strings.TrimSpace(string(b)))
	}
	for pattern := range api.Routes() {
		method, path := concrete(pattern)
		if method != http.MethodGet || strings.HasSuffix(path, "/events") || strings.HasSuffix(path, "/observe") {
			continue
		}
		body := z.ask(method, path, "", admin...).Body.String()
		for _, h := range hidden {
			if strings.Contains(body, h) {
				t.Errorf("%s shows a secret", pattern)
			}
		}
		if strings.Contains(body, `"hash":"`) && strings.Contains(path, "tokens") {
			t.Errorf("%s shows hashes of tokens", pattern)
		}
	}
}

// Guessing is slow.
func TestGuessesAreLimited(t *testing.T) {
	z := opened(t)
	for range 10 {
		mustStatus(t, z.ask("POST", "/v1/login", `{"code": "guess"}`), http.StatusUnauthorized, "not accepted")
	}
	code, err := z.auth.Link(t.Context(), "ann", []auth.Grant{{Role: auth.Viewer}}, "test")
	if err != nil {
		t.Fatal(err)
	}
	mustStatus(t, z.ask("POST", "/v1/login", `{"code": "`+code+`"}`), http.StatusTooManyRequests, "wait")
}

// The link of the first start logs in once; fetching it, as previews do, does not use it up.
func TestFirstLogin(t *testing.T) {
	z := opened(t)
	link, first := z.FirstLogin()
	u, err := url.Parse(link)
	if err != nil || !first {
		t.Fatalf("%q, %v", link, err)
	}
	z.ask("GET", u.RequestURI(), "")
	body := `{"code": "` + u.Query().Get("code") + `"}`
	w := z.ask("POST", "/v1/login", body)
	mustStatus(t, w, http.StatusOK, "admin")
	cookies := w.Result().Cookies()
	if len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode {
		t.Fatalf("cookies %v", cookies)
	}
	mustStatus(t, z.ask("POST", "/v1/login", body), http.StatusUnauthorized, "was used")
	cookie := "sluice_session=" + cookies[0].Value
	mustStatus(t, z.ask("GET", "/v1/me", "", "Cookie", cookie), http.StatusOK, `"admin":true`)
	mustStatus(t, z.ask("POST", "/v1/logout", "", "Cookie", cookie, "X-Sluice", "1"), http.StatusNoContent, "")
	mustStatus(t, z.ask("GET", "/v1/me", "", "Cookie", cookie), http.StatusUnauthorized, "logged out")
}

// Agents join and link by TLS alone, with certificates of our authority alone.
func TestAgentsDoor(t *testing.T) {
	z := opened(t)
	for _, path := range []string{control.PathJoin, control.PathRenew, control.PathLink, peers.Path} {
		mustStatus(t, z.ask("POST", path, "{}", bearer(z.adminToken(t))...), http.StatusForbidden, "TLS")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- z.Run(ctx) }()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(z.auth.CA().PEM()))
	for name, c := range map[string]struct {
		path   string
		certs  []tls.Certificate
		status int
	}{
		"a link without a certificate":    {control.PathLink, nil, http.StatusUnauthorized},
		"a renewal without a certificate": {control.PathRenew, nil, http.StatusUnauthorized},
		"a join without a token":          {control.PathJoin, nil, http.StatusUnauthorized},
		"a centre without a certificate":  {peers.Path, nil, http.StatusForbidden},
		"an agent that would be a centre": {peers.Path, []tls.Certificate{z.certOf(t, "web-1")}, http.StatusForbidden},
		"a centre by another authority":   {peers.Path, []tls.Certificate{selfSigned(t)}, 0},
		"a link by another authority":     {control.PathLink, []tls.Certificate{selfSigned(t)}, 0},
	} {
		config := &tls.Config{RootCAs: pool, ServerName: auth.ServerName}
		if len(c.certs) > 0 { // whatever authorities the server asks for
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c.certs[0], nil }
		}
		client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: config}}
		r, err := client.Post("https://"+z.port.Addr().String()+c.path, "application/json", strings.NewReader(`{"name":"x","csr":"x"}`))
		switch {
		case c.status == 0 && err == nil:
			t.Errorf("%s: it is accepted: %s", name, r.Status)
		case c.status != 0 && (err != nil || r.StatusCode != c.status):
			t.Errorf("%s: %v, %v", name, r, err)
		}
		if err == nil {
			r.Body.Close()
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// certOf joins an agent and returns its certificate.
func (z *Center) certOf(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	_, token, err := z.auth.AddJoin(t.Context(), name, 1, 0, "test")
	if err != nil {
		t.Fatal(err)
	}
	csr := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}))
	answer, err := z.auth.Join(t.Context(), token, control.JoinRequest{Name: name, CSR: csr})
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(answer.Certificate))
	return tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: key}
}

// selfSigned is a certificate that names an agent and that nobody of ours signed.
func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, URIs: []*url.URL{{Scheme: "spiffe", Host: "sluice", Path: "/agent/web-1"}}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// The audit log is read as a whole for each answer: an edit behind its back is found, whatever part of it is asked for.
func TestAuditFindsEdits(t *testing.T) {
	z := opened(t)
	z.put(t, "feed", cacheYAML)
	z.put(t, "feed2", cacheYAML)
	read := func(query string) (chain struct {
		Chain struct {
			OK             bool
			UpTo, BrokenAt uint64
			Why            string
		}
	}) {
		t.Helper()
		w := z.ask(http.MethodGet, "/v1/audit"+query, "", bearer(z.adminToken(t))...)
		mustStatus(t, w, http.StatusOK, `"chain"`)
		if err := json.Unmarshal(w.Body.Bytes(), &chain); err != nil {
			t.Fatal(err)
		}
		return chain
	}
	whole := read("").Chain
	if !whole.OK || whole.UpTo < 2 {
		t.Fatalf("%+v", whole)
	}
	const key = "audit/0000000000000002"
	e, err := z.audit.Store.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	forged := bytes.Replace(e.Value, []byte(`"who":"`), []byte(`"who":"not `), 1)
	if _, err := z.audit.Store.Commit(t.Context(), store.Txn{Then: []store.Op{{Key: key, Value: forged}}}); err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{"", "?limit=1"} {
		if c := read(query).Chain; c.OK || c.BrokenAt != 2 || c.UpTo != 1 || c.Why == "" {
			t.Errorf("%q: %+v", query, c)
		}
	}
	mustStatus(t, z.ask(http.MethodGet, "/v1/audit?verify", "", bearer(z.adminToken(t))...), http.StatusBadRequest, "verify")
}
