package cmd

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/governance/command"
	"github.com/sluice-mesh/sluice/internal/cli"
	"github.com/sluice-mesh/sluice/resources"
)

// order are the flags that all commands share.
type order struct {
	For    resources.Duration `help:"Take it back by itself after this time, such as 10m." placeholder:"TIME"`
	Why    string             `help:"Why it is done: kept with the command and shown to others." placeholder:"TEXT"`
	DryRun bool               `name:"dry-run" help:"Say what would happen, and do nothing."`
	remote
}

// selection chooses calls.
type selection struct {
	Match []string `sep:"none" help:"Only calls with this property; * is a wildcard, commas separate alternatives. Keys: op class caller key digest table topic user idc." placeholder:"K=V"`
}

func (s *selection) match() (resources.Match, error) {
	m, err := resources.ParseMatch(s.Match)
	if err != nil {
		return m, &cli.UsageError{Text: "--match: " + err.Error()}
	}
	return m, nil
}

type switchCmd struct {
	Resource string   `arg:"" help:"Resource whose traffic moves; at a centre also several: feed-*, or \"idc=tc kind=redis\"."`
	Weights  []string `arg:"" name:"group=weight" sep:"none" help:"Share of each group, relative to the others; a group that is not named gets 0."`
	selection
	order
}

// Run moves traffic.
func (v *switchCmd) Run(h *host) error {
	c := resources.Command{Type: resources.CommandSwitch, Resource: v.Resource, Weights: make(map[string]int)}
	for _, gw := range v.Weights {
		group, weight, ok := strings.Cut(gw, "=")
		n, err := strconv.Atoi(weight)
		if !ok || group == "" || err != nil || n < 0 {
			return &cli.UsageError{Text: fmt.Sprintf("%q is not GROUP=WEIGHT: write tc=100", gw)}
		}
		if _, twice := c.Weights[group]; twice {
			return &cli.UsageError{Text: fmt.Sprintf("group %s is named twice", group)}
		}
		c.Weights[group] = n
	}
	return v.send(h, c, &v.selection)
}

type degradeCmd struct {
	Resource string            `arg:"" help:"Resource whose calls are answered."`
	Reply    string            `default:"error" help:"error, empty (the operation's own empty answer), or a text." placeholder:"error|empty|TEXT"`
	Percent  resources.Percent `default:"100" help:"Share of the matching calls." placeholder:"N"`
	selection
	order
}

// Run degrades.
func (v *degradeCmd) Run(h *host) error {
	return v.send(h, resources.Command{Type: resources.CommandDegrade, Resource: v.Resource, Reply: v.Reply, Percent: v.Percent}, &v.selection)
}

type limitCmd struct {
	Resource string         `arg:"" help:"Resource whose calls are limited."`
	Rate     resources.Rate `arg:"" help:"Calls that may pass, such as 100/s or 5000/m; 0/s refuses all."`
	Burst    int            `help:"Calls that may pass at once; default: a tenth of a second's worth." placeholder:"N"`
	Per      string         `help:"caller: each caller has the rate and --burst to itself; default: all calls share them." placeholder:"caller"`
	Observe  bool           `help:"Count what it would refuse, and refuse nothing."`
	selection
	order
}

// Run limits.
func (v *limitCmd) Run(h *host) error {
	c := resources.Command{Type: resources.CommandLimit, Resource: v.Resource, Rate: v.Rate, Burst: v.Burst, Per: v.Per}
	if v.Observe {
		c.Mode = resources.Observe
	}
	return v.send(h, c, &v.selection)
}

type faultCmd struct {
	Resource string             `arg:"" help:"Resource whose calls fail or wait."`
	Delay    resources.Duration `help:"Hold each call this long." placeholder:"TIME"`
	Error    string             `help:"Answer with this error." placeholder:"TEXT"`
	Percent  resources.Percent  `default:"100" help:"Share of the matching calls." placeholder:"N"`
	selection
	order
}

// Run injects faults.
func (v *faultCmd) Run(h *host) error {
	if v.Delay == 0 && v.Error == "" {
		return &cli.UsageError{Text: "a fault needs --delay, --error or both"}
	}
	c := resources.Command{Type: resources.CommandFault, Resource: v.Resource, Delay: v.Delay, Error: v.Error, Percent: v.Percent}
	return v.send(h, c, &v.selection)
}

type mockCmd struct {
	Resource string            `arg:"" help:"Resource whose calls are answered."`
	Reply    string            `arg:"" help:"The reply."`
	Percent  resources.Percent `default:"100" help:"Share of the matching calls." placeholder:"N"`
	selection
	order
}

// Run mocks.
func (v *mockCmd) Run(h *host) error {
	return v.send(h, resources.Command{Type: resources.CommandMock, Resource: v.Resource, Reply: v.Reply, Percent: v.Percent}, &v.selection)
}

type drainCmd struct {
	Resource string `arg:"" help:"Resource of the endpoint."`
	Endpoint string `arg:"" help:"Address of the endpoint, as sluice get endpoints shows it; * stands for anything."`
	order
}

// Run drains.
func (v *drainCmd) Run(h *host) error {
	return v.send(h, resources.Command{Type: resources.CommandDrain, Resource: v.Resource, Endpoint: v.Endpoint}, &selection{})
}

// sent is a command as the interface takes it.
type sent struct {
	resources.Command
	Select *command.Selector  `json:"select,omitempty"` // in place of Resource; a centre's
	For    resources.Duration `json:"for,omitempty"`
}

// target turns the resource of a command line into what is sent: a name, or at a centre several, as in feed-* or "idc=tc kind=redis".
func (o *order) target(c resources.Command) (sent, error) {
	out := sent{Command: c, For: o.For}
	text := c.Resource
	switch {
	case strings.Contains(text, "="):
	case strings.ContainsAny(text, "*,"):
		text = "name=" + text
	default:
		return out, nil
	}
	s, err := command.ParseSelector(text)
	if err != nil {
		return out, &cli.UsageError{Text: err.Error()}
	}
	out.Resource, out.Select = "", &s
	return out, nil
}

// send gives the command, or asks what it would do.
func (o *order) send(h *host, c resources.Command, s *selection) error {
	var err error
	if c.Match, err = s.match(); err != nil {
		return err
	}
	c.Author, c.Why = cli.Author(h.env), o.Why
	body, err := o.target(c)
	if err != nil {
		return err
	}
	return o.with(func(cl *cli.Client) error {
		if o.DryRun {
			var p cli.Preview
			err := cl.Do(context.Background(), http.MethodPost, "/v1/commands", url.Values{"dry-run": {"true"}}, body, &p)
			if err != nil {
				return err
			}
			for _, line := range append(p.Text, "Nothing was changed: this was a dry run.") {
				fmt.Fprintln(h.stdout, cli.Clean(line))
			}
			return nil
		}
		var done cli.Command
		if err := cl.Do(context.Background(), http.MethodPost, "/v1/commands", nil, body, &done); err != nil {
			return err
		}
		fmt.Fprintf(h.stdout, "%s  %s\n", cli.Clean(done.ID), describe(&done))
		return nil
	})
}

// describe says what a command does and until when.
func describe(c *cli.Command) string {
	text := c.Type + " " + c.Target() + ": " + c.Summary
	if c.Matching != "" {
		text += ", for " + c.Matching
	}
	if c.Expires == nil {
		return cli.Clean(text + ", until it is undone: sluice undo " + c.ID)
	}
	return cli.Clean(text + ", until " + c.Expires.Local().Format(time.DateTime) + " or sluice undo " + c.ID)
}

type undoCmd struct {
	IDs []string `arg:"" name:"id" help:"IDs of the commands, as sluice get commands shows them."`
	remote
}

// Run takes commands back.
func (v *undoCmd) Run(h *host) error {
	return v.with(func(c *cli.Client) error {
		for _, id := range v.IDs {
			var undone cli.Command
			by := url.Values{"by": {cli.Author(h.env)}}
			if err := c.Do(context.Background(), http.MethodDelete, "/v1/commands/"+url.PathEscape(id), by, nil, &undone); err != nil {
				return err
			}
			fmt.Fprintf(h.stdout, "%s  undone: %s %s: %s\n", cli.Clean(id), undone.Type, cli.Clean(undone.Target()), cli.Clean(undone.Summary))
		}
		return nil
	})
}
