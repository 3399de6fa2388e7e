package resources

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

func TestListenForms(t *testing.T) {
	for text, want := range map[string]Addresses{
		`"127.0.0.1:6380"`:                    {"127.0.0.1:6380"},
		`["127.0.0.1:6380","unix:/run/a.so"]`: {"127.0.0.1:6380", "unix:/run/a.so"},
		`[]`:                                  {},
	} {
		var s Spec
		if err := json.Unmarshal([]byte(`{"listen":`+text+`}`), &s); err != nil || !slices.Equal(s.Listen, want) {
			t.Errorf("json %s: %v, %v", text, s.Listen, err)
		}
		var y Spec
		if err := yaml.UnmarshalWithOptions([]byte("listen: "+text), &y, yaml.Strict()); err != nil || !slices.Equal(y.Listen, want) {
			t.Errorf("yaml %s: %v, %v", text, y.Listen, err)
		}
	}
	for _, text := range []string{`5`, `{"a":"b"}`, `[5]`, `true`} {
		if err := json.Unmarshal([]byte(text), new(Addresses)); err == nil {
			t.Errorf("json %s is taken", text)
		}
		if err := yaml.Unmarshal([]byte(text), new(Addresses)); text != `5` && text != `[5]` && text != `true` && err == nil {
			t.Errorf("yaml %s is taken", text)
		}
	}
}

func TestEndpointForms(t *testing.T) {
	fifty := 50
	want := []EndpointSpec{{Address: "10.0.0.1:6379"}, {Address: "10.0.0.2:6379", Role: "replica", Weight: &fifty}}
	const text = `["10.0.0.1:6379", {"address": "10.0.0.2:6379", "role": "replica", "weight": 50}]`
	var j, y Group
	if err := json.Unmarshal([]byte(`{"endpoints":`+text+`}`), &j); err != nil || !reflect.DeepEqual(j.Endpoints, want) {
		t.Errorf("json: %+v, %v", j, err)
	}
	if err := yaml.UnmarshalWithOptions([]byte("endpoints: "+text), &y, yaml.Strict()); err != nil || !reflect.DeepEqual(y.Endpoints, want) {
		t.Errorf("yaml: %+v, %v", y, err)
	}
	if j.Endpoints[0].Share() != 100 || j.Endpoints[1].Share() != 50 || j.Share() != 100 {
		t.Error("shares")
	}
	for _, bad := range []string{`5`, `{"adress":"x"}`, `{"address":5}`} {
		if err := json.Unmarshal([]byte(bad), new(EndpointSpec)); err == nil {
			t.Errorf("json %s is taken", bad)
		}
	}
	b, err := json.Marshal(want)
	var again []EndpointSpec
	if err != nil || json.Unmarshal(b, &again) != nil || !reflect.DeepEqual(again, want) {
		t.Errorf("round trip: %s, %+v", b, again)
	}
}

// The default tags, which the reference shows, against what Fill and SetDefaults do.
func TestDefaultTags(t *testing.T) {
	p := Policy{Backup: &Backup{}, Breaker: &Breaker{}, AccessLog: &AccessLog{}, Trace: &Trace{}, Limits: []Limit{{}}}
	p.Fill()
	checkDefaults(t, "policy", reflect.ValueOf(p))
}

func checkDefaults(t *testing.T, path string, v reflect.Value) {
	for i := range v.NumField() {
		f, value := v.Type().Field(i), v.Field(i)
		if !f.IsExported() {
			continue
		}
		at := path + "." + strings.Split(f.Tag.Get("yaml"), ",")[0]
		for value.Kind() == reflect.Pointer && !value.IsNil() {
			value = value.Elem()
		}
		if value.Kind() == reflect.Slice && value.Len() > 0 {
			value = value.Index(0)
		}
		if value.Kind() == reflect.Struct {
			checkDefaults(t, at, value)
			continue
		}
		tag := f.Tag.Get("default")
		if at == "policy.timeout" || at == "policy.failover.reads" {
			continue // the kind fills it in; nil is the default
		}
		if got := asTag(value); got != tag && !(tag != "" && same(value, tag)) {
			t.Errorf("%s is filled with %q, its tag says %q", at, got, tag)
		}
	}
}

// asTag writes a value as its default tag would; what is empty or off is "".
func asTag(v reflect.Value) string {
	if v.IsZero() {
		return ""
	}
	return fmt.Sprint(v.Interface())
}

// same reports whether a tag is v in another notation, such as 0% or 1h for 1h0m0s.
func same(v reflect.Value, tag string) bool {
	want := reflect.New(v.Type())
	if u, ok := want.Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(tag)) == nil && want.Elem().Equal(v)
	}
	n, err := strconv.ParseInt(tag, 10, 64)
	return err == nil && v.CanInt() && v.Int() == n
}

func TestFillOnce(t *testing.T) {
	p := DefaultPolicy()
	p.Failover.Tries = 0
	p.Limits = []Limit{{Rate: 5}, {Rate: 1000, Burst: 7}, {Rate: 0}}
	p.AccessLog = &AccessLog{}
	p.Fill()
	if p.Failover.Tries != 0 {
		t.Error("a 0 on purpose was filled in again")
	}
	if p.Limits[0].Burst != 1 || p.Limits[1].Burst != 7 || p.Limits[2].Burst != 0 || !*p.AccessLog.Errors {
		t.Errorf("what depends on other fields: %+v", p.Limits)
	}
	if !p.Failover.RepeatReads() {
		t.Error("reads are repeated by default")
	}
}

func TestBackupWait(t *testing.T) {
	for after, want := range map[string]struct {
		quantile float64
		fixed    Duration
		ok       bool
	}{
		"p50": {0.5, 0, true}, "p75": {0.75, 0, true}, "p90": {0.9, 0, true}, "p95": {0.95, 0, true}, "p99": {0.99, 0, true},
		"20ms": {0, 20e6, true}, "p96": {}, "": {}, "0": {}, "-1s": {}, "20": {},
	} {
		q, f, err := (&Backup{After: after}).Wait()
		if q != want.quantile || f != want.fixed || (err == nil) != want.ok {
			t.Errorf("%q: %v, %v, %v", after, q, f, err)
		}
	}
}

func TestAt(t *testing.T) {
	if At("x", nil) != nil {
		t.Error("no error, and yet one")
	}
	inner := errors.New("wrong")
	err := At("users[0].name", inner)
	var field *FieldError
	if err.Error() != "users[0].name: wrong" || !errors.Is(err, inner) || !errors.As(err, &field) || field.Path != "users[0].name" {
		t.Error(err)
	}
}
