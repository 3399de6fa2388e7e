package secrets

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/governance/store/bolt"
	"github.com/sluice-mesh/sluice/protocols/control"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mirror is a Sealer that binds a value to its place, and hides nothing but the value's letters.
type mirror struct{}

func (mirror) Seal(place string, plain []byte) []byte {
	out := slices.Clone(plain)
	slices.Reverse(out)
	return append([]byte(place+"\n"), out...)
}

func (mirror) Open(place string, sealed []byte) ([]byte, error) {
	value, ok := strings.CutPrefix(string(sealed), place+"\n")
	if !ok {
		return nil, errors.New("it was sealed elsewhere")
	}
	out := []byte(value)
	slices.Reverse(out)
	return out, nil
}

func open(t *testing.T, b store.Store) *Secrets {
	t.Helper()
	s, err := Open(t.Context(), Options{Store: b, Sealer: mirror{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func newStore(t *testing.T) store.Store {
	t.Helper()
	b, err := bolt.Open(t.TempDir(), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// until waits for what another centre's follower brings.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited 5 s for " + what)
		}
	}
}

func TestSecrets(t *testing.T) {
	b := newStore(t)
	one, other := open(t, b), open(t, b)
	told := make(chan []string, 10)
	other.OnChange(func(names []string, _ int64) { told <- names })
	ctx := t.Context()
	put := func(name, value string, patterns ...string) Secret {
		t.Helper()
		s, err := one.Put(ctx, name, []byte(value), patterns, "ana")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	put("cache-pw", "hunter2-hunter2")
	put("db.pw", "x", "orders-*", "users")
	if got := <-told; !slices.Equal(got, []string{"cache-pw"}) {
		t.Errorf("told of %v", got)
	}
	<-told
	list := other.List()
	if len(list) != 2 || list[0].Name != "cache-pw" || list[0].Author != "ana" || list[1].Resources[0] != "orders-*" {
		t.Errorf("%+v", list)
	}
	entries, _, err := b.List(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.Contains(string(e.Value), "hunter2") {
			t.Errorf("%s holds a secret in clear", e.Key)
		}
	}

	spec := []byte(`{"a":"${secret:cache-pw}","b":["${secret:db.pw}","${secret:none}","${env:X}"]}`)
	names := func(list []control.Secret) (out []string) {
		for _, s := range list {
			out = append(out, s.Name+"="+s.Value)
		}
		return out
	}
	if got := names(other.Of("orders-db", spec)); !slices.Equal(got, []string{"cache-pw=hunter2-hunter2", "db.pw=x"}) {
		t.Errorf("orders-db gets %v", got)
	}
	if got := names(other.Of("feed-db", spec)); !slices.Equal(got, []string{"cache-pw=hunter2-hunter2"}) {
		t.Errorf("feed-db gets %v", got)
	}
	if got := other.Of("feed-db", []byte(`{"a":"${env:X}"}`)); got != nil {
		t.Errorf("without references: %v", got)
	}
	for _, c := range []struct {
		resource, text string
		open           bool
		want           string
	}{
		{"orders-db", "${secret:db.pw}", false, ""},
		{"orders-db", "${secret:db.pw} ${secret:cache-pw}", true, ""},
		{"orders-db", "${secret:cache-pw}", false, "names no resources"},
		{"feed-db", "${secret:db.pw}", true, "is for orders-*, users, not for feed-db"},
		{"feed-db", "${secret:gone}", true, "there is no secret gone"},
		{"feed-db", "${env:gone}", false, ""},
	} {
		err := other.Check(c.resource, []byte(c.text), c.open)
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s for %s: %v, want %q", c.text, c.resource, err, c.want)
		}
	}

	// The same value written again is another one: who used it reads it anew.
	mark := other.Of("x", spec)[0].Mark
	put("cache-pw", "hunter2-hunter2")
	<-told
	if now := other.Of("x", spec)[0].Mark; now == mark {
		t.Error("a value that was set anew has the same mark")
	}
	if err := one.Delete(ctx, "db.pw"); err != nil {
		t.Error(err)
	}
	if err := one.Delete(ctx, "db.pw"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a second time: %v", err)
	}
	until(t, "the secret to be gone", func() bool { return len(other.List()) == 1 })
	if again := open(t, b); len(again.List()) != 1 || len(again.Of("x", spec)) != 1 {
		t.Errorf("read anew: %+v", again.List())
	}
}

func TestBadSecrets(t *testing.T) {
	b := newStore(t)
	s := open(t, b)
	for name, f := range map[string]func() error{
		"a name":     func() error { _, err := s.Put(t.Context(), "a b", []byte("x"), nil, "ana"); return err },
		"no value":   func() error { _, err := s.Put(t.Context(), "a", nil, nil, "ana"); return err },
		"no pattern": func() error { _, err := s.Put(t.Context(), "a", []byte("x"), []string{""}, "ana"); return err },
		"too long":   func() error { _, err := s.Put(t.Context(), "a", make([]byte, maxValue+1), nil, "ana"); return err },
	} {
		if err := f(); err == nil || strings.Contains(err.Error(), "\x00") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What cannot be opened is shown, and nobody gets it.
	if _, err := b.Commit(t.Context(), store.Txn{Then: []store.Op{{Key: prefix + "moved", Value: []byte(`{"sealed":"c2VjcmV0cy9vdGhlcgp4","mark":"m"}`)}}}); err != nil {
		t.Fatal(err)
	}
	until(t, "the record", func() bool { return len(s.List()) == 1 })
	if got := s.Of("x", []byte("${secret:moved}")); got != nil {
		t.Errorf("a value that was sealed elsewhere: %v", got)
	}
}
