package motanurl

import (
	"fmt"
	"maps"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want URL
	}{
		"Java": {
			"motan2://10.0.0.1:8002/com.example.Feed?filter=a%2Cb+c&group=feed-yf&nodeType=service&rule=x%3Dy%2Bz&empty=&",
			URL{"motan2", "10.0.0.1", 8002, "com.example.Feed", map[string]string{
				"filter": "a,b c", "group": "feed-yf", "nodeType": "service", "rule": "x=y+z", "empty": ""}},
		},
		"motan-go": {
			"motan2://10.0.0.1:8002/com.example.Feed?group=feed-yf&filter=a,b&sum=1+2&part=50%&version=1.0",
			URL{"motan2", "10.0.0.1", 8002, "com.example.Feed", map[string]string{
				"filter": "a,b", "group": "feed-yf", "sum": "1+2", "part": "50%", "version": "1.0"}},
		},
		"encoded text that motan-go passes on": {
			"motan2://h:1/p?group=g&filter=a%2Cb", URL{"motan2", "h", 1, "p", map[string]string{"group": "g", "filter": "a,b"}},
		},
		"a value with =":   {"motan2://h:1/p?rule=a=b", URL{"motan2", "h", 1, "p", map[string]string{"rule": "a=b"}}},
		"a name alone":     {"motan2://h:1/p?lazy", URL{"motan2", "h", 1, "p", map[string]string{"lazy": "lazy"}}},
		"no parameters":    {"motan2://h:1/p", URL{"motan2", "h", 1, "p", map[string]string{}}},
		"no port":          {"motan2://h/p", URL{"motan2", "h", 0, "p", map[string]string{}}},
		"no address":       {"rule:///p", URL{"rule", "", 0, "p", map[string]string{}}},
		"IPv6":             {"motan2://[::1]:80/p", URL{"motan2", "::1", 80, "p", map[string]string{}}},
		"path with slash":  {"http://h:80/a/b?x=1", URL{"http", "h", 80, "a/b", map[string]string{"x": "1"}}},
		"spaces around it": {" motan2://h:1/p?a=1 & b=2 \n", URL{"motan2", "h", 1, "p", map[string]string{"a": "1", "b": "2"}}},
		"the last counts":  {"motan2://h:1/p?a=1&a=2", URL{"motan2", "h", 1, "p", map[string]string{"a": "2"}}},
	} {
		got, err := Parse(c.text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !equal(*got, c.want) {
			t.Errorf("%s: got %+v, want %+v", name, *got, c.want)
		}
	}
}

func equal(a, b URL) bool {
	return a.Protocol == b.Protocol && a.Host == b.Host && a.Port == b.Port && a.Path == b.Path && maps.Equal(a.Params, b.Params)
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{
		"", "10.0.0.1:80", "://h:1/p", "motan2://h:1", "motan2://h:1/", "motan2://h:x/p", "motan2://h:65536/p", "motan2://h:-1/p",
		"motan2://h:+1/p", "motan2://[::1/p", "motan2://[::1]80/p", "mo tan://h:1/p", "motan2://h:1/a b",
		"motan2://h:1/p?" + strings.Repeat("x", MaxLen),
	} {
		if u, err := Parse(text); err == nil {
			t.Errorf("%q was read as %+v", shorten(text), *u)
		}
	}
	var many strings.Builder
	for i := range MaxParams + 1 {
		fmt.Fprintf(&many, "&k%d=1", i)
	}
	if _, err := Parse("motan2://h:1/p?" + many.String()); err == nil {
		t.Error("more parameters than the limit were taken")
	}
}

func TestAppend(t *testing.T) {
	for want, u := range map[string]URL{
		"motan2://10.0.0.1:8002/com.example.Feed?group=feed-yf&nodeType=service&version=1.0": {"motan2", "10.0.0.1", 8002, "com.example.Feed",
			map[string]string{"version": "1.0", "group": "feed-yf", "nodeType": "service"}},
		"motan2://h:0/p":                           {"motan2", "h", 0, "p", nil},
		"motan2://[::1]:80/p":                      {"motan2", "::1", 80, "p", nil},
		"motan2://h:1/p?filter=a,b:c/d;é":          {"motan2", "h", 1, "p", map[string]string{"filter": "a,b:c/d;é"}},
		"motan2://h:1/p?rule=a%3Db%20%2B%26%3F%25": {"motan2", "h", 1, "p", map[string]string{"rule": "a=b +&?%"}},
		"motan2://h:1/p?empty=":                    {"motan2", "h", 1, "p", map[string]string{"empty": ""}},
	} {
		got, err := u.Append([]byte("before "))
		if err != nil || string(got) != "before "+want {
			t.Errorf("got %q and %v, want %q", got, err, want)
		}
	}
	for _, u := range []URL{
		{"", "h", 1, "p", nil}, {"a b", "h", 1, "p", nil}, {"a", "h/x", 1, "p", nil}, {"a", "h", 70000, "p", nil}, {"a", "h", 1, "", nil},
		{"a", "h", 1, "/p", nil}, {"a", "h", 1, "p?q", nil}, {"a", "h", 1, "p", map[string]string{"": "x"}},
	} {
		if got, err := u.Append([]byte("x")); err == nil || string(got) != "x" {
			t.Errorf("%+v was written as %q", u, got)
		}
	}
}

// What is read can be written and read again, and is the same from then on.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"motan2://10.0.0.1:8002/com.example.Feed?group=feed-yf&nodeType=service&version=1.0", "motan2://h:1/p?a=b+c%2C&", "x://[::1]:1/p/q?a&b=",
		"motan2://h:1/p?%3D=%00&%", "a://:0/\u00a0?\u2003=\u2003",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := Parse(s)
		if err != nil {
			return
		}
		text, err := u.Append(nil)
		if err != nil {
			t.Fatalf("%q was read as %+v and cannot be written: %v", s, *u, err)
		}
		if len(text) > MaxLen {
			return
		}
		again, err := Parse(string(text))
		if err != nil || !equal(*again, *u) {
			t.Fatalf("%q was read as %+v, written as %q and read as %+v, %v", s, *u, text, again, err)
		}
	})
}

// Every name and value that is written comes back.
func FuzzParams(f *testing.F) {
	f.Add("name", "value")
	f.Add("=", "\x00 +%41é\u2003\xff")
	f.Fuzz(func(t *testing.T, name, value string) {
		if name == "" || len(name)+len(value) > 1000 {
			return
		}
		u := URL{"motan2", "h", 1, "p", map[string]string{name: value, "other": "1"}}
		text, err := u.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Parse(string(text)); err != nil || !equal(*again, u) {
			t.Fatalf("%q is read as %+v, %v", text, again, err)
		}
	})
}
