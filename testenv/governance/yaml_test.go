package governance

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/goccy/go-yaml"
	"pgregory.net/rapid"

	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// pagesYAML is the pages' own reader and writer of YAML, in a node that goes on running: browser/yaml.mjs.
type pagesYAML struct {
	mu  sync.Mutex
	in  io.Writer
	out *bufio.Reader
	err *strings.Builder
}

func startPagesYAML(t *testing.T) *pagesYAML {
	t.Helper()
	server.NodeModules(t, filepath.Join("..", "..", "governance", "ui"))
	node := exec.CommandContext(t.Context(), "node", "yaml.mjs")
	node.Dir = "browser"
	p := &pagesYAML{err: &strings.Builder{}}
	node.Stderr = p.err
	in, err := node.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // it ends by that
		if err := node.Wait(); err != nil && t.Context().Err() == nil {
			t.Errorf("%v: %s", err, p.err)
		}
	})
	p.in, p.out = in, bufio.NewReader(out)
	return p
}

type yamlTB interface {
	Helper()
	Fatalf(format string, args ...any)
}

func (p *pagesYAML) ask(t yamlTB, question map[string]any) (text string, value any, refused string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := json.NewEncoder(p.in).Encode(question); err != nil {
		t.Fatalf("asking the pages' YAML: %v", err)
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		t.Fatalf("the pages' YAML gave no answer to %v: %v", question, err)
	}
	var a struct {
		Text  string
		Value any
		Error string
	}
	if err := json.Unmarshal(line, &a); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return a.Text, a.Value, a.Error
}

// read is what the form makes of a text, or why it steps back.
func (p *pagesYAML) read(t yamlTB, text string) (value any, refused string) {
	t.Helper()
	_, value, refused = p.ask(t, map[string]any{"text": text})
	return value, refused
}

// configTree reads a text as the configuration does, with the types that encoding/json has for JSON.
func configTree(text string) (any, error) {
	var tree any
	if err := config.Decode("document", []byte(text), &tree); err != nil {
		return nil, err
	}
	js, err := json.Marshal(tree)
	if err != nil {
		return nil, err
	}
	var out any
	return out, json.Unmarshal(js, &out)
}

// documents are the examples of the configuration: those of its own tests, and all YAML of the documentation.
func documents(t *testing.T) map[string]string {
	t.Helper()
	out := make(map[string]string)
	root := filepath.Join("..", "..")
	fenced := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")
	for _, pattern := range []string{"config/testdata/good/*.yaml", "config/motan/testdata/*.yaml", "config/motan/testdata/pools/*/*.yaml", "docs/*.md", "README.md"} {
		files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			name, _ := filepath.Rel(root, file)
			if filepath.Ext(file) == ".yaml" {
				out[name] = string(b)
				continue
			}
			for i, m := range fenced.FindAllStringSubmatch(string(b), -1) {
				out[fmt.Sprintf("%s, example %d", name, i+1)] = m[1]
			}
		}
	}
	return out
}

// TestPagesReadYAMLAsTheConfigurationDoes compares the trees that the pages' form (governance/ui/src/lib) and the configuration make of
// the same texts: those of the examples, and random ones that either wrote. The form may step back from a text, but never read
// another value.
func TestPagesReadYAMLAsTheConfigurationDoes(t *testing.T) {
	t.Parallel()
	pages := startPagesYAML(t)

	t.Run("examples", func(t *testing.T) {
		all := documents(t)
		for name, text := range all {
			want, err := configTree(text)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			got, refused := pages.read(t, text)
			switch {
			case refused != "":
				t.Errorf("%s: the form steps back: %s", name, refused)
			case !reflect.DeepEqual(got, want):
				t.Errorf("%s: the form reads\n%v\nand the configuration\n%v", name, got, want)
			}
		}
		t.Logf("%d documents", len(all))
	})

	t.Run("written by the form", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			text := "# a document\nkind: redis\npolicy:\n  timeout: 1s # of a call\n"
			want := map[string]any{"kind": "redis", "policy": map[string]any{"timeout": "1s"}}
			for _, name := range []string{"settings", "labels", "groups"} {
				v := yamlTrees(3).Draw(t, name)
				if v == "" {
					continue // takes the field away
				}
				text, _, _ = pages.ask(t, map[string]any{"text": text, "path": []string{name}, "value": v})
				want[name] = v
			}
			got, err := configTree(text)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%s\nis read as\n%#v\nand was\n%#v", text, got, want)
			}
		})
	})

	t.Run("written by the centre", func(t *testing.T) {
		values := yamlTrees(3)
		for seed := range seeds {
			text, err := yaml.MarshalWithOptions(map[string]any{"labels": values.Example(seed)}, yaml.Indent(2), yaml.IndentSequence(true))
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			sameTree(t, pages, string(text))
		}
	})

	t.Run("written by hand", func(t *testing.T) {
		texts := rapid.Custom(func(t *rapid.T) string {
			word := rapid.OneOf(rapid.SampledFrom(awkward), yamlTexts())
			value := word.Draw(t, "value")
			return rapid.SampledFrom([]string{
				"a: " + value + "\n", "a: " + value + " # said\nb: 1\n", "a:\n  - " + value + "\n  - x\n", "a: [" + value + ", x]\n", "a: { b: " + value + " }\n",
				value + ": x\n", "a: { " + value + ": x }\n", "a:\n  - " + value + ": x\n", "a: '" + strings.ReplaceAll(value, "'", "''") + "'\n",
				"a: |\n  " + strings.ReplaceAll(value, "\n", "\n  ") + "\nb: 1\n", "a: >\n  " + strings.ReplaceAll(value, "\n", "\n  ") + "\n  more\n",
				"a: |-\n  " + value + "\n   " + value + "\n\n", "a: |+\n  " + value + "\n\n",
			}).Draw(t, "text")
		})
		for seed := range seeds {
			sameTree(t, pages, texts.Example(seed))
		}
	})
}

// sameTree fails when the form and the configuration read different trees. What the configuration refuses is refused by the centre,
// whatever the form makes of it.
func sameTree(t *testing.T, pages *pagesYAML, text string) {
	t.Helper()
	want, err := configTree(text)
	if err != nil {
		return
	}
	if want == nil {
		want = map[string]any{} // of a document with nothing in it the form makes an empty one
	}
	if got, refused := pages.read(t, text); refused == "" && !reflect.DeepEqual(got, want) {
		t.Fatalf("%q: the form reads\n%#v\nand the configuration\n%#v", text, got, want)
	}
}

// seeds is how many texts are compared that the form did not write.
const seeds = 2000

// awkward are texts that look like something else.
var awkward = []string{"", "0", "-0", "007", "0o17", "0x1F", "0b11", "1_000", "1e3", "1E+3", ".5", "5.", "+1", "-.5", "12.50", "1e400", "9007199254740993", ".inf", "-.inf", ".nan", "NaN",
	"true", "True", "TRUE", "false", "yes", "No", "on", "Off", "y", "n", "null", "Null", "NULL", "~", "2001-01-01", "2001-01-01T10:00:00Z", "12:30:45", "10.0.0.1:6379", "1s", "15%", "5000/s",
	"a: b", "a:", ":a", ":", "a:b", "#", "a #b", "a#b", "-", "- a", "-a", "--- ", "---", "...", "?", "? a", "<<", "=", "*a", "&a", "!a", "|", ">", "%a", "@a", "`a", "{", "}", "{}", "[", "]", "[]", ",",
	"'", "''", "\"", "\"\"", "it's", "'a'", "\"a\"", "a'b\"c", "\\", "\\n", " a", "a ", "a\nb", "a\n\nb\n", "\n", "\n a", "a\r\nb", "\t", "a\tb", "汉字", "é", "🙂", "\u00a0", "\u0085", "\u2028", "\ufeff", "\x00", "\x1b", "\x7f",
	"${env:X}", "$a", "(a)", "a, b", "a]b", "a{b", "a  b"}

// yamlTexts draws texts of one to five awkward pieces.
func yamlTexts() *rapid.Generator[string] {
	return rapid.Map(rapid.SliceOfN(rapid.SampledFrom(awkward), 1, 5), func(l []string) string { return strings.Join(l, "") })
}

// yamlTrees draws what a document may hold, with the types that encoding/json has for it.
func yamlTrees(depth int) *rapid.Generator[any] {
	text := rapid.OneOf(rapid.SampledFrom(awkward), yamlTexts(), rapid.String())
	scalar := rapid.OneOf(
		rapid.Map(text, func(s string) any { return s }),
		rapid.Map(text, func(s string) any { return s }),
		rapid.SampledFrom([]any{true, false, 0.0, 7.0, -12.0, 0.5, 1e21, -0.001, 65536.0}),
	)
	if depth == 0 {
		return scalar
	}
	return rapid.OneOf(scalar,
		rapid.Map(rapid.SliceOfN(yamlTrees(depth-1), 1, 3), func(l []any) any { return l }),
		rapid.Map(rapid.MapOfN(rapid.OneOf(rapid.SampledFrom([]string{"a", "policy", "label.team", "x y", "汉"}), text), yamlTrees(depth-1), 1, 3), func(m map[string]any) any { return m }),
	)
}
