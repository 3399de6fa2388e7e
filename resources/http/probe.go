package http

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/sluice-mesh/sluice/protocols/http1"
	"github.com/sluice-mesh/sluice/resources"
)

// probe checks one server, each time on a connection of its own: servers close those that are idle.
type probe struct {
	r  *Resource
	ep *resources.Endpoint
}

// Probe implements resources.Resource.
func (r *Resource) Probe(ep *resources.Endpoint) resources.Probe { return &probe{r: r, ep: ep} }

// Close implements resources.Probe.
func (p *probe) Close() {}

// Check implements resources.Probe.
func (p *probe) Check(ctx context.Context) (resources.Health, error) {
	nc, fault := p.r.rt.Dial(ctx, p.ep)
	if fault != nil {
		return resources.Health{}, fault
	}
	defer nc.Close()
	if p.r.set.Health == "" {
		return resources.Health{Ready: true}, nil
	}
	status, err := p.ask(ctx, nc)
	var late net.Error
	switch {
	case errors.As(err, &late) && late.Timeout():
		return resources.Health{}, fmt.Errorf("no answer to GET %s in time", p.r.set.Health)
	case err != nil:
		return resources.Health{}, fmt.Errorf("GET %s: %w", p.r.set.Health, err)
	case status < 200 || status > 399:
		return resources.Health{Detail: fmt.Sprintf("GET %s: status %d", p.r.set.Health, status)}, nil
	}
	return resources.Health{Ready: true}, nil
}

// ask sends the request and reads the head of the answer.
func (p *probe) ask(ctx context.Context, nc net.Conn) (int, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(resources.DefaultHandshakeTimeout)
	}
	if err := nc.SetDeadline(deadline); err != nil {
		return 0, err
	}
	host := p.r.set.Host
	if host == "" {
		host = p.r.set.service(p.r.rt.Name())
	}
	if !http1.IsHost(host) {
		host = "localhost"
	}
	if _, err := nc.Write([]byte("GET " + p.r.set.Health + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: sluice\r\nConnection: close\r\n\r\n")); err != nil {
		return 0, err
	}
	var a http1.Response
	var b []byte
	room := make([]byte, 4<<10)
	for {
		n, err := nc.Read(room)
		b = append(b, room[:n]...)
		switch ok, bad := a.Scan(b, 0, http1.DefaultMax); {
		case bad != nil:
			return 0, bad
		case ok:
			return a.Status, nil
		case err != nil:
			return 0, err
		}
	}
}
