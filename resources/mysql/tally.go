package mysql

import (
	"sync/atomic"

	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/protocols/sql"
	"github.com/sluice-mesh/sluice/resources"
)

// tally is one counter for each outcome, made when the first call ends so.
type tally struct {
	name   string
	labels []string
	by     [resources.NumOutcomes]atomic.Pointer[resources.Counter]
}

func newTally(name string, labels ...string) *tally {
	return &tally{name: name, labels: append(labels, "outcome", "")}
}

func (t *tally) add(rt resources.Runtime, o resources.Outcome) {
	n := t.by[o].Load()
	if n == nil {
		labels := append([]string(nil), t.labels...)
		labels[len(labels)-1] = o.String()
		made := rt.Counter(t.name, labels...)
		n = &made
		t.by[o].Store(n)
	}
	(*n).Add(1)
}

// tallies are the counters of the tables of a statement.
func tallies(st *sql.Statement, text []byte) []*tally {
	var out []*tally
	for i := range int(st.NTables) {
		table := string(sql.TableName(nil, st.Tables[i].Of(text)))
		out = append(out, newTally(metrics.TableCallsTotal, "table", table, "class", classOf[st.Kind].String()))
	}
	return out
}

// count counts the call that has just ended for its user and its tables.
func (s *session) count(o resources.Outcome) {
	if s.front != nil {
		s.front.calls.add(s.r.rt, o)
	}
	if s.digest != nil && s.cmd != mysql.ComStmtPrepare {
		for _, t := range s.digest.tables {
			t.add(s.r.rt, o)
		}
	}
}
