// Command sluice is a sluice with extensions of one's own: two kinds of resources, the standard filters, and what package own registers.
package main

import (
	_ "github.com/sluice-mesh/sluice/agent/filter/standard"
	"github.com/sluice-mesh/sluice/cmd"
	_ "github.com/sluice-mesh/sluice/resources/motan"
	_ "github.com/sluice-mesh/sluice/resources/redis"

	_ "example.com/own"
)

func main() { cmd.Main("own") }
