package layering

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// The checkers on sources that break the rules, and on look-alikes that do not.

func parse(t *testing.T, src string) (*token.FileSet, []*ast.File) {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "p/x.go", src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return fset, []*ast.File{file}
}

func TestBadCallsAreFound(t *testing.T) {
	fset, files := parse(t, `package p
import ( "os"; clock "time" )
type fake struct{}
func (fake) Exit(int) {}
func f() { os.Exit(1) }
func g() { clock.Sleep(1) }
func h(os fake) { os.Exit(1) }
`)
	path := Module + "/agent/p"
	got := strings.Join(badCalls(path, fset, files, resolve(path, fset, files)), "\n")
	for _, want := range []string{"p/x.go:5: os.Exit", "p/x.go:6: time.Sleep"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s was not found in:\n%s", want, got)
		}
	}
	if strings.Count(got, "\n") != 1 {
		t.Errorf("more was found than there is:\n%s", got)
	}
	path = Module + "/cmd/sluice"
	if got := badCalls(path, fset, files, resolve(path, fset, files)); len(got) != 0 {
		t.Errorf("a command may do this: %v", got)
	}
}

func TestChangedGlobalsAreFound(t *testing.T) {
	fset, files := parse(t, `package p
import "errors"
var plain, counted int
var table = map[string]int{}
var state struct { list []int }
var constant = errors.New("never assigned to")
var filled int
func init() { filled = 1 }
func f() { plain = 1; counted++; table["a"] = 2; state.list = nil }
func g() { constant := 1; constant++; filled := 2; filled++ }
`)
	changed := changedGlobals(fset, files, resolve(Module+"/p", fset, files))
	var got []string
	for name := range changed {
		got = append(got, name)
	}
	slices.Sort(got)
	if want := []string{"counted", "plain", "state", "table"}; !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
}

func TestUnfinishedIsFound(t *testing.T) {
	mark := "TO" + "DO"
	for line, want := range map[string]int{
		"// " + mark + ": later":        1,
		"const " + mark + "s = 1":       0,
		"\tt." + "Skip(\"no server\")":  1,
		"\ttb." + "Skipf(\"no %s\", x)": 1,
		"\tscanner." + "Skip(3)":        0,
		"\tb." + "SkipNow()":            1,
	} {
		if got := len(unfinished("x_test.go", line)); got != want {
			t.Errorf("%q: %d findings, want %d", line, got, want)
		}
	}
}
