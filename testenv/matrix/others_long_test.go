//go:build long

package matrix

import (
	"slices"
	"testing"
	"time"
)

// What the comparison of the other resource sees when there is no fault: the noise of the machine, from which its bound was
// chosen.
func TestLongOthersWithoutFault(t *testing.T) {
	var excess []time.Duration
	for range 10 {
		t.Run("", func(t *testing.T) {
			l := open(t, plan{})
			l.steady()
			l.inject(func() {})
			l.lasts(1500 * time.Millisecond)
			l.recovers()
			o := l.others
			l.close()
			a, d := o.agent, o.direct
			from, fault, healed := o.from, o.fault.at, o.healed.at
			more := percentile99(a.between(fault, healed)) - percentile99(a.between(from, fault))
			machine := percentile99(d.between(fault, healed)) - percentile99(d.between(from, fault))
			excess = append(excess, more-max(0, machine))
		})
	}
	slices.Sort(excess)
	t.Logf("how much more the 99th percentile was, without a fault: %v", excess)
}

// The comparison sees an agent that stands still for 60 ms now and then, with nothing else wrong: the loads have no error.
func TestLongOthersWithPauses(t *testing.T) {
	for range 3 { // a machine that stands still itself hides it
		if noticed(t) {
			return
		}
	}
	t.Error("it was not noticed")
}

func noticed(t *testing.T) bool {
	t.Helper()
	l := open(t, plan{})
	l.steady()
	l.inject(func() {
		for range 6 {
			l.agent.Pause()
			l.lasts(60 * time.Millisecond)
			l.agent.Continue()
			l.lasts(200 * time.Millisecond)
		}
	})
	l.recovers()
	o := l.others
	l.others = nil // close would report it
	report, wrong := o.compare()
	t.Log(report)
	l.close()
	return wrong != ""
}
