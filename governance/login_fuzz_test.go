package governance

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/governance/auth"
	"github.com/sluice-mesh/sluice/protocols/control"
)

// What these targets send holds names in braces, such as {code}, for what each run of a centre makes anew.

// refusedCleanly judges a refusal: a reason in JSON, no session, no secret, and a store that holds what it held.
func (z *fuzzed) refusedCleanly(t *testing.T, w *httptest.ResponseRecorder, before map[string]string) {
	t.Helper()
	var refused struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &refused); err != nil || refused.Error.Code == "" || refused.Error.Message == "" || w.Code >= 500 {
		t.Errorf("%d without a reason: %q", w.Code, w.Body)
	}
	if strings.Contains(strings.Join(w.Header().Values("Set-Cookie"), " "), "sluice_session=") {
		t.Errorf("%d with a session: %q", w.Code, w.Header())
	}
	for text, what := range z.hidden {
		if strings.Contains(w.Body.String(), text) {
			t.Errorf("the answer holds %s: %s", what, w.Body)
		}
	}
	after, err := z.snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(after, before) {
		t.Errorf("it was refused (%d %s) and changed %v", w.Code, w.Body, differing(before, after))
	}
}

// FuzzLogin: only a body with the code of a link, and nothing else, logs in, once, as the link's user.
func FuzzLogin(f *testing.F) {
	for _, seed := range []string{`{"code": "{code}"}`, `{"code": "{code}x"}`, `{"code": ""}`, `{"code": null}`, `{"code": 7}`, `{"code": ["{code}"]}`, `{}`, ``, `null`, `[]`,
		`{"code": "{code}"} {"code": "{code}"}`, `{"CODE": "{code}"}`, `{"code": "{code}", "user": "admin"}`, `{"code": "x", "code": "{code}"}`, `{"code": "../users/ann"}`} {
		f.Add(seed)
	}
	z := newFuzzed(f)
	const clients = 9000 // each may be wrong ten times a minute
	n := 0
	f.Fuzz(func(t *testing.T, body string) {
		defer z.restore(t)
		code, err := z.auth.Link(t.Context(), "ann", []auth.Grant{{Role: auth.Viewer}}, "test")
		if err != nil {
			t.Fatal(err)
		}
		before, err := z.snapshot()
		if err != nil {
			t.Fatal(err)
		}
		body = strings.ReplaceAll(body, "{code}", code)
		login := func() *httptest.ResponseRecorder {
			n++
			r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:9980/v1/login", strings.NewReader(body))
			r.RemoteAddr = fmt.Sprintf("127.1.%d.%d:4711", n%clients/100, n%100)
			w := httptest.NewRecorder()
			z.api.ServeHTTP(w, r)
			return w
		}
		w := login()
		if w.Code != http.StatusOK {
			z.refusedCleanly(t, w, before)
			return
		}
		var sent struct{ Code string }
		if err := json.Unmarshal([]byte(body), &sent); err != nil || sent.Code != code {
			t.Fatalf("%q logs in, %v", body, err)
		}
		cookies := w.Result().Cookies()
		if len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode {
			t.Fatalf("the cookies are %v", cookies)
		}
		if id, err := z.auth.Cookie(t.Context(), cookies[0].Value); err != nil || id.Name != "ann" || id.Can(auth.Authorize) {
			t.Fatalf("the session is of %+v, %v", id, err)
		}
		if again := login(); again.Code != http.StatusUnauthorized && again.Code != http.StatusTooManyRequests {
			t.Errorf("the link works again: %d %s", again.Code, again.Body)
		}
	})
}

// FuzzCallback: whatever a browser brings back from an identity provider that vouches for nobody, it gets no session; and the provider is
// asked only for a login that was begun here.
func FuzzCallback(f *testing.F) {
	asked := 0
	mux := http.NewServeMux()
	provider := httptest.NewServer(mux)
	f.Cleanup(provider.Close)
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(map[string]any{"issuer": provider.URL, "authorization_endpoint": provider.URL + "/authorize",
			"token_endpoint": provider.URL + "/token", "jwks_uri": provider.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"}})
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) { // says what it was sent, as a token that nobody signed
		asked++
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": r.FormValue("code")})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{"keys": []}`) })

	for _, seed := range [][2]string{
		{"sluice_login={keep}", "state={state}&code=x"}, {"sluice_login={keep}", "state={state}&code=eyJhbGciOiJub25lIn0.e30."},
		{"sluice_login={keep}", "state={state}&code=eyJhbGciOiJSUzI1NiJ9.e30.eA"}, {"sluice_login={keep}", "state={state}"}, {"sluice_login={keep}", "state=other&code=x"},
		{"sluice_login={keep}", "code=x"}, {"sluice_login={keep}x", "state={state}&code=x"}, {"sluice_login=", "state={state}&code=x"}, {"", "state={state}&code=x"},
		{"sluice_login={session}", "state={state}&code=x"}, {"sluice_session={keep}; sluice_login={keep}", "state={state}&state=y&code=x"},
		{"sluice_login={keep}", "error=access_denied&error_description=%3Cscript%3E%00%ff"}, {"sluice_login={keep}", "%zz"}, {"sluice_login=a.b.c; sluice_login={keep}", "state={state};code=x"},
	} {
		f.Add(seed[0], seed[1])
	}
	z := newFuzzed(f)
	var err error
	z.api.OIDC, err = z.auth.NewOIDC(auth.OIDCConfig{Issuer: provider.URL, ClientID: "sluice", Secret: "only-for-the-provider", Redirect: "http://127.0.0.1:9980/v1/oidc/callback",
		Roles: map[string]string{"*": "viewer"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	z.hidden["only-for-the-provider"] = "the client's secret"
	session, _ := z.auth.Session("ann", nil)
	f.Fuzz(func(t *testing.T, cookie, query string) {
		to, keep, err := z.api.OIDC.Start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		page, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		state := page.Query().Get("state")
		fill := strings.NewReplacer("{keep}", keep, "{state}", state, "{session}", session)
		r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:9980/v1/oidc/callback", nil).WithContext(context.WithoutCancel(t.Context()))
		r.RemoteAddr, r.URL.RawQuery = "127.0.0.1:4711", fill.Replace(query)
		r.Header.Set("Cookie", fill.Replace(cookie))
		begun, before := false, asked
		if c, err := r.Cookie("sluice_login"); err == nil {
			begun = c.Value == keep && r.URL.Query().Get("state") == state
		}
		w := httptest.NewRecorder()
		z.api.ServeHTTP(w, r)
		if w.Code != http.StatusUnauthorized {
			t.Errorf("%q %q: %d %s", cookie, query, w.Code, w.Body)
		}
		z.refusedCleanly(t, w, z.baseline)
		if asked != before && !begun {
			t.Errorf("%q %q: the provider was asked for a login that was not begun here", cookie, query)
		}
	})
}

// FuzzRenewal: an agent's next certificate is for the name in its certificate and the key in its request, whatever else it sends, or it is
// refused with a reason.
func FuzzRenewal(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{auth.ServerName}}, key)
	if err != nil {
		f.Fatal(err)
	}
	text, _ := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})))
	csr := string(text)
	for _, seed := range []string{`{"name": "feed-1", "csr": {csr}}`, `{"name": "feed-2", "csr": {csr}}`, `{"name": "FEED-1", "csr": {csr}}`, `{"name": "", "csr": {csr}}`, `{"csr": {csr}}`,
		`{"name": "feed-1"}`, `{"name": "feed-1", "csr": "x"}`, `{"name": "feed-1", "csr": [{csr}]}`, `{"name": "feed-2", "name": "feed-1", "csr": {csr}}`, `{"name": "feed-1", "csr": {csr}} {}`,
		`{"name": "feed-1", "csr": {csr}, "ca": true}`, ``, `null`, `[]`} {
		f.Add("feed-1", seed)
	}
	f.Add("web-9", `{"name": "web-9", "csr": {csr}}`) // is shut out
	f.Add("", `{"name": "", "csr": {csr}}`)
	f.Add("a/b", `{"name": "a/b", "csr": {csr}}`)
	z := newFuzzed(f)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(z.auth.CA().PEM()))
	f.Fuzz(func(t *testing.T, name, body string) {
		body = strings.ReplaceAll(body, "{csr}", csr)
		have := &x509.Certificate{URIs: []*url.URL{{Scheme: "spiffe", Host: "sluice", Path: "/agent/" + name}}}
		state := &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{have}}}
		r := httptest.NewRequest(http.MethodPost, "https://"+auth.ServerName+control.PathRenew, strings.NewReader(body))
		r.TLS, r.RemoteAddr = state, "10.0.0.1:4711"
		w := httptest.NewRecorder()
		z.api.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			z.refusedCleanly(t, w, z.baseline)
			return
		}
		var answer control.JoinAnswer
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode([]byte(answer.Certificate))
		if block == nil {
			t.Fatalf("the answer is %q", w.Body)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		chains, err := cert.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		if err != nil {
			t.Fatal(err)
		}
		got := &tls.ConnectionState{VerifiedChains: chains}
		if auth.AgentOf(got) != name || auth.AgentOf(state) != name || name == "web-9" || auth.CenterOf(got) != "" || cert.IsCA || len(cert.DNSNames) > 0 {
			t.Errorf("%q with %q gets a certificate for %q: %v %v", name, body, auth.AgentOf(got), cert.URIs, cert.DNSNames)
		}
		var sent control.JoinRequest
		if err := json.Unmarshal([]byte(body), &sent); err != nil {
			t.Fatalf("%q was taken: %v", body, err)
		}
		asked, _ := pem.Decode([]byte(sent.CSR))
		if request, err := x509.ParseCertificateRequest(asked.Bytes); err != nil || string(request.RawSubjectPublicKeyInfo) != string(cert.RawSubjectPublicKeyInfo) {
			t.Errorf("%q: the certificate is for another key, %v", body, err)
		}
	})
}
