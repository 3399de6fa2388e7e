package cmd

import (
	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/governance"
)

type referenceCmd struct{}

// Run prints the reference of every field: of the agent, resources and policies, the settings of each kind and filter of this program,
// and the centre. It is made from the tags that the parser itself checks, so that it cannot say anything else than what holds.
func (*referenceCmd) Run(h *host) error {
	text := append(configOptions().Reference(), config.ReferenceOf("center", "The centre, in a file of its own", &governance.Config{})...)
	_, err := h.stdout.Write(text)
	return err
}
