package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// Encode writes a JSON value as indented JSON or as YAML.
func Encode(w io.Writer, format string, raw json.RawMessage) error {
	switch format {
	case "json":
		var out bytes.Buffer
		if err := json.Indent(&out, raw, "", "  "); err != nil {
			return err
		}
		out.WriteByte('\n')
		_, err := out.WriteTo(w)
		return err
	case "yaml":
		out, err := yaml.JSONToYAML(raw)
		if err != nil {
			return err
		}
		_, err = w.Write(out)
		return err
	}
	return fmt.Errorf("unknown output format %q: use json or yaml", format)
}

// Named pairs something with the resource that it belongs to.
type Named[T any] struct {
	Resource string
	Items    []T
}

// ResourceTable lists resources.
func ResourceTable(list []Resource) *Table {
	t := NewTable("NAME", "KIND", "STATE", "LISTEN", "GROUPS", "CALLS/S>", "ERRORS/S>", "P50>", "P99>", "SESSIONS>", "PINNED>", "COMMANDS>")
	for _, r := range list {
		state, paint := "ready", Good
		if !r.Ready {
			state, paint = "not ready", Bad
			if r.Detail != "" {
				state += ": " + r.Detail
			}
		}
		t.Row(r.Name, r.Kind, state, strings.Join(r.Listen, ","), groupShares(r.Groups), Number(r.Rate.Calls), Number(r.Rate.Errors),
			short(r.Latency.P50), short(r.Latency.P99), count(r.Sessions), count(r.Pinned), strconv.Itoa(r.Commands))
		t.Paint(2, paint)
		if r.Rate.Errors > 0 {
			t.Paint(6, Warn)
		}
	}
	return t
}

func groupShares(groups []Group) string {
	parts := make([]string, len(groups))
	for i, g := range groups {
		parts[i] = g.Name + "=" + strconv.Itoa(g.Weight)
	}
	return strings.Join(parts, " ")
}

func count(n int64) string { return strconv.FormatInt(n, 10) }

// EndpointTable lists endpoints.
func EndpointTable(list []Named[Endpoint]) *Table {
	t := NewTable("RESOURCE", "GROUP", "ADDRESS", "ROLE", "STATE", "WEIGHT>", "SHARE>", "INFLIGHT>", "CONNS>", "LATENCY>", "DETAIL")
	for _, n := range list {
		for _, e := range n.Items {
			t.Row(n.Resource, e.Group, e.Address, e.Role, e.State, strconv.Itoa(e.Weight), e.Share,
				count(e.Inflight), count(e.Connections), short(e.Latency), e.Detail)
			t.Paint(4, statePaint(e.State))
			if e.Detail == "" {
				t.Blank(10)
			}
		}
	}
	return t
}

func statePaint(state string) Paint {
	switch state {
	case "up":
		return Good
	case "down", "ejected":
		return Bad
	}
	return Warn
}

// OperationTable lists operations.
func OperationTable(list []Named[Operation]) *Table {
	heads := []string{"RESOURCE", "GROUP", "OP", "CLASS", "CALLS>", "CALLS/S>", "ERRORS>", "P50>", "P95>", "P99>"}
	texts := slices.ContainsFunc(list, func(n Named[Operation]) bool {
		return slices.ContainsFunc(n.Items, func(o Operation) bool { return o.Text != "" })
	})
	if texts {
		heads = append(heads, "STATEMENT")
	}
	t := NewTable(heads...)
	for _, n := range list {
		for _, o := range n.Items {
			cells := []string{n.Resource, o.Group, o.Op, o.Class, count(o.Calls), Number(o.Rate.Calls), count(o.Errors),
				short(o.Latency.P50), short(o.Latency.P95), short(o.Latency.P99)}
			if texts {
				cells = append(cells, clipped(o.Text))
			}
			t.Row(cells...)
			if o.Errors > 0 {
				t.Paint(6, Warn)
			}
		}
	}
	return t
}

// statementWidth is how much of a statement a table shows.
const statementWidth = 60

func clipped(text string) string {
	if r := []rune(text); len(r) > statementWidth {
		return string(r[:statementWidth-1]) + "…"
	}
	return text
}

// SessionTable lists sessions.
func SessionTable(list []Named[Session]) *Table {
	t := NewTable("RESOURCE", "ID>", "CLIENT", "CALLER", "USER", "AGE>", "CALLS>", "LAST", "PINS")
	for _, n := range list {
		for _, s := range n.Items {
			t.Row(n.Resource, strconv.FormatUint(s.ID, 10), s.Client, s.Caller, s.User, age(s.Age),
				strconv.FormatUint(s.Calls, 10), s.LastOp, pinsOf(s))
		}
	}
	return t
}

// pinsOf says what ties a session to its connection, and why.
func pinsOf(s Session) string {
	pins := strings.Join(s.Pins, ",")
	if s.Why != "" {
		pins += ": " + s.Why
	}
	return pins
}

// CommandTable lists commands; now is for what is left of their time.
func CommandTable(list []Command, now time.Time) *Table {
	t := NewTable("ID", "TYPE", "RESOURCE", "DOES", "FOR CALLS", "BY", "SINCE", "LEFT", "WHY")
	for _, c := range list {
		match := c.Matching
		if match == "" {
			match = "all"
		}
		left := "until undone"
		if c.Expires != nil {
			left = Duration(max(0, c.Expires.Sub(now).Round(time.Second)))
		}
		by, why := c.Author, c.Why
		if c.Origin != "" {
			left = "until gone there"
			if !strings.Contains(by, c.Origin) { // a centre's author says it
				by += " (" + c.Origin + ")"
			}
		}
		if c.Problem != "" {
			left = "not in force"
			if !strings.Contains(why, c.Problem) {
				why = strings.TrimLeft(why+": "+c.Problem, ": ")
			}
		}
		t.Row(c.ID, c.Type, c.Target(), c.Summary, match, by, c.Created.Local().Format("01-02 15:04:05"), left, why)
		if c.Problem != "" {
			t.Paint(7, Bad)
		}
	}
	return t
}

// state is the worst that there is to say of an agent.
func (a *Agent) state() (string, Paint) {
	switch {
	case a.Connected != nil && !*a.Connected:
		return "away", Bad
	case !a.Ready:
		return "not ready", Bad
	case a.Stale != nil:
		return "stale", Bad
	case a.Behind:
		return "behind", Bad
	}
	return "ready", Good
}

// AgentTable lists agents.
func AgentTable(list []Agent) *Table {
	t := NewTable("NAME", "APPLICATION", "IDC", "VERSION", "UP", "STATE", "REVISION>", "RESOURCES>", "CLOCK")
	for _, a := range list {
		state, paint := a.state()
		t.Row(a.Name, a.Application, a.IDC, a.Version, age(a.Uptime), state, strconv.FormatUint(a.Revision, 10), strconv.Itoa(a.Resources), a.clock())
		t.Paint(5, paint)
		t.Paint(8, Bad)
	}
	return t
}

// clock says how far an agent's clock is from the centre's, if that is too far.
func (a *Agent) clock() string {
	if !a.ClockOff {
		return ""
	}
	d, err := time.ParseDuration(a.Clock)
	switch far := Duration(d.Abs().Round(time.Second)); {
	case err != nil:
		return Clean(a.Clock)
	case d < 0:
		return far + " behind"
	default:
		return far + " ahead"
	}
}
