package auth

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// signIn says yes on the provider's page, and returns the code with which that comes back.
func signIn(t *testing.T, page string) (code string) {
	t.Helper()
	c := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.Post(page, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	c.CloseIdleConnections()
	back, err := resp.Location()
	if err != nil {
		t.Fatal(resp.Status, err)
	}
	return back.Query().Get("code")
}

func TestOIDC(t *testing.T) {
	a, c, _, _ := opened(t)
	const redirect = "http://127.0.0.1:9980/v1/oidc/callback"
	p := server.Start(t, server.Identity{ClientID: "sluice", Secret: "s3cret", Redirect: redirect})
	o, err := a.NewOIDC(OIDCConfig{Issuer: p.URL, ClientID: "sluice", Secret: "s3cret", Redirect: redirect,
		Roles: map[string]string{"sre": "operator", "dba": "admin"}})
	if err != nil {
		t.Fatal(err)
	}
	begin := func(claims map[string]any) (keep string, q url.Values, code string) {
		to, keep, err := o.Start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(to)
		if err != nil || !strings.HasPrefix(to, p.URL+"/authorize?") {
			t.Fatalf("goes to %s, %v", to, err)
		}
		p.Say(claims)
		return keep, u.Query(), signIn(t, to)
	}

	keep, q, code := begin(nil)
	if q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "" || strings.Contains(keep, "s3cret") {
		t.Errorf("no PKCE, or a secret in the browser: %v", q)
	}
	id, err := o.Finish(t.Context(), keep, q.Get("state"), code)
	if err != nil || id.Name != "ann@example.com" || !id.Can(Command) || id.Can(Publish) {
		t.Fatalf("got %+v, %v", id, err)
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
		"our name":   {map[string]any{"email": "admin.token"}, "reserved"},
		"centre":     {map[string]any{"email": "Center"}, "reserved"},
	} {
		keep, q, code := begin(change.claims)
		_, err := o.Finish(t.Context(), keep, q.Get("state"), code)
		t.Run(name, func(t *testing.T) { mustRefuse(t, err, change.says) })
	}
	keep, q, code = begin(nil)
	_, err = o.Finish(t.Context(), keep, "other", code)
	mustRefuse(t, err, "begun elsewhere")
	_, err = o.Finish(t.Context(), keep+"x", q.Get("state"), code)
	mustRefuse(t, err, "signature")
	cookie, _ = a.Session("ann", nil)
	_, err = o.Finish(t.Context(), cookie, q.Get("state"), code)
	mustRefuse(t, err, "signature") // what is signed as a session starts no login
	c.add(pendingLife)
	_, err = o.Finish(t.Context(), keep, q.Get("state"), code)
	mustRefuse(t, err, "ago")
}

// The centre starts while the provider is down, and its users see why they cannot log in there.
func TestOIDCProviderDown(t *testing.T) {
	a, _, _, _ := opened(t)
	at := "http://" + server.FreeAddr(t)
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
