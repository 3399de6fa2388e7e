package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/protocols/control"
	"github.com/sluice-mesh/sluice/resources"
)

var texts = []string{
	feed,
	"kind: motan2\n",
	`{"kind": "redis", "groups": {"yf": {"endpoints": ["10.0.0.1:6379"]}}, "settings": {"password": "${env:PW}", "db": 3}}`,
	"kind: redis\ngroups: &g\n  yf: &e { endpoints: [\"10.0.0.1:1\"] }\n  tc: *e\n",
	"kind: redis\ngroups:\n  yf:\n    <<: { weight: 3 }\n    endpoints: [\"10.0.0.1:1\"]\n",
	"kind: redis\ngroups: { 5: { endpoints: [\"10.0.0.1:1\"] }, true: { endpoints: [{address: \"[::1]:1\"}] } }\n",
	"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
	"", "[", "{", "null", "- - - 1", "%", "? a\n: b\n", "\ufeffkind: redis", "kind: !!str redis", "# only a comment\n",
}

// FuzzDocument puts a text through what Put and a change of it do: whatever is taken can be changed, written back and served.
func FuzzDocument(f *testing.F) {
	for _, t := range texts {
		f.Add([]byte(t))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		parsed, err := parseDocument(config.Options{}, "feed", data)
		if err != nil {
			var all *config.Errors
			if errors.As(err, &all) && len(all.Problems) == 0 {
				t.Fatal("refused without a reason")
			}
			return
		}
		spec, err := specJSON(parsed)
		if err != nil || !json.Valid(spec) || bytes.ContainsRune(spec, '\n') {
			t.Fatalf("%v: %s", err, spec)
		}
		open, err := openText(data)
		if err != nil {
			t.Fatalf("config takes it, and it cannot be changed: %v", err)
		}
		out, err := open.bytes()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseDocument(config.Options{}, "feed", out)
		if err != nil {
			t.Fatalf("what is written back is refused: %v\n%s", err, out)
		}
		if same, err := specJSON(again); err != nil || !bytes.Equal(same, spec) {
			t.Fatalf("what is written back says something else: %v\n%s\n%s", err, spec, same)
		}
	})
}

// FuzzPatch applies a patch to a document.
func FuzzPatch(f *testing.F) {
	for _, p := range []string{`{}`, `{"policy": null}`, `{"groups": {"yf": {"endpoints": ["10.0.0.1:1"]}}}`, `{"groups": null}`, `{"labels": {"a": "b"}}`, `[1]`, `{"kind": "motan2"}`} {
		f.Add([]byte(p))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		patch, err := decodeJSON(data)
		if err != nil {
			return
		}
		open, err := openText([]byte(feed))
		if err != nil {
			t.Fatal(err)
		}
		m, ok := mergePatch(open.tree, patch).(mapping)
		if !ok {
			return
		}
		open.tree = m
		out, err := open.bytes()
		if err != nil {
			t.Fatal(err)
		}
		back, err := openText(out)
		if err != nil || !sameTree(back.tree, m) {
			t.Fatalf("%v\n%s", err, out)
		}
		if _, err := parseDocument(config.Options{}, "feed", out); err != nil {
			var all *config.Errors
			if !errors.As(err, &all) {
				t.Fatalf("refused, and not by the rules of config: %v", err)
			}
		}
	})
}

// FuzzDiff compares any two texts.
func FuzzDiff(f *testing.F) {
	for i, t := range texts {
		f.Add([]byte(t), []byte(texts[(i+1)%len(texts)]))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		there, back := Diff(a, b), Diff(b, a)
		if len(there) != len(back) {
			t.Fatalf("%d changes, and back %d", len(there), len(back))
		}
		if bytes.Equal(a, b) && len(there) != 0 {
			t.Fatalf("a text differs from itself: %+v", there)
		}
		if len(a)+len(b) < 4096 && (UnifiedText(a, b) == "") != bytes.Equal(a, b) {
			t.Fatal("UnifiedText says that nothing differs")
		}
	})
}

// FuzzExport checks what agents send: a service that is taken can be served.
func FuzzExport(f *testing.F) {
	f.Add("feed", "motan2", "yf", "yf", "10.0.0.1:80", "primary", 5)
	f.Add("a/b", "redis9", "", "a b", "unix:/x", "boss", -1)
	f.Fuzz(func(t *testing.T, resource, kind, group, idc, address, role string, weight int) {
		s := control.Service{Resource: resource, Kind: kind, Group: group, IDC: idc, Address: address, Role: role, Weight: weight, Up: true}
		if checkService(config.Options{}, s) != nil {
			return
		}
		base, err := (&exported{kind: kind}).parsedBase(config.Options{}, resource)
		if err != nil {
			return // it needs a document
		}
		spec := *base.Spec
		spec.Groups = map[string]resources.Group{group: {IDC: idc, Endpoints: []resources.EndpointSpec{endpointSpec(s)}}}
		merged := *base
		merged.Spec = &spec
		js, err := specJSON(&merged)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (config.Options{ListenOptional: true}).ParseResource(resource, js); err != nil {
			t.Fatalf("an agent would refuse it: %v\n%s", err, js)
		}
	})
}
