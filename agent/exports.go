package agent

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/config"
	wire "github.com/sluice-mesh/sluice/protocols/control"
)

// Times of checking what is exported.
const (
	exportEvery   = 2 * time.Second
	exportTimeout = time.Second
)

// exporter knows which services beside the agent can be connected to.
type exporter struct {
	behind func(*config.ExportConfig) string // why an address of the agent itself serves nobody; "" when it does
	kick   chan struct{}                     // something is to be checked now

	mu   sync.Mutex
	list []*exported // guarded by mu; replaced whole
	ever bool        // guarded by mu: there was one of the config
}

// exported is one of them.
type exported struct {
	config.ExportConfig
	registered bool // by an application, so that the centre is not told

	detail  string // guarded by exporter.mu: why it is not up; "" when it is
	checked bool   // guarded by exporter.mu: it was, once
}

func newExporter(list []config.ExportConfig, behind func(*config.ExportConfig) string) *exporter {
	e := &exporter{behind: behind, kick: make(chan struct{}, 1), ever: len(list) > 0}
	for _, c := range list {
		e.list = append(e.list, &exported{ExportConfig: c})
	}
	return e
}

// add checks another service, too.
func (e *exporter) add(x *exported) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(slices.Clone(e.list), x)
	select {
	case e.kick <- struct{}{}:
	default: // a check is to come anyway
	}
}

// remove forgets a service.
func (e *exporter) remove(x *exported) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = slices.DeleteFunc(slices.Clone(e.list), func(o *exported) bool { return o == x })
}

// up reports whether a service could be connected to when it was last checked.
func (e *exporter) up(x *exported) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return x.checked && x.detail == ""
}

// run checks until ctx ends; changed is called when a service came or went.
func (e *exporter) run(ctx context.Context, changed func()) {
	tick := time.NewTicker(exportEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		if e.check(ctx) {
			changed()
		}
		select {
		case <-tick.C:
		case <-e.kick:
		case <-ctx.Done():
		}
	}
}

// check connects to all services at once and reports whether one changed between up and not up.
func (e *exporter) check(ctx context.Context) bool {
	e.mu.Lock()
	list := e.list
	e.mu.Unlock()
	details := make([]string, len(list))
	var all sync.WaitGroup
	for i, x := range list {
		all.Go(func() {
			if details[i] = e.behind(&x.ExportConfig); details[i] == "" {
				details[i] = reach(ctx, x.Address)
			}
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return false // what failed may have failed by that
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	changed := false
	for i, x := range list {
		changed = changed || !x.checked || (details[i] == "") != (x.detail == "")
		if !x.checked || details[i] == "" || x.detail == "" { // else the first reason stays, so that nothing is told again
			x.detail = details[i]
		}
		x.checked = true
	}
	return changed
}

// reach returns why an address cannot be connected to; "" when it can.
func reach(ctx context.Context, address string) string {
	network := "tcp"
	if path, socket := strings.CutPrefix(address, "unix:"); socket {
		network, address = "unix", path
	}
	ctx, cancel := context.WithTimeout(ctx, exportTimeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return err.Error()
	}
	conn.Close()
	return ""
}

// export returns the services that the config names as they are; nil before the first check, and when there are none.
func (e *exporter) export() *wire.Export {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.ever {
		return nil
	}
	out := &wire.Export{}
	for _, x := range e.list {
		switch {
		case x.registered:
			continue
		case !x.checked:
			return nil
		}
		role := x.Role
		if role == "any" {
			role = ""
		}
		out.Services = append(out.Services, wire.Service{
			Resource: x.Resource, Kind: x.Kind, Group: x.Group, IDC: x.IDC, Address: x.Address, Role: role, Weight: x.Weight,
			Up: x.detail == "", Detail: x.detail,
		})
	}
	return out
}
