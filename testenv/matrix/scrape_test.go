package matrix

import (
	"strconv"
	"strings"
	"testing"
)

// scrape is one answer of /metrics.
type scrape []series

type series struct {
	name   string
	labels map[string]string
	value  float64
}

// scrape reads the agent's metrics.
func (l *lab) scrape() scrape {
	l.Helper()
	s, err := l.tryScrape()
	if err != nil {
		l.Fatalf("GET /metrics: %v", err)
	}
	return s
}

func (l *lab) tryScrape() (scrape, error) {
	_, body, err := l.agent.Get("/metrics")
	if err != nil {
		return nil, err
	}
	return parseMetrics(body), nil
}

// sum adds up the series of a name that have all of the labels, given as name, value, ...
func (s scrape) sum(name string, labels ...string) float64 {
	total := 0.0
	for _, x := range s {
		if x.name == name && x.has(labels) {
			total += x.value
		}
	}
	return total
}

func (x *series) has(labels []string) bool {
	for i := 0; i+1 < len(labels); i += 2 {
		if x.labels[labels[i]] != labels[i+1] {
			return false
		}
	}
	return true
}

// parseMetrics reads the Prometheus text format, without escapes in label values.
func parseMetrics(body string) scrape {
	var out scrape
	for line := range strings.Lines(body) {
		line = strings.TrimSpace(line)
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || strings.HasPrefix(line, "#") {
			continue
		}
		v, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			continue
		}
		x := series{name: line[:at], labels: map[string]string{}, value: v}
		if name, rest, ok := strings.Cut(line[:at], "{"); ok {
			x.name = name
			for pair := range strings.SplitSeq(strings.TrimSuffix(rest, "}"), `",`) {
				k, v, _ := strings.Cut(pair, `="`)
				x.labels[k] = strings.TrimSuffix(v, `"`)
			}
		}
		out = append(out, x)
	}
	return out
}

func TestParseMetrics(t *testing.T) {
	s := parseMetrics("# HELP a b\na{x=\"1\",y=\"2,3\"} 4\na{x=\"2\"} 5\nb 6\n")
	if got := s.sum("a"); got != 9 {
		t.Errorf("sum of a is %v", got)
	}
	if got := s.sum("a", "x", "1", "y", "2,3"); got != 4 {
		t.Errorf("sum of a of x=1 is %v", got)
	}
	if got := s.sum("b"); got != 6 {
		t.Errorf("b is %v", got)
	}
}
