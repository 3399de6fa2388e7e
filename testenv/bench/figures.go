package main

import (
	"fmt"
	"math"
)

// figure is a number with two bounds: what must be reached, and what is aimed at.
type figure struct {
	Name string  `json:"name"`
	Unit string  `json:"unit"` // "x" for a ratio
	Must float64 `json:"must"`
	Aim  float64 `json:"aim"`
	// AtLeast turns the bounds round: more is better.
	AtLeast bool `json:"at_least,omitempty"`
}

// The figures, by the key under which a part reports them.
var figures = map[string]figure{
	"cpu-1":            {Name: "CPU, no pipeline, to twemproxy", Unit: "x", Must: 1.15, Aim: 1.00},
	"cpu-16":           {Name: "CPU, pipelines of 16, to twemproxy", Unit: "x", Must: 0.55, Aim: 0.40},
	"cpu-64":           {Name: "CPU, pipelines of 64, to twemproxy", Unit: "x", Must: 0.55, Aim: 0.40},
	"throughput-16":    {Name: "throughput, pipelines of 16, to twemproxy", Unit: "x", Must: 1.3, Aim: 1.6, AtLeast: true},
	"filters-1":        {Name: "CPU, all filters to none, no pipeline", Unit: "x", Must: 1.15, Aim: 1.08},
	"filters-16":       {Name: "CPU, all filters to none, pipelines of 16", Unit: "x", Must: 1.15, Aim: 1.08},
	"allocs":           {Name: "heap allocations for each call", Unit: "", Must: 0, Aim: 0},
	"allocs-all":       {Name: "heap allocations for each call, all filters", Unit: "", Must: 0, Aim: 0},
	"idle":             {Name: "memory for an idle connection, 10,000 open", Unit: "KB", Must: 6, Aim: 3.5},
	"big":              {Name: "growth while 512 MB pass, both ways", Unit: "MiB", Must: 2, Aim: 1},
	"mysql-text":       {Name: "MySQL: CPU of a point select, text, to HAProxy", Unit: "x", Must: 1.35, Aim: 1.10},
	"mysql-prepared":   {Name: "MySQL: CPU of a point select, prepared, to HAProxy", Unit: "x", Must: 1.35, Aim: 1.10},
	"mysql-core":       {Name: "MySQL: queries a second and core of the agent", Unit: "q/s", Must: 25000, Aim: 40000, AtLeast: true},
	"mysql-latency":    {Name: "MySQL: added median latency, one client", Unit: "us", Must: 40, Aim: 25},
	"mysql-allocs":     {Name: "MySQL: heap allocations for each query", Unit: "", Must: 0, Aim: 0},
	"mysql-allocs-all": {Name: "MySQL: heap allocations for each query, all filters", Unit: "", Must: 0, Aim: 0},
	"mysql-idle":       {Name: "MySQL: memory for an idle session, 10,000 open", Unit: "KB", Must: 24, Aim: 8},
	"mysql-big":        {Name: "MySQL: growth while 1 GiB passes to a slow client", Unit: "MiB", Must: 2, Aim: 1},
	"mysql-pool":       {Name: "MySQL: server connections of 1,000 mostly idle clients", Unit: "", Must: 64, Aim: 16},
	"motan-cpu":        {Name: "Motan: CPU of a call, all filters, to motan-go's agent", Unit: "x", Must: 0.60, Aim: 0.30},
	"motan-p99":        {Name: "Motan: p99 at half load, to motan-go's agent", Unit: "x", Must: 0.7, Aim: 0.4},
	"motan-allocs":     {Name: "Motan: heap allocations for each call, all filters", Unit: "", Must: 2, Aim: 0},
	"motan-latency":    {Name: "Motan: added median latency, one client", Unit: "us", Must: 25, Aim: 12},
	"grpc-cpu":         {Name: "gRPC: CPU of a unary call, to Envoy", Unit: "x", Must: 1.60, Aim: 1.00},
	"grpc-allocs":      {Name: "gRPC: heap allocations for each call", Unit: "", Must: 2, Aim: 0},
	"http-cpu":         {Name: "HTTP/1.1: CPU of a request, 1 KiB, to HAProxy", Unit: "x", Must: 2.5, Aim: 1.4},
	"http-allocs":      {Name: "HTTP/1.1: heap allocations for each request", Unit: "", Must: 0.02, Aim: 0},
	"fleet-last":       {Name: "centre: commit to the last of 1,000 acknowledgements, p99", Unit: "ms", Must: 1000, Aim: 300},
	"fleet-busy":       {Name: "centre: the same, 100 endpoint changes a second", Unit: "ms", Must: 2000, Aim: 1000},
	"fleet-memory":     {Name: "centre: memory, 1,000 agents with 20 resources, at most", Unit: "MB", Must: 512, Aim: 200},
	"peers-last":       {Name: "three centres: commit to the last of 1,000 acknowledgements, p99", Unit: "ms", Must: 1000, Aim: 300},
	"peers-memory":     {Name: "three centres: memory of each, 1,000 agents with 20 resources, at most", Unit: "MB", Must: 512, Aim: 200},
	"changes":          {Name: "centre: p99 of calls, ten changes a second, to ten of another resource", Unit: "x", Must: 1.2, Aim: 1.05},
	"changes-errors":   {Name: "centre: calls that failed meanwhile", Unit: "", Must: 0, Aim: 0},
	"ui-overview":      {Name: "pages: first view of the overview, slow laptop", Unit: "ms", Must: 1000, Aim: 500},
	"ui-catalogue":     {Name: "pages: first view of 500 resources, slow laptop", Unit: "ms", Must: 1000, Aim: 500},
	"ui-update":        {Name: "pages: update of 500 rows", Unit: "ms", Must: 16, Aim: 8},

	"histogram": {Name: "histogram, one value", Unit: "ns", Must: 25, Aim: 15},
	"limiter":   {Name: "limiter, one call", Unit: "ns", Must: 25, Aim: 15},
	"breaker":   {Name: "breaker, one call", Unit: "ns", Must: 25, Aim: 15},
}

// order is how they are printed.
var order = []string{
	"cpu-1", "cpu-16", "cpu-64", "throughput-16", "filters-1", "filters-16", "allocs", "allocs-all", "idle", "big",
	"mysql-text", "mysql-prepared", "mysql-core", "mysql-latency", "mysql-allocs", "mysql-allocs-all", "mysql-idle", "mysql-big",
	"mysql-pool", "motan-cpu", "motan-p99", "motan-allocs", "motan-latency", "http-cpu", "http-allocs", "grpc-cpu", "grpc-allocs", "fleet-last",
	"fleet-busy", "fleet-memory", "peers-last", "peers-memory", "changes", "changes-errors",
	"ui-overview", "ui-catalogue", "ui-update", "histogram", "limiter", "breaker",
}

// measured is a figure as it came out, with its 95 % interval where there is one (Low = High = Value otherwise).
type measured struct {
	Key   string  `json:"key"`
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	figure
	Verdict string `json:"verdict"`
	// Certain: the whole interval has this verdict.
	Certain bool `json:"certain"`
}

// verdicts.
const (
	reachedAim  = "aim"
	reachedMust = "must"
	missed      = "missed"
)

func judge(key string, e estimate) measured {
	f := figures[key]
	m := measured{Key: key, Value: e.Value, Low: e.Low, High: e.High, figure: f, Verdict: f.verdict(e.Value)}
	m.Certain = f.verdict(e.Low) == m.Verdict && f.verdict(e.High) == m.Verdict
	return m
}

// verdict judges what is printed: a figure is not missed by what its digits do not show.
func (f figure) verdict(v float64) string {
	v = round(v, f.digits())
	reaches := func(bound float64) bool {
		if f.AtLeast {
			return v >= bound
		}
		return v <= bound
	}
	switch {
	case reaches(f.Aim):
		return reachedAim
	case reaches(f.Must):
		return reachedMust
	}
	return missed
}

// digits after the point.
func (f figure) digits() int {
	if f.Unit == "q/s" {
		return 0
	}
	if f.Unit == "us" || f.Unit == "ns" || f.Unit == "ms" || f.Unit == "KB" || f.Unit == "MB" || f.Unit == "MiB" {
		return 1
	}
	return 2
}

func round(v float64, digits int) float64 {
	p := math.Pow(10, float64(digits))
	return math.Round(v*p) / p
}

func (f figure) text(v float64) string {
	s := fmt.Sprintf("%.*f", f.digits(), v)
	if f.Unit != "" && f.Unit != "x" {
		s += " " + f.Unit
	}
	return s
}
