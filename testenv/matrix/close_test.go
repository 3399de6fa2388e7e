package matrix

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/testenv/load"
)

// What an idle agent may have more than before the load. Goroutines: timers and HTTP of the scrape itself.
const (
	spareGoroutines = 4
	spareFiles      = 3
	spareMemory     = 64 << 20
)

// close ends the load, and checks what every row promises.
func (l *lab) close() *load.Report {
	l.Helper()
	report := l.main.Stop()
	report.Check(l, 1, l.plan.allow...)
	if l.bystand != nil {
		r := l.bystand.Stop()
		if r.Unsound() > 0 || len(r.Errors) > 0 || r.OK == 0 {
			l.Errorf("the other resource was not left alone: %v\n%s", r, strings.Join(r.Violations, "\n"))
		}
	}
	if l.others != nil {
		report, wrong := l.others.compare()
		l.Log(report)
		if wrong != "" {
			l.Error(wrong)
		}
	}
	l.clean()
	return report
}

// unbroken checks, after close, that there was no stretch without a good reply of more than two steps of the load. What a client
// without the agent waited for one reply at most was lost by the machine, and counts twice as in judge.
func (l *lab) unbroken(r *load.Report) {
	l.Helper()
	most := 2 * load.Step
	if l.others != nil {
		most += 2 * slices.Max(append(l.others.direct.took, 0))
	}
	if gap := r.LongestGap(); gap > most {
		l.Errorf("there was no good reply for %v, want %v at most", gap, most)
	}
}

// clean checks that an agent without clients is back where it was.
func (l *lab) clean() {
	l.Helper()
	l.await(5*time.Second, "the agent to be as it was before the load", l.leftovers)
	now := l.scrape()
	if n := now.sum("sluice_reply_mismatch_total"); n > 0 && !l.plan.mismatch {
		l.Errorf("sluice_reply_mismatch_total is %.0f", n)
	}
	if !l.plan.agent.Race {
		if rss := l.agent.Usage().RSS; rss > l.baseRSS+spareMemory {
			l.Errorf("resident memory grew from %d to %d MiB", l.baseRSS>>20, rss>>20)
		}
	}
	l.readLog()
}

// leftovers names what an idle agent has more than before. Connections to servers are kept on purpose and do not count.
func (l *lab) leftovers() error {
	now := l.scrape()
	for _, name := range []string{"sluice_sessions", "sluice_calls_open", "sluice_inflight", "sluice_pinned_sessions"} {
		if n := now.sum(name); n != 0 {
			return fmt.Errorf("%s is %.0f", name, n)
		}
	}
	kept := now.sum("sluice_upstream_connections") - l.base.sum("sluice_upstream_connections")
	if was, is := l.base.sum("process_open_fds"), now.sum("process_open_fds")-kept; is > was+spareFiles+l.plan.files {
		return fmt.Errorf("%.0f descriptors beside those of %.0f kept connections, was %.0f", is, kept, was)
	}
	if was, is := l.base.sum("go_goroutines"), now.sum("go_goroutines"); is > was+spareGoroutines {
		return fmt.Errorf("%.0f goroutines, was %.0f", is, was)
	}
	return nil
}

// readLog looks for what must never be in the agent's log.
func (l *lab) readLog() {
	l.Helper()
	said := 0
	for line := range strings.Lines(l.agent.Output()) {
		bad := strings.Contains(line, "DATA RACE") || strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:")
		if strings.Contains(line, "level=ERROR") {
			bad = !slices.ContainsFunc(l.plan.complains, func(part string) bool { return strings.Contains(line, part) })
		}
		if bad && said < 3 {
			said++
			l.Errorf("the agent's log says: %s", line)
		}
	}
}
