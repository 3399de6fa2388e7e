package graphite

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-mesh/sluice/metrics"
)

// statusEvery is how often motan-go's agent says how it is.
const statusEvery = 30 * time.Second

// status says, in the statsd dialect, how the agent itself is, under the names of motan-go's:
//
//	[PREFIX.]motan-agent.APPLICATION.motan-stat.byhost.HOST.status.WHAT
type status struct {
	opt      *Options
	registry *metrics.Registry
	started  time.Time
	next     time.Time // when it is said again
}

// say adds the lines, when it is time.
func (s *status) say(l *lines, now time.Time) {
	if now.Before(s.next) {
		return
	}
	s.next = now.Add(statusEvery - s.opt.Every/2) // intervals are never exact
	say := func(what string, v int64) {
		l.gauge(s.opt.name("motan-agent", "motan-stat", "status", what), v)
	}
	if bytes, ok := resident(); ok {
		say("memory", bytes>>20)
	}
	var use syscall.Rusage
	if took := now.Sub(s.started); took > 0 && syscall.Getrusage(syscall.RUSAGE_SELF, &use) == nil {
		cpu := time.Duration(use.Utime.Nano() + use.Stime.Nano())
		say("cpu", int64(100*cpu/took))
	}
	say("goroutine_count", int64(runtime.NumGoroutine()))
	var sessions int64
	s.registry.Each(func(m *metrics.Resource) { sessions += m.Gauge(metrics.Sessions).Load() })
	say("motan_server_connection_count", sessions)
}

// resident returns the bytes of the process's memory that are resident; not where the system has no /proc.
func resident() (int64, bool) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(text)) // proc_pid_statm(5): the second one is in pages
	if len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err == nil
}
