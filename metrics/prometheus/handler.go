package prometheus

import (
	"bufio"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/metrics"
)

// contentType is the one of the text format.
const contentType = "text/plain; version=0.0.4; charset=utf-8"

// writeTimeout ends a scrape whose client takes no bytes.
const writeTimeout = 30 * time.Second

// bounds are the upper bounds of sluice_call_seconds, in ns. They start at 50 µs, where a cache on the same network
// answers, are densest below 1 ms, and end with the longest time-outs by default. The slow threshold by default, 50 ms,
// is one of them.
var bounds = [...]int64{
	50e3, 100e3, 150e3, 250e3, 500e3, 750e3,
	1e6, 2.5e6, 5e6, 10e6, 25e6, 50e6, 100e6, 250e6, 500e6,
	1e9, 2.5e9, 5e9, 10e9, 30e9,
}

// Handler answers GET and HEAD with all metrics of the registry and of this process.
func Handler(reg *metrics.Registry) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "metrics are read with GET", http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "no-store")
		if r.Method == http.MethodHead {
			return
		}
		// A writer that knows no deadlines is a test's, or is bounded by its server.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
		_ = Write(w, reg) // the only error is that the client left
	})
}

// Write writes all metrics of the registry and of this process. It returns the writer's first error.
func Write(w io.Writer, reg *metrics.Registry) error {
	out := &writer{Writer: bufio.NewWriterSize(w, 32<<10)}
	reg.Gather(out.point)
	out.runtime()
	return out.Flush()
}

// writer writes points as lines. Errors stay in the bufio.Writer, which Flush reports.
type writer struct {
	*bufio.Writer
	name    string // of the last point
	scratch []byte
	counts  [len(bounds)]uint64
	one     metrics.Point
}

func (w *writer) point(p *metrics.Point) {
	if p.Name != w.name {
		w.name = p.Name
		w.head(p)
	}
	if p.Type == metrics.TypeHistogram {
		w.histogram(p)
		return
	}
	w.sample(p.Name, "", p.Labels, "", p.Value)
}

func (w *writer) head(p *metrics.Point) {
	if p.Help != "" {
		w.WriteString("# HELP ")
		w.WriteString(p.Name)
		w.WriteByte(' ')
		helpEscapes.WriteString(w, p.Help)
		w.WriteByte('\n')
	}
	w.WriteString("# TYPE ")
	w.WriteString(p.Name)
	w.WriteByte(' ')
	w.WriteString(string(p.Type))
	w.WriteByte('\n')
}

func (w *writer) histogram(p *metrics.Point) {
	p.Latency.Cumulative(bounds[:], w.counts[:])
	for i, n := range w.counts {
		w.sample(p.Name, "_bucket", p.Labels, leTexts[i], float64(n))
	}
	w.sample(p.Name, "_bucket", p.Labels, "+Inf", float64(p.Latency.Count))
	w.sample(p.Name, "_sum", p.Labels, "", float64(p.Latency.Sum)/1e9)
	w.sample(p.Name, "_count", p.Labels, "", float64(p.Latency.Count))
}

// sample writes one line. le is the bound of a bucket, "" for all other lines.
func (w *writer) sample(name, suffix string, labels []metrics.Label, le string, v float64) {
	w.WriteString(name)
	w.WriteString(suffix)
	sep := byte('{')
	for _, l := range labels {
		w.label(sep, l.Key, l.Value)
		sep = ','
	}
	if le != "" {
		w.label(sep, "le", le)
		sep = ','
	}
	if sep == ',' {
		w.WriteByte('}')
	}
	w.WriteByte(' ')
	w.scratch = appendValue(w.scratch[:0], v)
	w.Write(w.scratch)
	w.WriteByte('\n')
}

func (w *writer) label(sep byte, key, value string) {
	w.WriteByte(sep)
	w.WriteString(key)
	w.WriteString(`="`)
	if strings.ContainsAny(value, "\\\"\n") {
		valueEscapes.WriteString(w, value)
	} else {
		w.WriteString(value)
	}
	w.WriteByte('"')
}

var (
	helpEscapes  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	valueEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
	leTexts      = bucketTexts()
)

// bucketTexts returns the bounds in seconds, as the values of `le`.
func bucketTexts() (texts [len(bounds)]string) {
	for i, b := range bounds {
		texts[i] = string(appendValue(nil, float64(b)/1e9))
	}
	return texts
}

func appendValue(dst []byte, v float64) []byte {
	switch {
	case math.IsInf(v, 1):
		return append(dst, "+Inf"...)
	case math.IsInf(v, -1):
		return append(dst, "-Inf"...)
	case v == math.Trunc(v) && math.Abs(v) < 1<<53:
		return strconv.AppendInt(dst, int64(v), 10)
	}
	return strconv.AppendFloat(dst, v, 'g', -1, 64) // NaN is written as such
}
