package agent

import (
	"encoding/json"
	"fmt"

	"github.com/sluice-mesh/sluice/config"
)

// desired puts together what should run: the resources of the file, above them those that were changed over HTTP, and what applications registered. A
// kept change that can no longer be read (its kind is gone from the binary, say) is reported and left out; the file's
// resource then stands, and the change stays in the store. changing is held.
func (a *Agent) desired(file *config.Config) (map[string]*declared, error) {
	next := make(map[string]*declared, len(file.Resources))
	for name, r := range file.Resources {
		d, err := declare(r, fromFile)
		if err != nil {
			return nil, fmt.Errorf("resource %s: %w", name, err)
		}
		next[name] = d
	}
	for _, kept := range a.store.Resources() {
		if file.Wants[kept.Name] != nil {
			a.log.Warn("a resource that was changed over HTTP is left out: the file says that it comes from the centre", "resource", kept.Name, "changed", kept.Changed)
			continue
		}
		if kept.Deleted {
			if next[kept.Name] != nil {
				a.log.Warn("a resource of the file was deleted over HTTP and stays away: edit it in the file, or PUT it, to get it back",
					"resource", kept.Name, "deleted", kept.Changed)
			}
			delete(next, kept.Name)
			continue
		}
		r, err := a.opt.Config.ParseResource(kept.Name, kept.Data)
		if err != nil {
			a.log.Error("a resource that was changed over HTTP cannot be used and is left out", "resource", kept.Name, "changed", kept.Changed, "error", err)
			continue
		}
		d, err := declare(r, fromHTTP)
		if err != nil {
			return nil, fmt.Errorf("resource %s: %w", kept.Name, err)
		}
		if below := next[kept.Name]; below != nil && below.etag != d.etag {
			a.log.Info("what was changed over HTTP stands above the file", "resource", kept.Name, "changed", kept.Changed)
		}
		next[kept.Name] = d
	}
	if a.registered == nil {
		return next, nil
	}
	return next, a.registered.declare(next, a.registered.list, false)
}

// jsonOf returns the resources of a file, to be compared with a later reading.
func jsonOf(file *config.Config) (map[string]string, error) {
	out := make(map[string]string, len(file.Resources)+len(file.Wants))
	for name, r := range file.Resources {
		js, err := r.JSON()
		if err != nil {
			return nil, fmt.Errorf("resource %s: %w", name, err)
		}
		out[name] = string(js)
	}
	for name, w := range file.Wants {
		js, err := json.Marshal(w)
		if err != nil {
			return nil, fmt.Errorf("resource %s: %w", name, err)
		}
		out[name] = string(js)
	}
	return out, nil
}

// edited returns the resources whose entry in the file differs between two readings.
func edited(before, after map[string]string) []string {
	var out []string
	for name, js := range after {
		if before[name] != js {
			out = append(out, name)
		}
	}
	for name := range before {
		if _, still := after[name]; !still {
			out = append(out, name)
		}
	}
	return out
}
