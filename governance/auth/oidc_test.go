package auth

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// provider is an identity provider over HTTP: discovery, keys, and the token endpoint, which checks PKCE as the standard says.
type provider struct {
	*httptest.Server
	key    *rsa.PrivateKey
	claims map[string]any // what the next token says, over what it says by itself
	nonce  string
	asked  url.Values // of the last token request
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/auth", "token_endpoint": p.URL + "/token",
			"jwks_uri": p.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"}})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "RS256", Use: "sig"}}})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		p.asked = r.PostForm
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": p.token(t)})
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func (p *provider) token(t *testing.T) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: p.key, KeyID: "k"}}, nil)
	if err != nil {
		t.Error(err)
		return ""
	}
	claims := map[string]any{"iss": p.URL, "aud": "sluice", "sub": "1", "exp": time.Now().Add(time.Minute).Unix(), "iat": time.Now().Unix(),
		"nonce": p.nonce, "email": "ann@example.com", "email_verified": true, "groups": []string{"sre"}}
	maps.Copy(claims, p.claims)
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Error(err)
	}
	return text
}

func TestOIDC(t *testing.T) {
	a, c, _, _ := opened(t)
	p := newProvider(t)
	o, err := a.NewOIDC(OIDCConfig{Issuer: p.URL, ClientID: "sluice", Secret: "s3cret", Redirect: "http://127.0.0.1:9980/v1/oidc/callback",
		Roles: map[string]string{"sre": "operator", "dba": "admin"}})
	if err != nil {
		t.Fatal(err)
	}
	begin := func() (keep string, q url.Values) {
		to, keep, err := o.Start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(to)
		if err != nil || !strings.HasPrefix(to, p.URL+"/auth?") {
			t.Fatalf("goes to %s, %v", to, err)
		}
		p.nonce, p.claims = u.Query().Get("nonce"), nil
		return keep, u.Query()
	}

	keep, q := begin()
	if q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "" || strings.Contains(keep, "s3cret") {
		t.Errorf("no PKCE, or a secret in the browser: %v", q)
	}
	id, err := o.Finish(t.Context(), keep, q.Get("state"), "code")
	if err != nil || id.Name != "ann@example.com" || !id.Can(Command) || id.Can(Publish) {
		t.Fatalf("got %+v, %v", id, err)
	}
	if p.asked.Get("code_verifier") == "" {
		t.Error("the provider was not given the verifier")
	}
	cookie, _ := a.Session(id.Name, id.Grants)
	if again, err := a.Cookie(t.Context(), cookie); err != nil || !again.Can(Command) {
		t.Errorf("the session: %+v, %v", again, err)
	}
	// A user of that name at the centre decides instead.
	if _, err := a.PutUser(t.Context(), User{Name: id.Name, Grants: []Grant{{Role: Viewer}}}, 0); err != nil {
		t.Fatal(err)
	}
	if again, _ := a.Cookie(t.Context(), cookie); again == nil || again.Can(Command) {
		t.Errorf("the provider's role stands above the centre's: %+v", again)
	}

	for name, change := range map[string]struct {
		claims map[string]any
		says   string
	}{
		"audience":   {map[string]any{"aud": "other"}, "audience"},
		"issuer":     {map[string]any{"iss": "https://evil.example"}, "issue"},
		"expired":    {map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}, "expired"},
		"nonce":      {map[string]any{"nonce": "other"}, "another one"},
		"groups":     {map[string]any{"groups": []string{"guests"}}, "guests"},
		"unverified": {map[string]any{"email_verified": false}, "not verified"},
		"no name":    {map[string]any{"email": nil}, "claim email"},
		"odd name":   {map[string]any{"email": "a/../b"}, "claim email"},
	} {
		keep, q := begin()
		p.claims = change.claims
		_, err := o.Finish(t.Context(), keep, q.Get("state"), "code")
		t.Run(name, func(t *testing.T) { mustRefuse(t, err, change.says) })
	}
	keep, q = begin()
	_, err = o.Finish(t.Context(), keep, "other", "code")
	mustRefuse(t, err, "begun elsewhere")
	_, err = o.Finish(t.Context(), keep+"x", q.Get("state"), "code")
	mustRefuse(t, err, "signature")
	cookie, _ = a.Session("ann", nil)
	_, err = o.Finish(t.Context(), cookie, q.Get("state"), "code")
	mustRefuse(t, err, "signature") // what is signed as a session starts no login
	c.add(pendingLife)
	_, err = o.Finish(t.Context(), keep, q.Get("state"), "code")
	mustRefuse(t, err, "ago")
}

// The centre starts while the provider is down, and its users see why they cannot log in there.
func TestOIDCProviderDown(t *testing.T) {
	a, _, _, _ := opened(t)
	p := newProvider(t)
	at := p.URL
	p.Close()
	o, err := a.NewOIDC(OIDCConfig{Issuer: at, ClientID: "sluice", Redirect: "http://x/", Roles: map[string]string{"*": "viewer"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := o.Start(t.Context()); err == nil || !strings.Contains(err.Error(), at) {
		t.Errorf("got %v", err)
	}
	if _, err := a.NewOIDC(OIDCConfig{Issuer: at, ClientID: "x", Redirect: "y", Roles: map[string]string{"*": "root"}}); err == nil {
		t.Error("a role that does not exist is accepted")
	}
}
