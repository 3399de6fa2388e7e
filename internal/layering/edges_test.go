package layering

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// pkg is what `go list -json` says of a package.
type pkg struct {
	ImportPath   string
	Dir          string
	Name         string
	Doc          string
	Standard     bool
	Module       *struct{ Path string }
	GoFiles      []string
	TestGoFiles  []string
	XTestGoFiles []string
	Imports      []string
	Deps         []string
}

func (p *pkg) ours() bool { return p.Module != nil && p.Module.Path == Module }

// modulePackages lists our packages, without their tests.
func modulePackages(t *testing.T) []*pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Dir,Name,Doc,Standard,Module,GoFiles,TestGoFiles,XTestGoFiles,Imports,Deps", Module+"/...")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var ours []*pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		p := new(pkg)
		if err := dec.Decode(p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		if p.ours() {
			ours = append(ours, p)
		}
	}
	if len(ours) < 5 {
		t.Fatalf("go list found %d packages of %s: the rules would hold for nothing", len(ours), Module)
	}
	return ours
}

// violations returns a line for each forbidden import.
func violations(edges []edge, pkgs []*pkg) []string {
	byPath := make(map[string]*pkg)
	for _, p := range pkgs {
		byPath[p.ImportPath] = p
	}
	var bad []string
	for _, e := range edges {
		for _, p := range pkgs {
			if !matchAny(e.From, p.ImportPath) || matchAny(e.Except, p.ImportPath) {
				continue
			}
			imports := p.Deps
			if e.Direct {
				imports = p.Imports
			}
			for _, dep := range imports {
				if dep == p.ImportPath || !matchAny(e.To, dep) || (e.Siblings > 0 && sameRoom(e.Siblings, p.ImportPath, dep)) {
					continue
				}
				bad = append(bad, fmt.Sprintf("%s must not import %s: %s%s", local(p.ImportPath), local(dep), e.Reason, via(byPath, p, dep)))
			}
		}
	}
	slices.Sort(bad)
	return slices.Compact(bad)
}

// sameRoom reports whether two packages of the module have their first n+1 directories in common, or only one of them
// has that many: then they are not two siblings.
func sameRoom(n int, a, b string) bool {
	as, bs := strings.Split(local(a), "/"), strings.Split(local(b), "/")
	return len(as) <= n || len(bs) <= n || slices.Equal(as[:n+1], bs[:n+1])
}

// via names the chain of imports that leads from p to dep, empty when it is direct.
func via(byPath map[string]*pkg, p *pkg, dep string) string {
	var chain []string
	for p != nil && !slices.Contains(p.Imports, dep) {
		at := slices.IndexFunc(p.Imports, func(i string) bool { return byPath[i] != nil && slices.Contains(byPath[i].Deps, dep) })
		if at < 0 {
			break
		}
		p = byPath[p.Imports[at]]
		chain = append(chain, local(p.ImportPath))
	}
	if chain == nil {
		return ""
	}
	return " (by way of " + strings.Join(chain, ", ") + ")"
}

func local(path string) string {
	if path == Module {
		return "."
	}
	return strings.TrimPrefix(path, Module+"/")
}

func TestForbiddenEdges(t *testing.T) {
	for _, v := range violations(edges, modulePackages(t)) {
		t.Error(v)
	}
}

// Circles between packages are impossible in Go; circles between the top-level rooms are not.
func TestRoomsHaveNoCircle(t *testing.T) {
	uses := make(map[string]map[string]string)
	for _, p := range modulePackages(t) {
		from := room(p.ImportPath)
		for _, i := range p.Imports {
			if !strings.HasPrefix(i, Module+"/") || room(i) == from {
				continue
			}
			if uses[from] == nil {
				uses[from] = make(map[string]string)
			}
			uses[from][room(i)] = local(p.ImportPath) + " imports " + local(i)
		}
	}
	for a := range uses {
		for b, why := range uses[a] {
			if back := uses[b][a]; back != "" && a < b {
				t.Errorf("rooms %s and %s import each other: %s, but %s", a, b, why, back)
			}
		}
	}
}

// room is the first directory. The contract, the programs and the verbs' client are rooms of their own.
func room(path string) string {
	l := local(path)
	switch {
	case matchAny(commands+" internal/cli/... internal/layering/...", path):
		return "commands"
	case matchAny(kinds, path):
		return "kinds"
	}
	first, _, _ := strings.Cut(l, "/")
	return first
}

func TestEveryEdgeHasAReason(t *testing.T) {
	for _, e := range edges {
		if len(e.Reason) < 20 || e.From == "" || e.To == "" {
			t.Errorf("edge %q -> %q: say why it is forbidden", e.From, e.To)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, pkg string
		want         bool
	}{
		{"agent", "agent", true},
		{"agent", "config", false},
		{"agent/...", "agent", true},
		{"agent/...", "agent/filter/acl", true},
		{"agent/...", "agents", false},
		{"resources/*", "resources", false},
		{"resources/*/...", "resources/redis", true},
		{"resources/*/...", "resources/redis/inner", true},
		{"resources/*/...", "resources", false},
		{"...", "cmd/sluice", true},
	} {
		if got := match(c.pattern, Module+"/"+c.pkg); got != c.want {
			t.Errorf("match(%q, %q) = %v", c.pattern, c.pkg, got)
		}
	}
	for pattern, path := range map[string]string{"ext:net": "net", "ext:github.com/redis/go-redis/...": "github.com/redis/go-redis/v9"} {
		if !match(pattern, path) {
			t.Errorf("match(%q, %q) = false", pattern, path)
		}
	}
	if match("ext:net", "net/http") || match("...", "net") || match("ext:...", Module+"/agent") {
		t.Error("patterns reach across the module's border")
	}
}

// Each kind of row must find what it forbids.
func TestViolationsAreFound(t *testing.T) {
	at := func(path string, imports []string, deps ...string) *pkg {
		p := &pkg{ImportPath: Module + "/" + path, Imports: imports}
		p.Deps = append(append(p.Deps, imports...), deps...)
		return p
	}
	m := func(path string) string { return Module + "/" + path }
	for name, c := range map[string]struct {
		pkgs []*pkg
		want string // empty: allowed
	}{
		"direct":            {[]*pkg{at("protocols/resp", []string{m("agent/filter")})}, "protocols/resp must not import agent/filter"},
		"hidden":            {[]*pkg{at("resources/redis", []string{m("internal/x")}, m("agent")), at("internal/x", []string{m("agent")})}, "by way of internal/x)"},
		"other kind":        {[]*pkg{at("resources/redis", []string{m("resources/mysql")})}, "a kind never knows another"},
		"own inner package": {[]*pkg{at("resources/redis", []string{m("resources/redis/inner")})}, ""},
		"contract":          {[]*pkg{at("resources/redis", []string{m("resources")})}, ""},
		"planes":            {[]*pkg{at("governance/api", []string{m("agent/admin")})}, "governance/api must not import agent/admin"},
		"filter does I/O":   {[]*pkg{at("agent/filter/acl", []string{"net"})}, "agent/filter/acl must not import net"},
		"filter and filter": {[]*pkg{at("agent/filter/acl", []string{m("agent/filter/tap")})}, "through the Call alone"},
		"standard filters":  {[]*pkg{at("agent/filter/standard", []string{m("agent/filter/tap")})}, ""},
		"chain and filter":  {[]*pkg{at("agent/filter", []string{m("agent/filter/tap")})}, "does not know its filters"},
		"testing":           {[]*pkg{at("agent/cluster", []string{"testing"})}, "belong into test files"},
		"test servers":      {[]*pkg{at("cmd/sluice", []string{m("testenv/server")})}, "cmd/sluice must not import testenv/server"},
		"test servers, ok":  {[]*pkg{at("testenv/demo", []string{m("testenv/server")})}, ""},
	} {
		got := strings.Join(violations(edges, c.pkgs), "\n")
		if c.want == "" && got != "" {
			t.Errorf("%s: found %s", name, got)
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: found %q, want %q", name, got, c.want)
		}
	}
}
