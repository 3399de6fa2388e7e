package main

import (
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
	Count      int                `short:"n" help:"End after this many calls." placeholder:"N"`
	Output     string             `short:"o" enum:"text,json" default:"text" help:"text or json (one object a line)."`
	selection
	remote
}

// Run prints calls until it is interrupted.
func (v *observeCmd) Run(h *host) error {
	if _, err := v.match(); err != nil {
		return err
	}
	query := url.Values{"resource": {v.Resource}, "match": v.Match}
	if v.SlowerThan > 0 {
		query.Set("slower-than", v.SlowerThan.String())
	}
	return v.with(func(c *cli.Client) error {
		ctx, wait := h.interrupted()
		defer wait()
		st, seen := h.style(), 0
		return c.Stream(ctx, "/v1/observe", query, func(event string, data []byte) error {
			if event != "call" {
				return v.missing(h, data)
			}
			if err := v.print(h, st, data); err != nil {
				return err
			}
			if seen++; seen == v.Count {
				return context.Canceled
			}
			return nil
		})
	})
}

func (v *observeCmd) print(h *host, st cli.Style, data []byte) error {
	if v.Output == "json" {
		_, err := fmt.Fprintf(h.stdout, "%s\n", data)
		return err
	}
	var e cli.Event
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("%s sends events that cannot be read: %w", v.At, err)
	}
	_, err := fmt.Fprintln(h.stdout, cli.EventLine(&e, st))
	return err
}

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
