package series

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Reader reads what agents sent to a Graphite server, for times before the store's own history. Graphite keeps one
// number for each agent, operation and interval, so counts are added exactly, but quantiles cannot be: the highest of
// all agents stands for them, which no call of that share exceeded.
type Reader struct {
	URL     string       // of the web application, such as http://graphite:8080
	Prefix  string       // levels before the names, as agents were told; may be empty
	Role    string       // first level of the names; default sluice-agent
	Client  *http.Client // default http.DefaultClient
	Timeout time.Duration
}

// The bounds of an answer.
const (
	readTimeout   = 10 * time.Second
	maxAnswer     = 32 << 20 // bytes
	maxDataPoints = 20_000
)

// stats are the STATs that are read, and how those of several agents, and of several intervals, are joined.
var stats = [...]struct{ stat, join string }{
	{"total_count", "sum"}, {"error_count", "sum"}, {"slow_count", "sum"},
	{"p50", "max"}, {"p95", "max"}, {"p99", "max"}, {"p999", "max"},
}

// Query returns points from Graphite. Resource is needed; Application, Group, Op and Agent (a host's name there) are
// names or patterns. Mean, Max, outcomes and bytes are not known, nor where a caller runs.
func (r *Reader) Query(ctx context.Context, q Query) ([]Point, error) {
	if q.Resource == "" {
		return nil, fmt.Errorf("%w: Graphite is asked for one resource", ErrQuery)
	}
	if q.From.IsZero() || !q.From.Before(q.To) {
		return nil, fmt.Errorf("%w: from %v to %v: from must be earlier", ErrQuery, q.From, q.To)
	}
	if q.IDC != "" || len(q.Agents) > 0 || len(q.NotAgents) > 0 {
		return nil, fmt.Errorf("%w: Graphite's names have no data centre, and one pattern for agents", ErrDetail)
	}
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = readTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	series, err := r.render(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("graphite %s: %w", r.URL, err)
	}
	return points(series, q), nil
}

// name returns the pattern of names up to STAT.
func (r *Reader) name(q Query) string {
	role := r.Role
	if role == "" {
		role = "sluice-agent"
	}
	name := strings.Join([]string{level1(role), level1(q.Application), level1(q.Group), "byhost", level1(q.Agent), level1(q.Resource), level1(q.Op)}, ".")
	if p := strings.Trim(r.Prefix, "."); p != "" {
		name = p + "." + name
	}
	return name
}

// level1 makes a text one level of a name, as agents do when they send it. `*` stays what it is.
func level1(s string) string {
	if s == "" {
		return "*"
	}
	return strings.Map(func(c rune) rune {
		if c == '-' || c == '*' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
			return c
		}
		return '_'
	}, s)
}

// rendered is one series of the answer of /render?format=json.
type rendered struct {
	Target     string        `json:"target"`
	Datapoints [][2]*float64 `json:"datapoints"` // value or null, Unix time in s
}

func (r *Reader) render(ctx context.Context, q Query) ([]rendered, error) {
	form := url.Values{"format": {"json"}, "maxDataPoints": {strconv.Itoa(maxPoints)}}
	// Graphite leaves out what is at from and takes what is at until.
	form.Set("from", strconv.FormatInt(q.From.Add(-1).Unix(), 10))
	form.Set("until", strconv.FormatInt(q.To.Add(-1).Unix(), 10))
	name := r.name(q)
	for _, s := range stats {
		target := s.join + "Series(" + name + "." + s.stat + ")"
		if q.Step > 0 {
			target = "summarize(" + target + `,"` + strconv.FormatInt(max(int64(q.Step/time.Second), 1), 10) + `s","` + s.join + `")`
		}
		// What is more than maxDataPoints is joined, by the mean unless it is told.
		form.Add("target", "alias(consolidateBy("+target+`,"`+s.join+`"),"`+s.stat+`")`)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(r.URL, "/")+"/render", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	client := r.Client
	if client == nil {
		client = http.DefaultClient
	}
	answer, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %s: %.200s", answer.Status, body)
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("an answer of more than %d bytes: use a longer step", maxAnswer)
	}
	return parseRendered(body)
}

func parseRendered(body []byte) (out []rendered, err error) {
	if err := json.Unmarshal(body, &out); err != nil {
		return nil, fmt.Errorf("its answer is not the JSON of /render: %w", err)
	}
	return out, nil
}

// points joins the series by time.
func points(all []rendered, q Query) []Point {
	var out []Point
	at := map[int64]int{}
	for _, s := range all {
		if len(s.Datapoints) > maxDataPoints {
			s.Datapoints = s.Datapoints[:maxDataPoints]
		}
		for _, d := range s.Datapoints {
			if d[1] == nil {
				continue
			}
			t := int64(min(max(*d[1], 0), 1<<40))
			i, ok := at[t]
			if !ok {
				i = len(out)
				at[t] = i
				out = append(out, Point{At: time.Unix(t, 0), Gap: true})
			}
			if d[0] != nil {
				out[i].set(s.Target, *d[0])
			}
		}
	}
	finishPoints(out, q)
	return out
}

// set takes one value of Graphite's over. Durations are milliseconds there.
func (p *Point) set(stat string, v float64) {
	p.Gap = false
	ns := int64(min(max(v, 0), 1e9) * 1e6)
	n := uint64(min(max(v, 0), 1e15))
	switch stat {
	case "total_count":
		p.Calls = n
	case "error_count":
		p.Errors = n
	case "slow_count":
		p.Slow = n
	case "p50":
		p.P50 = ns
	case "p95":
		p.P95 = ns
	case "p99":
		p.P99 = ns
	case "p999":
		p.P999 = ns
	}
}

// finishPoints puts points in order and gives them their lengths.
func finishPoints(all []Point, q Query) {
	slices.SortFunc(all, func(a, b Point) int { return a.At.Compare(b.At) })
	for i := range all {
		end := q.To
		if i+1 < len(all) {
			end = all[i+1].At
		} else if i > 0 {
			end = all[i].At.Add(all[i-1].Length)
		}
		all[i].Length = max(end.Sub(all[i].At), 0)
	}
}
