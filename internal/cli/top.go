package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// A sparkline shows up to so many pictures of the past, and is left out where there is no room for a few.
const (
	history  = 30
	leastLit = 8
)

// Top draws the live view. It remembers the recent rates of each row for its sparklines; it belongs to one goroutine.
type Top struct {
	style Style
	past  map[string][]float64 // calls per second, by resource or resource and group
}

// NewTop returns a view that draws for st.
func NewTop(st Style) *Top { return &Top{style: st, past: make(map[string][]float64)} }

// Terminal sequences: home and clear what follows; hide and show the cursor.
const (
	TopBegin = "\x1b[?25l\x1b[H\x1b[2J"
	topHome  = "\x1b[H"
	topLine  = "\x1b[K\r\n"
	topRest  = "\x1b[J"
	TopEnd   = "\x1b[?25h\r\n"
)

// Draw writes one picture. On a terminal it replaces the one before; elsewhere it appends plain rows.
func (t *Top) Draw(w io.Writer, s *Status, now time.Time) error {
	var b strings.Builder
	t.title(&b, s, now)
	b.WriteByte('\n')
	t.resources(s).Write(&b, t.style)
	if e := t.endpoints(s); e.Len() > 0 {
		b.WriteByte('\n')
		e.Write(&b, t.style)
	}
	if len(s.Commands) > 0 {
		b.WriteByte('\n')
		CommandTable(s.Commands, now).Write(&b, t.style)
	}
	out := b.String()
	if t.style.Terminal {
		out = topHome + strings.ReplaceAll(out, "\n", topLine) + topRest
	}
	_, err := io.WriteString(w, out)
	return err
}

func (t *Top) title(b *strings.Builder, s *Status, now time.Time) {
	state, paint := "ready", Good
	switch {
	case s.Draining:
		state, paint = "draining", Warn
	case !s.Ready:
		state, paint = "not ready", Bad
	}
	if s.Detail != "" && paint != Good {
		state += " (" + Clean(s.Detail) + ")"
	}
	who := s.Name
	if s.Application != "" && s.Application != s.Name {
		who += " of " + s.Application
	}
	if s.IDC != "" {
		who += " in " + s.IDC
	}
	fmt.Fprintf(b, "%s %s  %s  %s  up %s  revision %d  %s\n", t.style.Text(Head, "sluice"), Clean(s.Version), Clean(who),
		t.style.Text(paint, state), age(s.Uptime), s.Revision, now.Local().Format("15:04:05"))
}

func (t *Top) resources(s *Status) *Table {
	table := NewTable("RESOURCE", "GROUP", "WEIGHT>", "CALLS/S>", "ERRORS/S>", "P50>", "P99>", "INFLIGHT>", "SESSIONS>", "PINNED>", "CONNS>", "COMMANDS>")
	var keys []string // of the rows
	for i := range s.Resources {
		r := &s.Resources[i]
		group, weight := "all", ""
		if len(r.Groups) == 1 {
			group, weight = r.Groups[0].Name, strconv.Itoa(r.Groups[0].Weight)
		}
		keys = append(keys, r.Name)
		t.row(table, r.Name, []string{r.Name, group, weight, Number(r.Rate.Calls), Number(r.Rate.Errors), short(r.Latency.P50), short(r.Latency.P99),
			count(r.Inflight), count(r.Sessions), count(r.Pinned), count(r.Connections), strconv.Itoa(r.Commands)}, r.Rate)
		if !r.Ready {
			table.Paint(0, Bad)
		}
		if len(r.Groups) == 1 {
			continue
		}
		for _, g := range r.Groups {
			keys = append(keys, r.Name+"/"+g.Name)
			t.row(table, r.Name+"/"+g.Name, []string{r.Name, g.Name, strconv.Itoa(g.Weight), Number(g.Rate.Calls), Number(g.Rate.Errors),
				short(g.Latency.P50), short(g.Latency.P99), "", "", "", "", ""}, g.Rate)
			if t.style.Terminal {
				table.Blank(0)
			}
			if g.Weight == 0 {
				table.Paint(1, Dim)
			}
		}
	}
	t.sparks(table, keys)
	return table
}

// sparks adds the recent past as a last column, on a terminal that has room for it.
func (t *Top) sparks(table *Table, keys []string) {
	room := history
	if t.style.Width > 0 {
		room = min(room, t.style.Width-table.Width()-2)
	}
	if !t.style.Terminal || room < leastLit {
		return
	}
	cells := make([]string, len(keys))
	for i, k := range keys {
		cells[i] = Spark(t.past[k], room)
	}
	table.Extend("RECENT CALLS", cells)
}

// row adds a row and remembers its rate.
func (t *Top) row(table *Table, key string, cells []string, rate Rate) {
	past := append(t.past[key], rate.Calls)
	if len(past) > history {
		past = past[len(past)-history:]
	}
	t.past[key] = past
	table.Row(cells...)
	if rate.Errors > 0 {
		table.Paint(4, Bad)
	}
	if cells[2] == "" {
		table.Blank(2)
	}
	for i := 7; i < 12; i++ { // what is counted for the whole resource only
		if cells[i] == "" {
			table.Blank(i)
		}
	}
}

func (t *Top) endpoints(s *Status) *Table {
	table := NewTable("RESOURCE", "GROUP", "ENDPOINT", "ROLE", "STATE", "SHARE>", "INFLIGHT>", "CONNS>", "LATENCY>", "DETAIL")
	for _, r := range s.Resources {
		for _, e := range r.Endpoints {
			table.Row(r.Name, e.Group, e.Address, e.Role, e.State, e.Share, count(e.Inflight), count(e.Connections), short(e.Latency), e.Detail)
			table.Paint(4, statePaint(e.State))
			if e.Detail == "" {
				table.Blank(9)
			}
		}
	}
	return table
}

// Restyle changes what is drawn for: the window may have a new width.
func (t *Top) Restyle(st Style) { t.style = st }
