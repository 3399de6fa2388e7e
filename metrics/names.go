package metrics

// The names of the metrics, which dashboards and alerts rely on. Their labels are in the comments; every label of a
// resource's metric except `resource` itself holds at most [Options].MaxOps values, then `other`.
const (
	CallsTotal          = "sluice_calls_total"              // resource, kind, group, op, class, outcome
	CallSeconds         = "sluice_call_seconds"             // resource, kind, group, op; a histogram
	CallBytesTotal      = "sluice_call_bytes_total"         // resource, direction (in: requests, out: answers)
	Inflight            = "sluice_inflight"                 // resource
	Sessions            = "sluice_sessions"                 // resource
	PinnedSessions      = "sluice_pinned_sessions"          // resource, pin
	UpstreamConnections = "sluice_upstream_connections"     // resource, endpoint, mode
	EndpointUp          = "sluice_endpoint_up"              // resource, group, endpoint, role
	EndpointEjections   = "sluice_endpoint_ejections_total" // resource, group, endpoint, role
	RetriesTotal        = "sluice_retries_total"            // resource, kind_of_retry, outcome
	CommandsActive      = "sluice_commands_active"          // resource, type
	ReplyMismatchTotal  = "sluice_reply_mismatch_total"     // resource
	ConfigRevision      = "sluice_config_revision"          //
	DroppedTotal        = "sluice_dropped_total"            // what
	TableCallsTotal     = "sluice_table_calls_total"        // resource, table, class, outcome
	UserCallsTotal      = "sluice_user_calls_total"         // resource, user, outcome
)

// NoGroup is the group label of calls that ended before they were routed.
const NoGroup = "none"

// Overflow is the value that a label gets when it has no room for another one.
const Overflow = "other"

// Type is the type of a metric, in the words of the Prometheus text format.
type Type string

// The types of metrics.
const (
	TypeCounter   Type = "counter"
	TypeGauge     Type = "gauge"
	TypeHistogram Type = "histogram"
)

// family is what all series of one name have in common.
type family struct {
	name  string
	help  string
	typ   Type
	cells bool // its series come from cells and from nothing else
}

// known describes the metrics above. A caller that asks for one of them as another type made a mistake.
func known() map[string]*family {
	m := map[string]*family{}
	for _, f := range []family{
		{CallsTotal, "Calls that ended, by how they ended.", TypeCounter, true},
		{CallSeconds, "Time from a call's bytes to its reply.", TypeHistogram, true},
		{CallBytesTotal, "Bytes of requests (in) and of answers (out).", TypeCounter, true},
		{Inflight, "Calls that began and have not ended.", TypeGauge, false},
		{Sessions, "Client connections that are open.", TypeGauge, false},
		{PinnedSessions, "Sessions that are tied to one upstream connection, by what ties them.", TypeGauge, false},
		{UpstreamConnections, "Connections to endpoints, by how sessions use them.", TypeGauge, false},
		{EndpointUp, "1 when the endpoint may be used, 0 when it is down or ejected.", TypeGauge, false},
		{EndpointEjections, "How often the endpoint was ejected for its failures.", TypeCounter, false},
		{RetriesTotal, "Extra attempts, by kind of retry and by how the attempt ended.", TypeCounter, false},
		{CommandsActive, "Commands that are in force, by type.", TypeGauge, false},
		{ReplyMismatchTotal, "Replies that did not belong to the request they came for; must stay 0.", TypeCounter, false},
		{ConfigRevision, "Revision of the configuration that is in force.", TypeGauge, false},
		{TableCallsTotal, "Calls that touch a table, by how they ended; one that touches several counts for each.", TypeCounter, false},
		{UserCallsTotal, "Calls of a user, by how they ended.", TypeCounter, false},
		{DroppedTotal, "Log lines, spans, metrics and events that were dropped, by what they were.", TypeCounter, false},
	} {
		m[f.name] = &f
	}
	return m
}
