package cmd

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/internal/cli"
)

type checkCmd struct {
	Files []string `arg:"" name:"file" help:"Config files."`
}

// Run checks files and prints every problem with the line that it is in.
func (v *checkCmd) Run(h *host) error {
	bad := false
	for _, name := range v.Files {
		cfg, err := configOptions().Load(name)
		var problems *config.Errors
		switch {
		case errors.As(err, &problems):
			bad = true
			printProblems(h, problems)
		case err != nil:
			return err
		default:
			fmt.Fprintf(h.stdout, "%s: ok, %s\n", name, inventory(cfg))
		}
	}
	if bad {
		return &shownError{errors.New("the config has errors")}
	}
	return nil
}

// printProblems writes all problems of a config, with excerpts, to stderr.
func printProblems(h *host, e *config.Errors) {
	st := cli.StyleOf(h.stderr, h.env)
	for _, p := range e.Problems {
		fmt.Fprintln(h.stderr, st.Text(cli.Head, cli.Clean(p.String())))
		if x := p.Excerpt(); x != "" {
			for line := range strings.SplitSeq(x, "\n") {
				fmt.Fprintln(h.stderr, st.Text(cli.Dim, cli.Clean(strings.ReplaceAll(line, "\t", " "))))
			}
		}
	}
	n := len(e.Problems)
	fmt.Fprintf(h.stderr, "%s found\n", plural(n, "error"))
}

// inventory says what a config holds: "2 resources (feed-cache redis, orders-db mysql)".
func inventory(cfg *config.Config) string {
	var list []string
	for name, r := range cfg.Resources {
		list = append(list, name+" "+r.Spec.Kind)
	}
	slices.Sort(list)
	text := plural(len(list), "resource")
	if len(list) > 0 {
		text += " (" + strings.Join(list, ", ") + ")"
	}
	return text
}

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
