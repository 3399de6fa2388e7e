package auth

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
)

// link is a one-time way in, kept under the hash of its code, so that any centre of the store can let its bearer in.
type link struct {
	User   string    `json:"user"`
	Grants []Grant   `json:"roles"`
	Author string    `json:"author"`
	Ends   time.Time `json:"ends"`
}

func linkKey(code string) string { return "links/" + hex.EncodeToString(hashOf(code)) }

// Link makes a code by which a user can log in once, within LinkLife, at any centre of the store. A user that does not exist is made
// with these roles when the link is used.
func (a *Auth) Link(ctx context.Context, user string, grants []Grant, author string) (code string, err error) {
	if err := checkName(user); err != nil {
		return "", err
	}
	if err := validateGrants(grants); err != nil {
		return "", err
	}
	if wrong := checkNew(user); wrong != nil {
		if _, err := a.User(ctx, user); errors.Is(err, store.ErrNotFound) {
			return "", wrong
		} else if err != nil {
			return "", err
		}
	}
	_, code, _ = secret()
	_, err = a.put(ctx, linkKey(code), link{user, grants, author, a.now().UTC().Add(LinkLife)}, 0)
	return code, err
}

// Login takes a code of Link and returns who it was for. It works once: what uses the link up and what makes a new user is one
// commit, of which one of several at the same time wins.
func (a *Auth) Login(ctx context.Context, code string) (*Identity, error) {
	key := linkKey(code)
	for {
		var at int64
		l, err := get[link](ctx, a.store, key, func(_ *link, revision int64) { at = revision })
		if errors.Is(err, store.ErrNotFound) || err == nil && !a.now().Before(l.Ends) {
			return nil, fmt.Errorf("this link is %w: it was used, is older than %s, or is of another mesh: `sluice center login` prints a new one", ErrUnauthorized, LinkLife)
		}
		if err != nil {
			return nil, err
		}
		use := store.Txn{If: []store.Cond{{Key: key, Revision: at}}, Then: []store.Op{{Key: key, Delete: true}}}
		u, err := a.User(ctx, l.User)
		if errors.Is(err, store.ErrNotFound) {
			if wrong := checkNew(l.User); wrong != nil { // it was there when the link was made
				return nil, fmt.Errorf("this link is %w: %w", ErrUnauthorized, wrong)
			}
			u = User{Name: l.User, Grants: l.Grants, Author: "login link", Changed: a.now().UTC()}
			var text []byte
			if text, err = json.Marshal(u); err == nil {
				use.If = append(use.If, store.Cond{Key: "users/" + u.Name})
				use.Then = append(use.Then, store.Op{Key: "users/" + u.Name, Value: text})
			}
		}
		if err != nil {
			return nil, err
		}
		if _, err = a.store.Commit(ctx, use); errors.Is(err, store.ErrConflict) {
			continue // somebody used it, or made the user
		}
		switch {
		case err != nil:
			return nil, err
		case u.Disabled:
			return nil, fmt.Errorf("the user %s is %w: it is disabled", u.Name, ErrUnauthorized)
		}
		return &Identity{Name: u.Name, Grants: u.Grants}, nil
	}
}
