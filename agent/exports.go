package agent

import (
	"context"
	"net"
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
	configured []config.ExportConfig

	mu      sync.Mutex
	details []string // guarded by mu: by service, why it is not up; "" when it is
	checked bool     // guarded by mu: all of them were, once
}

// newExporter returns nil when there is nothing to export.
func newExporter(list []config.ExportConfig) *exporter {
	if len(list) == 0 {
		return nil
	}
	return &exporter{configured: list, details: make([]string, len(list))}
}

// run checks until ctx ends; changed is called when a service came or went.
func (e *exporter) run(ctx context.Context, changed func()) {
	if e == nil {
		return
	}
	tick := time.NewTicker(exportEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		if e.check(ctx) {
			changed()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// check connects to all services at once and reports whether one changed between up and not up.
func (e *exporter) check(ctx context.Context) bool {
	details := make([]string, len(e.configured))
	var all sync.WaitGroup
	for i, s := range e.configured {
		all.Go(func() { details[i] = reach(ctx, s.Address) })
	}
	all.Wait()
	if ctx.Err() != nil {
		return false // what failed may have failed by that
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	changed := !e.checked
	for i, d := range details {
		changed = changed || (d == "") != (e.details[i] == "")
		if d != "" && e.details[i] != "" {
			details[i] = e.details[i] // the first reason stays, so that nothing is told again
		}
	}
	e.details, e.checked = details, true
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

// export returns the services as they are; nil before the first check, and when there are none.
func (e *exporter) export() *wire.Export {
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.checked {
		return nil
	}
	out := &wire.Export{}
	for i, s := range e.configured {
		role := s.Role
		if role == "any" {
			role = ""
		}
		out.Services = append(out.Services, wire.Service{
			Resource: s.Resource, Kind: s.Kind, Group: s.Group, IDC: s.IDC, Address: s.Address, Role: role, Weight: s.Weight,
			Up: e.details[i] == "", Detail: e.details[i],
		})
	}
	return out
}
