package main

import (
	"context"
	"fmt"
	"io"
	"os"
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

// show draws until ctx ends, which is no error, or one of the programs does.
func (s *screen) show(ctx context.Context, every time.Duration) error {
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
		case <-tick.C:
			if err := s.d.ended(); err != nil {
				return err
			}
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

// table is the current picture: a block for each resource, then what the agents say.
func (s *screen) table() string {
	c, width := s.c, s.width()
	var b strings.Builder
	for i, r := range s.d.running {
		s.block(&b, r.resource, i == 0, width)
	}
	for _, line := range s.d.mesh() {
		fmt.Fprintf(&b, "  %s%s%s\n", c.key, cut(line, width), c.off)
	}
	if !s.tty {
		b.WriteString("\n")
	}
	return b.String()
}

// block is what the applications see of a resource: the first in full, the others in a line. The heads of the columns are above
// the first block alone.
func (s *screen) block(b *strings.Builder, resource string, heads bool, width int) {
	c := s.c
	var views []view
	var total int64
	for _, at := range s.d.sites {
		v := at.stats[resource].take()
		views = append(views, v)
		total += v.total
	}
	fmt.Fprintf(b, "%s%s%s  %s, %d calls so far\n", c.bold, resource, c.off, time.Since(s.start).Round(time.Second), total)
	for i, at := range s.d.sites {
		v := views[i]
		if i > 0 {
			s.line(b, at.application, v.all)
			for _, g := range groups {
				fmt.Fprintf(b, "  %s %.0f%%", g, 100*v.shares[g])
			}
			b.WriteString("\n")
			continue
		}
		if heads {
			fmt.Fprintf(b, "  %s%-10s %9s %9s %9s %9s%s\n", c.dim, at.application, "calls/s", "errors/s", "p50", "p99", c.off)
		}
		for _, o := range v.ops {
			s.line(b, o.name, o)
			b.WriteString("\n")
		}
		b.WriteString("  answered by")
		for _, g := range groups {
			fmt.Fprintf(b, "  %s %s%s%s %3.0f%%", g, c.good, bar(v.shares[g], 20), c.off, 100*v.shares[g])
		}
		b.WriteString("\n")
	}
	for i, at := range s.d.sites {
		if v := views[i]; v.lastText != "" && v.lastAgo < 10*time.Second {
			text := fmt.Sprintf("%s: last error %s ago: %s", at.application, v.lastAgo.Round(time.Second), v.lastText)
			fmt.Fprintf(b, "  %s%s%s\n", c.bad, cut(text, width), c.off)
			return
		}
	}
}

// line is the figures of one operation, without the end of the line.
func (s *screen) line(b *strings.Builder, name string, o opView) {
	mark, end := "", ""
	if o.errors > 0 {
		mark, end = s.c.bad, s.c.off
	}
	fmt.Fprintf(b, "  %-10s %9.0f %s%9.0f%s %9s %9s", name, o.calls, mark, o.errors, end, short(o.p50), short(o.p99))
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
