package api

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/governance/audit"
	"github.com/sluice-mesh/sluice/governance/auth"
	"github.com/sluice-mesh/sluice/governance/say"
	"github.com/sluice-mesh/sluice/governance/secrets"
	"github.com/sluice-mesh/sluice/internal/httpapi"
	"github.com/sluice-mesh/sluice/resources"
)

func (s *Server) getUsers(w http.ResponseWriter, r *http.Request) error {
	users, err := s.Auth.Users(r.Context())
	return s.list(w, "users", users, err)
}

// list answers with what can be read, and logs what cannot.
func (s *Server) list(w http.ResponseWriter, key string, items any, err error) error {
	if err != nil {
		s.Log.Error("not all entries can be read", "what", key, "error", err)
	}
	httpapi.Reply(w, http.StatusOK, map[string]any{key: items})
	return nil
}

func (s *Server) putUser(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Roles    []auth.Grant `json:"roles"`
		Disabled bool         `json:"disabled"`
		Revision *int64       `json:"revision"` // 0: must be new; none: whatever it is
		Why      string       `json:"why"`
	}
	if err := decode(r, &body, "user", &body.Why); err != nil {
		return err
	}
	expect := int64(-1)
	if body.Revision != nil {
		if expect = *body.Revision; expect < 0 {
			return httpapi.Invalid("revision", "%d is no revision: it is the one that the user was read with, or 0 for a new user", expect)
		}
	}
	name := r.PathValue("name")
	u, err := s.Auth.PutUser(by(r, "change user", name, body.Why),
		auth.User{Name: name, Grants: body.Roles, Disabled: body.Disabled, Author: who(r).Name}, expect)
	if err != nil {
		return invalid(err)
	}
	s.hub.changed("access", "audit")
	httpapi.Reply(w, http.StatusOK, u)
	return nil
}

// invalid answers what a room below refuses as the client's mistake, unless it is something that explain knows.
func invalid(err error) error {
	var e *httpapi.Error
	if errors.As(err, &e) || isOurs(err) {
		return err
	}
	return httpapi.Invalid("", "%v", err)
}

func (s *Server) deleteUser(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	if name == who(r).Name {
		return refuse(httpapi.Conflict, say.Of("remove.self", nil))
	}
	return s.gone(w, s.Auth.DeleteUser(by(r, "delete user", name, r.URL.Query().Get("why")), name))
}

// gone answers a deletion.
func (s *Server) gone(w http.ResponseWriter, err error) error {
	if err != nil {
		return invalid(err)
	}
	s.hub.changed("access", "audit")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) getTokens(w http.ResponseWriter, r *http.Request) error {
	tokens, err := s.Auth.Tokens(r.Context())
	return s.list(w, "tokens", tokens, err)
}

func (s *Server) postToken(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Name  string             `json:"name"`
		Roles []auth.Grant       `json:"roles"`
		For   resources.Duration `json:"for"`
		Why   string             `json:"why"`
	}
	if err := decode(r, &body, "token", &body.Why); err != nil {
		return err
	}
	t, text, err := s.Auth.AddToken(by(r, "make token", body.Name, body.Why), body.Name, body.Roles, body.For.D(), who(r).Name)
	if err != nil {
		return invalid(err)
	}
	s.hub.changed("access", "audit")
	httpapi.Reply(w, http.StatusCreated, struct {
		auth.Token
		Text string `json:"token"`
	}{t, text})
	return nil
}

func (s *Server) deleteToken(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	return s.gone(w, s.Auth.DeleteToken(by(r, "delete token", id, r.URL.Query().Get("why")), id))
}

func (s *Server) getJoins(w http.ResponseWriter, r *http.Request) error {
	joins, err := s.Auth.Joins(r.Context())
	return s.list(w, "joins", joins, err)
}

func (s *Server) postJoin(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Agent string             `json:"agent"`
		Uses  int                `json:"uses"`
		For   resources.Duration `json:"for"`
		Why   string             `json:"why"`
	}
	if err := decode(r, &body, "join token", &body.Why); err != nil {
		return err
	}
	j, text, err := s.Auth.AddJoin(by(r, "make join token", body.Agent, body.Why), body.Agent, body.Uses, body.For.D(), who(r).Name)
	if err != nil {
		return invalid(err)
	}
	s.hub.changed("access", "audit")
	httpapi.Reply(w, http.StatusCreated, struct {
		auth.Join
		Text    string `json:"token"`
		Command string `json:"command"`
	}{j, text, fmt.Sprintf("SLUICE_JOIN=%s sluice agent -c FILE", text)})
	return nil
}

func (s *Server) deleteJoin(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	return s.gone(w, s.Auth.DeleteJoin(by(r, "delete join token", id, r.URL.Query().Get("why")), id))
}

// secret is one with the resources that refer to it.
type secret struct {
	secrets.Secret
	Used []string `json:"used"`
}

// users are the resources that refer to each secret.
func (s *Server) users() map[string][]string {
	out := make(map[string][]string)
	for _, o := range s.Registry.Outlines() {
		spec, _, _, _ := s.Registry.Effective(o.Name)
		for _, name := range resources.SecretNames(spec) {
			out[name] = append(out[name], o.Name)
		}
	}
	return out
}

func (s *Server) getSecrets(w http.ResponseWriter, _ *http.Request) error {
	used, out := s.users(), []secret{}
	for _, x := range s.Secrets.List() {
		out = append(out, secret{x, nonNil(used[x.Name])})
	}
	httpapi.Reply(w, http.StatusOK, map[string]any{"secrets": out})
	return nil
}

func (s *Server) putSecret(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Value     string   `json:"value"`
		Resources []string `json:"resources"` // names that may refer to it, with * for anything; none: all may
		Why       string   `json:"why"`
	}
	if err := decode(r, &body, "secret", &body.Why); err != nil {
		return err
	}
	name := r.PathValue("name")
	x, err := s.Secrets.Put(by(r, "write secret", name, body.Why), name, []byte(body.Value), body.Resources, who(r).Name)
	if err != nil {
		return invalid(err)
	}
	s.hub.changed("access", "audit")
	httpapi.Reply(w, http.StatusOK, secret{x, nonNil(s.users()[name])})
	return nil
}

func (s *Server) deleteSecret(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	if used := s.users()[name]; len(used) > 0 {
		return refuse(httpapi.Conflict, say.Of("secret.used", say.With{"secret": name, "resources": strings.Join(used, ", ")}))
	}
	return s.gone(w, s.Secrets.Delete(by(r, "delete secret", name, r.URL.Query().Get("why")), name))
}

// chain is what is known of the audit log as a whole.
type chain struct {
	OK       bool   `json:"ok"`
	UpTo     uint64 `json:"upTo"`
	BrokenAt uint64 `json:"brokenAt,omitempty"`
	Why      string `json:"why,omitempty"`
}

func (s *Server) getAudit(w http.ResponseWriter, r *http.Request) error {
	q, err := httpapi.Query(r, "before", "limit")
	if err != nil {
		return err
	}
	before, err := httpapi.Number(q, "before", 0, 0, 1<<62)
	if err != nil {
		return err
	}
	limit, err := httpapi.Number(q, "limit", 100, 1, 1000)
	if err != nil {
		return err
	}
	entries, err := s.Audit.Entries(r.Context(), uint64(before), int(limit))
	var broken *audit.BrokenError
	if err != nil && !errors.As(err, &broken) {
		return err
	}
	state := chain{OK: true}
	state.UpTo, err = s.Audit.Verify(r.Context())
	switch {
	case errors.As(err, &broken):
		state.OK, state.BrokenAt, state.Why = false, broken.N, broken.Error()
	case err != nil:
		state.OK, state.Why = false, err.Error()
	}
	httpapi.Reply(w, http.StatusOK, map[string]any{"entries": nonNil(entries), "chain": state})
	return nil
}

// window parses a window such as 5m.
func window(text string, def, most time.Duration) (time.Duration, error) {
	if text == "" {
		return def, nil
	}
	var d resources.Duration
	if err := d.UnmarshalText([]byte(text)); err != nil || d <= 0 || d.D() > most {
		return 0, httpapi.Invalid("window", "%s is no time from 1s to %s, such as 5m", httpapi.Quoted(text), most)
	}
	return d.D(), nil
}
