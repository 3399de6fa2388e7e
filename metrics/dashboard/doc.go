// Package dashboard is the Grafana dashboard of a fleet of agents, as code: a table of panels and the JSON that Grafana
// imports (https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/).
//
//	Rows (rows.go) -> JSON -> docs/grafana.json, by `go run ./internal/tools/dashboard > docs/grafana.json`
//
// Only that program and tests call it. A test holds every query against what the registry exposes, so that a metric or
// a label that is renamed, or misspelt here, is found by the tests and not by the person who looks at an empty panel;
// another one holds docs/grafana.json against the table.
//
// The dashboard asks Prometheus, whose data source is chosen when it is imported. Its variables choose resources,
// groups and agents; all of them are chosen at first.
package dashboard
