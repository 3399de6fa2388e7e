package dashboard

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sluice-mesh/sluice/metrics"
)

// The names of Grafana's JSON model that are used.
type (
	model struct {
		Inputs        []input    `json:"__inputs"`
		UID           string     `json:"uid"`
		Title         string     `json:"title"`
		Tags          []string   `json:"tags"`
		SchemaVersion int        `json:"schemaVersion"`
		Editable      bool       `json:"editable"`
		Refresh       string     `json:"refresh"`
		Time          span       `json:"time"`
		Templating    templating `json:"templating"`
		Panels        []panel    `json:"panels"`
	}
	input struct {
		Name     string `json:"name"`
		Label    string `json:"label"`
		Type     string `json:"type"`
		PluginID string `json:"pluginId"`
	}
	span struct {
		From string `json:"from"`
		To   string `json:"to"`
	}
	templating struct {
		List []variable `json:"list"`
	}
	variable struct {
		Name       string  `json:"name"`
		Type       string  `json:"type"`
		Datasource source  `json:"datasource"`
		Query      string  `json:"query"`
		Refresh    int     `json:"refresh"` // 2: when the time range changes
		Multi      bool    `json:"multi"`
		IncludeAll bool    `json:"includeAll"`
		AllValue   string  `json:"allValue"`
		Current    current `json:"current"`
	}
	current struct {
		Text  string `json:"text"`
		Value string `json:"value"`
	}
	source struct {
		Type string `json:"type"`
		UID  string `json:"uid"`
	}
	panel struct {
		ID          int      `json:"id"`
		Type        string   `json:"type"`
		Title       string   `json:"title"`
		Description string   `json:"description,omitempty"`
		Datasource  *source  `json:"datasource,omitempty"`
		GridPos     gridPos  `json:"gridPos"`
		FieldConfig *fields  `json:"fieldConfig,omitempty"`
		Targets     []target `json:"targets,omitempty"`
	}
	gridPos struct {
		H int `json:"h"`
		W int `json:"w"`
		X int `json:"x"`
		Y int `json:"y"`
	}
	fields struct {
		Defaults struct {
			Unit string `json:"unit"`
			Min  int    `json:"min"`
		} `json:"defaults"`
		Overrides []struct{} `json:"overrides"`
	}
	target struct {
		RefID        string `json:"refId"`
		Expr         string `json:"expr"`
		LegendFormat string `json:"legendFormat"`
	}
)

// Grafana's grid is 24 wide.
const (
	gridWidth   = 24
	panelHeight = 8
)

var fromPrometheus = source{"prometheus", "${DS_PROMETHEUS}"}

// JSON returns the dashboard as Grafana imports it, with a newline at its end.
func JSON() ([]byte, error) {
	m := model{
		Inputs: []input{{"DS_PROMETHEUS", "Prometheus", "datasource", "prometheus"}},
		UID:    "sluice-agents", Title: "Sluice: services and resources", Tags: []string{"sluice"},
		SchemaVersion: 39, Editable: true, Refresh: "10s", Time: span{"now-1h", "now"},
	}
	for _, label := range []string{"resource", "group", "instance"} {
		m.Templating.List = append(m.Templating.List, variable{
			Name: label, Type: "query", Datasource: fromPrometheus, Refresh: 2, Multi: true, IncludeAll: true, AllValue: ".*",
			Query: "label_values(" + metrics.CallsTotal + ", " + label + ")", Current: current{"All", "$__all"},
		})
	}
	y := 0
	for _, r := range rows {
		m.add(panel{Type: "row", Title: r.Title, GridPos: gridPos{1, gridWidth, 0, y}})
		y++
		width := gridWidth / len(r.Panels)
		for i, p := range r.Panels {
			f := &fields{Overrides: []struct{}{}}
			f.Defaults.Unit = p.Unit
			made := panel{
				Type: "timeseries", Title: p.Title, Description: p.Doc, Datasource: &fromPrometheus, FieldConfig: f,
				GridPos: gridPos{panelHeight, width, i * width, y},
			}
			for j, q := range p.Queries {
				made.Targets = append(made.Targets, target{string(rune('A' + j)), q.Expr, q.Legend})
			}
			m.add(made)
		}
		y += panelHeight
	}
	var out strings.Builder
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(m); err != nil {
		return nil, fmt.Errorf("dashboard: %w", err)
	}
	return []byte(out.String()), nil
}

func (m *model) add(p panel) {
	p.ID = len(m.Panels) + 1
	m.Panels = append(m.Panels, p)
}
