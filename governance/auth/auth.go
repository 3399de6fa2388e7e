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

	joining chan struct{} // holds one while the use of a join token goes on record
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
	a := &Auth{store: o.Store, now: o.Now, seal: seal, joining: make(chan struct{}, 1)}
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
