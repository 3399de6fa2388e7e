package auth

import (
	"context"
	"fmt"
	"time"
)

// Secret is a credential of a resource. Its value is written and never shown.
type Secret struct {
	Name     string    `json:"name"`
	Sealed   []byte    `json:"sealed,omitempty"`
	Author   string    `json:"author"`
	Changed  time.Time `json:"changed"`
	Revision int64     `json:"revision"`
}

// maxSecret bounds a value, in bytes.
const maxSecret = 64 << 10

// PutSecret keeps a value under a name, in place of the one before.
func (a *Auth) PutSecret(ctx context.Context, name string, value []byte, author string) (Secret, error) {
	if err := checkName(name); err != nil {
		return Secret{}, err
	}
	if len(value) == 0 || len(value) > maxSecret {
		return Secret{}, fmt.Errorf("secret %s: a value has 1 to %d bytes", name, maxSecret)
	}
	key := "secrets/" + name
	s := Secret{Name: name, Sealed: a.seal.Seal(key, value), Author: author, Changed: a.now().UTC()}
	rev, err := a.put(ctx, key, s, -1)
	s.Sealed, s.Revision = nil, rev
	return s, err
}

// Secrets lists them without values.
func (a *Auth) Secrets(ctx context.Context) ([]Secret, error) {
	return list[Secret](ctx, a.store, "secrets/", func(s *Secret, rev int64) { s.Sealed, s.Revision = nil, rev })
}

// DeleteSecret forgets a value.
func (a *Auth) DeleteSecret(ctx context.Context, name string) error {
	return a.delete(ctx, "secrets/"+name)
}
