// Command sluice is the one binary of the mesh: what package cmd says, with the kinds, filters and registries that kinds.go lists.
package main

import "github.com/sluice-mesh/sluice/cmd"

// version is set by the linker: -X main.version=v1.2.3.
var version = "dev"

func main() { cmd.Main(version) }
