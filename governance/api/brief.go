package api

import (
	"github.com/sluice-mesh/sluice/governance/say"
	"github.com/sluice-mesh/sluice/resources"
)

// line is what a table shows of a [resource]; the keys are the same.
type line struct {
	Name     string            `json:"name"`
	Kind     string            `json:"kind"`
	Source   string            `json:"source"`
	Labels   map[string]string `json:"labels,omitempty"`
	Detail   string            `json:"detail,omitempty"`
	Health   string            `json:"health"`
	Why      string            `json:"why,omitempty"`
	WhySay   *say.Sentence     `json:"whySay,omitempty"`
	Success  float64           `json:"success"`
	Commands int               `json:"commands"`
	Groups   []lineGroup       `json:"groups"`
	Agents   spread            `json:"agents"`
	Rate     rate              `json:"rate"`
	Latency  lineLatency       `json:"latency"`
}

type lineGroup struct {
	Name   string `json:"name"`
	Weight int    `json:"weight"`
	Sound  int    `json:"sound"`
	Of     int    `json:"of"`
}

type lineLatency struct {
	P50 resources.Duration `json:"p50"`
	P99 resources.Duration `json:"p99"`
}

func lineOf(r *resource) line {
	l := line{Name: r.Name, Kind: r.Kind, Source: r.Source, Labels: r.Labels, Detail: r.Detail, Health: r.Health, Why: r.Why, WhySay: r.WhySay,
		Success: r.Success, Commands: r.Commands, Agents: r.Agents, Rate: r.Rate, Latency: lineLatency{r.Latency.P50, r.Latency.P99},
		Groups: make([]lineGroup, 0, len(r.Groups))}
	for _, g := range r.Groups {
		l.Groups = append(l.Groups, lineGroup{g.Name, g.Weight, g.Sound, g.Of})
	}
	return l
}
