package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
)

// Options say where things are.
type Options struct {
	Store store.Store
	Dir   string // the centre's own folder: seal.key and admin.token
	Now   func() time.Time
}

// Auth answers who may do what. Its methods may be called from any goroutine.
type Auth struct {
	store store.Store
	now   func() time.Time
	seal  *Sealer
	ca    *CA
	key   []byte // of cookies
	admin []byte // hash of admin.token

	mu    sync.Mutex
	links map[string]link // by hash of the code; guarded by mu
}

// link is a one-time way in.
type link struct {
	user   string
	grants []Grant
	ends   time.Time
}

// Open loads what is there and makes what is not.
func Open(ctx context.Context, o Options) (*Auth, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	seal, _, err := LoadSealer(filepath.Join(o.Dir, "seal.key"))
	if err != nil {
		return nil, err
	}
	a := &Auth{store: o.Store, now: o.Now, seal: seal, links: make(map[string]link)}
	if a.ca, err = LoadCA(ctx, o.Store, seal, o.Now); err != nil {
		return nil, err
	}
	if a.key, err = loadSessionKey(ctx, o.Store, seal); err != nil {
		return nil, err
	}
	token, err := adminToken(filepath.Join(o.Dir, "admin.token"))
	if err != nil {
		return nil, err
	}
	a.admin = hashOf(token)
	return a, nil
}

// Sealer returns what encrypts what the store must not show.
func (a *Auth) Sealer() *Sealer { return a.seal }

// CA returns the mesh's authority.
func (a *Auth) CA() *CA { return a.ca }

// adminToken reads the token of whoever can read the centre's folder, or makes it: 64 characters, mode 0600.
func adminToken(file string) (string, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		var b [48]byte
		rand.Read(b[:]) // never fails: it ends the program instead
		token := base64.RawURLEncoding.EncodeToString(b[:])
		if err := writeNew(file, []byte(token+"\n")); err != nil {
			return "", fmt.Errorf("admin token: %w", err)
		}
		return token, nil
	}
	if err != nil {
		return "", fmt.Errorf("admin token: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if len(token) < 32 {
		return "", fmt.Errorf("admin token: %s holds %d characters, fewer than 32: delete it to get a new one", file, len(token))
	}
	return token, nil
}

func (a *Auth) isAdminToken(text string) bool {
	return subtle.ConstantTimeCompare(a.admin, hashOf(text)) == 1
}

// Link makes a code by which a user can log in once, within LinkLife, at this centre. A user that does not exist is made with
// these roles when the link is used.
func (a *Auth) Link(user string, grants []Grant) (code string, err error) {
	if err := checkName(user); err != nil {
		return "", err
	}
	if err := validateGrants(grants); err != nil {
		return "", err
	}
	_, code, hash := secret()
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for h, l := range a.links {
		if now.After(l.ends) {
			delete(a.links, h)
		}
	}
	a.links[string(hash)] = link{user, grants, now.Add(LinkLife)}
	return code, nil
}

// Login takes a code of Link and returns who it was for. It works once.
func (a *Auth) Login(ctx context.Context, code string) (*Identity, error) {
	hash := string(hashOf(code))
	a.mu.Lock()
	l, ok := a.links[hash]
	delete(a.links, hash)
	a.mu.Unlock()
	if !ok || !a.now().Before(l.ends) {
		return nil, fmt.Errorf("this link is %w: it was used, is older than %s, or is of another centre: `sluice center login` prints a new one", ErrUnauthorized, LinkLife)
	}
	u, err := a.User(ctx, l.user)
	if errors.Is(err, store.ErrNotFound) {
		u, err = a.PutUser(ctx, User{Name: l.user, Grants: l.grants, Author: "login link"}, 0)
		if errors.Is(err, store.ErrConflict) {
			u, err = a.User(ctx, l.user)
		}
	}
	switch {
	case err != nil:
		return nil, err
	case u.Disabled:
		return nil, fmt.Errorf("the user %s is %w: it is disabled", u.Name, ErrUnauthorized)
	}
	return &Identity{Name: u.Name, Grants: u.Grants}, nil
}
