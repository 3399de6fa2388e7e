package cmd

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/sluice-mesh/sluice/internal/cli"
)

type draftCmd struct {
	Show draftShowCmd `cmd:"" help:"Print the draft of a resource."`
	Drop draftDropCmd `cmd:"" help:"Discard the draft of a resource; what is published stays."`
}

type draftShowCmd struct {
	Resource string `arg:"" help:"Name of the resource."`
	remote
}

// Run prints a draft as it was written: sluice apply takes it.
func (v *draftShowCmd) Run(h *host) error {
	return v.with(func(c *cli.Client) error {
		var out struct{ YAML string }
		if err := c.Do(context.Background(), http.MethodGet, resourcePath(v.Resource, "draft"), nil, nil, &out); err != nil {
			return err
		}
		_, err := io.WriteString(h.stdout, out.YAML)
		return err
	})
}

type draftDropCmd struct {
	Resource string `arg:"" help:"Name of the resource."`
	Why      string `help:"Why: kept in the audit log." placeholder:"TEXT"`
	remote
}

// Run discards a draft.
func (v *draftDropCmd) Run(h *host) error {
	return v.with(func(c *cli.Client) error {
		q := url.Values{}
		if v.Why != "" {
			q.Set("why", v.Why)
		}
		if err := c.Do(context.Background(), http.MethodDelete, resourcePath(v.Resource, "draft"), q, nil, nil); err != nil {
			return err
		}
		_, err := fmt.Fprintf(h.stdout, "%s: the draft is discarded\n", cli.Clean(v.Resource))
		return err
	})
}
