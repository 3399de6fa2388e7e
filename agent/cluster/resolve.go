package cluster

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// freshFor is how long the addresses of a host name are used without asking again.
const freshFor = int64(30 * time.Second)

// resolver turns host names into addresses. Only the first connection to a host waits for the answer; later ones use
// the last good one while a new one is fetched, so that a name server in trouble does not stop connections.
type resolver struct {
	lookup func(context.Context, string) ([]netip.Addr, error)
	spawn  func(func()) // starts a goroutine that the cluster waits for
	ctx    context.Context

	mu    sync.Mutex
	hosts map[string]*hostEntry
}

type hostEntry struct {
	ips    []string
	at     int64
	asking bool
}

func (r *resolver) init(lookup func(context.Context, string) ([]netip.Addr, error), spawn func(func()), ctx context.Context) {
	r.lookup, r.spawn, r.ctx, r.hosts = lookup, spawn, ctx, map[string]*hostEntry{}
	if lookup == nil {
		r.lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
}

// resolve returns the addresses of a host, which may be one itself.
func (r *resolver) resolve(ctx context.Context, host string, now int64) ([]string, error) {
	if _, err := netip.ParseAddr(host); err == nil {
		return []string{host}, nil
	}
	r.mu.Lock()
	if e := r.hosts[host]; e != nil {
		if now-e.at >= freshFor && !e.asking && r.ctx.Err() == nil {
			e.asking = true
			r.spawn(func() { r.refresh(host, now) })
		}
		ips := e.ips
		r.mu.Unlock()
		return ips, nil
	}
	r.mu.Unlock()
	ips, err := r.ask(ctx, host)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, e := range r.hosts { // those that nobody connects to any more
		if now-e.at > 20*freshFor && !e.asking {
			delete(r.hosts, name)
		}
	}
	r.hosts[host] = &hostEntry{ips: ips, at: now}
	return ips, nil
}

// doubt makes the next connection ask again: none of the addresses could be reached.
func (r *resolver) doubt(host string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.hosts[host]; e != nil {
		e.at -= freshFor
	}
}

func (r *resolver) refresh(host string, now int64) {
	ctx, cancel := context.WithTimeout(r.ctx, 5*time.Second)
	defer cancel()
	ips, err := r.ask(ctx, host)
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.hosts[host] // it stays while it is asked for
	e.asking = false
	e.at = now
	if err == nil {
		e.ips = ips
	} else {
		e.at = now - freshFor + int64(time.Second) // ask again in a second; until then the last good ones do
	}
}

func (r *resolver) ask(ctx context.Context, host string) ([]string, error) {
	addrs, err := r.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("host %s has no address", host)
	}
	ips := make([]string, len(addrs))
	for i, a := range addrs {
		ips[i] = a.Unmap().String()
	}
	return ips, nil
}
