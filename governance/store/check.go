package store

import (
	"fmt"
	"strings"
)

// MaxTxn is how many bytes the keys and values of a Txn may have together. It is below etcd's default limit of a request,
// 1.5 MiB, by what etcd adds to a key.
const MaxTxn = 5 << 18

// The keys of the stores themselves: their identity and who leads. They cannot be changed with Commit and are not seen with
// Get, List and Watch; a condition may name a leader's, because Leadership.Guard does.
const (
	metaPrefix   = "meta/"
	LeaderPrefix = "leaders/"
)

// Internal reports whether a key is the store's own.
func Internal(key string) bool {
	return strings.HasPrefix(key, metaPrefix) || strings.HasPrefix(key, LeaderPrefix)
}

// CheckKey returns what is wrong with a key.
func CheckKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("a key is empty")
	case len(key) > MaxKey:
		return fmt.Errorf("key %.40q... has %d bytes: %d are allowed", key, len(key), MaxKey)
	case key[0] == '/':
		return fmt.Errorf("key %q begins with a slash: write %q", key, strings.TrimLeft(key, "/"))
	}
	return nil
}

// CheckPrefix returns what is wrong with the prefix of a List or a Watch. The empty one stands for all keys.
func CheckPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	if err := CheckKey(prefix); err != nil {
		return fmt.Errorf("prefix: %w", err)
	}
	return nil
}

// CheckName returns what is wrong with the name of a leadership, or of who wants it.
func CheckName(what, name string) error {
	if name == "" || len(name) > MaxKey/4 || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("%s is %.40q: 1 to %d bytes without slash are allowed", what, name, MaxKey/4)
	}
	return nil
}

// Check returns what is wrong with a Txn, whatever the store holds.
func (t Txn) Check() error {
	if n := len(t.If) + len(t.Then); n == 0 {
		return fmt.Errorf("a transaction has no condition and no change")
	} else if n > MaxChanges {
		return fmt.Errorf("a transaction has %d conditions and changes: %d are allowed", n, MaxChanges)
	}
	size := 0
	for _, c := range t.If {
		if err := CheckKey(c.Key); err != nil {
			return fmt.Errorf("condition: %w", err)
		}
		if c.Revision < 0 {
			return fmt.Errorf("condition on %s: revision %d is negative", c.Key, c.Revision)
		}
		size += len(c.Key)
	}
	seen := make(map[string]bool, len(t.Then))
	for _, op := range t.Then {
		if err := CheckKey(op.Key); err != nil {
			return err
		}
		switch {
		case Internal(op.Key):
			return fmt.Errorf("key %s is the store's own: %s and %s are", op.Key, metaPrefix, LeaderPrefix)
		case seen[op.Key]:
			return fmt.Errorf("%s is changed twice in a transaction", op.Key)
		case op.Delete && len(op.Value) > 0:
			return fmt.Errorf("%s is deleted and has a value", op.Key)
		case len(op.Value) > MaxValue:
			return fmt.Errorf("the value of %s has %d bytes: %d are allowed", op.Key, len(op.Value), MaxValue)
		}
		seen[op.Key] = true
		size += len(op.Key) + len(op.Value)
	}
	if size > MaxTxn {
		return fmt.Errorf("a transaction has %d bytes: %d are allowed", size, MaxTxn)
	}
	return nil
}

// Holds compares a condition with the revision of its key, 0 when there is none.
func (c Cond) Holds(have int64) error {
	if c.Revision == have {
		return nil
	}
	return &ConflictError{Key: c.Key, Want: c.Revision, Have: have}
}
