package dashboard

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/metrics/prometheus"
	"github.com/sluice-mesh/sluice/metrics/report"
)

// declared returns the labels that metrics/names.go writes beside each name.
func declared(t *testing.T) map[string][]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../names.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			lit, ok := v.Values[0].(*ast.BasicLit)
			if !ok || v.Comment == nil {
				continue
			}
			name, err := strconv.Unquote(lit.Value)
			if err != nil || !strings.HasPrefix(name, "sluice_") {
				continue
			}
			labels, _, _ := strings.Cut(v.Comment.Text(), ";")
			labels = regexp.MustCompile(`\([^)]*\)`).ReplaceAllString(labels, "")
			out[name] = strings.FieldsFunc(labels, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' })
		}
	}
	if len(out) < 14 {
		t.Fatalf("metrics/names.go has %d names: %v", len(out), out)
	}
	// Those of filters, which make them when a rule needs them.
	out[report.WouldRefuseTotal] = []string{"resource", "filter", "rule"}
	out[report.BreakersOpen] = []string{"resource"}
	return out
}

// exposed returns the labels of each sample that Prometheus reads from an agent that has one series of everything.
func exposed(t *testing.T) map[string][]string {
	t.Helper()
	reg := metrics.NewRegistry(metrics.Options{})
	m := reg.Resource("feed", "redis")
	m.Cell("yf", "GET", "read").Done(1, 1000, false, 1, 1)
	types := map[string]metrics.Type{}
	reg.Gather(func(p *metrics.Point) { types[p.Name] = p.Type })
	for name, labels := range declared(t) {
		if name == metrics.CallsTotal || name == metrics.CallSeconds || name == metrics.CallBytesTotal {
			continue // made by the cell
		}
		var pairs []string
		for _, l := range labels {
			if l != "resource" {
				pairs = append(pairs, l, "x")
			}
		}
		counter := strings.HasSuffix(name, "_total")
		switch ofResource := slices.Contains(labels, "resource"); {
		case ofResource && counter:
			m.Counter(name, pairs...)
		case ofResource:
			m.Gauge(name, pairs...)
		case counter:
			reg.Counter(name, "", pairs...)
		default:
			reg.Gauge(name, "", pairs...)
		}
	}
	var text bytes.Buffer
	if err := prometheus.Write(&text, reg); err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	label := regexp.MustCompile(`(\w+)="`)
	for _, line := range strings.Split(text.String(), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		name := line[:strings.IndexAny(line, "{ ")]
		for _, l := range label.FindAllStringSubmatch(line, -1) {
			if !slices.Contains(out[name], l[1]) {
				out[name] = append(out[name], l[1])
			}
		}
		out[name] = append(out[name], "instance") // Prometheus adds it
	}
	return out
}

var (
	selector = regexp.MustCompile(`([a-z_]+)(\{[^}]*\})`)
	matcher  = regexp.MustCompile(`(\w+)\s*(?:=~|!=|!~|=)`)
	grouping = regexp.MustCompile(`by \(([^)]*)\)`)
	shown    = regexp.MustCompile(`\{\{(\w+)\}\}`)
	bareName = regexp.MustCompile(`\b(?:sluice|process|go)_\w+`)
)

// wrong returns what a query says that no agent exposes.
func wrong(q Query, there map[string][]string) (bad []string) {
	found := selector.FindAllStringSubmatch(q.Expr, -1)
	if len(found) == 0 || len(found) != len(bareName.FindAllString(q.Expr, -1)) {
		return []string{"a metric without a selector: the variables do not choose it"}
	}
	for _, s := range found {
		labels, ok := there[s[1]]
		if !ok {
			bad = append(bad, "no metric "+s[1])
			continue
		}
		var used []string
		for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
			used = append(used, m[1])
		}
		for _, g := range grouping.FindAllStringSubmatch(q.Expr, -1) {
			used = append(used, strings.Split(strings.ReplaceAll(g[1], " ", ""), ",")...)
		}
		for _, l := range shown.FindAllStringSubmatch(q.Legend, -1) {
			used = append(used, l[1])
		}
		for _, l := range used {
			if !slices.Contains(labels, l) {
				bad = append(bad, s[1]+" has no label "+l)
			}
		}
	}
	return bad
}

func TestQueriesAskForWhatThereIs(t *testing.T) {
	there := exposed(t)
	titles := map[string]bool{}
	for _, r := range rows {
		for _, p := range r.Panels {
			if p.Title == "" || p.Doc == "" || p.Unit == "" || len(p.Queries) == 0 || titles[p.Title] {
				t.Errorf("%s / %s: a panel needs a title of its own, a text, a unit and a query", r.Title, p.Title)
			}
			titles[p.Title] = true
			for _, q := range p.Queries {
				for _, w := range wrong(q, there) {
					t.Errorf("%s / %s: %s: %s", r.Title, p.Title, q.Expr, w)
				}
				if strings.Count(q.Expr, "(") != strings.Count(q.Expr, ")") {
					t.Errorf("%s / %s: brackets of %s", r.Title, p.Title, q.Expr)
				}
			}
		}
	}
}

// The check itself finds what it is there to find.
func TestWrongQueriesAreFound(t *testing.T) {
	there := exposed(t)
	for _, q := range []Query{
		{`rate(sluice_call_total{resource="x"}[1m])`, ""},
		{`sum by (grp) (sluice_calls_total{resource="x"})`, ""},
		{`sluice_sessions{group="x"}`, ""},
		{`sluice_sessions{resource="x"}`, "{{op}}"},
		{`sluice_sessions`, ""},
	} {
		if len(wrong(q, there)) == 0 {
			t.Errorf("%s %s: nothing found", q.Expr, q.Legend)
		}
	}
}

func TestFileIsCurrent(t *testing.T) {
	want, err := JSON()
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(want) {
		t.Fatal("not JSON")
	}
	got, err := os.ReadFile("../../docs/grafana.json")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("docs/grafana.json is not what the table says (%v): go run ./internal/tools/dashboard > docs/grafana.json", err)
	}
}
