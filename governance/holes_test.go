package governance

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// holes are the classes of holes that control planes and admin interfaces of meshes, gateways and registries had, each with an event
// of a peer, and the tests that say that there is none here: a folder of this module and a test's name.
var holes = []struct {
	class, event string
	tests        []string
}{
	{"being on the same machine is no identity, and foreign pages ask nothing", "Kuma CVE-2026-45021: the admin's token, cross-origin", []string{
		"governance TestNothingWithoutIdentity", "governance TestForeignPages", "agent/admin TestForeignHostsAndOriginsAreRefused"}},
	{"a page cannot send a configuration", "Caddy CVE-2026-27589", []string{
		"governance TestForeignPages", "agent/admin TestForeignHostsAndOriginsAreRefused", "agent/admin TestTokenGuardsAllButTheOpenPaths"}},
	{"nobody talks to an authority that they do not know", "Kuma CVE-2026-50166, CVE-2026-52724: no check without a CA", []string{
		"agent/link TestTheTokenPinsTheAuthority", "agent/link TestACentreOfAnotherAuthorityIsNotTrusted", "internal/cli TestUnknownAuthority",
		"governance TestPlainHTTPFromElsewhere"}},
	{"what is read back has no secrets, whatever they are called", "MOSN PR 2433, CVE-2021-32163: keys in a dump", []string{
		"governance TestSecretsStayInside", "governance TestSecretsOfOthers", "testenv/governance TestSecrets"}},
	{"nothing changes by a GET, and each verb has its right", "Linkerd CVE-2024-40632: /shutdown", []string{
		"agent/admin TestNothingChangesOnAGet", "governance TestRightsOfEachPath", "governance TestScopeCannotBeWidened"}},
	{"no header stands for an identity", "Nacos CVE-2021-29441: User-Agent", []string{"governance TestNothingWithoutIdentity"}},
	{"no secret is known before the first start, and weak ones are refused", "Nacos issue 10060; Kiali CVE-2020-1764; Polaris; ProxySQL admin:admin", []string{
		"governance/auth TestAdminTokenFile", "agent/admin TestTokenFile", "governance TestFirstLogin"}},
	{"sessions are short, and end", "Kiali CVE-2020-1762, CVE-2021-20278", []string{"governance/auth TestSessions", "governance/auth TestOIDC", "testenv/governance TestOIDCRefuses"}},
	{"tokens cannot be guessed or passed by", "Dapr CVE-2023-37918, CVE-2024-35223", []string{
		"governance TestGuessesAreLimited", "governance/auth TestTokens", "governance/auth TestJoin", "governance/auth TestSignRefusals"}},
	{"no secret is in an argument of a program, nor in what profiles say", "NATS CVE-2026-33247", []string{
		"governance TestNoProgramIsStarted", "agent/admin TestPprofIsOffUnlessSwitchedOn"}},
	{"secrets are kept sealed, and passwords as hashes that are not shown", "Prometheus CVE-2026-42151; Traefik CVE-2019-12452", []string{
		"governance/auth TestSealing", "governance TestSecretsStayInside"}},
}

// Each class of hole has its tests, which exist.
func TestHolesHaveTests(t *testing.T) {
	for _, h := range holes {
		if len(h.tests) == 0 {
			t.Errorf("no test says that %s (%s)", h.class, h.event)
		}
		for _, at := range h.tests {
			dir, name, _ := strings.Cut(at, " ")
			files, err := filepath.Glob(filepath.Join("..", dir, "*_test.go"))
			if err != nil || len(files) == 0 {
				t.Fatalf("tests of %s: %v", dir, err)
			}
			found := false
			for _, file := range files {
				f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range f.Decls {
					fn, ok := d.(*ast.FuncDecl)
					found = found || ok && fn.Recv == nil && fn.Name.Name == name
				}
			}
			if !found {
				t.Errorf("%s: there is no test %s in %s", h.class, name, dir)
			}
		}
	}
}

// Agent, centre and command line start no other program, which could be given a secret for all to see in the list of processes.
func TestNoProgramIsStarted(t *testing.T) {
	seen := 0
	for _, dir := range []string{"agent", "cmd", "config", "governance", "internal", "metrics", "protocols", "resources"} {
		err := filepath.WalkDir(filepath.Join("..", dir), func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && (d.Name() == "node_modules" || path == filepath.Join("..", "internal", "tools")): // which build and test
				return filepath.SkipDir
			case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
				return nil
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
			if err != nil {
				return err
			}
			seen++
			for _, i := range f.Imports {
				if i.Path.Value == `"os/exec"` {
					t.Errorf("%s imports os/exec", path)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 300 {
		t.Errorf("%d files were looked at", seen)
	}
}
