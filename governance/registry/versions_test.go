package registry

import (
	"errors"
	"slices"
	"testing"

	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/protocols/control"
	"github.com/sluice-mesh/sluice/resources"
)

// specAt parses what agents get of a version.
func specAt(t *testing.T, r *Registry, name string, version int) (*resources.Spec, string) {
	t.Helper()
	js, hash, err := r.EffectiveAt(name, version)
	if err != nil {
		t.Fatal(err)
	}
	if hash != control.Hash(js) {
		t.Fatalf("hash %s is not that of the spec", hash)
	}
	parsed, err := config.Options{ListenOptional: true}.ParseResource(name, js)
	if err != nil {
		t.Fatalf("an agent would refuse version %d: %v\n%s", version, err, js)
	}
	return parsed.Spec, hash
}

func addressesAt(t *testing.T, r *Registry, name string, version int, group string) (out []string) {
	t.Helper()
	s, _ := specAt(t, r, name, version)
	for _, e := range s.Groups[group].Endpoints {
		out = append(out, e.Address)
	}
	return out
}

// Agents that a release leaves with an older version find the servers that agents export, as the others do.
func TestOlderVersionsHaveWhatAgentsExport(t *testing.T) {
	bubble(t, func(t *testing.T, r *Registry) {
		var told [][]string
		defer r.OnChange(func(names []string, _ int64) { told = append(told, names) })()
		put(t, r, "feed", "kind: motan2\npolicy: { timeout: 1s }\n")
		export(t, r, "a", "1", svcs("feed", "yf", 1, 2)...)
		settled()
		// The newest one lists a server itself that others export, so that it stays there without them.
		put(t, r, "feed", "kind: motan2\npolicy: { timeout: 2s }\ngroups: { yf: { endpoints: [\"10.0.0.2:80\"] } }\n")
		settled()

		old, before := specAt(t, r, "feed", 1)
		if got := addressesAt(t, r, "feed", 1, "yf"); old.Policy.Timeout.String() != "1s" || !slices.Equal(got, []string{"10.0.0.1:80", "10.0.0.2:80"}) {
			t.Errorf("version 1 has timeout %v and %q", old.Policy.Timeout, got)
		}
		js, hash, _, _ := r.Effective("feed")
		if again, same, err := r.EffectiveAt("feed", 2); err != nil || string(again) != string(js) || same != hash {
			t.Errorf("the newest version is served as %s, by its number as %s, %v", js, again, err)
		}

		export(t, r, "b", "1", svcs("feed", "yf", 3, 5)...)
		wantAddresses(t, r, "feed", "yf", "10.0.0.2:80", "10.0.0.1:80", "10.0.0.3:80", "10.0.0.4:80", "10.0.0.5:80")
		if got := addressesAt(t, r, "feed", 1, "yf"); len(got) != 5 {
			t.Errorf("version 1 has %q after three more are exported", got)
		}

		// What changes the older version alone is told, too: who runs it must hear that a server is gone.
		told = nil
		_, hash, _, _ = r.Effective("feed")
		export(t, r, "a", "1", svc("feed", "yf", 1))
		settled()
		if _, now, _, _ := r.Effective("feed"); now != hash || len(told) != 1 {
			t.Errorf("told %q; the newest version changed: %v", told, now != hash)
		}
		if got := addressesAt(t, r, "feed", 1, "yf"); !slices.Equal(got, []string{"10.0.0.1:80", "10.0.0.3:80", "10.0.0.4:80", "10.0.0.5:80"}) {
			t.Errorf("version 1 has %q after one is withdrawn", got)
		}
		if _, after := specAt(t, r, "feed", 1); after == before {
			t.Error("another spec has the same hash")
		}
	})
}

func TestVersionsThatCannotBeServed(t *testing.T) {
	bubble(t, func(t *testing.T, r *Registry) {
		put(t, r, "feed", "kind: motan2\n")
		put(t, r, "feed", "kind: motan2\ngroups: { yf: { endpoints: [\"10.0.0.1:80\"] } }\n")
		for _, name := range []string{"feed", "other"} {
			if _, _, err := r.EffectiveAt(name, 7); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("version 7 of %s: %v", name, err)
			}
		}
		if _, _, err := r.EffectiveAt("feed", 1); err == nil {
			t.Error("a version without any server is served")
		}
		// It can be as soon as somebody exports one, and stays when that goes, for there is nothing better.
		export(t, r, "a", "1", svc("feed", "yf", 2))
		settled()
		if got := addressesAt(t, r, "feed", 1, "yf"); !slices.Equal(got, []string{"10.0.0.2:80"}) {
			t.Errorf("version 1 has %q", got)
		}
		for range 2 * keptMade {
			d, err := r.Get("feed")
			if err != nil {
				t.Fatal(err)
			}
			put(t, r, "feed", "kind: motan2\ngroups: { yf: { endpoints: [\"10.0.0.1:80\"] } }\n# "+d.Changed.String()+"\n")
			specAt(t, r, "feed", d.Version)
		}
		if v := r.view("feed"); len(v.versions) != keptMade {
			t.Errorf("%d versions are kept up to date", len(v.versions))
		}
	})
}
