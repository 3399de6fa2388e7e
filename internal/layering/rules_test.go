package layering

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// root is the module's folder.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatalf("%s is not the module's root: %v", dir, err)
	}
	return dir
}

// sources calls visit for every file that people write, with its path inside the module.
func sources(t *testing.T, visit func(path string, text string)) {
	t.Helper()
	dir := root(t)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			case ".git", "bin", "data", ".cache", "node_modules", "dist", "fuzz":
				return filepath.SkipDir
			}
			return nil
		}
		switch ext := filepath.Ext(path); {
		case slices.Contains([]string{".go", ".sh", ".md", ".yaml", ".yml", ".ts", ".svelte", ".css", ".html", ".mod"}, ext):
		case d.Name() == "Makefile" || d.Name() == "run":
		default:
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		visit(filepath.ToSlash(rel), string(text))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFilesAreOfOneConcern(t *testing.T) {
	sources(t, func(path, text string) {
		if filepath.Ext(path) == ".md" || strings.Contains(path, "testdata/") {
			return
		}
		if n := strings.Count(text, "\n"); n > maxLines {
			t.Errorf("%s has %d lines: over %d a file has more than one concern, split it by them", path, n, maxLines)
		}
	})
}

func TestNothingIsUnfinished(t *testing.T) {
	sources(t, func(path, text string) {
		for _, f := range unfinished(path, text) {
			t.Error(f)
		}
	})
}

var (
	// The words are put together here so that this file does not contain them.
	unfinishedWord = regexp.MustCompile(`\b(` + strings.Join([]string{"TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"}, "|") + `)\b`)
	skips          = regexp.MustCompile(`\b(t|b|f|tb|TB)\.Skip(f|Now)?\(`)
)

// unfinished returns a line for each mark of unfinished work and each test that can be skipped.
func unfinished(path, text string) []string {
	var bad []string
	for i, line := range strings.Split(text, "\n") {
		if w := unfinishedWord.FindString(line); w != "" {
			bad = append(bad, fmt.Sprintf("%s:%d: %s: finish it, or leave the mark out and say in the open what is missing", path, i+1, w))
		}
		if strings.HasSuffix(path, "_test.go") && skips.MatchString(line) {
			bad = append(bad, fmt.Sprintf("%s:%d: a skipped test proves nothing: fail and name the fix, such as make deps", path, i+1))
		}
	}
	return bad
}

// Long tests are chosen by file, tag and name together: a file that has only two of the three would never run.
func TestLongTestsAreFound(t *testing.T) {
	sources(t, func(path, text string) {
		if !strings.HasSuffix(path, "_test.go") {
			return
		}
		tagged := regexp.MustCompile(`(?m)^//go:build .*\blong\b`).MatchString(text) && !strings.Contains(text, "//go:build !long")
		if tagged != strings.HasSuffix(path, "_long_test.go") {
			t.Errorf("%s: the tag `long` and a name that ends in _long_test.go belong together", path)
		}
		if !tagged {
			return
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(\w+ \*testing\.T\)`).FindAllStringSubmatch(text, -1) {
			if !strings.Contains(m[1], "Long") {
				t.Errorf("%s: %s: make test-long runs tests whose names contain Long", path, m[1])
			}
		}
	})
}

func TestPackagesExplainThemselves(t *testing.T) {
	dir := root(t)
	for _, p := range modulePackages(t) {
		if len(p.GoFiles) == 0 {
			continue
		}
		doc := packageDoc(t, p)
		at := local(p.ImportPath)
		switch {
		case doc == "":
			t.Errorf("%s has no package comment: write %s/doc.go with what it is for, who calls it, what always holds", at, at)
		case len(doc) < minDoc:
			t.Errorf("%s: its package comment is %d characters long, which only repeats the name: say what it is for, who calls it, what always holds", at, len(doc))
		case p.Name != "main" && !strings.HasPrefix(doc, "Package "+p.Name+" "):
			t.Errorf("%s: its comment does not start with %q", at, "Package "+p.Name)
		}
		if p.Name != "main" && len(p.GoFiles) > 1 {
			if _, err := os.Stat(filepath.Join(dir, at, "doc.go")); err != nil {
				t.Errorf("%s: a package of %d files explains itself in doc.go, where a reader looks first", at, len(p.GoFiles))
			}
		}
	}
}

// packageDoc returns the whole comment of a package.
func packageDoc(t *testing.T, p *pkg) string {
	t.Helper()
	var doc strings.Builder
	for _, f := range p.GoFiles {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, f), nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Fatal(err)
		}
		doc.WriteString(file.Doc.Text())
	}
	return doc.String()
}

func TestHotFilesDoNotAllocate(t *testing.T) {
	pkgs := modulePackages(t)
	for _, h := range hotFiles {
		i := slices.IndexFunc(pkgs, func(p *pkg) bool { return local(p.ImportPath) == h.Package })
		if i < 0 {
			t.Errorf("hot package %s is not there: mend the table", h.Package)
			continue
		}
		files := strings.Fields(h.Files)
		if h.Files == "*" {
			files = slices.DeleteFunc(slices.Clone(pkgs[i].GoFiles), func(f string) bool { return f == "doc.go" })
		}
		for _, f := range files {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(pkgs[i].Dir, f), nil, parser.ImportsOnly)
			if err != nil {
				t.Errorf("hot file %s/%s: %v", h.Package, f, err)
				continue
			}
			for _, imp := range file.Imports {
				if path := strings.Trim(imp.Path.Value, `"`); matchAny(hotBanned, path) {
					t.Errorf("%s/%s is hot and must not import %s: %s", h.Package, f, path, hotReason)
				}
			}
		}
	}
}

func TestForbiddenCallsAndGlobals(t *testing.T) {
	used := make(map[string]bool)
	for _, p := range modulePackages(t) {
		fset := token.NewFileSet()
		var files []*ast.File
		for _, f := range p.GoFiles {
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, f), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
		info := resolve(p.ImportPath, fset, files)
		for _, v := range badCalls(p.ImportPath, fset, files, info) {
			t.Error(v)
		}
		if p.Name == "main" {
			continue
		}
		for name, at := range changedGlobals(fset, files, info) {
			full := local(p.ImportPath) + "." + name
			used[full] = true
			if !slices.ContainsFunc(mutable, func(v variable) bool { return v.Name == full }) {
				t.Errorf("%s: %s is state of the whole process: give it an owner that is made, handed down and closed", at, full)
			}
		}
	}
	for _, v := range mutable {
		if !used[v.Name] {
			t.Errorf("%s does not change any more: take its row out of the table", v.Name)
		}
	}
}

// resolve finds out what each name means. Packages that are imported stay empty, which is enough to tell their names
// apart; the errors that follow from it are of no interest.
func resolve(path string, fset *token.FileSet, files []*ast.File) *types.Info {
	info := &types.Info{Uses: make(map[*ast.Ident]types.Object), Defs: make(map[*ast.Ident]types.Object)}
	conf := types.Config{Importer: emptyImporter{}, Error: func(error) {}}
	_, _ = conf.Check(path, fset, files, info)
	return info
}

type emptyImporter struct{}

func (emptyImporter) Import(path string) (*types.Package, error) {
	name := path[strings.LastIndexByte(path, '/')+1:]
	if regexp.MustCompile(`^v\d+$`).MatchString(name) {
		name = filepath.Base(filepath.Dir(path))
	}
	p := types.NewPackage(path, name)
	p.MarkComplete()
	return p, nil
}

// badCalls returns a line for each use of a forbidden function.
func badCalls(path string, fset *token.FileSet, files []*ast.File, info *types.Info) []string {
	var bad []string
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := sel.X.(*ast.Ident)
			if !ok {
				return true
			}
			imported, ok := info.Uses[x].(*types.PkgName)
			if !ok {
				return true
			}
			name := imported.Imported().Path() + "." + sel.Sel.Name
			for _, c := range forbiddenCalls {
				if c.Func == name && matchAny(c.In, path) && !matchAny(c.Except, path) {
					bad = append(bad, fmt.Sprintf("%s: %s: %s", position(fset, sel.Pos()), name, c.Reason))
				}
			}
			return true
		})
	}
	return bad
}

// changedGlobals returns the package-level variables that some function other than init assigns to, and where. Calls of
// a variable's own methods, such as an atomic's Store, are not seen: this finds the plain cases.
func changedGlobals(fset *token.FileSet, files []*ast.File, info *types.Info) map[string]string {
	changed := make(map[string]string)
	note := func(target ast.Expr) {
		if id := base(target); id != nil {
			if v, ok := info.Uses[id].(*types.Var); ok && v.Pkg() != nil && v.Parent() == v.Pkg().Scope() {
				changed[id.Name] = position(fset, target.Pos())
			}
		}
	}
	for _, file := range files {
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil || (f.Name.Name == "init" && f.Recv == nil) {
				continue
			}
			ast.Inspect(f.Body, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.AssignStmt:
					if n.Tok != token.DEFINE {
						for _, l := range n.Lhs {
							note(l)
						}
					}
				case *ast.IncDecStmt:
					note(n.X)
				}
				return true
			})
		}
	}
	return changed
}

// base returns the variable that a target is part of: v in v, v.f, v[i] and *v.
func base(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

func position(fset *token.FileSet, p token.Pos) string {
	at := fset.Position(p)
	dir, name := filepath.Split(at.Filename)
	return fmt.Sprintf("%s/%s:%d", filepath.Base(dir), name, at.Line)
}
