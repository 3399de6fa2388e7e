package motan

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what comes out into testdata/*.want")

func TestConvert(t *testing.T) {
	for _, c := range []struct {
		path string
		opt  Options
	}{
		{"agent.yaml", Options{}},
		{"pools", Options{Pool: "feed-yf", IDC: "yf"}},
	} {
		src, err := Read(filepath.Join("testdata", c.path), c.opt)
		if err != nil {
			t.Fatal(err)
		}
		r, err := src.Convert(c.opt)
		if err != nil {
			t.Fatal(err)
		}
		want := filepath.Join("testdata", strings.TrimSuffix(c.path, ".yaml")+".want")
		if *update {
			if err := os.WriteFile(want, r.Text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if golden, err := os.ReadFile(want); err != nil || string(golden) != string(r.Text) {
			t.Errorf("%s becomes\n%s\n%v; if that is meant: go test ./config/motan -update", c.path, r.Text, err)
		}
	}
}

func TestWhatCannotBeConverted(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		path string
		opt  Options
		want string
	}{
		"no file":       {filepath.Join(dir, "none.yaml"), Options{}, "no such file"},
		"no YAML":       {write("bad.yaml", "a: [b"), Options{}, "bad.yaml"},
		"nothing":       {write("empty.yaml", ""), Options{}, "holds nothing"},
		"a folder":      {"testdata/pools", Options{}, "say which with --pool or --application"},
		"no service":    {write("none-of-ours.yaml", "http-client: { a: { domain: a } }"), Options{}, "no motan-refer and no motan-service"},
		"bad parameter": {write("param.yaml", "dynamic-param: { a: { \"regexp:(\": 1 } }\nx: { y: \"${a}\" }"), Options{}, "dynamic-param: a:"},
	} {
		src, err := Read(c.path, c.opt)
		if err == nil {
			_, err = src.Convert(c.opt)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func FuzzConvert(f *testing.F) {
	for _, name := range []string{"testdata/agent.yaml", "testdata/pools/services/user.yaml"} {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "a.yaml")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if src, err := Read(path, Options{IDC: "yf"}); err == nil {
			_, _ = src.Convert(Options{IDC: "yf"}) // it may refuse, and ends
		}
	})
}
