package grpc

import (
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/protocols/http2"
	"github.com/sluice-mesh/sluice/resources"
)

func TestTimeouts(t *testing.T) {
	for text, want := range map[string]int64{
		"1n": 1, "2u": 2e3, "3m": 3e6, "4S": 4e9, "5M": 300e9, "6H": 6 * 3600e9, "99999999H": maxTimeout, "00000001S": 1e9,
		"": -1, "S": -1, "1": -1, "1s": -1, "-1S": -1, "1.5S": -1, "123456789S": -1, " 1S": -1,
	} {
		if got := parseTimeout(text); got != want {
			t.Errorf("%q is %d ns, not %d", text, got, want)
		}
	}
}

// FuzzTimeout writes what it reads: never less, and by no more than the precision that eight digits leave.
func FuzzTimeout(f *testing.F) {
	f.Add("1S")
	f.Add("99999999n")
	f.Add("99999999M")
	f.Fuzz(func(t *testing.T, text string) {
		n := parseTimeout(text)
		if n < 0 {
			return
		}
		out := string(appendTimeout(nil, n))
		again := parseTimeout(out)
		if again < n || again-n > max(n/1e4, 1) {
			t.Errorf("%q is %d ns, is %q, is %d ns", text, n, out, again)
		}
	})
}

// FuzzRequest reads header lists as they come from anybody. What is passed on cannot be read otherwise by the next one.
func FuzzRequest(f *testing.F) {
	f.Add(":method\nPOST\n:scheme\nhttp\n:path\n/a.B/C\n:authority\nx\ncontent-type\napplication/grpc\ngrpc-timeout\n1S")
	f.Add(":method\nPOST\n:path\n/\nconnection\nclose")
	f.Add(":path\n/\n:path\n/x")
	f.Add(":method\nPOST\n:scheme\nhttp\n:scheme\nx\n:path\n/a.B/C\ncontent-type\napplication/grpc")
	f.Add(":method\nPOST\n:scheme\nhttp\n:path\n\n:path\n/a.B/C")
	f.Add(":method\nPOST\n:scheme\n\x00\n:path\n/a.B/C")
	f.Fuzz(func(t *testing.T, text string) {
		parts := strings.Split(text, "\n")
		var fields []http2.Field
		for i := 0; i+1 < len(parts); i += 2 {
			fields = append(fields, http2.Field{Name: parts[i], Value: parts[i+1]})
		}
		var q request
		q.read(fields)
		if q.malformed != "" {
			return
		}
		seen := map[string]bool{}
		regular := false
		for _, h := range q.fields {
			if pseudo := strings.HasPrefix(h.Name, ":"); pseudo && (regular || seen[h.Name]) {
				t.Errorf("%q twice, or late: %v", h.Name, q.fields)
			} else if !pseudo {
				regular = true
			}
			seen[h.Name] = true
			if h.Name == "" || h.Name != strings.ToLower(h.Name) || strings.ContainsAny(h.Name[1:], ": \r\n\x00") || strings.ContainsAny(h.Value, "\r\n\x00") {
				t.Errorf("%q: %q is passed on", h.Name, h.Value)
			}
		}
		if q.method == "" || q.path == "" || !seen[":scheme"] {
			t.Errorf("incomplete: %v", q.fields)
		}
	})
}

func TestSettings(t *testing.T) {
	for bad, s := range map[string]*Settings{
		"services[0]":    {Services: []string{"/a.B"}},
		"authorities[1]": {Authorities: []string{"a", ""}},
		"idempotent[0]":  {Idempotent: []string{"Get*"}},
		"streams[0]":     {Streams: []string{""}},
		"caller":         {Caller: "X-Caller"},
		"hash":           {Hash: ":path"},
	} {
		if err := s.fill(); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	declared := func(s Settings) resources.Declared { return resources.Declared{Settings: &s} }
	d := &Driver{}
	for _, c := range []struct {
		a, b  Settings
		apart bool
	}{
		{Settings{}, Settings{}, false},
		{Settings{Services: []string{"a.B"}}, Settings{}, true},
		{Settings{Services: []string{"a.B", "a.C"}}, Settings{Services: []string{"a.C"}}, false},
		{Settings{Services: []string{"a.B"}}, Settings{Services: []string{"a.B"}, Authorities: []string{"x"}}, true},
		{Settings{Authorities: []string{"x", "y"}}, Settings{Authorities: []string{"y"}}, false},
	} {
		if err := d.Apart(declared(c.a), declared(c.b)); (err == nil) != c.apart {
			t.Errorf("%+v and %+v: %v", c.a, c.b, err)
		}
	}
}

// Of resources that fit a call, the one that says more about it is meant.
func TestFind(t *testing.T) {
	by := map[string]*Resource{}
	ix := newIndex(nil)
	for name, s := range map[string]*Settings{"any": {}, "service": {Services: []string{"a.B"}}, "authority": {Authorities: []string{"x"}}, "both": {Services: []string{"a.C"}, Authorities: []string{"x"}}} {
		by[name] = &Resource{set: s}
		for _, to := range s.targets() {
			ix.by[to] = by[name]
		}
	}
	for call, want := range map[[2]string]string{{"y", "a.B"}: "service", {"x", "a.B"}: "authority", {"x", "a.C"}: "both", {"y", "a.C"}: "any", {"", ""}: "any"} {
		if got := ix.find(call[0], call[1]); got != by[want] {
			t.Errorf("%v is not for %s", call, want)
		}
	}
}
