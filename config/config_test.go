package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mesh/sluice/resources"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; if that is meant: go test ./config -update\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

// Each file in testdata/bad has its problems, with excerpts, in a file beside it.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := testOptions().Parse(filepath.Base(path), data)
			var all *Errors
			if !errors.As(err, &all) || cfg != nil {
				t.Fatalf("config %v, error %v", cfg, err)
			}
			var out bytes.Buffer
			for _, p := range all.Problems {
				out.WriteString(p.String() + "\n")
				if e := p.Excerpt(); e != "" {
					out.WriteString(e + "\n")
				}
			}
			if strings.Contains(out.String(), "hunter") {
				t.Errorf("a secret is shown:\n%s", out.String())
			}
			golden(t, strings.TrimSuffix(path, ".yaml")+".txt", out.Bytes())
		})
	}
}

func TestWholeExample(t *testing.T) {
	cfg, err := Load("testdata/good/whole.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Path != "testdata/good/whole.yaml" || len(cfg.Resources) != 2 {
		t.Fatalf("path %q, %d resources", cfg.Path, len(cfg.Resources))
	}
	wantAgent := Agent{
		Name: "feed-web-7", Application: "feed-web", IDC: "yf", Admin: "127.0.0.1:8002", Data: "./data", Center: []string{},
		Metrics: MetricsConfig{Graphite: &GraphiteConfig{Address: "127.0.0.1:2003", Every: 10e9, Dialect: "graphite"}},
		Log:     LogConfig{Level: "info", Format: "text"},
		Drain:   DrainConfig{Wait: 3e9, Timeout: 30e9},
	}
	if diff := cmp.Diff(wantAgent, cfg.Agent, cmp.Comparer(func(a, b resources.Secret) bool { return a == b })); diff != "" {
		t.Errorf("agent (-want +got):\n%s", diff)
	}
	feed := cfg.Resources["feed-cache"]
	s := feed.Spec
	if s.Name != "feed-cache" || s.Kind != "redis" || feed.Driver.Kind() != "redis" || len(s.Listen) != 1 {
		t.Errorf("spec %+v", s)
	}
	yf, tc := s.Groups["yf"], s.Groups["tc"]
	if yf.Share() != 100 || tc.Share() != 0 || yf.Endpoints[0].Address != "10.0.0.1:6379" || yf.Endpoints[0].Share() != 100 ||
		yf.Endpoints[1].Role != "replica" || yf.Endpoints[1].Share() != 50 {
		t.Errorf("groups %+v", s.Groups)
	}
	p := s.Policy
	if p.Timeout.D() != time.Second || p.Failover.Budget != 15 || p.Backup.After != "p95" || p.Breaker.Slow != 80 ||
		p.Limits[0].Burst != 500 || p.Limits[1].Rate != 0 || p.Limits[1].Burst != 0 || p.Limits[2].Burst != 10 ||
		p.Limits[2].Match.Caller != "batch-*" || p.Limits[2].Mode != "observe" || !*p.AccessLog.Errors || p.Trace.Sample != 0.1 {
		t.Errorf("policy %+v", p)
	}
	orders := cfg.Resources["orders-db"]
	got := orders.Settings.(*mysqlSettings)
	if got.Pool != (poolSettings{64, 8}) || got.MaxPacket != 64<<20 || got.Users[0].Name != "app" ||
		got.Users[0].Password.String() != "${env:APP_PW}" || got.Users[0].Upstream.Password.String() != "${file:/run/secrets/orders}" {
		t.Errorf("settings %+v", got)
	}
	if orders.Spec.Policy.Timeout != 0 || orders.Spec.Policy.IdleTimeout.D() != 10*time.Minute || orders.Spec.Policy.Breaker != nil {
		t.Errorf("a kind's own defaults: %+v", orders.Spec.Policy)
	}
}

const small = "resources: { a: { kind: redis, listen: 127.0.0.1:6380, groups: { yf: { endpoints: [\"10.0.0.1:6379\"] } }, policy: %s } }"

func parseSmall(t *testing.T, policy string) *resources.Spec {
	t.Helper()
	cfg, err := Parse("x", fmt.Appendf(nil, small, policy))
	if err != nil {
		t.Fatal(err)
	}
	return cfg.Resources["a"].Spec
}

func TestNoPolicyIsTheDefault(t *testing.T) {
	want := resources.DefaultPolicy()
	want.Timeout = resources.Duration(time.Second)
	for _, written := range []string{"{}", "~", "{ eject: {}, probe: ~ }"} {
		if got := parseSmall(t, written).Policy; !reflect.DeepEqual(got, want) {
			t.Errorf("policy: %s gives %+v, want %+v", written, got, want)
		}
	}
}

// A 0 that is written is meant, also by whoever fills the policy again.
func TestWrittenZerosStay(t *testing.T) {
	p := parseSmall(t, `{ timeout: 0, slow-start: 0s, failover: { tries: 0, budget: 0% }, backup: { budget: 0% }, eject: { at-most: 0%, consecutive: 0 }, trace: { sample: 0% } }`).Policy
	p.Fill()
	if p.Timeout != 0 || p.SlowStart != 0 || p.Failover.Tries != 0 || p.Failover.Budget != 0 || p.Backup.Budget != 0 ||
		p.Eject.AtMost != 0 || p.Eject.Consecutive != 0 || p.Trace.Sample != 0 {
		t.Fatalf("%+v", p)
	}
	if p.Backup.After != "p95" || p.Eject.Window.D() != 10*time.Second {
		t.Fatalf("defaults beside zeros: %+v", p)
	}
}

func TestDefaultNames(t *testing.T) {
	cfg, err := Parse("x", nil)
	if err != nil {
		t.Fatal(err)
	}
	if a := cfg.Agent; a.Name == "" || a.Application != a.Name || a.LoopCount() < 1 || len(cfg.Resources) != 0 {
		t.Fatalf("%+v", a)
	}
	cfg, err = Parse("x", []byte("agent: { name: n, loops: 3 }"))
	if err != nil || cfg.Agent.Application != "n" || cfg.Agent.LoopCount() != 3 {
		t.Fatalf("%+v, %v", cfg, err)
	}
}

func TestJSONIsReadBack(t *testing.T) {
	data, err := os.ReadFile("testdata/good/whole.yaml")
	if err != nil {
		t.Fatal(err)
	}
	data = bytes.Replace(data, []byte("timeout: 1s\n"), []byte("timeout: 1s\n      filters: { office-hours: { from: 10h, token: \"${env:T}\" }, quiet: {} }\n"), 1)
	cfg, err := testOptions().Parse("x", data)
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range cfg.Resources {
		text, err := r.JSON()
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "testdata/good/"+name+".json", append(text, '\n'))
		for _, form := range [][]byte{text, bytes.ReplaceAll(text, []byte("  "), []byte("\t")), compact(t, text)} {
			again, err := testOptions().ParseResource(name, form)
			if err != nil {
				t.Fatalf("%v\n%s", err, form)
			}
			if !reflect.DeepEqual(again.Settings, r.Settings) || !reflect.DeepEqual(again.Spec.Policy, r.Spec.Policy) {
				t.Errorf("read back differs: %+v, %+v", again.Spec, r.Spec)
			}
			if b, _ := again.JSON(); !bytes.Equal(b, text) {
				t.Errorf("written again it differs:\n%s\n%s", b, text)
			}
		}
	}
}

func compact(t *testing.T, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestParseResource(t *testing.T) {
	const groups = `, "groups": {"yf": {"endpoints": ["10.0.0.1:6379"]}}`
	for _, c := range []struct{ body, want string }{
		{`{"kind":"redis","listen":"127.0.0.1:6380"` + groups + `}`, ""},
		{`{"name":"a","kind":"redis","listen":["127.0.0.1:6380"]` + groups + `}`, ""},
		{`{"name":"b","kind":"redis","listen":["127.0.0.1:6380"]` + groups + `}`, `x:1:9: name: "b" is not the name of this resource, "a"`},
		{"kind: redis\nlisten: unix:/run/a.sock\ngroups: { yf: { endpoints: [\"[::1]:6379\"] } }\n", ""},
		{`{"kind":"redis","listen":"127.0.0.1:6380"` + groups + `,"settings":{"password":"${env:A}"}}`, ""},
		{`{"kind":"redis","listen":"127.0.0.1:6380"` + groups + `,"settings":{"password":"hunter2"}}`, "over HTTP a secret must be a reference"},
		{`{"kind":"redis","listen":"127.0.0.1:6380"` + groups + `,"settings":{"password":"***"}}`, "*** stands for a secret"},
		{`{"kind":"redis","kind":"redis","listen":"127.0.0.1:6380"` + groups + `}`, "written twice"},
		{`[]`, "a list stands where a resource is expected"},
		{``, "nothing stands where a resource is expected"},
	} {
		r, err := ParseResource("a", []byte(c.body))
		switch {
		case c.want == "" && (err != nil || r.Spec.Name != "a" || r.Driver.Kind() != "redis"):
			t.Errorf("%s: %v", c.body, err)
		case c.want != "" && (err == nil || r != nil || !strings.Contains(strings.Replace(err.Error(), "a:1", "x:1", 1), c.want)):
			t.Errorf("%s: error %v, want %q", c.body, err, c.want)
		case err != nil && strings.Contains(err.Error(), "hunter"):
			t.Errorf("a secret is shown: %v", err)
		}
	}
}

// A literal secret in a file is used but never shown.
func TestLiteralSecretIsNotShown(t *testing.T) {
	cfg, err := Parse("x", []byte(strings.Replace(fmt.Sprintf(small, "{}"), "kind: redis", "kind: redis, settings: { password: hunter2 }", 1)))
	if err != nil {
		t.Fatal(err)
	}
	r := cfg.Resources["a"]
	if got, err := r.Settings.(*redisSettings).Password.Reveal(); got != "hunter2" || err != nil {
		t.Fatal(got, err)
	}
	text, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	shown := fmt.Sprintf("%s %v %+v %#v %v", text, r.Settings, r.Settings, r.Settings, r.Spec.Settings)
	if strings.Contains(shown, "hunter") || !strings.Contains(string(text), `"password": "***"`) {
		t.Fatal(shown)
	}
}

func TestForeignLineEnds(t *testing.T) {
	data, err := os.ReadFile("testdata/good/whole.yaml")
	if err != nil {
		t.Fatal(err)
	}
	data = append([]byte("\xef\xbb\xbf"), bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n"))...)
	if _, err := Parse("x", data); err != nil {
		t.Fatal(err)
	}
}

func TestMissingFile(t *testing.T) {
	if _, err := Load("testdata/none.yaml"); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "none.yaml") {
		t.Fatal(err)
	}
}

// What would cost more than its size is refused, quickly.
func TestBombs(t *testing.T) {
	laughs := "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 9; i++ {
		laughs += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
	}
	merges := "m0: &m0 { k: 1 }\n"
	for i := 1; i < 40; i++ {
		merges += fmt.Sprintf("m%d: &m%d { <<: [*m%d, *m%d], k%d: 1 }\n", i, i, i-1, i-1, i)
	}
	indent := func(s string) string { return "  " + strings.ReplaceAll(s, "\n", "\n  ") }
	for name, text := range map[string]string{
		"aliases":      "resources:\n" + indent(laughs),
		"merges":       "resources:\n" + indent(merges),
		"brackets":     strings.Repeat("[", 100_000),
		"braces":       strings.Repeat("{a: ", 100_000),
		"dashes":       strings.Repeat("- ", 100_000),
		"questions":    strings.Repeat("? ", 100_000),
		"size":         strings.Repeat("# comment\n", maxSource/10+1),
		"own alias":    "resources: &r { a: *r }",
		"deep blocks":  deepBlocks(200),
		"many anchors": strings.Repeat("&a ", 100_000),
		"many tags":    strings.Repeat("!!map ", 100_000),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			if _, err := Parse("x", []byte(text)); err == nil {
				t.Error("taken")
			} else if len(err.Error()) > 1<<18 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			if d := time.Since(start); d > 20*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

func deepBlocks(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func TestReferenceGolden(t *testing.T) {
	golden(t, "testdata/reference.md", testOptions().Reference())
	if !bytes.Contains(Reference(), []byte("## Settings of the kind mysql")) {
		t.Error("no kinds in the reference")
	}
}

// Every bounds tag must be one that the parser checks: prose would be shown and not hold.
func TestBoundsTags(t *testing.T) {
	seen := make(map[reflect.Type]bool)
	var walk func(reflect.Type, string)
	walk = func(typ reflect.Type, path string) {
		if seen[typ] {
			return
		}
		seen[typ] = true
		for _, f := range fieldsOf(typ) {
			at := join(path, f.key)
			if f.tag.Get("doc") == "" {
				t.Errorf("%s has no doc", at)
			}
			switch f.tag.Get("reload") {
			case "live", "drain", "restart":
			default:
				t.Errorf("%s: reload %q", at, f.tag.Get("reload"))
			}
			if b := f.tag.Get("bounds"); b != "" {
				if err := checkTag(b, f.typ); err != nil {
					t.Errorf("%s: %v", at, err)
				}
			}
			if elem, at := elementOf(f.typ, at); elem != nil {
				walk(elem, at)
			}
		}
	}
	walk(reflect.TypeFor[Agent](), "agent")
	walk(reflect.TypeFor[resources.Spec](), "resources.NAME")
}

func TestNear(t *testing.T) {
	words := []string{"timeout", "connect-timeout", "balance", "reads", "op", "idc"}
	for word, want := range map[string]string{
		"timout": "timeout", "Timeout": "timeout", "connectTimeout": "connect-timeout", "blaance": "balance", "ops": "op",
		"breaker": "", "x": "", "": "", strings.Repeat("timeout", 100): "",
	} {
		if got := near(word, words); got != want {
			t.Errorf("near(%q) = %q, want %q", word, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*/*.yaml")
	more, _ := filepath.Glob("testdata/good/*.json")
	for _, path := range append(files, more...) {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		start := time.Now()
		defer func() {
			if d := time.Since(start); d > 10*time.Second && len(data) < 1<<16 {
				t.Fatalf("%d bytes took %v", len(data), d)
			}
		}()
		cfg, err := testOptions().Parse("x", data)
		if (cfg == nil) == (err == nil) {
			t.Fatalf("config %v, error %v", cfg, err)
		}
		checkProblems(t, err, data)
		if cfg != nil {
			for name, r := range cfg.Resources {
				text, err := r.JSON()
				if err != nil {
					t.Fatal(err)
				}
				if bytes.Contains(text, []byte(resources.SecretMask)) {
					continue
				}
				if _, err := testOptions().ParseResource(name, text); err != nil {
					t.Fatalf("what JSON writes is not read back: %v\n%s", err, text)
				}
			}
		}
		_, err = testOptions().ParseResource("x", data)
		checkProblems(t, err, data)
	})
}

func checkProblems(t *testing.T, err error, data []byte) {
	if err == nil {
		return
	}
	var all *Errors
	if !errors.As(err, &all) || len(all.Problems) == 0 {
		t.Fatalf("error %T %v", err, err)
	}
	lines := strings.Count(normalise(data), "\n") + 1
	for _, p := range all.Problems {
		if p.Line < 1 || p.Line > lines+1 || p.Column < 1 || p.Message == "" {
			t.Fatalf("problem %+v in %d lines", p, lines)
		}
		p.Excerpt()
	}
}
