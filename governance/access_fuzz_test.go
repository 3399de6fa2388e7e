package governance

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/governance/auth"
	"github.com/sluice-mesh/sluice/resources"
)

// names tells whether a refusal says which field is wrong, by its path or in its words.
func names(w *httptest.ResponseRecorder, fields ...string) bool {
	var refused struct {
		Error struct{ Message, Path string }
	}
	if json.Unmarshal(w.Body.Bytes(), &refused) != nil {
		return false
	}
	return refused.Error.Path != "" || slices.ContainsFunc(append(fields, "body", "JSON"), func(f string) bool { return strings.Contains(refused.Error.Message, f) })
}

// listed finds an entry by a field in what a path lists under a key.
func (z *fuzzed) listed(t *testing.T, path, key, field, value string, into any) {
	t.Helper()
	w := z.ask(http.MethodGet, path, "", bearer(z.admin)...)
	var list map[string][]json.RawMessage
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	for _, x := range list[key] {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(x, &fields); err != nil {
			t.Fatal(err)
		}
		if quoted, _ := json.Marshal(value); string(fields[field]) == string(quoted) {
			if err := json.Unmarshal(x, into); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("%s has no %s %q: %s", path, field, value, fmt.Sprintf("%.500s", w.Body))
}

// FuzzUser: a user that is accepted is listed as it was sent, and so is the condition on its revision; what is refused names the field.
func FuzzUser(f *testing.F) {
	for _, seed := range fuzzSeeds["PUT /v1/users/{name}"] {
		for _, name := range []string{"bob", "ann", "a b", "admin.token", strings.Repeat("x", 129)} {
			f.Add(name, seed[1])
		}
	}
	z := newFuzzed(f)
	f.Fuzz(func(t *testing.T, name, body string) {
		defer z.restore(t)
		w := z.send(t, http.MethodPut, "/v1/users/"+url.PathEscape(name), body)
		if w.Code == http.StatusBadRequest && !names(w, "name", "role", "revision") {
			t.Errorf("%q %q: the refusal names no field: %s", name, body, w.Body)
		}
		if w.Code != http.StatusOK {
			return
		}
		var sent struct {
			Roles    []auth.Grant
			Disabled bool
			Revision *int64
		}
		if err := json.Unmarshal([]byte(body), &sent); err != nil {
			t.Fatalf("%q was taken: %v", body, err)
		}
		var got auth.User
		z.listed(t, "/v1/users", "users", "name", name, &got)
		if got.Disabled != sent.Disabled || got.Author != "admin.token" || !sameGrants(got.Grants, sent.Roles) {
			t.Errorf("%q %q is listed as %+v", name, body, got)
		}
		if sent.Revision != nil && (*sent.Revision != 0 || z.baseline["users/"+name] != "") && *sent.Revision >= got.Revision || sent.Revision != nil && *sent.Revision < 0 {
			t.Errorf("%q %q was taken, and is at revision %d", name, body, got.Revision)
		}
		for _, g := range got.Grants {
			if g.Scope != nil && (g.Role == auth.Admin || g.Role == auth.Viewer) || !slices.Contains([]auth.Role{auth.Viewer, auth.Operator, auth.Owner, auth.Admin}, g.Role) {
				t.Errorf("%q was taken: %+v", body, g)
			}
		}
	})
}

// sameGrants compares what JSON makes of grants.
func sameGrants(a, b []auth.Grant) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// FuzzToken: a token that is accepted lets in with the roles that were sent, until its time, and its secret is nowhere in the store.
func FuzzToken(f *testing.F) {
	for _, seed := range fuzzSeeds["POST /v1/tokens"] {
		f.Add(seed[1])
	}
	z := newFuzzed(f)
	f.Fuzz(func(t *testing.T, body string) {
		defer z.restore(t)
		w := z.send(t, http.MethodPost, "/v1/tokens", body)
		if w.Code == http.StatusBadRequest && !names(w, "name", "role", "for ") {
			t.Errorf("%q: the refusal names no field: %s", body, w.Body)
		}
		if w.Code != http.StatusCreated {
			return
		}
		var sent struct {
			Name  string
			Roles []auth.Grant
			For   resources.Duration
		}
		var made struct {
			auth.Token
			Text string `json:"token"`
		}
		if err := errors.Join(json.Unmarshal([]byte(body), &sent), json.Unmarshal(w.Body.Bytes(), &made)); err != nil {
			t.Fatalf("%q was taken as %s: %v", body, w.Body, err)
		}
		var got auth.Token
		z.listed(t, "/v1/tokens", "tokens", "id", made.ID, &got)
		if got.Name != sent.Name || got.Hash != nil || !sameGrants(got.Grants, sent.Roles) || (got.Expires != nil) != (sent.For > 0) ||
			got.Expires != nil && got.Expires.Sub(got.Created) != sent.For.D() {
			t.Errorf("%q is listed as %+v", body, got)
		}
		if id, err := z.auth.Bearer(t.Context(), made.Text); err != nil && (sent.For == 0 || sent.For.D() > time.Hour) {
			t.Errorf("%q: %v", body, err)
		} else if err == nil && (id.Name != "token "+sent.Name || !sameGrants(id.Grants, sent.Roles)) {
			t.Errorf("%q lets in %+v", body, id)
		}
		z.keeps(t, made.Text[strings.LastIndex(made.Text, ".")+1:])
	})
}

// keeps makes sure that the store does not hold a secret that was shown once.
func (z *fuzzed) keeps(t *testing.T, secret string) {
	t.Helper()
	now, err := z.snapshot()
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range now {
		if strings.Contains(value, secret) {
			t.Errorf("%s holds a secret that is shown once: %s", key, value)
		}
	}
}

// FuzzJoin: a join token that is accepted is listed with the agents, uses and time that were sent.
func FuzzJoin(f *testing.F) {
	for _, seed := range fuzzSeeds["POST /v1/joins"] {
		f.Add(seed[1])
	}
	z := newFuzzed(f)
	f.Fuzz(func(t *testing.T, body string) {
		defer z.restore(t)
		w := z.send(t, http.MethodPost, "/v1/joins", body)
		if w.Code == http.StatusBadRequest && !names(w, "for ", "uses", "agent") {
			t.Errorf("%q: the refusal names no field: %s", body, w.Body)
		}
		if w.Code != http.StatusCreated {
			return
		}
		var sent struct {
			Agent string
			Uses  int
			For   resources.Duration
		}
		var made struct{ ID, Token string }
		if err := errors.Join(json.Unmarshal([]byte(body), &sent), json.Unmarshal(w.Body.Bytes(), &made)); err != nil {
			t.Fatalf("%q was taken as %s: %v", body, w.Body, err)
		}
		var got auth.Join
		z.listed(t, "/v1/joins", "joins", "id", made.ID, &got)
		life := cmp.Or(sent.For.D(), auth.DefaultJoinLife)
		if got.Agent != sent.Agent || got.Left != cmp.Or(sent.Uses, 1) || got.Left < 1 || got.Left > auth.MaxJoinUses || got.Hash != nil ||
			got.Expires.Sub(got.Created) != life || life < 0 || life > auth.MaxJoinLife {
			t.Errorf("%q is listed as %+v", body, got)
		}
		for pattern := range strings.SplitSeq(sent.Agent, ",") { // some name can match it
			if name := strings.ReplaceAll(strings.TrimSpace(pattern), "*", "x"); sent.Agent != "" && (name == "" || strings.Trim(name, nameBytes) != "") {
				t.Errorf("%q was taken: no agent has a name as %q", body, pattern)
			}
		}
		secret, _, _ := strings.Cut(strings.TrimPrefix(made.Token, "sluice-join."+made.ID+"."), ".")
		z.keeps(t, secret)
	})
}

// nameBytes are what names of agents are made of.
const nameBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_@:+"

// FuzzSecret: a secret that is accepted is what agents get, is listed without its value, and lies sealed in the store.
func FuzzSecret(f *testing.F) {
	for _, seed := range fuzzSeeds["PUT /v1/secrets/{name}"] {
		for _, name := range []string{"other", "key", "a b", "a}${env:HOME}"} {
			f.Add(name, seed[1])
		}
	}
	z := newFuzzed(f)
	f.Fuzz(func(t *testing.T, name, body string) {
		defer z.restore(t)
		w := z.send(t, http.MethodPut, "/v1/secrets/"+url.PathEscape(name), body)
		if w.Code == http.StatusBadRequest && !names(w, "secret", "value", "resources") {
			t.Errorf("%q %q: the refusal names no field: %s", name, body, w.Body)
		}
		if w.Code != http.StatusOK {
			return
		}
		var sent struct {
			Value     string
			Resources []string
		}
		if err := json.Unmarshal([]byte(body), &sent); err != nil {
			t.Fatalf("%q was taken: %v", body, err)
		}
		var got struct {
			Name, Author string
			Resources    []string
		}
		z.listed(t, "/v1/secrets", "secrets", "name", name, &got)
		if !slices.Equal(got.Resources, sent.Resources) || got.Author != "admin.token" {
			t.Errorf("%q %q is listed as %+v", name, body, got)
		}
		var record struct{ Sealed []byte }
		now, err := z.snapshot()
		if err != nil || json.Unmarshal([]byte(now["secrets/"+name]), &record) != nil {
			t.Fatalf("%q: %v", now["secrets/"+name], err)
		}
		if value, err := z.auth.Sealer().Open("secrets/"+name, record.Sealed); err != nil || string(value) != sent.Value {
			t.Errorf("%q: %q is sealed, and opens as %q, %v", name, sent.Value, value, err)
		}
		if len(sent.Value) > 7 && (strings.Contains(w.Body.String(), sent.Value) || strings.Contains(now["secrets/"+name], sent.Value)) && !strings.Contains(name+"admin.token"+strings.Join(sent.Resources, " "), sent.Value) {
			t.Errorf("%q is in the open: %s %s", sent.Value, w.Body, now["secrets/"+name])
		}
	})
}
