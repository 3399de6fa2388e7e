package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// results is everything that a run found out, as it is written to the JSON file.
type results struct {
	Started     time.Time     `json:"started"`
	Machine     machine       `json:"machine"`
	Figures     []measured    `json:"figures"`
	Comparisons []*comparison `json:"comparisons,omitempty"`
	Allocs      []allocRow    `json:"allocs,omitempty"`
	Idle        []idleRow     `json:"idle,omitempty"`
	Big         []bigRow      `json:"big,omitempty"`
	Latency     []latencyRow  `json:"latency,omitempty"`
	Results     []resultRow   `json:"results,omitempty"`
	Pools       []poolRow     `json:"pools,omitempty"`
	Fleet       *fleetRow     `json:"fleet,omitempty"`
	Peers       *peersRow     `json:"peers,omitempty"`
	Changes     *changesRow   `json:"changes,omitempty"`
	UI          *uiRow        `json:"ui,omitempty"`
	Failures    []string      `json:"failures,omitempty"` // parts that could not be measured
}

func (r *results) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

func (r *results) print(w io.Writer) {
	m := r.Machine
	fmt.Fprintf(w, "%s, %d cores, Linux %s, %s, load before %s\n", m.CPU, m.Cores, m.Kernel, m.Go, m.Loadavg)
	if m.busy() {
		fmt.Fprintln(w, "this machine was busy before the run: expect wide intervals, and throughput and latency that say little")
	}
	var names []string
	for name := range m.Peers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(w, "%s %s\n", name, m.Peers[name])
	}
	for _, c := range r.Comparisons {
		c.print(w)
	}
	r.printMemory(w)
	if r.Fleet != nil {
		r.Fleet.print(w)
	}
	if r.Peers != nil {
		r.Peers.print(w)
	}
	if r.Changes != nil {
		r.Changes.print(w)
	}
	if r.UI != nil {
		r.UI.print(w)
	}
	r.printFigures(w)
}

func table(w io.Writer) *tabwriter.Writer {
	return tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
}

func (c *comparison) print(w io.Writer) {
	l := c.Workload
	if name := opNames[l.Op]; l.Size > 0 {
		fmt.Fprintf(w, "\n%s: %s of %d bytes, %d clients, pipelines of %d\n", l.Name, name, l.Size, l.Clients, l.Pipeline)
	} else {
		fmt.Fprintf(w, "\n%s: %s, %d clients\n", l.Name, name, l.Clients)
	}
	t := table(w)
	open := c.Rows[0].Rate > 0
	head := "\tCPU us/req\tto " + c.Peer + "\t95 %\tserver us/req\tkreq/s\tto " + c.Peer + "\t95 %\t"
	if open {
		head += "p50 us\tp99 us\tp99.9 us\t"
	}
	fmt.Fprintln(t, head)
	for _, r := range c.Rows {
		cpu, ratio := fmt.Sprintf("%.2f", r.CPU), fmt.Sprintf("%.3f\t%s", r.CPURatio.Value, interval(r.CPURatio, 3))
		if r.Target == "direct" {
			cpu, ratio = "-", "-\t-"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%.2f\t%.1f\t%.3f\t%s\t", r.Target, cpu, ratio, r.Redis, r.Throughput/1e3, r.TputRatio.Value, interval(r.TputRatio, 3))
		if open {
			fmt.Fprintf(t, "%.0f\t%.0f\t%.0f\t", r.P50, r.P99, r.P999)
		}
		fmt.Fprintln(t)
	}
	t.Flush()
	if open {
		fmt.Fprintf(w, "latency in an open loop of %.0f requests/s, from when each was due\n", c.Rows[0].Rate)
	}
}

var opNames = map[string]string{"mixed": "GET and SET in turn", "get": "GET", "set": "SET", "http": "GET",
	"text": "sysbench oltp_point_select as text", "prepared": "sysbench oltp_point_select, prepared statements"}

func interval(e estimate, digits int) string {
	if math.IsInf(e.Low, 0) || math.IsInf(e.High, 0) || math.IsNaN(e.Value) {
		return "-"
	}
	return fmt.Sprintf("%.*f-%.*f", digits, e.Low, digits, e.High)
}

func (r *results) printMemory(w io.Writer) {
	if r.Allocs != nil {
		fmt.Fprintln(w, "\nheap allocations of the whole agent in the steady state, less those of an idle one")
		t := table(w)
		for _, a := range r.Allocs {
			fmt.Fprintf(t, "%s\t%d calls\t%.5f a call\t\n", a.Target, a.Calls, a.Allocs)
		}
		t.Flush()
	}
	if r.Idle != nil {
		fmt.Fprintln(w, "\nmemory of open and silent connections")
		t := table(w)
		for _, i := range r.Idle {
			fmt.Fprintf(t, "%s\t%d open\t%.1f MiB before\t%.1f MiB after\t%.2f KB each\t\n", i.Target, i.Connections, i.BeforeMiB, i.AfterMiB, i.KB)
		}
		t.Flush()
	}
	if r.Latency != nil {
		fmt.Fprintln(w, "\nlatency of one client that waits for each reply")
		t := table(w)
		for _, l := range r.Latency {
			fmt.Fprintf(t, "%s\tp50 %.1f us\tadded %.1f us\t%s\t\n", l.Target, l.P50, l.Added.Value, interval(l.Added, 1))
		}
		t.Flush()
	}
	if r.Results != nil {
		fmt.Fprintln(w, "\ngrowth of memory while a result passes to a slow client")
		t := table(w)
		for _, b := range r.Results {
			fmt.Fprintf(t, "%s\t%d MiB\t+%.2f MiB\t%.1f s\t\n", b.Target, b.Bytes>>20, b.GrowthMiB, b.Seconds)
		}
		t.Flush()
	}
	for _, p := range r.Pools {
		fmt.Fprintf(w, "\n%d clients, %d queries: at most %d connections to the server\n", p.Clients, p.Queries, p.Upstream)
	}
	if r.Big != nil {
		fmt.Fprintln(w, "\ngrowth of memory while one value passes")
		t := table(w)
		for _, b := range r.Big {
			fmt.Fprintf(t, "%s\t%d MiB\tSET +%.2f MiB\tGET +%.2f MiB\t%.1f s\t\n", b.Target, b.Bytes>>20, b.SetMiB, b.GetMiB, b.Seconds)
		}
		t.Flush()
	}
}

func (r *results) printFigures(w io.Writer) {
	fmt.Fprintln(w, "\nfigures")
	t := table(w)
	fmt.Fprintln(t, "\tmust\taim\tmeasured\tinterval\t\t")
	slices.SortStableFunc(r.Figures, func(a, b measured) int { return slices.Index(order, a.Key) - slices.Index(order, b.Key) })
	counts, uncertain := make(map[string]int), false
	for _, m := range r.Figures {
		spread := "-"
		if m.Low != m.High {
			spread = interval(estimate{m.Value, m.Low, m.High}, m.digits())
		}
		verdict := m.Verdict
		if !m.Certain {
			verdict += "?"
			uncertain = true
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t\n", m.Name, m.text(m.Must), m.text(m.Aim), m.text(m.Value), spread, verdict)
		counts[m.Verdict]++
	}
	t.Flush()
	var sum []string
	for _, v := range []string{reachedAim, reachedMust, missed} {
		sum = append(sum, fmt.Sprintf("%d %s", counts[v], v))
	}
	fmt.Fprintln(w, strings.Join(sum, ", "))
	if uncertain {
		fmt.Fprintln(w, "?: the interval reaches into another verdict; more -rounds on a quieter machine make it narrower")
	}
	for _, f := range r.Failures {
		fmt.Fprintln(w, "not measured:", f)
	}
}
