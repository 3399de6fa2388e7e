package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// stages are the parts of a call's time, in their order.
var stages = [...]string{"receive", "route", "send", "wait", "reply"}

// us returns the times of the stages in their order, in µs.
func (s *Stages) us() [len(stages)]int64 {
	return [...]int64{s.Receive, s.Route, s.Send, s.Wait, s.Reply}
}

// TraceHead is the line above those of TraceLine.
func TraceHead(st Style) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-12s", "TIME")
	for _, s := range stages {
		fmt.Fprintf(&b, " %8s", strings.ToUpper(s))
	}
	fmt.Fprintf(&b, " %8s %5s  %-11s  %s", "TOTAL", "TRIES", "OUTCOME", "CALL")
	return st.Text(Head, b.String())
}

// TraceLine writes one call in one line, with what its time went to:
//
//	TIME          RECEIVE    ROUTE     SEND     WAIT    REPLY    TOTAL TRIES  OUTCOME      CALL
//	21:04:05.123      2µs      4µs     11µs    412µs      9µs    438µs     1  ok           GET feed:42  yf 10.0.0.1:6379
func TraceLine(e *Event, st Style) string {
	var b strings.Builder
	b.WriteString(st.Text(Dim, e.Time.Local().Format("15:04:05.000")))
	times := e.Stages.us()
	longest := slices.Index(times[:], slices.Max(times[:]))
	for i, us := range times {
		paint := Plain
		if i == longest && us > 0 {
			paint = Head
		}
		b.WriteString(" " + st.Text(paint, right(micros(us), 8)))
	}
	b.WriteString(" " + right(micros(e.Stages.Total), 8) + " " + right(strconv.Itoa(e.Attempt+1), 5))
	b.WriteString("  " + st.Text(outcomePaint(e.Outcome), fmt.Sprintf("%-11s", Clean(e.Outcome))) + "  " + callText(e))
	if e.Endpoint != "" {
		b.WriteString("  " + Clean(e.Group) + " " + Clean(e.Endpoint))
	}
	if e.Agent != "" {
		b.WriteString("  " + st.Text(Dim, "agent="+Clean(e.Agent)))
	}
	if e.Fault != "" {
		b.WriteString("  " + st.Text(Bad, Clean(e.Fault)))
	}
	return b.String()
}

// micros writes a number of µs; 0 is no more than that.
func micros(us int64) string {
	if us == 0 {
		return "0"
	}
	return Duration(time.Duration(us) * time.Microsecond)
}

// right flushes text right in a column.
func right(s string, width int) string {
	return strings.Repeat(" ", max(0, width-len([]rune(s)))) + s
}

const (
	kept    = 4096 // times of one operation that percentiles are taken of
	mostOps = 200  // operations told apart; the rest is summed up as others
	others  = "(others)"
)

// TraceSummary collects what the times of calls went to.
type TraceSummary struct{ ops map[string]*traced }

type traced struct {
	calls  int
	sums   [len(stages)]int64
	sample [][len(stages) + 1]int64 // a random choice of the calls; the last one of each is the total
}

// Len returns how many operations were seen.
func (t *TraceSummary) Len() int { return len(t.ops) }

// Add adds a call.
func (t *TraceSummary) Add(e *Event) {
	op := e.Op
	if t.ops == nil {
		t.ops = make(map[string]*traced)
	}
	if t.ops[op] == nil && len(t.ops) >= mostOps {
		op = others
	}
	o := t.ops[op]
	if o == nil {
		o = &traced{}
		t.ops[op] = o
	}
	o.calls++
	var times [len(stages) + 1]int64
	for i, us := range e.Stages.us() {
		times[i] = us
		o.sums[i] += us
	}
	times[len(stages)] = e.Stages.Total
	if len(o.sample) < kept {
		o.sample = append(o.sample, times)
	} else if i := rand.IntN(o.calls); i < kept {
		o.sample[i] = times
	}
}

// percentile returns the p-th percentile of a stage, in µs.
func (o *traced) percentile(stage int, p float64) int64 {
	values := make([]int64, len(o.sample))
	for i := range o.sample {
		values[i] = o.sample[i][stage]
	}
	slices.Sort(values)
	return values[min(len(values)-1, int(p*float64(len(values))))]
}

// most returns the stage that took the most of the calls' time, and its share; "" when they took none.
func (o *traced) most() (stage string, share float64) {
	sum := int64(0)
	for _, us := range o.sums {
		sum += us
	}
	if sum == 0 {
		return "", 0
	}
	longest := slices.Max(o.sums[:])
	return stages[slices.Index(o.sums[:], longest)], float64(longest) / float64(sum)
}

// names returns the operations, those with the most calls first.
func (t *TraceSummary) names() []string {
	return slices.SortedFunc(maps.Keys(t.ops), func(a, b string) int {
		return cmp.Or(cmp.Compare(t.ops[b].calls, t.ops[a].calls), cmp.Compare(a, b))
	})
}

// Write writes a table: of each operation, p50 and p99 of each stage, and which stage took the most time of all its calls.
func (t *TraceSummary) Write(w io.Writer, st Style) error {
	if len(t.ops) == 0 {
		return nil
	}
	heads := []string{"P50/P99", "CALLS>"}
	for _, s := range stages {
		heads = append(heads, strings.ToUpper(s)+">")
	}
	table := NewTable(append(heads, "TOTAL>", "MOST")...)
	for _, op := range t.names() {
		o := t.ops[op]
		row := []string{op, strconv.Itoa(o.calls)}
		for i := range len(stages) + 1 {
			row = append(row, micros(o.percentile(i, 0.5))+"/"+micros(o.percentile(i, 0.99)))
		}
		stage, share := o.most()
		if stage != "" {
			stage += fmt.Sprintf(" %.0f%%", 100*share)
		}
		table.Row(append(row, stage)...)
	}
	return table.Write(w, st)
}

// summary is an operation as a program reads it.
type summary struct {
	Op    string           `json:"op"`
	Calls int              `json:"calls"`
	P50   map[string]int64 `json:"p50-us"` // by stage, and total
	P99   map[string]int64 `json:"p99-us"`
	Most  string           `json:"most,omitempty"` // the stage that took the most of their time
	Share float64          `json:"share"`          // of it, 0 to 1
}

// WriteJSON writes an object a line, for each operation: {"summary": {"op", "calls", "p50-us", "p99-us", "most", "share"}}.
func (t *TraceSummary) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	for _, op := range t.names() {
		o := t.ops[op]
		s := summary{Op: op, Calls: o.calls, P50: map[string]int64{}, P99: map[string]int64{}}
		s.Most, s.Share = o.most()
		for i, stage := range append(stages[:], "total") {
			s.P50[stage], s.P99[stage] = o.percentile(i, 0.5), o.percentile(i, 0.99)
		}
		if err := enc.Encode(map[string]summary{"summary": s}); err != nil {
			return err
		}
	}
	return nil
}
