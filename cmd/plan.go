package cmd

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/sluice-mesh/sluice/internal/cli"
)

type planCmd struct {
	List     planListCmd     `cmd:"" default:"1" help:"List plans."`
	Show     planShowCmd     `cmd:"" help:"Show how far a plan is."`
	Make     planMakeCmd     `cmd:"" help:"Keep a plan from a file; --dry-run checks it and says what moves where."`
	Start    planRunCmd      `cmd:"" name:"run" help:"Check a plan and run it."`
	Pause    planPauseCmd    `cmd:"" help:"Do nothing more of a plan; what is done stays."`
	Continue planContinueCmd `cmd:"" help:"Go on with a plan."`
	Undo     planUndoCmd     `cmd:"" help:"Take back all that a plan did."`
}

// planShown is what is shown of a plan.
type planShown struct {
	ID, Name, Author, Why, State, Reason string
	Created                              time.Time
	Checks                               []checkShown
	Steps                                []struct {
		N       int
		State   string
		Error   string
		Command cli.Command
		Agents  struct{ Total, Applied int }
	}
	Stages []struct {
		Name, Share, State string
		Applied, Of        int
	}
}

type checkShown struct {
	Name   string
	OK     bool
	Detail string
}

type planListCmd struct{ remote }

// Run lists plans.
func (v *planListCmd) Run(h *host) error {
	return v.with(func(c *cli.Client) error {
		var out struct{ Plans []planShown }
		if err := c.Do(context.Background(), http.MethodGet, "/v1/plans", nil, nil, &out); err != nil {
			return err
		}
		if len(out.Plans) == 0 {
			_, err := fmt.Fprintln(h.stderr, "no plans")
			return err
		}
		t := cli.NewTable("ID", "NAME", "STATE", "STEPS>", "BY", "CREATED", "WHY")
		for _, p := range out.Plans {
			t.Row(p.ID, p.Name, p.State, strconv.Itoa(len(p.Steps)), p.Author, p.Created.Local().Format(time.DateTime), p.Why)
		}
		return t.Write(h.stdout, h.style())
	})
}

// show writes one plan.
func (p *planShown) show(h *host) error {
	fmt.Fprintf(h.stdout, "%s  %s: %s\n", cli.Clean(p.ID), cli.Clean(p.Name), cli.Clean(p.State))
	if p.Reason != "" {
		fmt.Fprintln(h.stdout, cli.Clean(p.Reason))
	}
	showChecks(h, p.Checks)
	t := cli.NewTable("STEP>", "TYPE", "RESOURCE", "DOES", "STATE", "AGENTS>", "ERROR")
	for _, s := range p.Steps {
		agents := fmt.Sprintf("%d/%d", s.Agents.Applied, s.Agents.Total)
		t.Row(strconv.Itoa(s.N), s.Command.Type, s.Command.Target(), s.Command.Summary, s.State, agents, s.Error)
	}
	return t.Write(h.stdout, h.style())
}

func showChecks(h *host, checks []checkShown) {
	for _, c := range checks {
		word := "ok"
		if !c.OK {
			word = "FAILS"
		}
		fmt.Fprintf(h.stdout, "%-5s  %s: %s\n", word, cli.Clean(c.Name), cli.Clean(c.Detail))
	}
}

type planShowCmd struct {
	ID string `arg:"" help:"Its id, as sluice plan shows it."`
	remote
}

// Run shows a plan.
func (v *planShowCmd) Run(h *host) error {
	return v.with(func(c *cli.Client) error {
		var p planShown
		if err := c.Do(context.Background(), http.MethodGet, "/v1/plans/"+url.PathEscape(v.ID), nil, nil, &p); err != nil {
			return err
		}
		return p.show(h)
	})
}

type planMakeCmd struct {
	File   string `short:"f" required:"" help:"Plan in YAML or JSON: name, why, for, steps, stages, guards; - reads it from standard input." placeholder:"FILE"`
	DryRun bool   `name:"dry-run" xor:"make" help:"Check it and say what it would do."`
	Start  bool   `name:"run" xor:"make" help:"Run it, too."`
	remote
}

// Run keeps a plan.
func (v *planMakeCmd) Run(h *host) error {
	text, err := read(v.File)
	if err != nil {
		return err
	}
	js, err := yaml.YAMLToJSON(text) // JSON is YAML, too
	if err != nil {
		return fmt.Errorf("%s: %w", v.File, err)
	}
	return v.with(func(c *cli.Client) error {
		if v.DryRun {
			return v.try(h, c, js)
		}
		var p planShown
		if err := c.Do(context.Background(), http.MethodPost, "/v1/plans", nil, cli.Text(js), &p); err != nil {
			return err
		}
		if v.Start {
			order := planOrder{ID: p.ID, remote: v.remote}
			return order.give(h, "run", nil)
		}
		_, err := fmt.Fprintf(h.stdout, "%s  kept: sluice plan run %s\n", cli.Clean(p.ID), cli.Clean(p.ID))
		return err
	})
}

func (v *planMakeCmd) try(h *host, c *cli.Client, js []byte) error {
	var out struct {
		Checks   []checkShown
		Warnings []string
		Steps    []struct{ Text []string }
	}
	if err := c.Do(context.Background(), http.MethodPost, "/v1/plans", url.Values{"dry-run": {"true"}}, cli.Text(js), &out); err != nil {
		return err
	}
	showChecks(h, out.Checks)
	lines := out.Warnings
	for i, s := range out.Steps {
		for _, t := range s.Text {
			lines = append(lines, fmt.Sprintf("step %d: %s", i+1, t))
		}
	}
	for _, l := range append(lines, "Nothing was changed: this was a dry run.") {
		fmt.Fprintln(h.stdout, cli.Clean(l))
	}
	return nil
}

// planOrder is what is said to a plan.
type planOrder struct {
	ID  string `arg:"" help:"Its id, as sluice plan shows it."`
	Why string `help:"Why: kept with the plan." placeholder:"TEXT"`
	remote
}

func (v *planOrder) give(h *host, order string, override map[string]string) error {
	return v.with(func(c *cli.Client) error {
		var p planShown
		in := map[string]any{"why": v.Why, "override": override}
		if err := c.Do(context.Background(), http.MethodPost, "/v1/plans/"+url.PathEscape(v.ID)+"/"+order, nil, in, &p); err != nil {
			return err
		}
		return p.show(h)
	})
}

type planRunCmd struct {
	planOrder
	Override map[string]string `help:"Run it although this check fails, and why." placeholder:"CHECK=WHY"`
}

// Run runs a plan.
func (v *planRunCmd) Run(h *host) error { return v.give(h, "run", v.Override) }

type planPauseCmd struct{ planOrder }

// Run pauses a plan.
func (v *planPauseCmd) Run(h *host) error { return v.give(h, "pause", nil) }

type planContinueCmd struct{ planOrder }

// Run goes on with a plan.
func (v *planContinueCmd) Run(h *host) error { return v.give(h, "continue", nil) }

type planUndoCmd struct{ planOrder }

// Run takes a plan back.
func (v *planUndoCmd) Run(h *host) error { return v.give(h, "undo", nil) }
