package dashboard

import "github.com/sluice-mesh/sluice/metrics"

// Row is a line of panels under a heading.
type Row struct {
	Title  string
	Panels []Panel
}

// Panel is one chart.
type Panel struct {
	Title   string
	Doc     string // what it says, and when to worry
	Unit    string // Grafana's name of it
	Queries []Query
}

// Query is one expression of Prometheus.
type Query struct {
	Expr   string
	Legend string // with labels as {{label}}
}

// chosen selects what the dashboard's variables say; resource's metrics have no group.
const (
	chosen      = `{resource=~"$resource", group=~"$group", instance=~"$instance"}`
	ofResource  = `{resource=~"$resource", instance=~"$instance"}`
	ofProcess   = `{instance=~"$instance"}`
	window      = `[$__rate_interval]`
	notOK       = `{resource=~"$resource", group=~"$group", instance=~"$instance", outcome!="ok"}`
	ofRefusals  = `{resource=~"$resource", group=~"$group", instance=~"$instance", outcome=~"limited|degraded|breaker|denied"}`
	wouldRefuse = "sluice_would_refuse_total"
	breakers    = "sluice_breakers_open"
)

// quantile is a quantile of call durations by some labels. Buckets are added over agents before it is taken.
func quantile(q, by string) string {
	return "histogram_quantile(" + q + ", sum by (" + by + ", le) (rate(" + metrics.CallSeconds + "_bucket" + chosen + window + ")))"
}

func rate(name, of string) string { return "rate(" + name + of + window + ")" }

// Rows are the dashboard, from what everybody asks first to what explains it.
var rows = []Row{
	{"Calls", []Panel{
		{"Calls", "Calls that ended, by resource.", "reqps", []Query{
			{"sum by (resource) (" + rate(metrics.CallsTotal, chosen) + ")", "{{resource}}"},
		}},
		{"Success", "Share of calls that ended ok.", "percentunit", []Query{
			{"1 - sum by (resource) (" + rate(metrics.CallsTotal, notOK) + ") / sum by (resource) (" + rate(metrics.CallsTotal, chosen) + ")", "{{resource}}"},
		}},
		{"Outcomes other than ok", "How calls failed: error is the resource's own answer, the others are faults of the agent's words.", "reqps", []Query{
			{"sum by (resource, outcome) (" + rate(metrics.CallsTotal, notOK) + ")", "{{resource}} {{outcome}}"},
		}},
	}},
	{"Durations", []Panel{
		{"p50", "Half of the calls took no longer.", "s", []Query{{quantile("0.5", "resource"), "{{resource}}"}}},
		{"p99", "One call of a hundred took longer.", "s", []Query{{quantile("0.99", "resource"), "{{resource}}"}}},
		{"p99.9", "One call of a thousand took longer.", "s", []Query{{quantile("0.999", "resource"), "{{resource}}"}}},
	}},
	{"Operations and groups", []Panel{
		{"Busiest operations", "The ten operations that are called most.", "reqps", []Query{
			{"topk(10, sum by (resource, op) (" + rate(metrics.CallsTotal, chosen) + "))", "{{resource}} {{op}}"},
		}},
		{"Slowest operations", "The ten operations with the highest p99.", "s", []Query{
			{"topk(10, " + quantile("0.99", "resource, op") + ")", "{{resource}} {{op}}"},
		}},
		{"Traffic between groups", "Where calls go: a switch moves it from one group to another.", "reqps", []Query{
			{"sum by (resource, group) (" + rate(metrics.CallsTotal, chosen) + ")", "{{resource}} {{group}}"},
		}},
	}},
	{"Governance", []Panel{
		{"Refused", "Calls that a limit, a breaker, an access rule or a degrade command refused.", "reqps", []Query{
			{"sum by (resource, outcome) (" + rate(metrics.CallsTotal, ofRefusals) + ")", "{{resource}} {{outcome}}"},
		}},
		{"Would be refused", "Calls that rules in mode observe would have refused.", "reqps", []Query{
			{"sum by (resource, filter, rule) (" + rate(wouldRefuse, ofResource) + ")", "{{resource}} {{filter}} {{rule}}"},
		}},
		{"Commands in force", "Switches, degrades, limits and others, counted on each agent.", "short", []Query{
			{"sum by (resource, type) (" + metrics.CommandsActive + ofResource + ")", "{{resource}} {{type}}"},
		}},
		{"Open breakers", "Circuits that are open, of all agents.", "short", []Query{
			{"sum by (resource) (" + breakers + ofResource + ")", "{{resource}}"},
		}},
	}},
	{"Upstream", []Panel{
		{"Endpoints that are down", "Endpoints that an agent may not use, down or ejected.", "short", []Query{
			{"count by (resource, group, endpoint) (" + metrics.EndpointUp + chosen + " == 0)", "{{resource}} {{group}} {{endpoint}}"},
		}},
		{"Ejections", "How often endpoints were ejected for their failures.", "short", []Query{
			{"sum by (resource, endpoint) (" + rate(metrics.EndpointEjections, chosen) + ")", "{{resource}} {{endpoint}}"},
		}},
		{"Retries", "Extra attempts, by kind and by how they ended; no_budget: not made, for want of it.", "reqps", []Query{
			{"sum by (resource, kind_of_retry, outcome) (" + rate(metrics.RetriesTotal, ofResource) + ")", "{{resource}} {{kind_of_retry}} {{outcome}}"},
		}},
		{"Connections to endpoints", "By how sessions use them.", "short", []Query{
			{"sum by (resource, mode) (" + metrics.UpstreamConnections + ofResource + ")", "{{resource}} {{mode}}"},
		}},
	}},
	{"Clients", []Panel{
		{"Sessions", "Client connections, and those tied to one upstream connection.", "short", []Query{
			{"sum by (resource) (" + metrics.Sessions + ofResource + ")", "{{resource}}"},
			{"sum by (resource, pin) (" + metrics.PinnedSessions + ofResource + ")", "{{resource}} pinned by {{pin}}"},
		}},
		{"In flight", "Calls that began and have not ended.", "short", []Query{
			{"sum by (resource) (" + metrics.Inflight + ofResource + ")", "{{resource}}"},
		}},
		{"Bytes", "Of requests and answers.", "Bps", []Query{
			{"sum by (resource, direction) (" + rate(metrics.CallBytesTotal, ofResource) + ")", "{{resource}} {{direction}}"},
		}},
	}},
	{"Agents", []Panel{
		{"Replies that did not belong", "Must be 0, always.", "short", []Query{
			{"sum by (resource) (" + metrics.ReplyMismatchTotal + ofResource + ")", "{{resource}}"},
		}},
		{"Configuration", "Revision in force, by agent: one that stays behind shows.", "short", []Query{
			{metrics.ConfigRevision + ofProcess, "{{instance}}"},
		}},
		{"Dropped", "Log lines, spans and metrics that found no room.", "short", []Query{
			{"sum by (what) (" + rate(metrics.DroppedTotal, ofProcess) + ")", "{{what}}"},
		}},
		{"Processor", "Cores in use, by agent.", "short", []Query{{rate("process_cpu_seconds_total", ofProcess), "{{instance}}"}}},
		{"Memory", "Resident, by agent.", "bytes", []Query{{"process_resident_memory_bytes" + ofProcess, "{{instance}}"}}},
	}},
}
