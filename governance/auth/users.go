package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
)

// User is a person.
type User struct {
	Name     string    `json:"name"`
	Grants   []Grant   `json:"roles"`
	Disabled bool      `json:"disabled,omitempty"`
	Author   string    `json:"author"`
	Changed  time.Time `json:"changed"`
	Revision int64     `json:"revision"` // of the store; given back by Put's condition
}

// PutUser makes or changes a user. expect is the revision that it must have, 0 that it must not exist, -1 whatever it is. One whose name
// is reserved may be changed if it is there from before names were, but not be made.
func (a *Auth) PutUser(ctx context.Context, u User, expect int64) (User, error) {
	if err := checkName(u.Name); err != nil {
		return u, err
	}
	if wrong := checkNew(u.Name); wrong != nil {
		old, err := a.User(ctx, u.Name)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return u, wrong
		case err != nil:
			return u, err
		case expect < 0:
			expect = old.Revision // if it is deleted meanwhile, this must not make it anew
		}
	}
	if err := validateGrants(u.Grants); err != nil {
		return u, fmt.Errorf("user %s: %w", u.Name, err)
	}
	u.Changed, u.Revision = a.now().UTC(), 0
	rev, err := a.put(ctx, "users/"+u.Name, u, expect)
	u.Revision = rev
	return u, err
}

// User returns one user, or store.ErrNotFound.
func (a *Auth) User(ctx context.Context, name string) (User, error) {
	return get[User](ctx, a.store, "users/"+name, func(u *User, rev int64) { u.Revision = rev })
}

// Users lists them by name.
func (a *Auth) Users(ctx context.Context) ([]User, error) {
	return list[User](ctx, a.store, "users/", func(u *User, rev int64) { u.Revision = rev })
}

// DeleteUser removes a user; sessions end with it.
func (a *Auth) DeleteUser(ctx context.Context, name string) error {
	return a.delete(ctx, "users/"+name)
}

// put writes a value under a condition; see PutUser for expect.
func (a *Auth) put(ctx context.Context, key string, value any, expect int64) (int64, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", key, err)
	}
	t := store.Txn{Then: []store.Op{{Key: key, Value: data}}}
	if expect >= 0 {
		t.If = []store.Cond{{Key: key, Revision: expect}}
	}
	return a.store.Commit(ctx, t)
}

func (a *Auth) delete(ctx context.Context, key string) error {
	e, err := a.store.Get(ctx, key)
	if err != nil {
		return err
	}
	_, err = a.store.Commit(ctx, store.Txn{If: []store.Cond{{Key: key, Revision: e.Revision}}, Then: []store.Op{{Key: key, Delete: true}}})
	return err
}

func get[T any](ctx context.Context, s store.Store, key string, with func(*T, int64)) (T, error) {
	var v T
	e, err := s.Get(ctx, key)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(e.Value, &v); err != nil {
		return v, fmt.Errorf("%s cannot be read: %w", key, err)
	}
	with(&v, e.Revision)
	return v, nil
}

// list reads all values under a prefix. One that cannot be read makes an error beside those that can.
func list[T any](ctx context.Context, s store.Store, prefix string, with func(*T, int64)) ([]T, error) {
	entries, _, err := s.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	out := make([]T, 0, len(entries))
	var broken []error
	for _, e := range entries {
		var v T
		if err := json.Unmarshal(e.Value, &v); err != nil {
			broken = append(broken, fmt.Errorf("%s cannot be read: %w", e.Key, err))
			continue
		}
		with(&v, e.Revision)
		out = append(out, v)
	}
	return out, errors.Join(broken...)
}
