package cmd

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/sluice-mesh/sluice/internal/cli"
	"github.com/sluice-mesh/sluice/resources"
)

type topCmd struct {
	Every resources.Duration `default:"1s" help:"Time between two pictures." placeholder:"TIME"`
	Count int                `short:"n" help:"End after this many pictures; default: never on a terminal, after one elsewhere." placeholder:"N"`
	remote
}

// Run draws until it is interrupted.
func (v *topCmd) Run(h *host) error {
	if v.Every.D() < 100*time.Millisecond {
		return &cli.UsageError{Text: "--every: use at least 100ms"}
	}
	return v.with(func(c *cli.Client) error {
		ctx, wait := h.interrupted()
		defer wait()
		st := h.style()
		count := v.Count
		if count == 0 && !st.Terminal {
			count = 1
		}
		return v.draw(ctx, h, c, st, count)
	})
}

func (v *topCmd) draw(ctx context.Context, h *host, c *cli.Client, st cli.Style, count int) error {
	top := cli.NewTop(st)
	if st.Terminal {
		defer io.WriteString(h.stdout, cli.TopEnd)
	}
	tick := time.NewTicker(v.Every.D())
	defer tick.Stop()
	for n := 1; ; n++ {
		var s cli.Status
		if err := c.Do(ctx, http.MethodGet, "/v1/status", nil, nil, &s); err != nil {
			return err
		}
		if n == 1 && st.Terminal {
			io.WriteString(h.stdout, cli.TopBegin)
		} else if n > 1 && !st.Terminal {
			io.WriteString(h.stdout, "\n")
		}
		if st.Terminal {
			st = h.style() // the window may have a new width
			top.Restyle(st)
		}
		if err := top.Draw(h.stdout, &s, time.Now()); err != nil {
			return err
		}
		if n == count {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

type observeCmd struct {
	Resource   string             `arg:"" help:"Resource to watch."`
	SlowerThan resources.Duration `help:"Only calls that took longer than this." placeholder:"TIME"`
	Trace      bool               `help:"Show what the time of each call went to, stage by stage, and at the end of each operation: p50 and p99 of the stages, and which took the most."`
	Sample     resources.Percent  `default:"100%" help:"Share of the calls to watch, chosen at random." placeholder:"SHARE"`
	For        resources.Duration `help:"End after this time." placeholder:"TIME"`
	Count      int                `short:"n" help:"End after this many calls." placeholder:"N"`
	Output     string             `short:"o" enum:"text,json" default:"text" help:"text or json (one object a line)."`
	selection
	remote

	summary cli.TraceSummary
}

// Run prints calls until it is interrupted.
func (v *observeCmd) Run(h *host) error {
	if _, err := v.match(); err != nil {
		return err
	}
	if v.Sample <= 0 {
		return &cli.UsageError{Text: "--sample: use more than 0%"}
	}
	query := url.Values{"resource": {v.Resource}, "match": v.Match}
	if v.SlowerThan > 0 {
		query.Set("slower-than", v.SlowerThan.String())
	}
	if v.Sample < 100 { // older agents do not know it
		query.Set("sample", v.Sample.String())
	}
	return v.with(func(c *cli.Client) error {
		ctx, wait := h.interrupted()
		defer wait()
		if v.For > 0 {
			bounded, cancel := context.WithTimeout(ctx, v.For.D())
			defer cancel()
			ctx = bounded
		}
		st, seen := h.style(), 0
		err := c.Stream(ctx, "/v1/observe", query, func(event string, data []byte) error {
			if event != "call" {
				return v.missing(h, data)
			}
			if err := v.print(h, st, data, seen); err != nil {
				return err
			}
			if seen++; seen == v.Count {
				return context.Canceled
			}
			return nil
		})
		return cmp.Or(v.sumUp(h, st), err)
	})
}

// sumUp prints what a trace found.
func (v *observeCmd) sumUp(h *host, st cli.Style) error {
	switch {
	case !v.Trace:
		return nil
	case v.Output == "json":
		return v.summary.WriteJSON(h.stdout)
	}
	if v.summary.Len() > 0 {
		fmt.Fprintln(h.stdout)
	}
	return v.summary.Write(h.stdout, st)
}

// print prints a call; n were printed before.
func (v *observeCmd) print(h *host, st cli.Style, data []byte, n int) error {
	if v.Output == "json" && !v.Trace {
		_, err := fmt.Fprintf(h.stdout, "%s\n", data)
		return err
	}
	var e cli.Event
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("%s sends events that cannot be read: %w", v.At, err)
	}
	line := ""
	switch {
	case v.Output == "json":
		line = string(data)
	case v.Trace:
		line = cli.TraceLine(&e, st)
	default:
		line = cli.EventLine(&e, st)
	}
	if v.Trace {
		v.summary.Add(&e)
		if v.Output == "text" && n%headEvery == 0 && (n == 0 || st.Terminal) {
			fmt.Fprintln(h.stdout, cli.TraceHead(st))
		}
	}
	_, err := fmt.Fprintln(h.stdout, line)
	return err
}

// headEvery is after how many lines a terminal shows the headings again.
const headEvery = 40

// missing says on stderr that calls are missing.
func (v *observeCmd) missing(h *host, data []byte) error {
	var d struct {
		Calls          uint64
		Agent, Message string
	}
	switch {
	case json.Unmarshal(data, &d) != nil:
	case d.Calls > 0:
		fmt.Fprintf(h.stderr, "sluice: %d calls were not shown: they come faster than they can be printed (narrow it with --match)\n", d.Calls)
	case d.Message != "":
		fmt.Fprintf(h.stderr, "sluice: calls of agent %s are not shown any more: %s\n", cli.Clean(d.Agent), cli.Clean(d.Message))
	}
	return nil
}
