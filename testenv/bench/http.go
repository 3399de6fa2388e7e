package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/protocols/http1"
	"github.com/sluice-mesh/sluice/testenv/bench/load"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// httpClients is how many connections have a request each.
const httpClients = 64

// httpBody is the size of an answer's body in bytes.
const httpBody = 1 << 10

// httpConfig is an agent with the defaults of every policy.
const httpConfig = `agent:
  name: bench
  admin: {{addr "admin"}}
resources:
  bench:
    kind: http
    listen: {{addr "bench"}}
    groups: { main: { endpoints: ["{{.upstream}}"] } }
`

// httpLab is a server that answers with what the path says, and what stands in front of it.
type httpLab struct {
	*lab
	direct *target
}

func (l *lab) web() *httpLab {
	if l.http == nil {
		l.http = &httpLab{lab: l, direct: &target{name: "direct", addr: startPages(l.t)}}
	}
	return l.http
}

// startPages starts a server that answers GET /N with 1 KiB of the byte N, for as little as that can cost.
func startPages(t server.TB) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("%v", err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	conns := map[net.Conn]bool{}
	all.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[nc] = true
			mu.Unlock()
			all.Go(func() {
				servePages(nc)
				nc.Close()
				mu.Lock()
				delete(conns, nc)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for nc := range conns {
			nc.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return ln.Addr().String()
}

func servePages(nc net.Conn) {
	var r http1.Request
	in := make([]byte, 0, 16<<10)
	var out []byte
	for {
		n, err := nc.Read(in[len(in):cap(in)])
		if err != nil {
			return
		}
		in = in[:len(in)+n]
		for {
			ok, err := r.Scan(in, 0, cap(in)-1)
			if err != nil {
				return
			}
			if !ok {
				break
			}
			of, err := strconv.Atoi(string(r.Path()[1:]))
			if err != nil {
				return
			}
			out = append(out[:0], "HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: application/octet-stream\r\nContent-Length: 1024\r\n\r\n"...)
			for range httpBody {
				out = append(out, byte(of))
			}
			if _, err := nc.Write(out); err != nil {
				return
			}
			in = in[:copy(in, in[r.Size:])]
		}
	}
}

func (l *httpLab) haproxy() *target {
	return l.once("http haproxy", func() *target {
		p := server.Start(l.t, server.HAProxy{HTTP: []string{l.direct.addr}})
		l.version("haproxy", "-v")
		return &target{name: "haproxy", addr: p.Addr, pid: p.PID()}
	})
}

func (l *httpLab) agent() *target {
	return l.once("http sluice", func() *target {
		a := server.Start(l.t, server.Agent{Config: httpConfig, Vars: map[string]string{"upstream": l.direct.addr}, Binary: l.binary})
		t := &target{name: "sluice", addr: a.Addr("bench"), pid: a.PID(), at: "http://" + a.Admin}
		if token, err := os.ReadFile(filepath.Join(a.Dir, "data", "admin.token")); err == nil {
			t.auth = strings.TrimSpace(string(token))
		}
		l.agents = append(l.agents, t)
		return t
	})
}

// httpCaller makes requests on one connection and checks each answer's status and body.
type httpCaller struct {
	nc   net.Conn
	req  []byte
	want []byte
	in   []byte
	head http1.Response
}

var nextHTTP atomic.Uint64

func dialHTTP(t *target) (caller, error) {
	nc, err := net.DialTimeout("tcp", t.addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	of := nextHTTP.Add(1) % 256
	return &httpCaller{
		nc: nc, in: make([]byte, 0, 16<<10), want: bytes.Repeat([]byte{byte(of)}, httpBody), // another one for each connection
		req: fmt.Appendf(nil, "GET /%d HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n", of),
	}, nil
}

func (c *httpCaller) close() { c.nc.Close() }

func (c *httpCaller) once() error {
	if _, err := c.nc.Write(c.req); err != nil {
		return err
	}
	for c.in = c.in[:0]; ; {
		n, err := c.nc.Read(c.in[len(c.in):cap(c.in)])
		if err != nil {
			return err
		}
		c.in = c.in[:len(c.in)+n]
		ok, err := c.head.Scan(c.in, 0, cap(c.in)-1)
		switch {
		case err != nil:
			return err
		case !ok || len(c.in) < c.head.Size+httpBody:
			continue
		case c.head.Status != 200 || !bytes.Equal(c.in[c.head.Size:], c.want):
			return fmt.Errorf("a request was answered %q", c.in)
		}
		return nil
	}
}

// gatherHTTP connects as many callers as there are clients.
func gatherHTTP(t *target) (*crowd, error) {
	c := &crowd{t: t}
	for range httpClients {
		one, err := dialHTTP(t)
		if err != nil {
			c.close()
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		c.callers = append(c.callers, one)
	}
	return c, nil
}

// partHTTP compares HAProxy in HTTP mode with the agent: CPU for a request.
func (b *bench) partHTTP() error {
	l := b.web()
	targets := []*target{l.haproxy(), l.agent()}
	c := &comparison{Workload: workload{Name: "http", Op: "http", Pipeline: 1, Clients: httpClients, Size: httpBody}, Peer: "haproxy"}
	crowds := make([]*crowd, len(targets))
	for i, t := range targets {
		c.Rows = append(c.Rows, &row{Target: t.name})
		var err error
		if crowds[i], err = gatherHTTP(t); err != nil {
			return err
		}
		defer crowds[i].close()
		if _, err := crowds[i].run(b.plan.warm, 0); err != nil {
			return err
		}
	}
	visit := func(i int, o load.Order) (slice, error) {
		return crowds[i].run(time.Duration(o.Ms)*time.Millisecond, float64(o.Rate))
	}
	if err := c.closedRounds(targets, b.plan, visit, b.progress); err != nil {
		return err
	}
	c.summarize()
	b.figure("http-cpu", c.row("sluice").CPURatio)
	b.results.Comparisons = append(b.results.Comparisons, c)
	return nil
}

// partHTTPAllocs counts what the agent allocates for each request.
func (b *bench) partHTTPAllocs() error {
	t := b.web().agent()
	b.progress("allocations for an HTTP request")
	d := 2 * time.Second
	if b.quick {
		d = 700 * time.Millisecond
	}
	c, err := gatherHTTP(t)
	if err != nil {
		return err
	}
	defer c.close()
	if _, err := c.run(d, 0); err != nil {
		return err
	}
	r := allocRow{Target: "http"}
	idle, err := t.mallocsDuring(func() error { time.Sleep(d); return nil })
	if err != nil {
		return err
	}
	busy, err := t.mallocsDuring(func() error {
		s, err := c.run(d, 0)
		r.Calls = s.ok
		return err
	})
	if err != nil {
		return err
	}
	r.Allocs = max(0, float64(busy-idle)/float64(r.Calls))
	b.results.Allocs = append(b.results.Allocs, r)
	b.figure("http-allocs", exactly(r.Allocs))
	return nil
}
