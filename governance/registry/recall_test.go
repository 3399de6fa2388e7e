package registry

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A registry that starts on a document from which nothing can be made serves the last good version, when it is certain that
// nobody exports what is missing.
func TestLastGoodVersionIsFoundAgain(t *testing.T) {
	const empty = "kind: redis\ngroups: { yf: { endpoints: [] } }\n"
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		before := open(t, s)
		put(t, before, "feed", feed)
		put(t, before, "feed", empty)
		put(t, before, "feed", "kind: redis\ngroups: {}\n")
		put(t, before, "exported", feed)
		put(t, before, "exported", empty)
		put(t, before, "never", empty)
		put(t, before, "anew", feed)
		if _, err := before.Delete(t.Context(), "anew", "ann", "", nil); err != nil {
			t.Fatal(err)
		}
		put(t, before, "anew", empty)
		settled()
		want, hash, _, ok := before.Effective("feed")
		if !ok {
			t.Fatal("the last good version did not stay")
		}
		before.Close()

		r := open(t, s)
		var told []string
		r.OnChange(func(names []string, _ int64) { told = append(told, names...) })
		export(t, r, "a", "1", svc("exported", "yf", 1))
		settled()
		if _, _, _, ok := r.Effective("feed"); ok {
			t.Error("it is served before it is certain that nobody exports its endpoints")
		}
		time.Sleep(defaultGrace)
		synctest.Wait()
		got, again, _, ok := r.Effective("feed")
		if !ok || again != hash || string(got) != string(want) {
			t.Errorf("%v %s\nwant %s", ok, got, want)
		}
		if o, _ := r.Outline("feed"); !strings.Contains(o.Problem, "no group has an endpoint") || len(o.Groups) != 2 {
			t.Errorf("%+v", o)
		}
		if d, err := r.Get("feed"); err != nil || d.Version != 3 {
			t.Errorf("version %d %v", d.Version, err)
		}
		if !strings.Contains(strings.Join(told, " "), "feed") {
			t.Errorf("told %v", told)
		}
		for _, name := range []string{"never", "anew"} {
			if spec, _, _, ok := r.Effective(name); ok {
				t.Errorf("%s: %s", name, spec)
			}
		}
		put(t, r, "feed", strings.Replace(feed, "250ms", "300ms", 1))
		settled()
		if o, _ := r.Outline("feed"); o.Problem != "" {
			t.Errorf("after a good version: %+v", o)
		}
	})
}
