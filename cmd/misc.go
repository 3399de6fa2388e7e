package cmd

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/sluice-mesh/sluice/internal/cli"
	"github.com/sluice-mesh/sluice/resources"
)

type versionCmd struct {
	Output string `short:"o" enum:"text,json,yaml" default:"text" help:"text, json or yaml."`
}

// Run prints what this binary is.
func (v *versionCmd) Run(h *host) error {
	facts := map[string]any{"version": h.version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH, "kinds": resources.Kinds()}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				facts["revision"] = s.Value
			}
		}
	}
	if v.Output != "text" {
		raw, err := json.Marshal(facts)
		if err != nil {
			return err
		}
		return cli.Encode(h.stdout, v.Output, raw)
	}
	_, err := fmt.Fprintf(h.stdout, "sluice %s (%s, %s; kinds: %s)\n", h.version, facts["go"], facts["platform"], strings.Join(resources.Kinds(), " "))
	return err
}

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Run prints a completion script, made from the grammar itself.
func (v *completionCmd) Run(h *host) error {
	parser, err := newParser(h)
	if err != nil {
		return err
	}
	return cli.Completion(h.stdout, v.Shell, verbs(parser))
}

// verbs describes the grammar for completion.
func verbs(parser *kong.Kong) []cli.Verb {
	var out []cli.Verb
	for _, node := range parser.Model.Leaves(true) {
		v := cli.Verb{Name: node.Name, Help: node.Help}
		for _, f := range node.Flags {
			flag := cli.Flag{Name: f.Name, Help: f.Help, Bool: f.IsBool()}
			if f.Enum != "" {
				flag.Values = strings.Split(f.Enum, ",")
			}
			v.Flags = append(v.Flags, flag)
		}
		for i, a := range node.Positional {
			v.Resource = v.Resource || a.Name == "resource" || a.Name == "name"
			v.Files = v.Files || a.Name == "file"
			switch {
			case i == 0 && a.Name == "what":
				v.Words = listings
			case i == 0 && a.Enum != "":
				v.Words = strings.Split(a.Enum, ",")
			}
		}
		out = append(out, v)
	}
	return out
}
