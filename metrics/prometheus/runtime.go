package prometheus

import (
	"bytes"
	"os"
	"runtime"
	rtm "runtime/metrics"
	"strconv"
	"syscall"

	"github.com/sluice-mesh/sluice/metrics"
)

// runtimeMetric maps a figure of runtime/metrics to the name that Prometheus users know. Reading them does not stop
// the world, unlike runtime.ReadMemStats.
type runtimeMetric struct {
	name, help string
	typ        metrics.Type
	source     []string // summed up
}

var runtimeMetrics = []runtimeMetric{
	{"go_gc_cycles_total", "Garbage collections that ended.", metrics.TypeCounter, []string{"/gc/cycles/total:gc-cycles"}},
	{"go_gc_cpu_seconds_total", "Estimated processor time of garbage collection.", metrics.TypeCounter, []string{"/cpu/classes/gc/total:cpu-seconds"}},
	{"go_goroutines", "Goroutines that exist.", metrics.TypeGauge, []string{"/sched/goroutines:goroutines"}},
	{"go_memstats_alloc_bytes", "Bytes of heap objects that are in use or not yet swept.", metrics.TypeGauge, []string{"/memory/classes/heap/objects:bytes"}},
	{"go_memstats_alloc_bytes_total", "Bytes that were ever allocated for heap objects.", metrics.TypeCounter, []string{"/gc/heap/allocs:bytes"}},
	{"go_memstats_frees_total", "Heap objects that were freed, tiny ones included.", metrics.TypeCounter, []string{"/gc/heap/frees:objects", "/gc/heap/tiny/allocs:objects"}},
	{"go_memstats_heap_idle_bytes", "Bytes of heap that wait to be used.", metrics.TypeGauge, []string{"/memory/classes/heap/released:bytes", "/memory/classes/heap/free:bytes"}},
	{"go_memstats_heap_inuse_bytes", "Bytes of heap in spans that are in use.", metrics.TypeGauge, []string{"/memory/classes/heap/objects:bytes", "/memory/classes/heap/unused:bytes"}},
	{"go_memstats_heap_objects", "Heap objects that exist.", metrics.TypeGauge, []string{"/gc/heap/objects:objects"}},
	{"go_memstats_heap_released_bytes", "Bytes of heap that were given back to the system.", metrics.TypeGauge, []string{"/memory/classes/heap/released:bytes"}},
	{"go_memstats_mallocs_total", "Heap objects that were ever allocated, tiny ones included.", metrics.TypeCounter, []string{"/gc/heap/allocs:objects", "/gc/heap/tiny/allocs:objects"}},
	{"go_memstats_next_gc_bytes", "Size of the heap at which the next garbage collection starts.", metrics.TypeGauge, []string{"/gc/heap/goal:bytes"}},
	{"go_memstats_stack_inuse_bytes", "Bytes of goroutine stacks.", metrics.TypeGauge, []string{"/memory/classes/heap/stacks:bytes"}},
	{"go_memstats_sys_bytes", "Bytes that were mapped from the system.", metrics.TypeGauge, []string{"/memory/classes/total:bytes"}},
	{"go_sched_gomaxprocs_threads", "Threads that may run Go code at once.", metrics.TypeGauge, []string{"/sched/gomaxprocs:threads"}},
}

// runtime writes the figures of the Go runtime and of the process.
func (w *writer) runtime() {
	w.value("go_info", "The Go version.", metrics.TypeGauge, 1, metrics.Label{Key: "version", Value: runtime.Version()})
	samples := make([]rtm.Sample, 0, 2*len(runtimeMetrics))
	for _, m := range runtimeMetrics {
		for _, s := range m.source {
			samples = append(samples, rtm.Sample{Name: s})
		}
	}
	rtm.Read(samples)
	for _, m := range runtimeMetrics {
		sum, ok := 0.0, true
		for range m.source {
			v := samples[0].Value
			samples = samples[1:]
			switch v.Kind() {
			case rtm.KindUint64:
				sum += float64(v.Uint64())
			case rtm.KindFloat64:
				sum += v.Float64()
			default: // this Go version does not know it
				ok = false
			}
		}
		if ok {
			w.value(m.name, m.help, m.typ, sum)
		}
	}
	w.process()
}

func (w *writer) value(name, help string, typ metrics.Type, v float64, labels ...metrics.Label) {
	w.one = metrics.Point{Name: name, Help: help, Type: typ, Labels: labels, Value: v}
	w.point(&w.one)
}

// process writes what the kernel knows. A figure that it does not give, in a container without /proc, is left out.
func (w *writer) process() {
	var use syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &use) == nil {
		cpu := float64(use.Utime.Sec+use.Stime.Sec) + float64(use.Utime.Usec+use.Stime.Usec)/1e6
		w.value("process_cpu_seconds_total", "Processor time of user and system.", metrics.TypeCounter, cpu)
	}
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		w.value("process_max_fds", "File descriptors that may be open.", metrics.TypeGauge, float64(limit.Cur))
	}
	if n, err := countFiles("/proc/self/fd"); err == nil {
		w.value("process_open_fds", "File descriptors that are open.", metrics.TypeGauge, float64(n))
	}
	s, err := readStat()
	if err != nil {
		return
	}
	w.value("process_resident_memory_bytes", "Memory that is resident.", metrics.TypeGauge, s.resident)
	w.value("process_start_time_seconds", "When the process started, since the epoch.", metrics.TypeGauge, s.started)
	w.value("process_threads", "Threads of the process.", metrics.TypeGauge, s.threads)
	w.value("process_virtual_memory_bytes", "Memory that is mapped.", metrics.TypeGauge, s.virtual)
}

// countFiles counts the entries of a folder, without the descriptor that reads it.
func countFiles(dir string) (int, error) {
	d, err := os.Open(dir)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	return len(names) - 1, err
}

// stat holds the fields of /proc/self/stat (proc_pid_stat(5)) that are shown.
type stat struct {
	threads  float64
	started  float64 // seconds since the epoch
	virtual  float64 // bytes
	resident float64 // bytes
}

// ticks is the kernel's USER_HZ, which is 100 on all architectures that Go supports.
const ticks = 100

func readStat() (s stat, err error) {
	raw, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return s, err
	}
	boot, err := bootTime()
	if err != nil {
		return s, err
	}
	// The second field, the program's name in brackets, may hold anything; field 3 is the first after it.
	fields := bytes.Fields(raw[bytes.LastIndexByte(raw, ')')+1:])
	field := func(n int) (v float64) {
		if err == nil && len(fields) > n-3 {
			v, err = strconv.ParseFloat(string(fields[n-3]), 64)
		}
		return v
	}
	s = stat{threads: field(20), started: boot + field(22)/ticks, virtual: field(23), resident: field(24) * float64(os.Getpagesize())}
	return s, err
}

// bootTime returns when the system started, in seconds since the epoch.
func bootTime() (float64, error) {
	raw, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(raw, []byte("\nbtime "))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	return strconv.ParseFloat(string(line), 64)
}
