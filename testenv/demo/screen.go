package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"
)

// style is a terminal colour, empty where there is none.
type style struct{ bold, dim, good, bad, key, off string }

func styleFor(tty bool) style {
	if !tty || os.Getenv("NO_COLOR") != "" {
		return style{}
	}
	return style{bold: "\x1b[1m", dim: "\x1b[2m", good: "\x1b[32m", bad: "\x1b[31m", key: "\x1b[36m", off: "\x1b[0m"}
}

// guide is what is printed once: where things are and what to type.
func (d *demo) guide(tty bool) string {
	c := styleFor(tty)
	var b strings.Builder
	fmt.Fprintf(&b, "\n%sSluice demo%s: two groups of embedded servers, %s and %s, one agent, one small application\n", c.bold, c.off, groups[0], groups[1])
	for _, n := range d.notes {
		fmt.Fprintf(&b, "  %s%s%s\n", c.bad, n, c.off)
	}
	b.WriteString("\n")
	for _, r := range d.running {
		var to []string
		for _, g := range groups {
			to = append(to, g+" "+r.backends[g])
		}
		fmt.Fprintf(&b, "  %-7s %s%s%s at %s, in front of %s\n", r.name, c.key, r.resource, c.off, r.dsn(r.addr), strings.Join(to, " and "))
	}
	fmt.Fprintf(&b, "  %-7s http://%s/metrics, /readyz, and /v1/... with the token in %s\n", "agent", d.admin, filepath.Join(d.folder.path, "admin.token"))
	fmt.Fprintf(&b, "  %sThe groups do not copy each other's data: each has its own.%s\n", c.dim, c.off)

	fmt.Fprintf(&b, "\n%sType in another terminal%s", c.bold, c.off)
	if wd, err := os.Getwd(); err == nil {
		fmt.Fprintf(&b, " %s(in %s)%s", c.dim, wd, c.off)
	}
	b.WriteString("\n")
	for _, section := range d.sections() {
		fmt.Fprintf(&b, "\n  %s%s%s\n", c.bold, section.title, c.off)
		for _, h := range section.hints {
			fmt.Fprintf(&b, "  %s%s%s\n      %s%s%s\n", c.key, d.command(h), c.off, c.dim, h.shows, c.off)
		}
	}
	b.WriteString("\n")
	return b.String()
}

// section is what belongs together among the things to type.
type section struct {
	title string
	hints []hint
}

func (d *demo) sections() []section {
	all := []section{{"all of it", []hint{{"sluice", "top", "the same live numbers, as the agent sees them"}}}}
	dies := section{"a data centre dies", []hint{{"demo", "kill yf", "the servers of yf die: calls fail at once, with the reason"}}}
	for _, r := range d.running {
		all = append(all, section{r.resource, r.try(r.resource)})
		dies.hints = append(dies.hints, hint{"sluice", "switch " + r.resource + " tc=100 --why 'yf is down'", "and " + r.resource + " is well again"})
	}
	dies.hints = append(dies.hints, hint{"demo", "revive yf", "yf comes back; it gets calls when you undo the switches"})
	return append(all, dies, section{"back to normal", []hint{
		{"sluice", "get commands", "what is in force, by whom, why, until when"},
		{"sluice", "undo ID", "takes a command back: its ID is what it printed, and stands in the table"},
	}})
}

// command is the line to type: complete, so that each can be typed alone.
func (d *demo) command(h hint) string {
	if h.program == "demo" {
		if d.folder.path == "data" {
			return d.self + " " + h.args
		}
		return d.self + " -data " + d.folder.path + " " + h.args
	}
	line := d.sluice + " " + h.args
	if !d.usual() {
		line += " --at http://" + d.admin + " --data " + d.folder.path
	}
	return line
}

// usual reports whether the verbs find the agent and its token without being told.
func (d *demo) usual() bool {
	return d.folder.usual && strings.HasSuffix(d.admin, fmt.Sprintf(":%d", usualAdmin))
}

// screen draws the live table.
type screen struct {
	out   io.Writer
	tty   bool
	d     *demo
	c     style
	start time.Time
	drawn int // lines of the last table, to be drawn over
}

func newScreen(out io.Writer, tty bool, d *demo) *screen {
	return &screen{out: out, tty: tty, d: d, c: styleFor(tty), start: time.Now()}
}

// show draws until ctx ends, which is no error, or the agent does.
func (s *screen) show(ctx context.Context, every time.Duration, agent <-chan struct{}) error {
	switch {
	case every > 0:
	case s.tty:
		every = time.Second
	default:
		every = 5 * time.Second
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-agent:
			return errors.New("the agent ended")
		case <-tick.C:
			text := fit(s.table(), s.height())
			if s.tty && s.drawn > 0 {
				fmt.Fprintf(s.out, "\x1b[%dA\x1b[J", s.drawn)
			}
			s.drawn = strings.Count(text, "\n")
			fmt.Fprint(s.out, text)
		}
	}
}

// height is how many lines the terminal has; 0: no limit.
func (s *screen) height() int {
	if f, ok := s.out.(*os.File); ok && s.tty {
		if _, h, err := term.GetSize(int(f.Fd())); err == nil {
			return h
		}
	}
	return 0
}

// fit cuts a table that is higher than the terminal, which could not be drawn over. The cursor needs a line, too.
func fit(table string, height int) string {
	lines := strings.SplitAfter(table, "\n") // the last one is empty
	if height < 3 || len(lines) <= height {
		return table
	}
	return strings.Join(lines[:height-2], "") + "  …\n"
}

// width is how much of a text fits into a line. A line that the terminal wraps would spoil the drawing over it.
func (s *screen) width() int {
	const indent = 4
	if f, ok := s.out.(*os.File); ok && s.tty {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 3*indent {
			return w - indent
		}
	}
	return 120
}

// table is the current picture.
func (s *screen) table() string {
	c, width := s.c, s.width()
	var b strings.Builder
	for _, r := range s.d.running {
		v := r.stats.take()
		fmt.Fprintf(&b, "%s%s%s  %s, %d calls so far\n", c.bold, r.resource, c.off, time.Since(s.start).Round(time.Second), v.total)
		fmt.Fprintf(&b, "  %s%-10s %9s %9s %9s %9s%s\n", c.dim, "operation", "calls/s", "errors/s", "p50", "p99", c.off)
		for _, o := range v.ops {
			mark, end := "", ""
			if o.errors > 0 {
				mark, end = c.bad, c.off
			}
			fmt.Fprintf(&b, "  %-10s %9.0f %s%9.0f%s %9s %9s\n", o.name, o.calls, mark, o.errors, end, short(o.p50), short(o.p99))
		}
		fmt.Fprintf(&b, "  answered by")
		for _, g := range groups {
			fmt.Fprintf(&b, "  %s %s%s%s %3.0f%%", g, c.good, bar(v.shares[g], 20), c.off, 100*v.shares[g])
		}
		b.WriteString("\n")
		if v.lastText != "" && v.lastAgo < 10*time.Second {
			text := fmt.Sprintf("last error %s ago: %s", v.lastAgo.Round(time.Second), v.lastText)
			fmt.Fprintf(&b, "  %s%s%s\n", c.bad, cut(text, width), c.off)
		}
	}
	for _, line := range s.d.commandsInForce() {
		fmt.Fprintf(&b, "  %s%s%s\n", c.key, cut(line, width), c.off)
	}
	if !s.tty {
		b.WriteString("\n")
	}
	return b.String()
}

// bar draws a share with eighths of a character.
func bar(share float64, width int) string {
	n := int(share*float64(width) + 0.5)
	return strings.Repeat("█", n) + strings.Repeat("░", width-n)
}

func short(d time.Duration) string {
	switch {
	case d == 0:
		return "-"
	case d < time.Millisecond:
		return fmt.Sprintf("%d us", d.Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1e3)
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// commandsInForce asks the agent what operators have ordered.
func (d *demo) commandsInForce() []string {
	token, err := os.ReadFile(filepath.Join(d.folder.abs, "admin.token"))
	if err != nil {
		return []string{"the agent's token cannot be read: " + err.Error()}
	}
	req, err := http.NewRequest(http.MethodGet, "http://"+d.admin+"/v1/commands", nil)
	if err != nil {
		return []string{err.Error()}
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	client := http.Client{Timeout: 2 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return []string{"the agent does not answer: " + err.Error()}
	}
	defer resp.Body.Close()
	var list struct {
		Commands []struct {
			ID, Type, Resource, Summary, Matching, Why string
			Expires                                    *time.Time
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		return []string{fmt.Sprintf("the agent answered %s: %v", resp.Status, err)}
	}
	var lines []string
	for _, c := range list.Commands {
		parts := []string{c.ID, c.Type, c.Resource, c.Summary}
		if c.Matching != "" {
			parts = append(parts, "("+c.Matching+")")
		}
		if c.Expires != nil {
			parts = append(parts, "for another "+time.Until(*c.Expires).Round(time.Second).String())
		}
		if c.Why != "" {
			parts = append(parts, "- "+c.Why)
		}
		lines = append(lines, strings.Join(parts, " "))
	}
	return lines
}
