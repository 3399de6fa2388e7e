//go:build long

package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const goRedis = "github.com/redis/go-redis/v9"

// filters leave tests out of all runs, direct ones too.
var filters = struct{ files, specs, tests string }{
	// Ginkgo specs by file: other topologies than one server (cluster, ring, sentinel), TLS files of a container that is
	// not here, and commands of modules or of later versions than 7.0.
	files: `/(osscluster|ring|sentinel|tls|search|json|probabilistic|timeseries|vectorset|array|himport|hotkeys)\w*_test\.go`,
	// Ginkgo specs by name: the same topologies inside of other files, and logins at the default address, which no
	// setting moves.
	specs: `(?i)cluster|failover|Credentials Provider`,
	// Plain tests by name: Ginkgo's own entry, the same topologies, and tests of 5 to 30 s against a mock in the same process.
	tests: `^(TestGinkgoSuite|TestFDShutdownFlushCompletesBetweenSessionsBacklog|Test\w*(Cluster|Ring|Sentinel|CSCMiss)\w*)$`,
}

// bound ends a run that hangs. One takes about a minute.
const bound = 4 * time.Minute

// suite is go-redis' built test binary.
type suite struct {
	dir    string // where its sources are, which it must run in
	binary string
}

// buildSuite copies the module to a folder of the test and builds its tests, with port in place of 6379.
func buildSuite(t *testing.T, port string) *suite {
	t.Helper()
	goTool(t, ".", "mod", "download", goRedis)
	module := strings.TrimSpace(goTool(t, ".", "list", "-m", "-f", "{{.Dir}}", goRedis))
	s := &suite{dir: filepath.Join(t.TempDir(), "goredis")}
	s.binary = filepath.Join(s.dir, "suite.test")
	if err := os.CopyFS(s.dir, os.DirFS(module)); err != nil {
		t.Fatal(err)
	}
	tests, err := filepath.Glob(filepath.Join(s.dir, "*_test.go"))
	if err != nil || len(tests) == 0 {
		t.Fatalf("%s has no tests: %v", module, err)
	}
	fixed := regexp.MustCompile(`"(localhost|127\.0\.0\.1|):6379"`)
	for _, file := range tests {
		text, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(file, fixed.ReplaceAll(text, []byte(`"${1}:`+port+`"`)), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	goTool(t, s.dir, "test", "-trimpath", "-vet=off", "-c", "-o", s.binary, ".")
	return s
}

// goTool runs the go command and returns what it printed.
func goTool(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return string(out)
}

// result is what became of one test: "passed", "failed", "skipped" or another word of Ginkgo; text says why it failed.
type result struct {
	state, text string
	attempts    int
}

type results map[string]result

func (r results) count(state string) (n int) {
	for _, x := range r {
		if x.state == state {
			n++
		}
	}
	return n
}

// exec runs the binary against addr. That some tests fail is no error.
func (s *suite) exec(t *testing.T, addr string, args ...string) string {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	endpoints := filepath.Join(t.TempDir(), "endpoints.json")
	if err := os.WriteFile(endpoints, fmt.Appendf(nil, `{"x":{"endpoints":["redis://%s"]}}`, addr), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.binary, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "RE_CLUSTER=true", "REDIS_ENDPOINTS_CONFIG_PATH="+endpoints, "RE_DB_NAME=x", "REDIS_VERSION=7.0", "REDIS_PORT="+port)
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("the tests did not end within %v:\n%s", bound, out[max(0, len(out)-4000):])
	}
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	return string(out)
}

// specs runs the Ginkgo specs. With a fixed seed their order is the same each time.
func (s *suite) specs(t *testing.T, addr string) results {
	report := filepath.Join(t.TempDir(), "report.json")
	out := s.exec(t, addr, "-test.run=^TestGinkgoSuite$", "--ginkgo.json-report="+report, "--ginkgo.no-color", "--ginkgo.seed=1",
		"--ginkgo.flake-attempts=2", "--ginkgo.skip-file="+filters.files, "--ginkgo.skip="+filters.specs)
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatalf("no report: %v\n%s", err, out[max(0, len(out)-4000):])
	}
	var suites []struct {
		SpecReports []struct {
			ContainerHierarchyTexts []string
			LeafNodeType            string
			LeafNodeText            string
			State                   string
			NumAttempts             int
			Failure                 struct {
				Message  string
				Location struct {
					FileName   string
					LineNumber int
				}
			}
		}
	}
	if err := json.Unmarshal(text, &suites); err != nil {
		t.Fatal(err)
	}
	got := results{}
	for _, suite := range suites {
		for _, sp := range suite.SpecReports {
			if sp.LeafNodeType != "It" {
				continue
			}
			base := strings.Join(append(sp.ContainerHierarchyTexts, sp.LeafNodeText), " | ")
			name := base
			for i := 2; got[name].state != ""; i++ { // specs that loops make have the same name
				name = fmt.Sprintf("%s #%d", base, i)
			}
			at := sp.Failure.Location
			why := fmt.Sprintf("%s:%d: %s", filepath.Base(at.FileName), at.LineNumber, sp.Failure.Message)
			got[name] = result{sp.State, why, sp.NumAttempts}
		}
	}
	return got
}

// line is the verdict on one test function. Names of subtests have a slash and do not match.
var line = regexp.MustCompile(`--- (PASS|FAIL|SKIP): (Test\w+) \(`)

// tests runs the plain test functions, and those that failed once more.
func (s *suite) tests(t *testing.T, addr string) results {
	states := map[string]string{"PASS": "passed", "FAIL": "failed", "SKIP": "skipped"}
	got := results{}
	parse := func(out string, attempt int) {
		for _, m := range line.FindAllStringSubmatchIndex(out, -1) {
			verdict, name := out[m[2]:m[3]], out[m[4]:m[5]]
			why := ""
			if verdict == "FAIL" {
				why = out[max(0, m[0]-1500):min(len(out), m[1]+500)]
			}
			got[name] = result{states[verdict], why, attempt}
		}
	}
	out := s.exec(t, addr, "-test.v", "-test.run=^Test", "-test.skip="+filters.tests)
	parse(out, 1)
	if strings.Contains(out, "\npanic: ") {
		t.Errorf("the tests ended early:\n%s", out[max(0, len(out)-4000):])
	}
	var again []string
	for name, r := range got {
		if r.state == "failed" {
			again = append(again, name)
		}
	}
	if len(again) > 0 {
		slices.Sort(again)
		parse(s.exec(t, addr, "-test.v", "-test.run=^("+strings.Join(again, "|")+")$"), 2)
	}
	return got
}
