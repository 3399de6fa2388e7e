package journey

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"
)

// report is what the program says: see Report in the folder app. Times are Unix time in milliseconds.
type report struct {
	OK     map[string]map[int64]int
	Errors []struct {
		At             int64
		Op, Word, Text string
	}
	Findings []finding
	Writes   map[string]int
	Checked  int
}

type finding struct {
	Kind     string
	From, To int64
	Durable  bool
	Count    int
	Among    []int64
	Text     string
}

const (
	stepTime = 1500 * time.Millisecond // how long a step lasts after it was done
	recovery = 5 * time.Second         // how long a failover may be felt after the new primary is elected
	settling = 300                     // ms until calls in flight and those right behind them have ended
)

// expect says which errors belong to a step.
type expect struct {
	op     string // "*": any
	words  []string
	always bool // the operation never succeeds
}

// quiet is a step without errors.
var quiet = expect{}

// step is a part of the day.
type step struct {
	name     string
	from     int64 // before it was done
	done     int64
	to       int64
	expect   expect
	moved    bool // traffic went to another group
	failover bool
}

// day is what was done when.
type day struct {
	t     *testing.T
	steps []step
}

// step does something, and waits while the program goes on.
func (d *day) step(name string, do func(), e expect) {
	d.add(step{name: name, expect: e}, do, stepTime)
}

// move is a step after which calls go to another group.
func (d *day) move(name string, do func()) { d.add(step{name: name, moved: true}, do, stepTime) }

// fail is a step in which servers die.
func (d *day) fail(name string, do func(), e expect) {
	d.add(step{name: name, expect: e, failover: true}, do, recovery)
}

func (d *day) add(s step, do func(), last time.Duration) {
	d.t.Helper()
	s.from = time.Now().UnixMilli()
	if do != nil {
		do()
	}
	s.done = time.Now().UnixMilli()
	time.Sleep(last) // the length of the step
	s.to = time.Now().UnixMilli()
	d.steps = append(d.steps, s)
}

// judge compares the report with what was done.
func (d *day) judge(r *report) {
	d.t.Helper()
	d.t.Logf("writes %v, %d looked up, %d errors, %d findings", r.Writes, r.Checked, len(r.Errors), len(r.Findings))
	if r.Checked < 2000 || r.Writes["durable"] < 1000 {
		d.t.Errorf("only %d writes were looked up, %d of them durable: that proves nothing", r.Checked, r.Writes["durable"])
	}
	allowed := map[string]int{}
	for _, f := range r.Findings {
		if why := d.excuse(f); why != "" {
			allowed[f.Kind+" "+why]++
			continue
		}
		d.t.Errorf("%s: %s (acknowledged %s, seen %s, durable %v)", f.Kind, f.Text, d.when(f.From), d.when(f.To), f.Durable)
	}
	d.t.Logf("allowed: %v", allowed)
	d.errors(r)
	d.answers(r)
}

// excuse returns why a finding is not the agent's doing, or "".
func (d *day) excuse(f finding) string {
	for _, s := range d.steps {
		switch {
		case s.moved && f.Kind == "stale" && f.From <= s.done+settling && f.To >= s.from:
			return "by " + s.name
		case !s.failover || f.Durable || f.Kind == "wrong" || f.Kind == "refused":
		case f.Count > 0:
			n := 0
			for _, at := range f.Among {
				if s.dying(at) {
					n++
				}
			}
			if n >= f.Count {
				return "by " + s.name
			}
		case f.From != 0 && s.dying(f.From):
			return "by " + s.name
		}
	}
	return ""
}

// dying reports whether a write that was acknowledged at a time may have died with the primary.
func (s *step) dying(at int64) bool { return at >= s.from-2000 && at <= s.done+settling }

// when names a time by the step and the milliseconds in it.
func (d *day) when(at int64) string {
	for _, s := range d.steps {
		if at >= s.from && at < s.to {
			return fmt.Sprintf("%d ms into %q", at-s.from, s.name)
		}
	}
	return fmt.Sprintf("at %d", at)
}

// errors checks that each error belongs to its step.
func (d *day) errors(r *report) {
	d.t.Helper()
	count, bad := map[string]int{}, 0
	for _, e := range r.Errors {
		i := slices.IndexFunc(d.steps, func(s step) bool { return e.At >= s.from && e.At < s.to })
		ok := i >= 0 && d.steps[i].allows(e.Op, e.Word) || i > 0 && e.At < d.steps[i].done+settling && d.steps[i-1].allows(e.Op, e.Word)
		if i >= 0 {
			count[fmt.Sprintf("%s: %s %s", d.steps[i].name, e.Op, e.Word)]++
		}
		if ok {
			continue
		}
		if bad++; bad > 20 {
			continue
		}
		d.t.Errorf("%s: %s was answered %s: %s", d.when(e.At), e.Op, e.Word, e.Text)
	}
	for _, what := range slices.Sorted(maps.Keys(count)) {
		d.t.Logf("%5d %s", count[what], what)
	}
}

func (s *step) allows(op, word string) bool {
	return (s.expect.op == "*" || s.expect.op == op) && slices.Contains(s.expect.words, word)
}

// answers checks that every operation works in every step: it has good answers in each second after the step took
// effect, except where that is what the step is about.
func (d *day) answers(r *report) {
	d.t.Helper()
	for i, s := range d.steps {
		begin, end := s.done+settling, s.to
		if s.moved {
			begin = s.done + 1000 // a subscriber is told to come again, and does
		}
		if s.failover {
			if i+1 < len(d.steps) {
				d.recovered(r, s)
			}
			continue
		}
		for op, ticks := range r.OK {
			n := 0
			for at, c := range ticks {
				if at*100 >= begin && at*100+100 <= end {
					n += c
				}
			}
			switch always := s.expect.always && s.expect.op == op; {
			case always && n > 0:
				d.t.Errorf("%s: %d calls of %s were answered well, none should be", s.name, n, op)
			case !always && n == 0:
				d.t.Errorf("%s: no call of %s was answered well from %d to %d ms after it", s.name, op, begin-s.done, end-s.done)
			}
		}
	}
}

// recovered checks that there are no errors any more some time after the new primary was elected, and says when the
// last one was.
func (d *day) recovered(r *report, s step) {
	last := int64(0)
	for _, e := range r.Errors {
		if e.At >= s.from && e.At < s.to {
			last = max(last, e.At)
		}
	}
	d.t.Logf("%s: elected after %d ms, last error %d ms after that", s.name, s.done-s.from, max(0, last-s.done))
	for op, ticks := range r.OK {
		first := int64(0)
		for at := range ticks {
			if at*100 >= s.done && (first == 0 || at*100 < first) {
				first = at * 100
			}
		}
		if took := first - s.done; first == 0 || took > recovery.Milliseconds() {
			d.t.Errorf("%s: %s had no good answer within %v of the election", s.name, op, recovery)
		}
	}
}
