package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
)

// Times of a login.
const (
	SessionLife = 12 * time.Hour
	LinkLife    = 15 * time.Minute
)

const sessionKey = "ca/session"

// session is what a cookie says.
type session struct {
	ID     string    `json:"i"`
	User   string    `json:"u"`
	Issued time.Time `json:"t"`
	Grants []Grant   `json:"g,omitempty"` // of a person that only the identity provider knows
}

// loadSessionKey returns the key of cookies, made on the first start.
func loadSessionKey(ctx context.Context, s store.Store, seal *Sealer) ([]byte, error) {
	for {
		e, err := s.Get(ctx, sessionKey)
		if err == nil {
			return seal.Open(sessionKey, e.Value)
		}
		if !errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("session key: %w", err)
		}
		key := make([]byte, 32)
		rand.Read(key) // never fails: it ends the program instead
		_, err = s.Commit(ctx, store.Txn{If: []store.Cond{{Key: sessionKey}}, Then: []store.Op{{Key: sessionKey, Value: seal.Seal(sessionKey, key)}}})
		if err != nil && !errors.Is(err, store.ErrConflict) {
			return nil, fmt.Errorf("session key: %w", err)
		}
	}
}

// Session returns the value of a cookie for a user. grants are for one whom only the identity provider knows; else nil.
func (a *Auth) Session(user string, grants []Grant) (cookie string, expires time.Time) {
	id, _, _ := secret()
	s := session{ID: id, User: user, Issued: a.now().UTC(), Grants: grants}
	data, _ := json.Marshal(s) // plain fields
	text := base64.RawURLEncoding.EncodeToString(data)
	return text + "." + a.mac("session", text), s.Issued.Add(SessionLife)
}

// mac signs a text for one use, so that what was signed for another is not accepted.
func (a *Auth) mac(use, text string) string {
	h := hmac.New(sha256.New, a.key)
	h.Write([]byte(use + "\n" + text))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// open returns what was signed.
func (a *Auth) open(use, signed string, into any) error {
	text, mac, ok := strings.Cut(signed, ".")
	if !ok || subtle.ConstantTimeCompare([]byte(mac), []byte(a.mac(use, text))) != 1 {
		return fmt.Errorf("this %s is %w: its signature is not ours", use, ErrUnauthorized)
	}
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		return fmt.Errorf("this %s is %w: it cannot be read", use, ErrUnauthorized)
	}
	return nil
}

// Cookie returns who has a cookie. The user's roles are read anew each time, so that a change holds at once.
func (a *Auth) Cookie(ctx context.Context, cookie string) (*Identity, error) {
	var s session
	if err := a.open("session", cookie, &s); err != nil {
		return nil, err
	}
	if now := a.now(); now.Sub(s.Issued) >= SessionLife || now.Before(s.Issued.Add(-backdate)) {
		return nil, fmt.Errorf("this session is %w: it is over", ErrUnauthorized)
	}
	if _, err := a.store.Get(ctx, "sessions/"+s.ID); err == nil {
		return nil, fmt.Errorf("this session is %w: its user logged out", ErrUnauthorized)
	} else if !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	u, err := a.User(ctx, s.User)
	switch {
	case errors.Is(err, store.ErrNotFound) && s.Grants != nil:
		if err := checkNew(s.User); err != nil { // the provider's, from before names were reserved
			return nil, fmt.Errorf("this session is %w: %w", ErrUnauthorized, err)
		}
		return &Identity{Name: s.User, Grants: s.Grants}, nil
	case errors.Is(err, store.ErrNotFound):
		return nil, fmt.Errorf("this session is %w: there is no user %s any more", ErrUnauthorized, s.User)
	case err != nil:
		return nil, err
	case u.Disabled:
		return nil, fmt.Errorf("this session is %w: the user %s is disabled", ErrUnauthorized, s.User)
	}
	return &Identity{Name: u.Name, Grants: u.Grants}, nil
}

// ended marks a session whose user logged out.
type ended struct {
	User string    `json:"user"`
	Over time.Time `json:"over"` // when the cookie would have ended by itself
}

// Logout ends a session before its time, at all centres.
func (a *Auth) Logout(ctx context.Context, cookie string) error {
	var s session
	if err := a.open("session", cookie, &s); err != nil {
		return err
	}
	_, err := a.put(ctx, "sessions/"+s.ID, ended{s.User, s.Issued.Add(SessionLife)}, -1)
	return err
}

// Sweep forgets what is over: logouts of sessions that have ended by themselves, login links, join tokens and tokens past their time. The
// centre that leads calls it now and then.
func (a *Auth) Sweep(ctx context.Context) error {
	now := a.now()
	return errors.Join(
		sweep(ctx, a.store, "sessions/", func(e ended) bool { return !now.Before(e.Over) }),
		sweep(ctx, a.store, "links/", func(l link) bool { return !now.Before(l.Ends) }),
		sweep(ctx, a.store, "joins/", func(j Join) bool { return !now.Before(j.Expires) || j.Left <= 0 }),
		sweep(ctx, a.store, "tokens/", func(t Token) bool { return t.Expires != nil && !now.Before(*t.Expires) }),
	)
}

func sweep[T any](ctx context.Context, s store.Store, prefix string, over func(T) bool) error {
	entries, _, err := s.List(ctx, prefix)
	if err != nil {
		return err
	}
	for _, e := range entries {
		var v T
		if json.Unmarshal(e.Value, &v) != nil || !over(v) {
			continue
		}
		_, err := s.Commit(ctx, store.Txn{If: []store.Cond{{Key: e.Key, Revision: e.Revision}}, Then: []store.Op{{Key: e.Key, Delete: true}}})
		if err != nil && !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return nil
}
