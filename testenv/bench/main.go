package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/sluice-mesh/sluice/testenv/bench/load"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// options are the flags.
type options struct {
	sluice string
	rounds int
	quick  bool
	only   []string
	ops    []string
	out    string
	strict bool
}

// The parts, by what they are about: either name may be given for all parts of it.
var (
	redisParts = []string{"cpu", "filters", "allocs", "idle", "big"}
	mysqlParts = []string{"mysql-cpu", "mysql-latency", "mysql-allocs", "mysql-idle", "mysql-big", "mysql-pool"}
	motanParts = []string{"motan-cpu", "motan-latency", "motan-allocs"}
	httpParts  = []string{"http-cpu", "http-allocs"}
	grpcParts  = []string{"grpc-cpu", "grpc-allocs"}
	// Of the governance centre. One of them has a Redis, too.
	centerParts = []string{"fleet", "peers", "changes", "ui"}
	parts       = append(slices.Concat(redisParts, mysqlParts, motanParts, httpParts, grpcParts, centerParts), "micro")
)

func main() {
	child()
	o, err := parseFlags(os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	exit(server.Run(os.Stderr, "bench", func(t server.TB) {
		if err := run(t, o); err != nil {
			t.Fatalf("%v", err)
		}
	}))
}

// child does not return when this process is one that the bench started: it starts itself again for what needs a process of its own.
func child() {
	if len(os.Args) < 2 {
		return
	}
	switch os.Args[1] {
	case "load":
		exit(load.Serve(os.Stdin, os.Stdout))
	case "fleet-centre":
		exit(serveFleetCentre(os.Stdin, os.Stdout))
	case "fleet-agents":
		exit(serveFleetAgents(os.Stdin, os.Stdout))
	}
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func parseFlags(args []string) (options, error) {
	var o options
	var only, ops string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.sluice, "sluice", "", "the sluice binary; empty: built now")
	f.IntVar(&o.rounds, "rounds", 8, "rounds of each workload; a round visits every target twice")
	f.BoolVar(&o.quick, "quick", false, "a first impression: short slices, few rounds, wide intervals")
	f.StringVar(&only, "only", "", "parts to run, with commas between: "+strings.Join(parts, ", ")+"; redis, mysql, motan, http, grpc or center for all of one kind (default all)")
	f.StringVar(&ops, "ops", "mixed", "operations of the part cpu: mixed (GET and SET in turn), get, set, with commas between")
	f.StringVar(&o.out, "out", "bench.json", "file for the results as JSON; empty: none")
	f.BoolVar(&o.strict, "strict", false, "fail when a figure misses what it must reach")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected %q", f.Arg(0))
	}
	o.only, o.ops = parts, strings.Split(ops, ",")
	if only != "" {
		o.only = nil
		for _, p := range strings.Split(only, ",") {
			switch p {
			case "redis":
				o.only = append(o.only, redisParts...)
			case "mysql":
				o.only = append(o.only, mysqlParts...)
			case "motan":
				o.only = append(o.only, motanParts...)
			case "grpc":
				o.only = append(o.only, grpcParts...)
			case "http":
				o.only = append(o.only, httpParts...)
			case "center":
				o.only = append(o.only, centerParts...)
			default:
				o.only = append(o.only, p)
			}
		}
	}
	for _, p := range o.only {
		if !slices.Contains(parts, p) {
			return o, fmt.Errorf("unknown part %q: use some of %s", p, strings.Join(parts, ", "))
		}
	}
	for _, op := range o.ops {
		if !slices.Contains([]string{"mixed", "get", "set"}, op) {
			return o, fmt.Errorf("unknown operation %q: use mixed, get or set", op)
		}
	}
	if o.rounds < 2 {
		return o, fmt.Errorf("rounds is %d: an interval needs at least 2", o.rounds)
	}
	if o.sluice != "" {
		abs, err := filepath.Abs(o.sluice)
		if err != nil {
			return o, err
		}
		o.sluice = abs
	}
	return o, nil
}

// bench is one run.
type bench struct {
	options
	*lab
	plan     plan
	results  results
	files    uint64 // that may be open
	progress func(string)
}

func run(t server.TB, o options) error {
	b := &bench{options: o, progress: progressLine()}
	b.plan = plan{rounds: o.rounds, slice: 400 * time.Millisecond, warm: time.Second, latency: 3 * time.Second}
	if o.quick {
		b.plan = plan{rounds: min(o.rounds, 3), slice: 150 * time.Millisecond, warm: 300 * time.Millisecond, latency: time.Second}
	}
	var err error
	if b.files, err = raiseFiles(30000); err != nil {
		return fmt.Errorf("raise the number of open files: %w", err)
	}
	b.results.Machine = thisMachine(runtime.Version(), runtime.NumCPU())
	b.results.Started = time.Now().UTC()
	b.lab = openLab(t, o.sluice, b.results.Machine.Peers)
	if slices.ContainsFunc(o.only, func(p string) bool { return p == "changes" || slices.Contains(redisParts, p) }) {
		b.startRedis()
	}
	for _, part := range []struct {
		name string
		run  func() error
	}{
		{"cpu", b.partCPU},
		{"filters", b.partFilters},
		{"allocs", b.partAllocs},
		{"idle", func() error { return b.partIdle(int(b.files)) }},
		{"big", b.partBig},
		{"mysql-cpu", b.partMySQL},
		{"mysql-latency", b.partMySQLLatency},
		{"mysql-allocs", b.partMySQLAllocs},
		{"mysql-idle", b.partMySQLIdle},
		{"mysql-big", b.partMySQLBig},
		{"mysql-pool", b.partMySQLPool},
		{"motan-cpu", b.partMotan},
		{"motan-latency", b.partMotanLatency},
		{"motan-allocs", b.partMotanAllocs},
		{"grpc-cpu", b.partGRPC},
		{"grpc-allocs", b.partGRPCAllocs},
		{"http-cpu", b.partHTTP},
		{"http-allocs", b.partHTTPAllocs},
		{"fleet", b.partFleet},
		{"peers", b.partPeers},
		{"changes", b.partChanges},
		{"ui", b.partUI},
		{"micro", b.partMicro},
	} {
		if !slices.Contains(o.only, part.name) {
			continue
		}
		if err := part.run(); err != nil { // the others are measured all the same
			b.results.Failures = append(b.results.Failures, fmt.Sprintf("part %s: %v", part.name, err))
		}
	}
	if err := b.checkMismatches(); err != nil {
		b.results.Failures = append(b.results.Failures, err.Error())
	}
	b.progress("")
	return b.finish()
}

// partCPU compares direct, twemproxy, HAProxy and the agent.
func (b *bench) partCPU() error {
	targets := []*target{b.direct(), b.twemproxy("twemproxy"), b.haproxy(), b.agent("sluice")}
	for _, op := range b.ops {
		for _, depth := range []int{1, 16, 64} {
			w := workload{Name: fmt.Sprintf("%s-%d", op, depth), Op: op, Pipeline: depth, Clients: 50, Size: 64}
			c, err := b.compare(w, targets, "twemproxy", b.plan)
			if err != nil {
				return err
			}
			b.results.Comparisons = append(b.results.Comparisons, c)
			if op == b.ops[0] {
				ours := c.row("sluice")
				b.figure(fmt.Sprintf("cpu-%d", depth), ours.CPURatio)
				if depth == 16 {
					b.figure("throughput-16", ours.TputRatio)
				}
			}
		}
	}
	return nil
}

// partFilters compares the agent with every filter on to itself with none.
func (b *bench) partFilters() error {
	targets := []*target{b.agent("sluice"), b.agent("sluice, all filters")}
	p := b.plan
	p.latency = 0
	for _, depth := range []int{1, 16} {
		w := workload{Name: fmt.Sprintf("filters-%d", depth), Op: "mixed", Pipeline: depth, Clients: 50, Size: 64}
		c, err := b.compare(w, targets, "sluice", p)
		if err != nil {
			return err
		}
		b.results.Comparisons = append(b.results.Comparisons, c)
		b.figure(w.Name, c.row("sluice, all filters").CPURatio)
	}
	return nil
}

func (b *bench) partAllocs() error {
	d := 2 * time.Second
	if b.quick {
		d = 700 * time.Millisecond
	}
	for _, x := range []struct{ key, agent string }{{"allocs", "sluice"}, {"allocs-all", "sluice, all filters"}} {
		b.progress("allocations, " + x.agent)
		r, err := b.allocations(b.agent(x.agent), d)
		if err != nil {
			return err
		}
		b.results.Allocs = append(b.results.Allocs, r)
		b.figure(x.key, exactly(r.Allocs))
	}
	return nil
}

func (b *bench) partIdle(files int) error {
	n := min(10000, files-500) // the generator and the agent need some for themselves
	for _, t := range []*target{b.agent("sluice, idle"), b.twemproxy("twemproxy, idle")} {
		b.progress(fmt.Sprintf("%d idle connections, %s", n, t.name))
		r, err := idleMemory(t, n)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		b.results.Idle = append(b.results.Idle, r)
		if t.at != "" {
			b.figure("idle", exactly(r.KB))
		}
	}
	return nil
}

func (b *bench) partBig() error {
	for _, t := range []*target{b.agent("sluice, big"), b.haproxy()} {
		b.progress("a value of 512 MB, " + t.name)
		if err := b.warm(t); err != nil {
			return err
		}
		r, err := bigValue(t, 512<<20)
		if err != nil {
			return err
		}
		b.results.Big = append(b.results.Big, r)
		if t.at != "" {
			b.figure("big", exactly(r.growth()))
		}
	}
	return nil
}

// warm lets a proxy grow to the size that ordinary traffic needs.
func (b *bench) warm(t *target) error {
	d, err := startDriver(load.Spec{Addr: t.addr, Clients: 20, Pipeline: 16, Op: "mixed", Size: 64, Prefix: "warm:" + t.name})
	if err != nil {
		return err
	}
	defer d.stop()
	_, err = d.drive(t, b.redis.pid, load.Order{Do: "run", Ms: 1000})
	return err
}

func (b *bench) partMicro() error {
	count := 7
	if b.quick {
		count = 3
	}
	for _, m := range microBenches {
		b.progress("alone: " + m.key)
		e, err := runMicro(m, count)
		if err != nil {
			return err
		}
		b.figure(m.key, e)
	}
	return nil
}

// checkMismatches fails the run when an agent has seen a reply that it could not match with its request.
func (b *bench) checkMismatches() error {
	for _, t := range b.agents {
		n, err := t.metric("sluice_reply_mismatch_total")
		if err != nil && !errors.Is(err, errNoMetric) {
			return err
		}
		if n != 0 {
			return fmt.Errorf("%s counted %.0f mismatched replies", t.name, n)
		}
	}
	return nil
}

func (b *bench) figure(key string, e estimate) {
	b.results.Figures = append(b.results.Figures, judge(key, e))
}

// finish prints and writes the results.
func (b *bench) finish() error {
	b.results.print(os.Stdout)
	if b.out != "" {
		if err := b.results.write(b.out); err != nil {
			return err
		}
		fmt.Printf("\nwritten to %s\n", b.out)
	}
	if b.results.Failures != nil {
		return errors.New(strings.Join(b.results.Failures, "; "))
	}
	if !b.strict {
		return nil
	}
	var short []string
	for _, m := range b.results.Figures {
		if m.Verdict == missed {
			short = append(short, m.Name)
		}
	}
	if short != nil {
		return fmt.Errorf("missed: %s", strings.Join(short, "; "))
	}
	return nil
}

// progressLine shows what is going on: one line that is redrawn on a terminal, plain lines elsewhere.
func progressLine() func(string) {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return func(s string) {
			if s != "" {
				fmt.Fprintln(os.Stderr, s)
			}
		}
	}
	return func(s string) { fmt.Fprintf(os.Stderr, "\r\x1b[K%s", s) }
}
