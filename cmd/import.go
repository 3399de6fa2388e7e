package cmd

import (
	"errors"
	"fmt"

	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/config/motan"
)

type importCmd struct {
	Motan importMotanCmd `cmd:"" help:"Turn the YAML of a motan-go agent, a file or a folder of pools, into a config."`
}

type importMotanCmd struct {
	Path        string `arg:"" help:"The file or folder that motan-go's -c names."`
	Pool        string `placeholder:"NAME" help:"As motan-go's -pool: of a folder, which part."`
	Application string `placeholder:"NAME" help:"As motan-go's -application."`
	IDC         string `name:"idc" placeholder:"NAME" help:"As motan-go's -idc."`
}

// Run prints the config. What could not be taken over is in it as comments; that it can be used is checked.
func (v *importMotanCmd) Run(h *host) error {
	o := motan.Options{Pool: v.Pool, Application: v.Application, IDC: v.IDC}
	src, err := motan.Read(v.Path, o)
	if err != nil {
		return err
	}
	r, err := src.Convert(o)
	if err != nil {
		return fmt.Errorf("%s: %w", v.Path, err)
	}
	if _, err := h.stdout.Write(r.Text); err != nil {
		return err
	}
	var problems *config.Errors
	if _, err := configOptions().Parse("the imported config", r.Text); errors.As(err, &problems) {
		printProblems(h, problems)
		return &shownError{errors.New("the imported config has errors: mend them by hand")}
	} else if err != nil {
		return err
	}
	fmt.Fprintf(h.stderr, "%s taken over; %s\n", plural(r.Resources, "resource"), notes(len(r.Notes)))
	return nil
}

func notes(n int) string {
	if n == 0 {
		return "nothing is left over"
	}
	return plural(n, "note") + " at the end " + map[bool]string{true: "says", false: "say"}[n == 1] + " what is left over"
}
