package server

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Identity describes an identity provider of one client and one person, ann@example.com of the group sre: OpenID Connect Core 1.0,
// the authorization code flow with PKCE (RFC 7636), RS256.
type Identity struct {
	ClientID, Secret string
	Redirect         string // the one that is registered
}

// IdentityProvider is a running identity provider. It is reached as localhost: another site than 127.0.0.1.
type IdentityProvider struct {
	URL string // the issuer

	client Identity
	key    *rsa.PrivateKey
	mu     sync.Mutex
	claims map[string]any        // guarded by mu
	codes  map[string]url.Values // guarded by mu; a code that was not used yet, and what it was asked with
}

func (spec Identity) start(t TB) *IdentityProvider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatalf("%v", err)
	}
	p := &IdentityProvider{client: spec, key: key, codes: make(map[string]url.Values)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /keys", p.keys)
	mux.HandleFunc("GET /authorize", p.ask)
	mux.HandleFunc("POST /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	p.URL = strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	return p
}

// Say sets what tokens say from now on, above what they say by themselves; nil: nothing else. A claim that is nil is left out.
func (p *IdentityProvider) Say(claims map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claims = claims
}

func (p *IdentityProvider) discovery(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token",
		"jwks_uri": p.URL + "/keys", "response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256"}, "code_challenge_methods_supported": []string{"S256"}})
}

func (p *IdentityProvider) keys(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: "k", Algorithm: "RS256", Use: "sig"}}})
}

// check says what is wrong with a request to log in; empty: nothing is.
func (p *IdentityProvider) check(q url.Values) string {
	switch {
	case q.Get("client_id") != p.client.ClientID:
		return "client_id"
	case q.Get("redirect_uri") != p.client.Redirect:
		return "redirect_uri"
	case q.Get("response_type") != "code":
		return "response_type"
	case !slices.Contains(strings.Fields(q.Get("scope")), "openid"):
		return "scope"
	case q.Get("state") == "" || q.Get("nonce") == "":
		return "state and nonce"
	case q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "":
		return "code_challenge"
	}
	return ""
}

// ask is the page on which the person says who they are.
func (p *IdentityProvider) ask(w http.ResponseWriter, r *http.Request) {
	if wrong := p.check(r.URL.Query()); wrong != "" {
		http.Error(w, "invalid_request: "+wrong, http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, `<!doctype html><html lang="en"><title>Provider</title><link rel="icon" href="data:,"><form method="post" action="%s">`+
		`<button>Sign in as ann</button><button name="deny" value="1">Deny</button></form></html>`, html.EscapeString(r.URL.String()))
}

func (p *IdentityProvider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if wrong := p.check(q); wrong != "" {
		http.Error(w, "invalid_request: "+wrong, http.StatusBadRequest)
		return
	}
	back := url.Values{"state": {q.Get("state")}}
	if r.FormValue("deny") != "" {
		back.Set("error", "access_denied")
	} else {
		code := rand.Text()
		p.mu.Lock()
		p.codes[code] = q
		p.mu.Unlock()
		back.Set("code", code)
	}
	http.Redirect(w, r, p.client.Redirect+"?"+back.Encode(), http.StatusSeeOther)
}

// token gives the ID token for a code, once, to the client that has the secret and the verifier.
func (p *IdentityProvider) token(w http.ResponseWriter, r *http.Request) {
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	if id != p.client.ClientID || secret != p.client.Secret {
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	code := r.PostFormValue("code")
	p.mu.Lock()
	asked := p.codes[code]
	delete(p.codes, code)
	claims := maps.Clone(p.claims)
	p.mu.Unlock()
	challenge := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if asked == nil || r.PostFormValue("grant_type") != "authorization_code" || r.PostFormValue("redirect_uri") != p.client.Redirect ||
		asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(challenge[:]) {
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
		return
	}
	now := time.Now()
	all := map[string]any{"iss": p.URL, "aud": p.client.ClientID, "sub": "1", "exp": now.Add(time.Minute).Unix(), "iat": now.Unix(),
		"nonce": asked.Get("nonce"), "email": "ann@example.com", "email_verified": true, "groups": []string{"sre"}}
	maps.Copy(all, claims)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: p.key, KeyID: "k"}}, nil)
	if err != nil {
		answer(w, http.StatusInternalServerError, map[string]any{"error": err.Error()})
		return
	}
	text, err := jwt.Signed(signer).Claims(all).Serialize()
	if err != nil {
		answer(w, http.StatusInternalServerError, map[string]any{"error": err.Error()})
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	answer(w, http.StatusOK, map[string]any{"access_token": rand.Text(), "token_type": "Bearer", "expires_in": 60, "id_token": text})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // whoever asked notices
}
