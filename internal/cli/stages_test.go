package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func traced1(op string, s Stages) *Event {
	s.Total = s.Receive + s.Route + s.Send + s.Wait + s.Reply
	return &Event{
		Time: time.Date(2026, 11, 22, 21, 4, 5, 123e6, time.Local), Op: op, Outcome: "ok", Group: "yf", Endpoint: "10.0.0.1:6379",
		Text: op + " feed:42\x1b", Stages: s,
	}
}

func TestTraceLine(t *testing.T) {
	head := TraceHead(Style{})
	line := TraceLine(traced1("GET", Stages{Receive: 2, Send: 11, Wait: 412_345, Reply: 9}), Style{})
	want := "21:04:05.123      2µs        0     11µs    412ms      9µs    412ms     1  ok           GET feed:42?  yf 10.0.0.1:6379"
	if line != want {
		t.Errorf("the line is\n%s, want\n%s", line, want)
	}
	for _, column := range []string{"RECEIVE", "ROUTE", "SEND", "WAIT", "REPLY", "TOTAL", "TRIES"} {
		end := strings.Index(head, column) + len(column)
		cell := []rune(line)[end-1 : end+1]
		if cell[0] == ' ' || cell[1] != ' ' {
			t.Errorf("the column %s does not end where its heading does:\n%s\n%s", column, head, line)
		}
	}
	e := traced1("GET", Stages{Route: 7})
	e.Attempt, e.Agent, e.Fault, e.Outcome = 2, "web-1", "sluice: x", "unavailable"
	if line := TraceLine(e, Style{}); !strings.HasSuffix(line, "    3  unavailable  GET feed:42?  yf 10.0.0.1:6379  agent=web-1  sluice: x") {
		t.Errorf("the line is %q", line)
	}
	if got := utf8.RuneCountInString(TraceLine(traced1("GET", Stages{}), Style{Color: true})); got <= utf8.RuneCountInString(line) {
		t.Error("a terminal gets no colours")
	}
}

func TestTraceSummary(t *testing.T) {
	var sum TraceSummary
	var out strings.Builder
	if err := sum.Write(&out, Style{}); err != nil || out.String() != "" {
		t.Errorf("no calls are summed up as %q, %v", out.String(), err)
	}
	for i := range int64(100) {
		sum.Add(traced1("GET", Stages{Receive: 1, Wait: 100 + i}))
	}
	sum.Add(traced1("SET", Stages{Route: 5000, Wait: 10}))
	sum.Add(traced1("PING", Stages{}))
	if err := sum.Write(&out, Style{}); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"P50/P99  CALLS  RECEIVE    ROUTE  SEND         WAIT  REPLY          TOTAL  MOST",
		"GET        100  1µs/1µs      0/0   0/0  150µs/199µs    0/0    151µs/200µs  wait 99%",
		"PING         1      0/0      0/0   0/0          0/0    0/0            0/0  -",
		"SET          1      0/0  5ms/5ms   0/0    10µs/10µs    0/0  5.01ms/5.01ms  route 100%",
		"",
	}, "\n")
	if out.String() != want {
		t.Errorf("the summary is\n%s, want\n%s", out.String(), want)
	}
	out.Reset()
	if err := sum.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	var first struct{ Summary summary }
	if err := json.Unmarshal([]byte(strings.Split(out.String(), "\n")[0]), &first); err != nil {
		t.Fatal(err)
	}
	if s := first.Summary; s.Op != "GET" || s.Calls != 100 || s.P50["wait"] != 150 || s.P99["total"] != 200 || s.Most != "wait" || s.Share < 0.99 {
		t.Errorf("the first line is %+v", s)
	}
}

// However many operations and calls there are, a summary stays small.
func TestTraceSummaryIsBounded(t *testing.T) {
	var sum TraceSummary
	for i := range 3 * mostOps {
		sum.Add(traced1(strings.Repeat("X", 1+i), Stages{Wait: 1}))
	}
	for range 3 * kept {
		sum.Add(traced1("X", Stages{Wait: 1}))
	}
	if len(sum.ops) != mostOps+1 || sum.ops[others].calls != 2*mostOps {
		t.Errorf("%d operations, %d calls of others", len(sum.ops), sum.ops[others].calls)
	}
	if x := sum.ops["X"]; x.calls != 3*kept+1 || len(x.sample) != kept {
		t.Errorf("%d calls, %d kept", x.calls, len(x.sample))
	}
}
