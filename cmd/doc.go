// Package cmd is the command line of the mesh: the agent that runs beside an application, the centre, and the operator's verbs that
// speak to either over HTTP.
//
//	sluice agent -c sluice.yaml
//	sluice get resources
//	sluice switch feed-cache tc=100 --for 10m --why "yf is being rebuilt"
//
// It declares the command line and nothing else: the agent is package agent, and what the verbs show is package internal/cli. Which
// kinds, filters and registries there are is up to the program that calls [Main]: cmd/sluice is the one that people install, and one
// of your own imports what it wants besides (docs/architecture.md, "Adding to it").
//
// Exit codes: 0 done; 1 it failed, with one line on stderr that says why; 2 wrong usage.
package cmd
