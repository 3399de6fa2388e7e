//go:build tools

// Package tools holds what only the build uses: scripts of the Makefile, generators, and here the modules of tools that
// are run and never linked, so that go.mod keeps their versions.
package tools

import (
	_ "honnef.co/go/tools/cmd/staticcheck"
)
