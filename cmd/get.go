package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/internal/cli"
)

type getCmd struct {
	What   listing `arg:"" help:"resources, endpoints, operations, sessions, commands or agents."`
	Name   string  `arg:"" optional:"" help:"Only this resource (of commands: its commands; of agents: this agent)."`
	Output string  `short:"o" enum:"table,json,yaml,name" default:"table" help:"table, json, yaml or name (one name a line)."`
	remote
}

// listing is what can be listed, in the plural.
type listing string

var listings = []string{"resources", "endpoints", "operations", "sessions", "commands", "agents"}

// UnmarshalText implements encoding.TextUnmarshaler. The singular does too.
func (l *listing) UnmarshalText(b []byte) error {
	for _, name := range listings {
		if word := string(b); word == name || word+"s" == name {
			*l = listing(name)
			return nil
		}
	}
	return fmt.Errorf("%q cannot be listed: use one of %s", b, strings.Join(listings, ", "))
}

// Run lists. What is below a resource is asked for resource by resource.
func (g *getCmd) Run(h *host) error {
	return g.with(func(c *cli.Client) error {
		ctx := context.Background()
		switch g.What {
		case "resources":
			return g.resources(ctx, h, c)
		case "endpoints":
			return below(ctx, g, h, c, cli.EndpointTable, func(e *cli.Endpoint) string { return e.Address })
		case "operations":
			return below(ctx, g, h, c, cli.OperationTable, func(o *cli.Operation) string { return o.Op })
		case "sessions":
			return below(ctx, g, h, c, cli.SessionTable, func(s *cli.Session) string { return s.Client })
		case "commands":
			table := func(l []cli.Command) *cli.Table { return cli.CommandTable(l, time.Now()) }
			return flat(ctx, g, h, c, table, func(x *cli.Command) (string, string) { return x.ID, x.Resource })
		default:
			return flat(ctx, g, h, c, cli.AgentTable, func(a *cli.Agent) (string, string) { return a.Name, a.Name })
		}
	})
}

func (g *getCmd) resources(ctx context.Context, h *host, c *cli.Client) error {
	if g.Name == "" {
		return flat(ctx, g, h, c, cli.ResourceTable, func(r *cli.Resource) (string, string) { return r.Name, r.Name })
	}
	var raw json.RawMessage
	if err := c.Do(ctx, http.MethodGet, resourcePath(g.Name, ""), nil, nil, &raw); err != nil {
		return err
	}
	return show(g, h, raw, func() (*cli.Table, error) {
		var r cli.Resource
		err := json.Unmarshal(raw, &r)
		return cli.ResourceTable([]cli.Resource{r}), err
	}, func() []string { return []string{g.Name} })
}

// flat lists what has a list of its own, filtered by name on our side.
func flat[T any](ctx context.Context, g *getCmd, h *host, c *cli.Client, table func([]T) *cli.Table, key func(*T) (name, filter string)) error {
	what := string(g.What)
	var answer map[string]json.RawMessage
	if err := c.Do(ctx, http.MethodGet, "/v1/"+what, nil, nil, &answer); err != nil {
		return err
	}
	var raws []json.RawMessage
	if err := json.Unmarshal(answer[what], &raws); err != nil {
		return fmt.Errorf("%s: the list of %s cannot be read: %w", g.At, what, err)
	}
	var kept []json.RawMessage
	var items []T
	var names []string
	for _, raw := range raws {
		var item T
		if err := json.Unmarshal(raw, &item); err != nil {
			return fmt.Errorf("%s: the list of %s cannot be read: %w", g.At, what, err)
		}
		name, filter := key(&item)
		if g.Name == "" || g.Name == filter || g.Name == name {
			kept, items, names = append(kept, raw), append(items, item), append(names, name)
		}
	}
	return show(g, h, array(kept), func() (*cli.Table, error) { return table(items), nil }, func() []string { return names })
}

// below lists what belongs to resources; in JSON each item carries its resource's name.
func below[T any](ctx context.Context, g *getCmd, h *host, c *cli.Client, table func([]cli.Named[T]) *cli.Table, name func(*T) string) error {
	resources := []string{g.Name}
	if g.Name == "" {
		var all struct{ Resources []cli.Resource }
		if err := c.Do(ctx, http.MethodGet, "/v1/resources", nil, nil, &all); err != nil {
			return err
		}
		resources = resources[:0]
		for _, r := range all.Resources {
			resources = append(resources, r.Name)
		}
	}
	what := string(g.What)
	var kept []json.RawMessage
	var lists []cli.Named[T]
	var names []string
	for _, r := range resources {
		var answer map[string]json.RawMessage
		if err := c.Do(ctx, http.MethodGet, resourcePath(r, what), nil, nil, &answer); err != nil {
			return err
		}
		var items []T
		var raws []json.RawMessage
		if err := json.Unmarshal(answer[what], &items); err != nil {
			return fmt.Errorf("%s: the %s of %s cannot be read: %w", g.At, what, r, err)
		}
		if err := json.Unmarshal(answer[what], &raws); err != nil {
			return fmt.Errorf("%s: the %s of %s cannot be read: %w", g.At, what, r, err)
		}
		lists = append(lists, cli.Named[T]{Resource: r, Items: items})
		for i := range raws {
			kept = append(kept, withResource(raws[i], r))
			names = append(names, name(&items[i]))
		}
	}
	return show(g, h, array(kept), func() (*cli.Table, error) { return table(lists), nil }, func() []string { return names })
}

// array joins values to a JSON array, as they are.
func array(values []json.RawMessage) json.RawMessage {
	return slices.Concat([]byte("["), bytes.Join(rawBytes(values), []byte(",")), []byte("]"))
}

func rawBytes(values []json.RawMessage) [][]byte {
	out := make([][]byte, len(values))
	for i, v := range values {
		out[i] = v
	}
	return out
}

// withResource puts a resource's name before the other keys of an object.
func withResource(object json.RawMessage, name string) json.RawMessage {
	rest, ok := bytes.CutPrefix(bytes.TrimSpace(object), []byte("{"))
	quoted, err := json.Marshal(name)
	if !ok || err != nil {
		return object
	}
	sep := ","
	if bytes.HasPrefix(bytes.TrimSpace(rest), []byte("}")) {
		sep = ""
	}
	return slices.Concat([]byte(`{"resource":`), quoted, []byte(sep), rest)
}

// show writes what was got in the form that was asked for.
func show(g *getCmd, h *host, raw json.RawMessage, table func() (*cli.Table, error), names func() []string) error {
	switch g.Output {
	case "json", "yaml":
		return cli.Encode(h.stdout, g.Output, raw)
	case "name":
		for _, n := range names() {
			if _, err := fmt.Fprintln(h.stdout, cli.Clean(n)); err != nil {
				return err
			}
		}
		return nil
	}
	t, err := table()
	if err != nil {
		return err
	}
	if t.Len() == 0 {
		_, err := fmt.Fprintf(h.stderr, "no %s\n", g.What)
		return err
	}
	return t.Write(h.stdout, h.style())
}

func resourcePath(name, part string) string {
	path := "/v1/resources/" + url.PathEscape(name)
	if part != "" {
		path += "/" + part
	}
	return path
}
