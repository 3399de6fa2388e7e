package graphite

import (
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-mesh/sluice/metrics"
)

// maxLevel bounds one level of a name: it becomes a folder of whisper's, and file systems take 255 bytes.
const maxLevel = 200

// level makes any text one level of a name.
func level(s string) string {
	var b strings.Builder
	for _, r := range s {
		if b.Len() == maxLevel {
			break
		}
		if r == '-' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
			b.WriteByte(byte(r))
		} else {
			b.WriteByte('_')
		}
	}
	if b.Len() == 0 {
		return "_"
	}
	return b.String()
}

// namer returns the function that builds names up to STAT. Each row is sent under all of its names.
func (o *Options) namer() func(group, resource, op string) []string {
	if o.Dialect == Statsd {
		return o.motanNames
	}
	return func(group, resource, op string) []string {
		return []string{o.name(o.Role, level(group), resource, op)}
	}
}

// name builds one name. All but the group, which may be two levels, are made levels.
func (o *Options) name(role, group, service, op string) string {
	front := ""
	if o.Prefix != "" {
		front = o.Prefix + "."
	}
	return front + level(role) + "." + level(o.Application) + "." + group + ".byhost." + level(o.Host) + "." + level(service) + "." + level(op)
}

// motanNames are those of motan-go's filter metrics and, for calls that are sent on, of its filter clusterMetrics.
func (o *Options) motanNames(group, resource, op string) []string {
	n := o.Name(resource, group)
	names := []string{o.name(n.Role, level(n.Group), n.Service, op)}
	if n.Role == ClientAgent {
		names = append(names, o.name(n.Role, level(n.Group)+".cluster", n.Service, op))
	}
	return names
}

// quantile is one STAT for a share of calls.
type quantile struct {
	stat string
	q    float64
}

var quantiles = []quantile{{"p50", 0.5}, {"p75", 0.75}, {"p95", 0.95}, {"p99", 0.99}, {"p999", 0.999}}

// ranges are the upper bounds, in ns, of the STATs of the statsd dialect that count calls by latency.
var (
	ranges     = []int64{50e6, 100e6, 200e6, 500e6}
	rangeStats = []string{"Less50ms", "Less100ms", "Less200ms", "Less500ms"}
)

const slowRange = 2 // of ranges: what is above it is slow

// batch is some whole lines.
type batch struct {
	data  []byte
	lines int
}

// lines builds batches of at most size bytes each, except that a longer line has its own.
type lines struct {
	dialect string
	size    int
	bizErr  int    // outcome of an error that the upstream answered, -1: none
	stamp   string // " EPOCH" of the graphite dialect

	put     func(batch)
	current batch
	line    []byte
}

// row adds the lines of one row.
func (l *lines) row(names []string, s *metrics.CellSnapshot) {
	for _, name := range names {
		if l.dialect == Statsd {
			l.statsd(name, s)
		} else {
			l.plaintext(name, s)
		}
	}
}

func (l *lines) plaintext(name string, s *metrics.CellSnapshot) {
	l.count(name, "total_count", s.Total())
	l.count(name, "error_count", s.Errors())
	l.count(name, "slow_count", s.Slow)
	if s.Latency.Count == 0 {
		return // there is no time to speak of
	}
	l.millis(name, "avg_time", s.Latency.Mean(), 3, "")
	for _, q := range quantiles {
		l.millis(name, q.stat, s.Latency.Quantile(q.q), 3, "")
	}
}

// statsd writes what motan-go counts: no zeros, and as slow what took more than 200 ms.
func (l *lines) statsd(name string, s *metrics.CellSnapshot) {
	if s.Total() == 0 {
		return
	}
	var biz uint64
	if l.bizErr > 0 {
		biz = s.Outcomes[l.bizErr]
	}
	upTo := make([]uint64, len(ranges))
	s.Latency.Cumulative(ranges, upTo)
	l.some(name, "total_count", s.Total())
	l.some(name, "biz_error_count", biz)
	l.some(name, "other_error_count", s.Errors()-biz)
	l.some(name, "slow_count", s.Latency.Count-upTo[slowRange])
	before := uint64(0)
	for i, n := range upTo {
		l.some(name, rangeStats[i], n-before)
		before = n
	}
	l.some(name, "More500ms", s.Latency.Count-before)
	l.millis(name, "avg_time", s.Latency.Mean(), 2, "|ms")
	for _, q := range append(quantiles, quantile{"p9999", 0.9999}) {
		l.millis(name, q.stat, s.Latency.Quantile(q.q), 2, "|kv")
	}
}

// some is count where silence stands for zero.
func (l *lines) some(name, stat string, n uint64) {
	if n > 0 {
		l.count(name, stat, n)
	}
}

// gauge adds a value of a moment, of the statsd dialect.
func (l *lines) gauge(name string, v int64) {
	l.line = strconv.AppendInt(append(append(l.line[:0], name...), ':'), v, 10)
	l.end("|kv")
}

func (l *lines) count(name, stat string, n uint64) {
	l.begin(name, stat)
	l.line = strconv.AppendUint(l.line, n, 10)
	l.end("|c")
}

func (l *lines) millis(name, stat string, ns int64, decimals int, unit string) {
	l.begin(name, stat)
	l.line = strconv.AppendFloat(l.line, float64(ns)/1e6, 'f', decimals, 64)
	l.end(unit)
}

func (l *lines) begin(name, stat string) {
	l.line = append(append(append(l.line[:0], name...), '.'), stat...)
	if l.dialect == Statsd {
		l.line = append(l.line, ':')
	} else {
		l.line = append(l.line, ' ')
	}
}

// end completes the line, with the unit in the statsd dialect and the timestamp in graphite's.
func (l *lines) end(unit string) {
	if l.dialect == Statsd {
		l.line = append(l.line, unit...)
	} else {
		l.line = append(l.line, l.stamp...)
	}
	l.line = append(l.line, '\n')
	if len(l.current.data)+len(l.line) > l.size {
		l.flush()
	}
	l.current.data = append(l.current.data, l.line...)
	l.current.lines++
}

// flush hands over what is in the current batch.
func (l *lines) flush() {
	if l.current.lines > 0 {
		l.put(batch{slices.Clone(l.current.data), l.current.lines})
	}
	l.current = batch{data: l.current.data[:0]}
}
