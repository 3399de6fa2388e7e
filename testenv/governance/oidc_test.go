package governance

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// withProvider starts a centre at which people log in by an identity provider.
func withProvider(t *testing.T) (*lab, *server.IdentityProvider) {
	t.Helper()
	address := server.FreeAddr(t)
	redirect := "http://" + address + "/v1/oidc/callback"
	p := server.Start(t, server.Identity{ClientID: "sluice", Secret: "s3cret", Redirect: redirect})
	l := labOf(t, server.Center{Name: "c1", Listen: address, Config: fmt.Sprintf("center:\n  oidc:\n    name: The Provider\n    issuer: %s\n    client-id: sluice\n"+
		"    client-secret: s3cret\n    redirect: %s\n    roles: { sre: operator, dba: admin }\n", p.URL, redirect)})
	return l, p
}

// surfer is a browser by hand: it keeps cookies, and follows nothing by itself.
type surfer struct {
	*testing.T
	http *http.Client
	base string
	page string // Accept-Language of a browser that shows pages; "": it asks as programs do
}

func newSurfer(t *testing.T, base string) *surfer {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &surfer{t, &http.Client{Jar: jar, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, base, ""}
}

func (s *surfer) visit(method, at string) (*http.Response, string) {
	s.Helper()
	r, err := http.NewRequest(method, at, nil)
	if err != nil {
		s.Fatal(err)
	}
	if s.page != "" {
		r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
		r.Header.Set("Accept-Language", s.page)
	}
	resp, err := s.http.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	return resp, string(body)
}

// begin presses the button, and returns the provider's page.
func (s *surfer) begin() string {
	s.Helper()
	resp, body := s.visit("GET", s.base+"/v1/oidc/start")
	if resp.StatusCode != http.StatusFound {
		s.Fatalf("the button leads to %d %s", resp.StatusCode, body)
	}
	return resp.Header.Get("Location")
}

// signIn says yes on the provider's page, and returns where that leads.
func (s *surfer) signIn(page string) string {
	s.Helper()
	resp, body := s.visit("POST", page)
	if resp.StatusCode != http.StatusSeeOther {
		s.Fatalf("the provider answers %d %s", resp.StatusCode, body)
	}
	return resp.Header.Get("Location")
}

// cookie returns a cookie that an answer sets; nil: it sets none of that name, or removes it.
func cookie(resp *http.Response, name string) *http.Cookie {
	for _, c := range resp.Cookies() {
		if c.Name == name && c.MaxAge >= 0 && c.Value != "" {
			return c
		}
	}
	return nil
}

// A person logs in at an identity provider: state, nonce and PKCE, the cookies, and the role that the provider's groups give.
func TestOIDC(t *testing.T) {
	l, p := withProvider(t)
	s := newSurfer(t, l.center.URL())
	if _, body := s.visit("GET", s.base+"/v1/oidc"); !strings.Contains(body, `"enabled":true`) || !strings.Contains(body, "The Provider") {
		t.Errorf("the login page is told %s", body)
	}
	resp, _ := s.visit("GET", s.base+"/v1/oidc/start")
	keep := cookie(resp, "sluice_login")
	if keep == nil || !keep.HttpOnly || keep.SameSite != http.SameSiteLaxMode || keep.Path != "/v1/oidc/" {
		t.Fatalf("what the browser keeps: %+v", keep)
	}
	if at := resp.Header.Get("Location"); !strings.HasPrefix(at, p.URL+"/authorize?") || strings.Contains(at, "s3cret") || strings.Contains(keep.Value, "s3cret") {
		t.Errorf("it leads to %s, with %s", at, keep.Value)
	}
	back := s.signIn(resp.Header.Get("Location"))
	resp, body := s.visit("GET", back)
	session := cookie(resp, "sluice_session")
	if resp.StatusCode != http.StatusOK || session == nil || !session.HttpOnly || session.SameSite != http.SameSiteStrictMode || session.Path != "/" {
		t.Fatalf("the callback: %d %s, cookie %+v", resp.StatusCode, body, session)
	}
	var me struct {
		Name   string
		Rights map[string]bool
	}
	resp, body = s.visit("GET", s.base+"/v1/me")
	if err := json.Unmarshal([]byte(body), &me); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("who am I: %d %s", resp.StatusCode, body)
	}
	if me.Name != "ann@example.com" || !me.Rights["command"] || me.Rights["publish"] || me.Rights["admin"] {
		t.Errorf("an operator by the group sre is %+v", me)
	}
	// Neither the code nor what the browser kept is good for a second time.
	if resp, body := s.visit("GET", back); resp.StatusCode != http.StatusUnauthorized || cookie(resp, "sluice_session") != nil {
		t.Errorf("the callback again: %d %s", resp.StatusCode, body)
	}
	// Groups that have more give more: at the next login.
	p.Say(map[string]any{"groups": []string{"dba"}})
	s.visit("GET", s.signIn(s.begin()))
	if _, body := s.visit("GET", s.base+"/v1/me"); !strings.Contains(body, `"admin":true`) {
		t.Errorf("the group dba is %s", body)
	}
}

// What is wrong with a login by an identity provider is refused, and leaves nobody logged in.
func TestOIDCRefuses(t *testing.T) {
	l, p := withProvider(t)
	change := func(at, key, value string) string {
		u, err := url.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		q.Set(key, value)
		u.RawQuery = q.Encode()
		return u.String()
	}
	plain := func(s *surfer) string { return s.signIn(s.begin()) }
	for name, c := range map[string]struct {
		claims map[string]any
		back   func(s *surfer) string // where the browser comes back to
		says   string
	}{
		"state":    {back: func(s *surfer) string { return change(plain(s), "state", "other") }, says: "begun elsewhere"},
		"no state": {back: func(s *surfer) string { return change(plain(s), "state", "") }, says: "begun elsewhere"},
		"code":     {back: func(s *surfer) string { return change(plain(s), "code", "other") }, says: "invalid_grant"},
		"denied":   {back: func(s *surfer) string { return s.signIn(s.begin() + "&deny=1") }, says: "access_denied"},
		"another browser": {back: func(s *surfer) string {
			return plain(newSurfer(s.T, s.base)) // whose cookie this one does not have
		}, says: "begun in another browser"},
		"another login": {back: func(s *surfer) string {
			first := s.begin()
			second := plain(s)
			code, err := url.Parse(s.signIn(first))
			if err != nil {
				s.Fatal(err)
			}
			return change(second, "code", code.Query().Get("code")) // of another verifier
		}, says: "invalid_grant"},
		"nonce":               {claims: map[string]any{"nonce": "other"}, says: "another one"},
		"no nonce":            {claims: map[string]any{"nonce": nil}, says: "another one"},
		"audience":            {claims: map[string]any{"aud": "other"}, says: "audience"},
		"issuer":              {claims: map[string]any{"iss": "https://evil.example"}, says: "issue"},
		"expired":             {claims: map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}, says: "expired"},
		"no role":             {claims: map[string]any{"groups": []string{"guests"}}, says: "guests"},
		"no groups":           {claims: map[string]any{"groups": nil}, says: "has a role here"},
		"unverified":          {claims: map[string]any{"email_verified": false}, says: "not verified"},
		"unverified, as text": {claims: map[string]any{"email_verified": "false"}, says: "not verified"},
	} {
		for _, page := range []string{"", "en-GB,en;q=0.9", "zh-CN,zh;q=0.9"} {
			t.Run(name+", "+page, func(t *testing.T) {
				s := newSurfer(t, l.center.URL())
				p.Say(c.claims)
				back := c.back
				if back == nil {
					back = plain
				}
				at := back(s)
				s.page = page // a browser sees a page; whatever else comes here gets what programs get
				resp, body := s.visit("GET", at)
				if s.page != "" {
					heading := map[bool]string{false: "You are not logged in", true: "登录未成功"}[strings.HasPrefix(s.page, "zh")]
					if !strings.Contains(body, heading) || !strings.Contains(body, `href="/v1/oidc/start"`) || !strings.Contains(resp.Header.Get("Content-Type"), "text/html") ||
						resp.Header.Get("Content-Security-Policy") != "default-src 'none'" {
						t.Errorf("the page for %s: %v %s", s.page, resp.Header, body)
					}
					s.page = ""
				} else if !json.Valid([]byte(body)) {
					t.Errorf("a program gets %s", body)
				}
				if resp.StatusCode != http.StatusUnauthorized || !strings.Contains(body, c.says) || cookie(resp, "sluice_session") != nil {
					t.Errorf("%d %s %v; want 401 that says %q, and no session", resp.StatusCode, body, resp.Cookies(), c.says)
				}
				if resp, body := s.visit("GET", s.base+"/v1/me"); resp.StatusCode != http.StatusUnauthorized {
					t.Errorf("somebody is logged in: %d %s", resp.StatusCode, body)
				}
			})
		}
	}
}

// The button of the login page, in the distribution's Chromium: the provider is another site.
func TestOIDCInBrowser(t *testing.T) {
	server.NodeModules(t, "browser")
	l, p := withProvider(t)
	inBrowser(l, p.URL, "oidc.test.mjs")
}
