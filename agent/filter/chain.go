package filter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/sluice-mesh/sluice/resources"
)

// Link is one filter of a compiled chain.
type Link struct {
	Name   string
	Filter resources.Filter
}

// Chain is the filters of one resource that are on, in order.
type Chain []Link

// Compile builds every registered filter for the resource that env describes. old is the chain that serves the
// resource now, nil at first. On an error nothing is kept and old goes on; the error holds one line for each filter
// that refused. After the new chain has taken over, the caller closes the old one with old.Close(new).
func Compile(env *Env, old Chain) (Chain, error) {
	return compile(Definitions(), env, old)
}

func compile(defs []Definition, env *Env, old Chain) (Chain, error) {
	env.slots, env.watch = 0, nil
	var chain Chain
	errs := unknownFilters(defs, env.Policy.Filters)
	for _, d := range defs {
		f, err := d.Compile(env, old.Find(d.Name))
		if err != nil {
			errs = append(errs, fmt.Errorf("resource %s: %w", env.Resource, err))
			continue
		}
		if f != nil {
			chain = append(chain, Link{d.Name, f})
		}
	}
	if len(errs) > 0 {
		chain.Close(old)
		return nil, errors.Join(errs...)
	}
	return chain, nil
}

// Compile builds one filter: it decodes the settings that the policy has for it, if it is one of those that have any,
// and calls Build. A nil filter means that it is off.
func (d Definition) Compile(env *Env, old resources.Filter) (resources.Filter, error) {
	env.Settings = nil
	if d.Settings != nil {
		raw, on := env.Policy.Filters[d.Name]
		if !on {
			return nil, nil
		}
		settings, err := decode(d, raw)
		if err != nil {
			return nil, fmt.Errorf("policy.filters.%s: %w", d.Name, err)
		}
		env.Settings = settings
	}
	f, err := d.Build(env, old)
	env.Settings = nil
	if err != nil {
		return nil, fmt.Errorf("filter %s: %w", d.Name, err)
	}
	return f, nil
}

// unknownFilters names the entries of policy.filters that no own filter answers to.
func unknownFilters(defs []Definition, filters map[string]any) []error {
	var errs []error
	var own []string
	for _, d := range defs {
		if d.Settings != nil {
			own = append(own, d.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(filters)) {
		if slices.Contains(own, name) {
			continue
		}
		have := "this program has no own filters"
		if len(own) > 0 {
			have = "use one of " + strings.Join(own, ", ")
		}
		errs = append(errs, fmt.Errorf("policy.filters: unknown filter %q: %s", name, have))
	}
	return errs
}

// decode turns what the policy holds into the filter's settings: already decoded ones are taken as they are, anything
// else goes through JSON, strictly.
func decode(d Definition, raw any) (any, error) {
	into := d.Settings()
	if raw == nil {
		return into, nil
	}
	if reflect.TypeOf(raw) == reflect.TypeOf(into) {
		return raw, nil
	}
	b, err := json.Marshal(raw)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return into, nil
}

// Find returns the filter of that name, nil when it is not in the chain.
func (c Chain) Find(name string) resources.Filter {
	for _, l := range c {
		if l.Name == name {
			return l.Filter
		}
	}
	return nil
}

// Filters returns the filters alone, for the snapshot of a resource.
func (c Chain) Filters() []resources.Filter {
	out := make([]resources.Filter, len(c))
	for i, l := range c {
		out[i] = l.Filter
	}
	return out
}

// Close closes the filters that next does not go on using; nil closes all. Errors are joined.
func (c Chain) Close(next Chain) error {
	var errs []error
	for _, l := range c {
		if next.Find(l.Name) == l.Filter {
			continue
		}
		if cl, ok := l.Filter.(io.Closer); ok {
			if err := cl.Close(); err != nil {
				errs = append(errs, fmt.Errorf("filter %s: %w", l.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// Status returns what the filters that have a state to show say of it, by name, as JSON-able values.
func (c Chain) Status() map[string]any {
	out := map[string]any{}
	for _, l := range c {
		if s, ok := l.Filter.(interface{ Status() any }); ok {
			out[l.Name] = s.Status()
		}
	}
	return out
}
