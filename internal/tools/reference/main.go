// Command reference writes the reference of the configuration as Markdown to standard output: every field of the agent,
// of the centre, of resources and policies, and the settings of every kind and filter that the sluice command has. It is made from the
// tags that the parser itself checks, so that it cannot say anything else than what holds.
//
//	make docs     go run ./internal/tools/reference > docs/reference.md
//	make check    fails when the file is not what this program writes
package main

import (
	"fmt"
	"os"

	"github.com/sluice-mesh/sluice/agent/filter"
	_ "github.com/sluice-mesh/sluice/agent/filter/standard" // the filters of cmd/sluice
	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/governance"
	_ "github.com/sluice-mesh/sluice/resources/grpc" // the kinds of cmd/sluice
	_ "github.com/sluice-mesh/sluice/resources/http"
	_ "github.com/sluice-mesh/sluice/resources/motan"
	_ "github.com/sluice-mesh/sluice/resources/mysql"
	_ "github.com/sluice-mesh/sluice/resources/redis"
)

func main() {
	options := config.Options{FilterSettings: settings}
	for _, d := range filter.Definitions() {
		if d.Settings != nil {
			options.FilterNames = append(options.FilterNames, d.Name)
		}
	}
	text := append(options.Reference(), config.ReferenceOf("center", "The centre, in a file of its own", &governance.Config{})...)
	if _, err := os.Stdout.Write(text); err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
}

// settings returns a filter's settings as the configuration asks for them.
func settings(name string) (any, bool) {
	d, ok := filter.Lookup(name)
	if !ok || d.Settings == nil {
		return nil, ok
	}
	return d.Settings(), true
}
