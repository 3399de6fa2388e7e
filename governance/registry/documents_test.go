package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/resources"
)

func TestPutAndGet(t *testing.T) {
	r := open(t, newStore(t))
	d := put(t, r, "feed-cache", feed)
	if d.Version != 1 || d.Revision == 0 || d.Kind != "redis" || d.Labels["team"] != "feed" || d.Author != "ana" || d.Why != "test" {
		t.Errorf("%+v", d)
	}
	got, err := r.Get("feed-cache")
	if err != nil || string(got.Text) != feed || got.Revision != d.Revision || r.Revision() != d.Revision {
		t.Errorf("%+v, %v", got, err)
	}
	if strings.Contains(string(got.Spec), `"listen"`) || !strings.Contains(string(got.Spec), `"timeout":"250ms"`) {
		t.Errorf("spec %s", got.Spec)
	}
	if s := spec(t, r, "feed-cache"); s.Policy.Failover.Tries != 2 || len(s.Groups["yf"].Endpoints) != 2 {
		t.Errorf("%+v", s)
	}
	listens := put(t, r, "other", `{"kind": "redis", "listen": "127.0.0.1:6390", "groups": {"yf": {"endpoints": ["10.0.0.1:6379"]}}}`)
	if !strings.Contains(string(listens.Spec), `"listen":["127.0.0.1:6390"]`) {
		t.Errorf("listen is lost: %s", listens.Spec)
	}
	if same := put(t, r, "feed-cache", feed); same.Revision != d.Revision || same.Version != 1 {
		t.Errorf("the same text made a new version: %+v", same)
	}
	if l := r.List(); len(l) != 2 || l[0].Name != "feed-cache" || l[1].Name != "other" {
		t.Errorf("%+v", l)
	}
	o, ok := r.Outline("feed-cache")
	want := Outline{Name: "feed-cache", Kind: "redis", Labels: map[string]string{"team": "feed"},
		Groups: []GroupOutline{{"tc", "tc", 0, 1}, {"yf", "yf", 100, 2}}}
	if !ok || fmt.Sprint(o) != fmt.Sprint(want) || len(r.Outlines()) != 2 {
		t.Errorf("%+v", o)
	}
	if _, err := r.Get("nobody"); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	r := open(t, newStore(t))
	seen := put(t, r, "feed-cache", feed).Revision
	for _, c := range []struct {
		name string
		do   func() error
		want string
	}{
		{"bad field", func() error {
			_, err := r.Put(t.Context(), Edit{Name: "a", Author: "ana", Data: []byte("kind: redis\ngroups:\n  yf: { endpoints: [\"10.0.0.1:0\"] }\n")})
			return err
		}, `a:3:21: groups.yf.endpoints[0]: "10.0.0.1:0"`},
		{"bad field beside what may be left out", func() error {
			_, err := r.Put(t.Context(), Edit{Name: "a", Author: "ana", Data: []byte("kind: redis\npolicy: { timeout: 5 }\n")})
			return err
		}, `a:2:20: policy.timeout`},
		{"literal secret", func() error {
			_, err := r.Put(t.Context(), Edit{Name: "a", Author: "ana", Data: []byte("kind: redis\nsettings: { password: hunter2 }\ngroups: { yf: { endpoints: [\"10.0.0.1:1\"] } }\n")})
			return err
		}, "a secret must be a reference"},
		{"no author", func() error { _, err := r.Put(t.Context(), Edit{Name: "a", Data: []byte(feed)}); return err }, "needs an author"},
		{"bad name", func() error {
			_, err := r.Put(t.Context(), Edit{Name: "a/b", Author: "ana", Data: []byte(feed)})
			return err
		}, `"a/b" is no name for a resource`},
		{"empty", func() error {
			_, err := r.Put(t.Context(), Edit{Name: "a", Author: "ana", Data: []byte(" \n")})
			return err
		}, "the document is empty"},
		{"no UTF-8", func() error {
			_, err := r.Put(t.Context(), Edit{Name: "a", Author: "ana", Data: []byte("kind: \xff")})
			return err
		}, "not UTF-8"},
		{"too long", func() error {
			_, err := r.Put(t.Context(), Edit{Name: "a", Author: "ana", Data: []byte(feed + strings.Repeat("# x\n", maxText/4))})
			return err
		}, "the limit is"},
		{"stale", func() error {
			old := seen + 1
			_, err := r.Put(t.Context(), Edit{Name: "feed-cache", Author: "ana", Data: []byte("kind: motan2"), If: &old})
			return err
		}, "changed meanwhile"},
		{"exists", func() error {
			none := int64(0)
			_, err := r.Put(t.Context(), Edit{Name: "feed-cache", Author: "ana", Data: []byte("kind: motan2"), If: &none})
			return err
		}, "exists already"},
		{"patch of nothing", func() error {
			_, err := r.Patch(t.Context(), Edit{Name: "a", Author: "ana", Data: []byte("{}")})
			return err
		}, "not found"},
		{"patch that is no map", func() error {
			_, err := r.Patch(t.Context(), Edit{Name: "feed-cache", Author: "ana", Data: []byte("[]")})
			return err
		}, "the patch is not a map"},
		{"patch that is not valid", func() error {
			_, err := r.Patch(t.Context(), Edit{Name: "feed-cache", Author: "ana", Data: []byte(`{"policy": {"timeout": "1y"}}`)})
			return err
		}, `"1y" is not a duration`},
		{"delete nothing", func() error { _, err := r.Delete(t.Context(), "a", "ana", "", nil); return err }, "not found"},
		{"version", func() error { _, err := r.Revert(t.Context(), "feed-cache", 7, "ana", ""); return err }, "has no version 7"},
		{"group", func() error {
			_, err := r.AddEndpoint(t.Context(), "feed-cache", "gz", resources.EndpointSpec{Address: "10.0.0.9:1"}, "ana", "", nil)
			return err
		}, `there is no group "gz": there are tc, yf`},
		{"endpoint twice", func() error {
			_, err := r.AddEndpoint(t.Context(), "feed-cache", "yf", resources.EndpointSpec{Address: "10.0.0.2:6379"}, "ana", "", nil)
			return err
		}, "has the endpoint 10.0.0.2:6379 already"},
		{"endpoint that is not there", func() error {
			_, err := r.SetEndpoint(t.Context(), "feed-cache", "yf", resources.EndpointSpec{Address: "10.0.0.9:6379"}, "ana", "", nil)
			return err
		}, "it has 10.0.0.1:6379, 10.0.0.2:6379"},
		{"last endpoint", func() error {
			_, err := r.RemoveEndpoint(t.Context(), "feed-cache", "tc", resources.EndpointSpec{Address: "10.1.0.1:6379"}, "ana", "", nil)
			return err
		}, "remove the group instead"},
		{"bad endpoint", func() error {
			_, err := r.AddEndpoint(t.Context(), "feed-cache", "tc", resources.EndpointSpec{Address: "10.1.0.1"}, "ana", "", nil)
			return err
		}, `"10.1.0.1" is not an address`},
	} {
		if err := c.do(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if got, err := r.Get("feed-cache"); err != nil || got.Revision != seen {
		t.Errorf("a refusal changed something: %+v, %v", got, err)
	}
}

func TestHistoryAndRevert(t *testing.T) {
	r := open(t, newStore(t))
	put(t, r, "feed-cache", feed)
	second := strings.Replace(feed, "250ms", "500ms", 1)
	put(t, r, "feed-cache", second)
	del, err := r.Delete(t.Context(), "feed-cache", "ben", "not used", nil)
	if err != nil || del.Version != 3 || !del.Deleted {
		t.Fatalf("%+v, %v", del, err)
	}
	if _, err := r.Get("feed-cache"); !errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), "deleted by ben") {
		t.Errorf("%v", err)
	}
	if _, _, _, ok := r.Effective("feed-cache"); ok || len(r.List()) != 0 || len(r.Deleted()) != 1 {
		t.Error("what was deleted is still served")
	}
	if _, err := r.Revert(t.Context(), "feed-cache", 3, "ben", ""); err == nil || !strings.Contains(err.Error(), "is a deletion") {
		t.Error(err)
	}
	back, err := r.Revert(t.Context(), "feed-cache", 1, "ana", "")
	if err != nil || back.Version != 4 || string(back.Text) != feed || back.Why != "back to version 1" || len(r.Deleted()) != 0 {
		t.Fatalf("%+v, %v", back, err)
	}
	history, err := r.History(t.Context(), "feed-cache")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range history {
		got = append(got, fmt.Sprintf("%d %s %v", v.Version, v.Author, v.Deleted))
	}
	if want := []string{"4 ana false", "3 ben true", "2 ana false", "1 ana false"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if at, err := r.At(t.Context(), "feed-cache", 2); err != nil || string(at.Text) != second || !strings.Contains(string(at.Spec), "500ms") {
		t.Errorf("%+v, %v", at, err)
	}
	none := int64(0)
	if _, err := r.Put(t.Context(), Edit{Name: "feed-cache", Data: []byte(second), Author: "ana", If: &none}); !errors.Is(err, store.ErrConflict) {
		t.Error(err)
	}
}

func TestVersionsAreBounded(t *testing.T) {
	r := open(t, newStore(t))
	const n = keptOf + 3
	for i := range n {
		put(t, r, "feed-cache", fmt.Sprintf("%s# %d\n", feed, i))
	}
	history, err := r.History(t.Context(), "feed-cache")
	if err != nil || len(history) != keptOf || history[0].Version != n || history[keptOf-1].Version != 4 {
		t.Fatalf("%d versions, %v", len(history), err)
	}
}

func TestDeletedMayBeMadeAnew(t *testing.T) {
	r := open(t, newStore(t))
	put(t, r, "feed-cache", feed)
	if _, err := r.Delete(t.Context(), "feed-cache", "ana", "", nil); err != nil {
		t.Fatal(err)
	}
	none := int64(0)
	d, err := r.Put(t.Context(), Edit{Name: "feed-cache", Data: []byte(feed), Author: "ana", If: &none})
	if err != nil || d.Version != 3 {
		t.Fatalf("%+v, %v", d, err)
	}
}

func TestPatchKeepsWhatIsWritten(t *testing.T) {
	r := open(t, newStore(t))
	put(t, r, "feed-cache", feed)
	d, err := r.Patch(t.Context(), Edit{Name: "feed-cache", Author: "ana",
		Data: []byte(`{"policy": {"timeout": null, "balance": "hash"}, "groups": {"tc": {"weight": 10}}}`)})
	if err != nil {
		t.Fatal(err)
	}
	const want = `# the cache of the feed
kind: redis # as it is
labels:
  team: feed
groups:
  yf: # the old one
    weight: 100
    endpoints:
      - 10.0.0.1:6379 # first
      # before the second
      - address: 10.0.0.2:6379
        weight: 50
  tc:
    weight: 10
    endpoints:
      - 10.1.0.1:6379
policy:
  balance: hash
`
	if string(d.Text) != want {
		t.Errorf("%s", UnifiedText([]byte(want), d.Text))
	}
	if same, err := r.Patch(t.Context(), Edit{Name: "feed-cache", Author: "ana", Data: []byte(`{"policy": {"balance": "hash"}}`)}); err != nil || same.Version != d.Version {
		t.Errorf("a patch that changes nothing made version %d, %v", same.Version, err)
	}
	js := put(t, r, "json", `{"kind":"redis","groups":{"yf":{"endpoints":["10.0.0.1:6379"]}},"settings":{"db":3}}`)
	js, err = r.Patch(t.Context(), Edit{Name: js.Name, Author: "ana", Data: []byte(`{"labels": {"a": "<b>"}, "settings": null}`)})
	if err != nil {
		t.Fatal(err)
	}
	const wantJSON = `{
  "kind": "redis",
  "groups": {
    "yf": {
      "endpoints": [
        "10.0.0.1:6379"
      ]
    }
  },
  "labels": {
    "a": "<b>"
  }
}
`
	if string(js.Text) != wantJSON {
		t.Errorf("%s", UnifiedText([]byte(wantJSON), js.Text))
	}
}

func TestEditGroupsAndEndpoints(t *testing.T) {
	r := open(t, newStore(t))
	ctx := t.Context()
	put(t, r, "feed-cache", feed)
	five, zero := 5, 0
	steps := []func() (Doc, error){
		func() (Doc, error) {
			return r.AddEndpoint(ctx, "feed-cache", "yf", resources.EndpointSpec{Address: "10.0.0.3:6379", Role: "replica", Weight: &five}, "ana", "", nil)
		},
		func() (Doc, error) {
			return r.SetEndpoint(ctx, "feed-cache", "yf", resources.EndpointSpec{Address: "10.0.0.2:6379"}, "ana", "", nil)
		},
		func() (Doc, error) {
			return r.RemoveEndpoint(ctx, "feed-cache", "yf", resources.EndpointSpec{Address: "10.0.0.1:6379"}, "ana", "", nil)
		},
		func() (Doc, error) {
			return r.AddGroup(ctx, "feed-cache", "gz", resources.Group{IDC: "gz1", Weight: &zero, Endpoints: []resources.EndpointSpec{{Address: "10.2.0.1:6379"}}}, "ana", "", nil)
		},
		func() (Doc, error) {
			return r.SetGroup(ctx, "feed-cache", "yf", resources.Group{IDC: "yf1", Weight: &five}, "ana", "", nil)
		},
		func() (Doc, error) { return r.RemoveGroup(ctx, "feed-cache", "tc", "ana", "", nil) },
	}
	var d Doc
	var err error
	for i, step := range steps {
		if d, err = step(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	const want = `# the cache of the feed
kind: redis # as it is
labels:
  team: feed
groups:
  yf: # the old one
    weight: 5
    endpoints:
      # before the second
      - 10.0.0.2:6379
      - address: 10.0.0.3:6379
        role: replica
        weight: 5
    idc: yf1
  gz:
    idc: gz1
    weight: 0
    endpoints:
      - 10.2.0.1:6379
policy:
  timeout: 250ms # short
`
	if string(d.Text) != want {
		t.Errorf("%s", UnifiedText([]byte(want), d.Text))
	}
}

func TestTwoOperatorsAtOnce(t *testing.T) {
	r := open(t, newStore(t))
	seen := put(t, r, "feed-cache", feed).Revision
	errs := make(chan error, 2)
	for _, ms := range []string{"1ms", "2ms"} {
		go func() {
			_, err := r.Put(context.Background(), Edit{Name: "feed-cache", Author: "ana", If: &seen,
				Data: []byte(strings.Replace(feed, "250ms", ms, 1))})
			errs <- err
		}()
	}
	a, b := <-errs, <-errs
	if (a == nil) == (b == nil) || !errors.Is(errors.Join(a, b), store.ErrConflict) {
		t.Errorf("one of two must lose: %v, %v", a, b)
	}
}

// Two centres on one store: without If nobody's endpoint is lost, and both centres come to the same.
func TestEditorsOnTwoCentres(t *testing.T) {
	s := newStore(t)
	centres := []*Registry{open(t, s), open(t, s)}
	put(t, centres[0], "feed-cache", feed)
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			e := resources.EndpointSpec{Address: fmt.Sprintf("10.9.0.%d:1", i)}
			if _, err := centres[i%2].AddEndpoint(context.Background(), "feed-cache", "yf", e, "ana", "", nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	eventually(t, "both centres have the same", func() bool {
		a, _ := centres[0].Get("feed-cache")
		b, _ := centres[1].Get("feed-cache")
		return a.Revision == b.Revision && string(a.Text) == string(b.Text)
	})
	if n := len(addresses(t, centres[1], "feed-cache", "yf")); n != 14 {
		t.Errorf("%d endpoints", n)
	}
}

func TestWatchThatBreaks(t *testing.T) {
	s := newStore(t)
	here, there := open(t, s), open(t, s)
	put(t, here, "feed-cache", feed)
	put(t, here, "gone", feed)
	eventually(t, "the other centre sees it", func() bool { _, err := there.Get("gone"); return err == nil })
	s.BreakWatches()
	if _, err := here.Delete(t.Context(), "gone", "ana", "", nil); err != nil {
		t.Fatal(err)
	}
	put(t, here, "new", feed)
	for _, r := range []*Registry{here, there} {
		eventually(t, "it sees what changed while the watch was broken", func() bool {
			_, gone := r.Get("gone")
			_, err := r.Get("new")
			return errors.Is(gone, store.ErrNotFound) && err == nil
		})
	}
	put(t, here, "later", feed)
	eventually(t, "the new watch works", func() bool { _, err := there.Get("later"); return err == nil })
}

func TestRestart(t *testing.T) {
	s := newStore(t)
	r := open(t, s)
	put(t, r, "a", feed)
	put(t, r, "b", feed)
	if _, err := r.Delete(t.Context(), "b", "ana", "", nil); err != nil {
		t.Fatal(err)
	}
	before, hash, _, _ := r.Effective("a")
	r.Close()
	r = open(t, s)
	after, again, _, ok := r.Effective("a")
	if !ok || hash != again || string(before) != string(after) || len(r.List()) != 1 || len(r.Deleted()) != 1 {
		t.Errorf("%s %s", hash, again)
	}
}

func TestStoreHoldsWhatThisCentreCannotRead(t *testing.T) {
	s := newStore(t)
	r := open(t, s)
	put(t, r, "feed-cache", feed)
	_, hash, _, _ := r.Effective("feed-cache")
	value, err := encode("test", record{Version: 2, Text: "kind: redis9\ngroups: {}\n", Author: "ben"})
	if err != nil {
		t.Fatal(err)
	}
	commit(t, s, "resources/feed-cache", value)
	commit(t, s, "resources/broken", []byte("{"))
	eventually(t, "both are seen", func() bool { return len(r.List()) == 2 })
	d, err := r.Get("feed-cache")
	if err != nil || !strings.Contains(d.Problem, "redis9") || d.Version != 2 {
		t.Errorf("%+v, %v", d, err)
	}
	if _, again, _, ok := r.Effective("feed-cache"); !ok || again != hash {
		t.Error("the last good spec was given up")
	}
	if o, _ := r.Outline("feed-cache"); o.Problem == "" || len(o.Groups) != 2 {
		t.Errorf("%+v", o)
	}
	if d, err := r.Get("broken"); err != nil || !strings.Contains(d.Problem, "damaged") {
		t.Errorf("%+v, %v", d, err)
	}
	if _, _, _, ok := r.Effective("broken"); ok {
		t.Error("what cannot be read is served")
	}
	if d := put(t, r, "feed-cache", feed); d.Version != 3 || d.Problem != "" {
		t.Errorf("%+v", d)
	}
}

func commit(t testing.TB, s store.Store, key string, value []byte) {
	t.Helper()
	e, err := s.Get(t.Context(), key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	if _, err := s.Commit(t.Context(), store.Txn{If: []store.Cond{{Key: key, Revision: e.Revision}}, Then: []store.Op{{Key: key, Value: value}}}); err != nil {
		t.Fatal(err)
	}
}

func TestDrafts(t *testing.T) {
	r := open(t, newStore(t))
	ctx := t.Context()
	base := put(t, r, "feed-cache", feed).Revision
	text := strings.Replace(feed, "250ms", "1y", 1)
	d, err := r.SaveDraft(ctx, Edit{Name: "feed-cache", Data: []byte(text), Author: "ana", Why: "slower"})
	if err != nil || d.Base != base || d.Problems == nil || !strings.Contains(d.Problems.Error(), "1y") {
		t.Fatalf("%+v, %v", d, err)
	}
	if _, err := r.Publish(ctx, "feed-cache", "ben", "", nil); err == nil || !strings.Contains(err.Error(), "1y") {
		t.Errorf("%v", err)
	}
	old := d.Revision
	text = strings.Replace(feed, "250ms", "300ms", 1)
	if d, err = r.SaveDraft(ctx, Edit{Name: "feed-cache", Data: []byte(text), Author: "ana", Why: "slower", If: &old}); err != nil || d.Problems != nil {
		t.Fatalf("%+v, %v", d, err)
	}
	if _, err := r.SaveDraft(ctx, Edit{Name: "feed-cache", Data: []byte(text), Author: "ben", If: &old}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("%v", err)
	}
	if l, err := r.Drafts(ctx); err != nil || len(l) != 1 || l[0].Name != "feed-cache" {
		t.Errorf("%+v, %v", l, err)
	}
	if _, err := r.Publish(ctx, "feed-cache", "ben", "", &old); !errors.Is(err, store.ErrConflict) {
		t.Errorf("%v", err)
	}
	doc, err := r.Publish(ctx, "feed-cache", "ben", "", &d.Revision)
	if err != nil || doc.Version != 2 || doc.Why != "slower" || doc.Author != "ben" || string(doc.Text) != text {
		t.Fatalf("%+v, %v", doc, err)
	}
	if _, err := r.Draft(ctx, "feed-cache"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if _, err := r.SaveDraft(ctx, Edit{Name: "new", Data: []byte("kind: redis\nsettings: { password: hunter2 }"), Author: "ana"}); err == nil || !strings.Contains(err.Error(), "reference") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a password on disk: %v", err)
	}
	if d, err = r.SaveDraft(ctx, Edit{Name: "feed-cache", Data: []byte(feed), Author: "ana"}); err != nil {
		t.Fatal(err)
	}
	put(t, r, "feed-cache", strings.Replace(feed, "250ms", "1s", 1))
	if _, err := r.Publish(ctx, "feed-cache", "ana", "", nil); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a draft of an old text was published: %v", err)
	}
	newest, err := r.Get("feed-cache")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.DiscardDraft(ctx, "feed-cache"); err != nil {
		t.Error(err)
	}
	if d, err = r.SaveDraft(ctx, Edit{Name: "feed-cache", Data: []byte(feed), Author: "ana", Base: &base}); err != nil || d.Base != base {
		t.Fatalf("%+v, %v", d, err)
	}
	if _, err := r.Publish(ctx, "feed-cache", "ana", "", nil); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a draft that was begun from an old text was published: %v", err)
	}
	if d, err = r.SaveDraft(ctx, Edit{Name: "feed-cache", Data: []byte(feed), Author: "ana", Base: &newest.Revision}); err != nil || d.Base != newest.Revision {
		t.Fatalf("%+v, %v", d, err)
	}
	if err := r.DiscardDraft(ctx, "feed-cache"); err != nil {
		t.Error(err)
	}
	if err := r.DiscardDraft(ctx, "feed-cache"); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
}

func TestPublishOfTheSameText(t *testing.T) {
	r := open(t, newStore(t))
	rev := put(t, r, "feed-cache", feed).Revision
	if _, err := r.SaveDraft(t.Context(), Edit{Name: "feed-cache", Data: []byte(feed), Author: "ana"}); err != nil {
		t.Fatal(err)
	}
	d, err := r.Publish(t.Context(), "feed-cache", "ana", "", nil)
	if err != nil || d.Revision != rev {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := r.Draft(t.Context(), "feed-cache"); !errors.Is(err, store.ErrNotFound) {
		t.Error("the draft is still there")
	}
}

func TestDocumentWithoutEndpoints(t *testing.T) {
	for _, text := range []string{"kind: motan2\n", "kind: motan2\ngroups: {}\n", "kind: motan2\ngroups: { yf: { weight: 10 } }\n",
		"kind: motan2\ngroups:\n  yf:\n", "kind: motan2\ngroups: { yf: { endpoints: [] } }\n", `{"kind": "motan2", "groups": null}`} {
		r, err := parseDocument(config.Options{}, "feed", []byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		js, err := specJSON(r)
		if err != nil || strings.Contains(string(js), anyEndpoint) || strings.Contains(string(js), `"none"`) || strings.Contains(string(js), "listen") || !json.Valid(js) {
			t.Errorf("%q: %s, %v", text, js, err)
		}
	}
	if _, err := parseDocument(config.Options{}, "feed", []byte("kind: motan2\ngroups: { yf: { weight: 10, endpoints: 5 } }\n")); err == nil {
		t.Error("endpoints: 5 was taken")
	}
}

// Somebody else's change comes between the reading and the writing of ours.
func TestChangeThatIsOvertaken(t *testing.T) {
	s := newStore(t)
	r, other := open(t, s), open(t, s)
	for _, strict := range []bool{true, false} {
		seen := put(t, r, "feed-cache", fmt.Sprintf("%s# %v\n", feed, strict)).Revision
		var once sync.Once
		s.OnCommit(func(store.Txn) {
			once.Do(func() {
				s.OnCommit(nil)
				if _, err := other.SetGroup(context.Background(), "feed-cache", "tc", resources.Group{IDC: fmt.Sprint("tc-", strict)}, "ben", "", nil); err != nil {
					t.Error(err)
				}
			})
		})
		e := Edit{Name: "feed-cache", Author: "ana", Data: []byte(`{"policy": {"timeout": "3s"}}`)}
		if strict {
			e.If = &seen
		}
		d, err := r.Patch(t.Context(), e)
		if strict {
			if !errors.Is(err, store.ErrConflict) {
				t.Errorf("%v", err)
			}
			continue
		}
		if err != nil || !strings.Contains(string(d.Text), "idc: tc-false") || !strings.Contains(string(d.Text), "timeout: 3s") {
			t.Errorf("one of the two changes is lost: %v\n%s", err, d.Text)
		}
	}
}

func TestCheck(t *testing.T) {
	r := open(t, newStore(t))
	d, err := r.Check("feed-cache", []byte(feed))
	if err != nil || d.Kind != "redis" || len(d.Spec) == 0 || len(r.List()) != 0 {
		t.Errorf("%+v, %v", d, err)
	}
	var all *config.Errors
	if _, err := r.Check("feed-cache", []byte("kind: redis\npolicy: { timeout: 5 }\n")); !errors.As(err, &all) {
		t.Errorf("%v", err)
	}
	if _, err := r.Check("a/b", []byte(feed)); err == nil {
		t.Error("a bad name was taken")
	}
}
