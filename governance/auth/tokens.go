package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
)

// Token is a program's way in. Its secret is not kept.
type Token struct {
	ID       string     `json:"id"`
	Name     string     `json:"name"` // what it is for
	Grants   []Grant    `json:"roles"`
	Hash     []byte     `json:"hash,omitempty"` // SHA-256 of the secret
	Author   string     `json:"author"`
	Created  time.Time  `json:"created"`
	Expires  *time.Time `json:"expires,omitempty"` // nil: until it is deleted
	Revision int64      `json:"revision"`
}

// tokenPrefix begins tokens, so that scanners find those that leaked.
const tokenPrefix = "sluice-token."

// secret makes an id and a secret that nobody can guess.
func secret() (id, text string, hash []byte) {
	var i [6]byte
	var s [32]byte
	rand.Read(i[:]) // never fails: it ends the program instead
	rand.Read(s[:])
	text = base64.RawURLEncoding.EncodeToString(s[:])
	return hex.EncodeToString(i[:]), text, hashOf(text)
}

func hashOf(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// AddToken makes a token and returns it with its text, which is shown this once. life 0 means that it does not expire.
func (a *Auth) AddToken(ctx context.Context, name string, grants []Grant, life time.Duration, author string) (Token, string, error) {
	if err := checkNew(name); err != nil {
		return Token{}, "", err
	}
	if err := validateGrants(grants); err != nil {
		return Token{}, "", fmt.Errorf("token %s: %w", name, err)
	}
	if life < 0 {
		return Token{}, "", fmt.Errorf("token %s: for %s: use a time from now on, or none", name, life)
	}
	id, text, hash := secret()
	t := Token{ID: id, Name: name, Grants: grants, Hash: hash, Author: author, Created: a.now().UTC()}
	if life > 0 {
		end := t.Created.Add(life)
		t.Expires = &end
	}
	rev, err := a.put(ctx, "tokens/"+id, t, 0)
	t.Revision, t.Hash = rev, nil
	return t, tokenPrefix + id + "." + text, err
}

// Tokens lists them, without hashes.
func (a *Auth) Tokens(ctx context.Context) ([]Token, error) {
	return list[Token](ctx, a.store, "tokens/", func(t *Token, rev int64) { t.Revision, t.Hash = rev, nil })
}

// DeleteToken ends one, by its id.
func (a *Auth) DeleteToken(ctx context.Context, id string) error { return a.delete(ctx, "tokens/"+id) }

// Bearer returns who has a token. Errors are ErrUnauthorized, unless the store cannot be asked.
func (a *Auth) Bearer(ctx context.Context, text string) (*Identity, error) {
	if a.isAdminToken(text) {
		return &Identity{Name: adminName, Grants: []Grant{{Role: Admin}}}, nil
	}
	rest, ok := strings.CutPrefix(text, tokenPrefix)
	id, part, two := strings.Cut(rest, ".")
	if !ok || !two || checkName(id) != nil {
		return nil, fmt.Errorf("this token is %w: it is none of this centre", ErrUnauthorized)
	}
	t, err := get[Token](ctx, a.store, "tokens/"+id, func(t *Token, rev int64) { t.Revision = rev })
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, fmt.Errorf("this token is %w: there is none with the id %s", ErrUnauthorized, id)
	case err != nil:
		return nil, err
	case subtle.ConstantTimeCompare(t.Hash, hashOf(part)) != 1:
		return nil, fmt.Errorf("this token is %w: it is none of this centre", ErrUnauthorized)
	case t.Expires != nil && !a.now().Before(*t.Expires):
		return nil, fmt.Errorf("this token is %w: it expired %s", ErrUnauthorized, t.Expires.Format(time.RFC3339))
	}
	return &Identity{Name: "token " + t.Name, Grants: t.Grants}, nil
}
