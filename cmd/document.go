package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/sluice-mesh/sluice/internal/cli"
)

type applyCmd struct {
	Resource string   `arg:"" help:"Name of the resource, new or not."`
	File     string   `short:"f" required:"" help:"Document in YAML or JSON, as it stands below the name in a config file; - reads it from standard input." placeholder:"FILE"`
	Why      string   `help:"Why it is changed: kept with the version. At a centre." placeholder:"TEXT"`
	Revision *int64   `help:"Publish it only while the newest version is of this revision, the number in its ETag; 0: only while there is none. Default: whatever is there. At a centre." placeholder:"N"`
	Draft    bool     `help:"Keep it without publishing it. At a centre."`
	Stage    []string `sep:"none" help:"Publish it in stages; may be repeated: \"web-1,web-2 for 5m\", \"25% for 10m\", \"100%\". At a centre." placeholder:"STAGE"`
	Errors   string   `help:"Take it back by itself when errors rise by more than this, such as 1%." placeholder:"SHARE"`
	P99      string   `name:"p99" help:"Take it back by itself when the p99 is more than this of what it was, such as 150%." placeholder:"RATIO"`
	Refusals int      `help:"Agents that may refuse it before it is taken back by itself." placeholder:"COUNT"`
	DryRun   bool     `name:"dry-run" help:"Say what would change, and for whom, and do nothing. At a centre."`
	remote
}

// Run publishes a document.
func (v *applyCmd) Run(h *host) error {
	if v.Revision != nil && *v.Revision < 0 {
		return &cli.UsageError{Text: fmt.Sprintf("--revision %d: it is the number in the ETag of the version that was read, and 0 for a resource that must be new", *v.Revision)}
	}
	text, err := read(v.File)
	if err != nil {
		return err
	}
	q := url.Values{}
	if v.Why != "" {
		q.Set("why", v.Why)
	}
	return v.with(func(c *cli.Client) error {
		switch {
		case v.DryRun:
			return v.try(h, c, text)
		case len(v.Stage) > 0:
			return v.release(h, c, text)
		case v.Draft:
			if v.Revision != nil {
				q.Set("base", strconv.FormatInt(*v.Revision, 10))
			}
			if err := c.Do(context.Background(), http.MethodPut, resourcePath(v.Resource, "draft"), q, cli.Text(text), nil); err != nil {
				return err
			}
			_, err := fmt.Fprintf(h.stdout, "%s: kept as a draft\n", cli.Clean(v.Resource))
			return err
		}
		var done struct{ Version int }
		if err := c.Do(context.Background(), http.MethodPut, resourcePath(v.Resource, ""), q, v.document(text), &done); err != nil {
			return err
		}
		return published(h, v.Resource, done.Version)
	})
}

// document is the text, with the revision that it replaces if that is known.
func (v *applyCmd) document(text []byte) any {
	if v.Revision != nil {
		return cli.Seen{Text: text, Revision: *v.Revision}
	}
	return cli.Text(text)
}

// published says which version is in force; an agent by itself numbers none.
func published(h *host, resource string, version int) error {
	what := "in force"
	if version > 0 {
		what = fmt.Sprintf("version %d is published", version)
	}
	_, err := fmt.Fprintf(h.stdout, "%s: %s\n", cli.Clean(resource), what)
	return err
}

// read reads a file that the user names.
func read(file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(file)
}

// difference is one field that would change, or did.
type difference struct {
	Path   string          `json:"path"`
	Before json.RawMessage `json:"before"`
	After  json.RawMessage `json:"after"`
}

func (d *difference) String() string {
	side := func(v json.RawMessage) string {
		if len(v) == 0 {
			return "-"
		}
		return string(v)
	}
	return fmt.Sprintf("%s: %s -> %s", d.Path, side(d.Before), side(d.After))
}

func (v *applyCmd) try(h *host, c *cli.Client, text []byte) error {
	var out struct {
		Valid    bool
		Problems []struct {
			Path    string
			Line    int
			Message string
		}
		Diff   []difference
		Agents []string
		Text   []string
	}
	err := c.Do(context.Background(), http.MethodPut, resourcePath(v.Resource, ""), url.Values{"dry-run": {"true"}}, cli.Text(text), &out)
	if err != nil {
		return err
	}
	for _, p := range out.Problems {
		fmt.Fprintf(h.stderr, "%s:%d: %s: %s\n", v.File, p.Line, cli.Clean(p.Path), cli.Clean(p.Message))
	}
	if !out.Valid {
		return &shownError{fmt.Errorf("%s is not valid", v.File)}
	}
	for i := range out.Diff {
		fmt.Fprintln(h.stdout, cli.Clean(out.Diff[i].String()))
	}
	for _, line := range append(out.Text, "Nothing was changed: this was a dry run.") {
		fmt.Fprintln(h.stdout, cli.Clean(line))
	}
	return nil
}

type historyCmd struct {
	Resource string `arg:"" help:"Name of the resource."`
	Version  int    `arg:"" optional:"" help:"Show what this version changed, and its text."`
	remote
}

// Run shows the versions of a document.
func (v *historyCmd) Run(h *host) error {
	return v.with(func(c *cli.Client) error {
		if v.Version > 0 {
			return v.one(h, c)
		}
		var out struct {
			Versions []struct {
				Version int
				Author  string
				Why     string
				Changed time.Time
				Deleted bool
			}
		}
		if err := c.Do(context.Background(), http.MethodGet, resourcePath(v.Resource, "history"), nil, nil, &out); err != nil {
			return err
		}
		t := cli.NewTable("VERSION>", "CHANGED", "BY", "WHY")
		for _, x := range out.Versions {
			why := x.Why
			if x.Deleted {
				why = "deleted: " + why
			}
			t.Row(strconv.Itoa(x.Version), x.Changed.Local().Format(time.DateTime), x.Author, why)
		}
		return t.Write(h.stdout, h.style())
	})
}

func (v *historyCmd) one(h *host, c *cli.Client) error {
	var out struct {
		YAML string
		Diff []difference
	}
	if err := c.Do(context.Background(), http.MethodGet, resourcePath(v.Resource, "history/"+strconv.Itoa(v.Version)), nil, nil, &out); err != nil {
		return err
	}
	for i := range out.Diff {
		fmt.Fprintln(h.stderr, cli.Clean(out.Diff[i].String()))
	}
	_, err := io.WriteString(h.stdout, out.YAML)
	return err
}

type revertCmd struct {
	Resource string `arg:"" help:"Name of the resource."`
	Version  int    `arg:"" help:"Version that is to hold again."`
	Why      string `help:"Why: kept with the new version." placeholder:"TEXT"`
	remote
}

// Run makes an old version the newest one.
func (v *revertCmd) Run(h *host) error {
	return v.with(func(c *cli.Client) error {
		var done struct{ Version int }
		in := map[string]any{"version": v.Version, "why": v.Why}
		if err := c.Do(context.Background(), http.MethodPost, resourcePath(v.Resource, "revert"), nil, in, &done); err != nil {
			return err
		}
		return published(h, v.Resource, done.Version)
	})
}
