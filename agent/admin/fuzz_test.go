package admin

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/internal/httpapi"
)

// FuzzMerge checks the laws of a merge patch: an empty one changes nothing, applying it twice is applying it once, and no
// null that the patch brought is left.
func FuzzMerge(f *testing.F) {
	f.Add(`{"a":1,"b":{"c":2}}`, `{"b":{"c":null,"d":[1,null]},"e":{"f":null}}`)
	f.Add(`[1]`, `{"a":{}}`)
	f.Add(`{"a":{"b":{}}}`, `{"a":1}`)
	f.Fuzz(func(t *testing.T, target, patch string) {
		decode := func(s string) any {
			v, _ := decodeAny([]byte(s))
			return v
		}
		if decode(target) == nil || decode(patch) == nil {
			return // no JSON, or null
		}
		if _, ok := decode(target).(map[string]any); ok {
			if got := merge(decode(target), map[string]any{}); !reflect.DeepEqual(got, decode(target)) {
				t.Errorf("an empty patch made %v of %s", got, target)
			}
		}
		once := merge(decode(target), decode(patch))
		text, err := json.Marshal(once)
		if err != nil {
			t.Fatal(err)
		}
		twice := merge(decode(string(text)), decode(patch))
		if !reflect.DeepEqual(twice, once) {
			t.Errorf("once %v, twice %v", once, twice)
		}
		if p, ok := decode(patch).(map[string]any); ok {
			for k, v := range p {
				if _, left := once.(map[string]any)[k]; left != (v != nil) {
					t.Errorf("key %q: left %v", k, left)
				}
			}
		}
	})
}

// FuzzCommand checks that no body makes a command that breaks its bounds, and that each refusal has the shape of one.
func FuzzCommand(f *testing.F) {
	f.Add(`{"type":"switch","resource":"cache","weights":{"tc":100},"for":"10m","match":{"op":"GET"}}`)
	f.Add(`{"type":"limit","resource":"cache","rate":"5/s","expires":"2030-01-01T00:00:00Z"}`)
	f.Add(`{"type":"fault","percent":"1%","delay":"1s","why":"a\nb"} {}`)
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest("POST", "/v1/commands", strings.NewReader(body))
		c, err := decodeCommand(r)
		var refusal *httpapi.Error
		switch {
		case err != nil && !errors.As(err, &refusal):
			t.Errorf("%q: %v has not the shape of a refusal", body, err)
		case err != nil && (refusal.Code == "" || strings.ContainsAny(refusal.Message, "\r\n")):
			t.Errorf("%q: %+v", body, refusal)
		case err == nil && (c.Resource == "" || c.Author == "" || c.ID != "" || strings.ContainsAny(c.Why+c.Author, "\r\n") || c.Created.IsZero()):
			t.Errorf("%q: %+v", body, c)
		}
	})
}
