package api

import (
	"errors"
	"fmt"
	"html"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/governance/audit"
	"github.com/sluice-mesh/sluice/governance/auth"
	"github.com/sluice-mesh/sluice/governance/say"
	"github.com/sluice-mesh/sluice/internal/httpapi"
)

// attempts slows down whoever guesses: per client address, ten wrong ones a minute.
type attempts struct {
	now func() time.Time

	mu    sync.Mutex
	wrong map[string]tally
}

type tally struct {
	n     int
	until time.Time
}

const (
	mostWrong    = 10
	wrongWindow  = time.Minute
	mostAttempts = 10_000 // addresses that are remembered
)

func newAttempts(now func() time.Time) *attempts {
	return &attempts{now: now, wrong: make(map[string]tally)}
}

func (a *attempts) allowed(client string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.wrong[client]
	return t.n < mostWrong || !a.now().Before(t.until)
}

func (a *attempts) failed(client string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if len(a.wrong) >= mostAttempts {
		for c, t := range a.wrong {
			if !now.Before(t.until) {
				delete(a.wrong, c)
			}
		}
		if len(a.wrong) >= mostAttempts { // somebody with so many addresses is not slowed down by remembering them
			clear(a.wrong)
		}
	}
	t := a.wrong[client]
	if !now.Before(t.until) {
		t = tally{until: now.Add(wrongWindow)}
	}
	t.n++
	a.wrong[client] = t
}

// login takes the code of a one-time link. It is a POST, so that a link that is merely fetched, by a preview or a scanner, is not
// used up.
func (s *Server) login(w http.ResponseWriter, r *http.Request) error {
	client := httpapi.Client(r)
	if !s.tries.allowed(client) {
		slow := say.Of("login.slow", nil)
		return &httpapi.Error{Status: http.StatusTooManyRequests, Code: "too_many", Message: slow.Text, Say: slow}
	}
	var body struct {
		Code string `json:"code"`
	}
	if err := httpapi.Decode(r, &body, "login"); err != nil {
		return err
	}
	id, err := s.Auth.Login(audit.By(r.Context(), audit.Actor{Who: "login link", What: "log in"}), body.Code)
	if errors.Is(err, auth.ErrUnauthorized) {
		s.tries.failed(client)
		s.Log.Warn("a login was refused", "from", client, "error", err)
		return refuse(httpapi.Unauthorized, say.Of("login.refused", say.With{"problem": err.Error()}))
	}
	if err != nil {
		return err
	}
	s.setCookie(w, r, id, nil)
	s.Log.Info("logged in", "user", id.Name, "from", client)
	httpapi.Reply(w, http.StatusOK, map[string]string{"name": id.Name})
	return nil
}

// setCookie gives a browser its session.
func (s *Server) setCookie(w http.ResponseWriter, r *http.Request, id *auth.Identity, grants []auth.Grant) {
	value, expires := s.Auth.Session(id.Name, grants)
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: value, Path: "/", Expires: expires, HttpOnly: true,
		Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode})
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) error {
	if c, err := r.Cookie(cookieName); err == nil {
		if err := s.Auth.Logout(by(r, "log out", "", ""), c.Value); err != nil && !errors.Is(err, auth.ErrUnauthorized) {
			return err
		}
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// loginLink makes a one-time link for whoever may give rights.
func (s *Server) loginLink(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		User  string       `json:"user"`
		Roles []auth.Grant `json:"roles"`
	}
	if err := httpapi.Decode(r, &body, "login link"); err != nil {
		return err
	}
	if body.User == "" {
		body.User = "admin"
	}
	if body.Roles == nil {
		body.Roles = []auth.Grant{{Role: auth.Admin}}
	}
	code, err := s.Auth.Link(by(r, "make login link", body.User, ""), body.User, body.Roles, who(r).Name)
	if err != nil {
		return invalid(err)
	}
	s.Log.Info("a login link was made", "for", body.User, "by", who(r).Name)
	httpapi.Reply(w, http.StatusCreated, map[string]string{"path": "/login?code=" + code, "for": auth.LinkLife.String()})
	return nil
}

// me says who asks and what they may do.
func (s *Server) me(w http.ResponseWriter, r *http.Request) error {
	id := who(r)
	rights := make(map[auth.Right]bool)
	for _, right := range auth.Rights() {
		rights[right] = id.Can(right)
	}
	httpapi.Reply(w, http.StatusOK, map[string]any{
		"name": id.Name, "roles": id.Grants, "rights": rights, "center": s.Name, "version": s.Version, "cluster": s.Cluster,
	})
	return nil
}

// keepCookie holds what a login at the identity provider was begun with.
const keepCookie = "sluice_login"

func (s *Server) oidc(w http.ResponseWriter, r *http.Request) error {
	out := map[string]any{"enabled": s.OIDC != nil}
	if s.OIDC != nil {
		out["name"] = s.OIDC.Name()
	}
	httpapi.Reply(w, http.StatusOK, out)
	return nil
}

func (s *Server) oidcStart(w http.ResponseWriter, r *http.Request) error {
	if s.OIDC == nil {
		return httpapi.NotFound("no identity provider is configured: see center.oidc")
	}
	to, keep, err := s.OIDC.Start(r.Context())
	if err != nil {
		return httpapi.Unavailable("%v", err)
	}
	// Lax, not Strict: the browser comes back from another site.
	http.SetCookie(w, &http.Cookie{Name: keepCookie, Value: keep, Path: "/v1/oidc/", MaxAge: 600, HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, to, http.StatusFound)
	return nil
}

// oidcCallback is where the identity provider sends a browser back to. Who is refused sees a page: nobody else would show them what it is.
func (s *Server) oidcCallback(w http.ResponseWriter, r *http.Request) error {
	err := s.oidcFinish(w, r)
	if err == nil || !strings.Contains(r.Header.Get("Accept"), "text/html") {
		return err
	}
	status := http.StatusInternalServerError
	var e *httpapi.Error
	if errors.As(err, &e) {
		status = e.Status
	} else {
		s.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	words := refusedPage["en"]
	if strings.HasPrefix(strings.ToLower(r.Header.Get("Accept-Language")), "zh") {
		words = refusedPage["zh"]
	}
	w.Header().Set("Content-Security-Policy", "default-src 'none'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, words, html.EscapeString(err.Error()))
	return nil
}

// refusedPage is what somebody sees whose login failed, by language; %s is why.
var refusedPage = map[string]string{
	"en": refusedHead("en") + `<h1>You are not logged in</h1>
<p>%s</p>
<p><a href="/v1/oidc/start">Begin anew</a>, or <a href="/login">log in another way</a>.
If it fails again, show this page to whoever runs this centre: roles are given by <code>center.oidc</code>.</p>
`,
	"zh": refusedHead("zh") + `<h1>登录未成功</h1>
<p>%s</p>
<p><a href="/v1/oidc/start">重新开始</a>，或<a href="/login">用其他方式登录</a>。
如果再次失败，请将此页交给治理中心的管理员：角色由 <code>center.oidc</code> 授予。</p>
`,
}

func refusedHead(lang string) string {
	return `<!doctype html>
<html lang="` + lang + `"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<title>Sluice</title>
`
}

func (s *Server) oidcFinish(w http.ResponseWriter, r *http.Request) error {
	if s.OIDC == nil {
		return httpapi.NotFound("no identity provider is configured: see center.oidc")
	}
	keep, err := r.Cookie(keepCookie)
	if err != nil {
		return refuse(httpapi.Unauthorized, say.Of("login.elsewhere", nil))
	}
	q := r.URL.Query()
	if said := q.Get("error"); said != "" {
		return httpapi.Unauthorized("the identity provider refused: %s %s", httpapi.Quoted(said), httpapi.Quoted(q.Get("error_description")))
	}
	id, err := s.OIDC.Finish(r.Context(), keep.Value, q.Get("state"), q.Get("code"))
	if err != nil {
		s.Log.Warn("a login was refused", "from", httpapi.Client(r), "error", err)
		return httpapi.Unauthorized("%v", err)
	}
	http.SetCookie(w, &http.Cookie{Name: keepCookie, Path: "/v1/oidc/", MaxAge: -1, HttpOnly: true})
	s.setCookie(w, r, id, id.Grants)
	s.Log.Info("logged in", "user", id.Name, "from", httpapi.Client(r), "by", s.OIDC.Name())
	// A page of ours sends the browser on, so that the first request with the strict cookie comes from us.
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'")
	w.Header().Set("Refresh", "0; url=/")
	w.Write([]byte("<!doctype html><title>Sluice</title><a href=\"/\">Go on</a>\n"))
	return nil
}
