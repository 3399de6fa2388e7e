package say

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// entries are those of a file of the pages' dictionary whose keys begin so: [English, Chinese] by the rest of the key.
func entries(t *testing.T, file, prefix string) map[string][2]string {
	t.Helper()
	text, err := os.ReadFile("../ui/src/words/" + file)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][2]string{}
	line := regexp.MustCompile(`(?m)^  '` + prefix + `\.([a-z_.]+)': \[(?:'([^']*)'|"([^"]*)"), (?:'([^']*)'|"([^"]*)")\],$`)
	for _, m := range line.FindAllStringSubmatch(string(text), -1) {
		out[m[1]] = [2]string{m[2] + m[3], m[4] + m[5]}
	}
	return out
}

func chinese(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Han, r) })
}

func placesOf(text string) map[string]bool {
	out := map[string]bool{}
	for _, m := range places.FindAllStringSubmatch(text, -1) {
		out[m[1]] = true
	}
	return out
}

// The pages have each sentence in their dictionary: with the same English, and in Chinese, with nothing in it that does not come.
func TestPagesHaveEachSentence(t *testing.T) {
	theirs := entries(t, "says.ts", "says")
	for code, want := range english {
		got := theirs[code]
		if got[0] != want {
			t.Errorf("%s is %q here and %q in ui/src/words/says.ts", code, want, got[0])
		}
		if rest := places.ReplaceAllString(want, ""); strings.ContainsFunc(rest, unicode.IsLetter) && !chinese(got[1]) {
			t.Errorf("%s has no Chinese: %q", code, got[1])
		}
		have := placesOf(want)
		for place := range placesOf(got[1]) {
			if !have[place] {
				t.Errorf("%s: nothing fills {%s} in Chinese", code, place)
			}
		}
	}
	if len(theirs) != len(english) {
		t.Errorf("%d sentences here, %d there", len(english), len(theirs))
	}
}

// Each kind of error that the interface answers with has a Chinese sentence, for those that say nothing else in Chinese.
func TestPagesHaveEachErrorCode(t *testing.T) {
	theirs := entries(t, "says.ts", "error")
	codes := map[string]bool{}
	for _, dir := range []string{"../../internal/httpapi", "../api"} {
		eachFile(t, dir, func(_ *token.FileSet, f *ast.File) {
			ast.Inspect(f, func(n ast.Node) bool {
				lit, ok := n.(*ast.CompositeLit)
				if !ok || !isError(lit.Type) || len(lit.Elts) == 0 {
					return true
				}
				code := ast.Expr(nil)
				for _, e := range lit.Elts {
					if kv, ok := e.(*ast.KeyValueExpr); ok && kv.Key.(*ast.Ident).Name == "Code" {
						code = kv.Value
					}
				}
				if _, keyed := lit.Elts[0].(*ast.KeyValueExpr); !keyed {
					code = lit.Elts[1]
				}
				text, err := strconv.Unquote(code.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				codes[text] = true
				return true
			})
		})
	}
	if len(codes) < 12 {
		t.Fatalf("codes are not found: %v", codes)
	}
	for code := range codes {
		if !chinese(theirs[code][1]) {
			t.Errorf("an error %q has no Chinese in ui/src/words/says.ts: %q", code, theirs[code])
		}
	}
}

func isError(e ast.Expr) bool {
	switch x := e.(type) {
	case *ast.Ident:
		return x.Name == "Error"
	case *ast.SelectorExpr:
		return x.Sel.Name == "Error"
	}
	return false
}

// Each check of a plan has a name in Chinese.
func TestPagesHaveEachCheck(t *testing.T) {
	theirs := entries(t, "common.ts", "check")
	text, err := os.ReadFile("../rollout/check.go")
	if err != nil {
		t.Fatal(err)
	}
	list := regexp.MustCompile(`CheckNames = \[\]string\{(.*)\}`).FindSubmatch(text)
	if list == nil {
		t.Fatal("there are no checks")
	}
	for _, quoted := range strings.Split(string(list[1]), ", ") {
		name, err := strconv.Unquote(quoted)
		if err != nil || !chinese(theirs[name][1]) {
			t.Errorf("check %s: %q %v", quoted, theirs[name], err)
		}
	}
}

// eachFile parses the files of a package, without its tests.
func eachFile(t *testing.T, dir string, visit func(*token.FileSet, *ast.File)) {
	t.Helper()
	names, err := filepath.Glob(dir + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	files := token.NewFileSet()
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(files, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		visit(files, f)
	}
}

// Each call of Of has a code that there is, written out, and a value for each of its places.
func TestSentencesAreWhole(t *testing.T) {
	used := map[string]bool{"agent.clock": true, "agent.gone": true, "agent.stale": true, "agent.unready": true} // by api's ofAgent
	dirs, err := filepath.Glob("../*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range append(dirs, "..") {
		eachFile(t, dir, func(files *token.FileSet, f *ast.File) {
			ast.Inspect(f, func(n ast.Node) bool { return sentenceAt(t, files, n, used) })
		})
	}
	for code := range english {
		if !used[code] {
			t.Errorf("nothing says %q", code)
		}
	}
}

// sentenceAt looks at one call of Of.
func sentenceAt(t *testing.T, files *token.FileSet, n ast.Node, used map[string]bool) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) != 2 {
		return true
	}
	of, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || of.Sel.Name != "Of" {
		return true
	}
	if pkg, ok := of.X.(*ast.Ident); !ok || pkg.Name != "say" {
		return true
	}
	lit, ok := call.Args[0].(*ast.BasicLit)
	if !ok {
		return true // ofAgent's
	}
	code, _ := strconv.Unquote(lit.Value)
	used[code] = true
	if english[code] == "" {
		t.Errorf("%s: there is no sentence %q", files.Position(n.Pos()), code)
	}
	keys := map[string]bool{}
	switch with := call.Args[1].(type) {
	case *ast.CompositeLit:
		for _, e := range with.Elts {
			key, _ := strconv.Unquote(e.(*ast.KeyValueExpr).Key.(*ast.BasicLit).Value)
			keys[key] = true
		}
	case *ast.Ident:
		if with.Name != "nil" {
			return true // a variable, which the tests of what uses it see
		}
	}
	for place := range placesOf(english[code]) {
		if !keys[place] {
			t.Errorf("%s: %q has no %s", files.Position(n.Pos()), code, place)
		}
	}
	return true
}

func TestSentencesSayWhatTheySaid(t *testing.T) {
	why := Of("endpoint.why", With{"address": "10.0.0.1:6379", "group": "yf", "state": "down", "detail": "connection refused"})
	for want, s := range map[string]Sentence{
		"feed: 10.0.0.1:6379 in yf is down: connection refused": Of("resource.is", With{"resource": "feed", "why": why}),
		"1 change at once for 2 agents.":                        Of("document.changes", With{"n": 1, "agents": 2}),
		"feed: yf goes from 100 to 0 calls a second, at 1 agent.": Of("order.moves",
			With{"resource": "feed", "group": "yf", "before": "100", "after": "0", "n": 1}),
		"12.3 % of the calls do not end ok":  Of("calls.failed", With{"percent": "12.3"}),
		"a {group} of b is not filled again": Of("resource.said", With{"problem": "a {group} of b is not filled again"}),
	} {
		if s.Text != want {
			t.Errorf("%q, want %q", s.Text, want)
		}
	}
}
