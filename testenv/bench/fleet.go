package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"text/tabwriter"
	"time"
)

// The centre's side of the agents' links, without the rest of the centre: a process with the fleet and a source in memory, and
// a process of simulated agents, each with a real link over TLS and the loopback. Both run on this machine, so that what the
// agents use is missing to the centre.

// fleetOrder says what to measure.
type fleetOrder struct {
	Agents    int           `json:"agents"`
	Resources int           `json:"resources"` // of each agent; one of them is common to all
	Apps      int           `json:"apps"`      // applications, whose agents have the same resources
	Endpoints int           `json:"endpoints"` // of all resources together
	Commits   int           `json:"commits"`   // of the resource that all agents have
	Every     time.Duration `json:"every"`     // between two of them
	Rate      int           `json:"rate"`      // changes of an endpoint a second
	For       time.Duration `json:"for"`
}

// fleetRow is what came out.
type fleetRow struct {
	Order       fleetOrder `json:"order"`
	JoinMs      float64    `json:"join_ms"`     // until all agents had all their resources, from the first connection on
	JoinCPUMs   float64    `json:"join_cpu_ms"` // CPU of the centre for an agent that joins, its handshake and its first state
	ResumeMs    float64    `json:"resume_ms"`   // until all agents were back after all links were cut at once
	ResumeFulls int        `json:"resume_fulls"`
	Each        spread     `json:"each"` // from a commit to each answer
	Last        spread     `json:"last"` // from a commit to the last answer
	Busy        spread     `json:"busy"` // the same while endpoints change
	BusyChanges int        `json:"busy_changes"`
	Settled     memory     `json:"settled"`   // of the centre's process, when all agents are there
	Finally     memory     `json:"finally"`   // after all of it
	HeapMB      float64    `json:"heap_mb"`   // live, after a collection, when all agents are there
	LinkKB      float64    `json:"link_kb"`   // live heap and stacks for each agent
	AnswerUs    float64    `json:"answer_us"` // CPU of the centre for an update to one agent and its answer
	CPU         float64    `json:"busy_cpu"`  // cores that the centre used while endpoints changed
}

// spread is a distribution in ms.
type spread struct {
	Count uint64  `json:"count"`
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`
}

func (b *bench) partFleet() error {
	o := fleetOrder{Agents: 1000, Resources: 20, Apps: 10, Endpoints: 10_000, Commits: 150, Every: 250 * time.Millisecond, Rate: 100, For: 20 * time.Second}
	if b.quick {
		o.Commits, o.For = 20, 4*time.Second
	}
	b.progress(fmt.Sprintf("%d agents with %d resources each", o.Agents, o.Resources))
	self, err := os.Executable()
	if err != nil {
		return err
	}
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "fleet-centre")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(text), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("the centre's process: %w", err)
	}
	r := new(fleetRow)
	if err := json.Unmarshal(out, r); err != nil {
		return fmt.Errorf("the centre's process wrote %q: %w", out, err)
	}
	b.results.Fleet = r
	if r.Last.Count == 0 || r.Busy.Count == 0 {
		return errors.New("no commit was answered by all agents")
	}
	b.figure("fleet-last", exactly(r.Last.P99))
	b.figure("fleet-busy", exactly(r.Busy.P99))
	b.figure("fleet-memory", exactly(float64(r.Finally.Peak)/1e6))
	return nil
}

func (r *fleetRow) print(w io.Writer) {
	o := r.Order
	fmt.Fprintf(w, "\n%d agents over TLS, %d resources each, %d endpoints in all\n", o.Agents, o.Resources, o.Endpoints)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tcommits\tp50 ms\tp99 ms\tmax ms\t")
	for _, x := range []struct {
		name string
		spread
	}{
		{"commit to the last answer, all agents concerned", r.Last},
		{"commit to each answer", r.Each},
		{fmt.Sprintf("to the last answer, %d endpoints a second change", o.Rate), r.Busy},
	} {
		fmt.Fprintf(t, "%s\t%d\t%.1f\t%.1f\t%.1f\t\n", x.name, x.Count, x.P50, x.P99, x.Max)
	}
	t.Flush()
	fmt.Fprintf(w, "all served %.0f ms after the first connected, %.2f ms of the centre's CPU for each; all back %.0f ms after all links were cut, %d sent everything again\n", r.JoinMs, r.JoinCPUMs, r.ResumeMs, r.ResumeFulls)
	fmt.Fprintf(w, "the centre's process: %.0f MB resident when all are there, %.0f MB at most; live heap %.0f MB, %.1f KB for each agent; CPU %.0f us for an update and its answer, %.2f cores while endpoints change\n",
		float64(r.Settled.Resident)/1e6, float64(r.Finally.Peak)/1e6, r.HeapMB, r.LinkKB, r.AnswerUs, r.CPU)
}
