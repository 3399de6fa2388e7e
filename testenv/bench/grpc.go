package main

import (
	"bytes"
	"fmt"
	"net"
	"time"

	"github.com/sluice-mesh/sluice/protocols/http2"
	"github.com/sluice-mesh/sluice/testenv/bench/load"
	"github.com/sluice-mesh/sluice/testenv/grpc"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// grpcConfig is an agent for one service with the filters that Envoy has on as well, and a breaker: each call is in the access log and
// is counted.
const grpcConfig = `agent:
  name: bench
  admin: {{addr "admin"}}
resources:
  bench:
    kind: grpc
    listen: {{addr "bench"}}
    groups: { main: { endpoints: ["{{.upstream}}"] } }
    policy:
      breaker: { errors: 50%, slow: 80%, slower-than: 100ms, window: 10s, min-calls: 20, open: 5s, mode: enforce }
      access-log: { sample: 100%, errors: true, path: access.log }
`

// grpcCaller makes unary calls on one connection and checks each answer's message and status.
type grpcCaller struct {
	nc      net.Conn
	enc     *http2.Encoder
	blocks  *http2.Blocks
	message []byte
	out     []byte
	in      []byte
	body    []byte
	id      uint32
	taken   int
}

// grpcBody is the size of a message, with the five bytes before it.
const grpcBody = 1<<10 + 5

func dialGRPC(t *target) (caller, error) {
	nc, err := net.DialTimeout("tcp", t.addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	c := &grpcCaller{nc: nc, enc: http2.NewEncoder(), blocks: http2.NewBlocks(64 << 10), in: make([]byte, 0, 64<<10), id: ^uint32(0)}
	c.message = bytes.Repeat([]byte{byte(nextMotan.Add(1))}, grpcBody) // another one for each connection
	copy(c.message, []byte{0, 0, 0, 4, 0})
	hello := http2.AppendSettings([]byte(http2.Preface), http2.Setting{ID: http2.SettingWindow, Value: 1 << 20})
	_, err = nc.Write(hello)
	return c, err
}

func (c *grpcCaller) close() { c.nc.Close() }

func (c *grpcCaller) once() error {
	c.id += 2
	c.enc.Begin()
	for _, f := range grpcHeaders {
		c.enc.Field(f)
	}
	c.out = c.enc.End(c.out[:0], c.id, false, http2.DefaultFrame)
	c.out = http2.AppendData(c.out, c.id, true, c.message)
	if _, err := c.nc.Write(c.out); err != nil {
		return err
	}
	c.body = c.body[:0]
	for {
		n, err := c.nc.Read(c.in[len(c.in):cap(c.in)])
		if err != nil {
			return err
		}
		c.in = c.in[:len(c.in)+n]
		over, err := c.read()
		if over || err != nil {
			return err
		}
	}
}

// grpcHeaders are what a client of grpc-go sends with each call.
var grpcHeaders = []http2.Field{
	{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: "/sluice.testenv.PeerService/Echo"},
	{Name: ":authority", Value: "127.0.0.1:9000"}, {Name: "content-type", Value: "application/grpc"},
	{Name: "user-agent", Value: "grpc-go/1.83.2"}, {Name: "te", Value: "trailers"}, {Name: "grpc-timeout", Value: "10S"},
}

// read reads frames, and reports whether the call is over.
func (c *grpcCaller) read() (bool, error) {
	var f http2.Frame
	off, over := 0, false
	for {
		n, err := f.Scan(c.in[off:], http2.DefaultFrame)
		if err != nil {
			return false, err
		}
		if n == 0 {
			c.in = c.in[:copy(c.in, c.in[off:])]
			return over, nil
		}
		off += n
		switch f.Type {
		case http2.TypeHeaders:
			var b http2.Block
			whole, err := c.blocks.Add(&f, &b)
			if err != nil || !whole {
				return false, err
			}
			if !b.End {
				continue
			}
			ok := false
			for _, h := range b.Fields {
				ok = ok || h.Name == "grpc-status" && h.Value == "0"
			}
			if over = true; !ok || b.Stream != c.id || !bytes.Equal(c.body, c.message) {
				return true, fmt.Errorf("call %d was answered on stream %d with %d bytes and %v", c.id, b.Stream, len(c.body), b.Fields)
			}
		case http2.TypeData:
			c.body = append(c.body, f.Payload...)
			if c.taken += f.Charged; c.taken >= http2.DefaultWindow/2 {
				if _, err := c.nc.Write(http2.AppendWindow(nil, 0, uint32(c.taken))); err != nil {
					return false, err
				}
				c.taken = 0
			}
		case http2.TypeSettings, http2.TypePing:
			if f.Has(http2.FlagAck) {
				continue
			}
			reply := http2.AppendSettingsAck(nil)
			if f.Type == http2.TypePing {
				reply = http2.AppendPing(nil, [8]byte(f.Payload), true)
			}
			if _, err := c.nc.Write(reply); err != nil {
				return false, err
			}
		case http2.TypeGoAway, http2.TypeRSTStream:
			return false, fmt.Errorf("call %d ended with a frame of type %d", c.id, f.Type)
		}
	}
}

// grpcMirror is the server that both stand before.
func (b *bench) grpcMirror() *target {
	return b.once("grpc mirror", func() *target { return &target{name: "direct", addr: grpc.Mirror(b.t)} })
}

func (b *bench) envoy() *target {
	return b.once("envoy", func() *target {
		p := grpc.Envoy(b.t, b.grpcMirror().addr)
		b.versions["envoy"] = grpc.EnvoyVersion
		return &target{name: "envoy", addr: p.Addr, pid: p.PID()}
	})
}

func (b *bench) grpcAgent() *target {
	return b.once("grpc sluice", func() *target {
		t := agentTarget(server.Start(b.t, server.Agent{Config: grpcConfig, Vars: map[string]string{"upstream": b.grpcMirror().addr}, Binary: b.binary}))
		b.agents = append(b.agents, t)
		return t
	})
}

// partGRPC compares Envoy with the agent: CPU for a unary call of 1 KiB.
func (b *bench) partGRPC() error {
	targets := []*target{b.envoy(), b.grpcAgent()}
	c := &comparison{Workload: workload{Name: "grpc", Op: "unary", Pipeline: 1, Clients: motanClients, Size: grpcBody - 5}, Peer: "envoy"}
	crowds := make([]*crowd, len(targets))
	for i, t := range targets {
		c.Rows = append(c.Rows, &row{Target: t.name})
		var err error
		if crowds[i], err = gather(t, dialGRPC); err != nil {
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
	b.figure("grpc-cpu", c.row("sluice").CPURatio)
	b.results.Comparisons = append(b.results.Comparisons, c)
	return nil
}

// partGRPCAllocs counts what an agent allocates for each forwarded call.
func (b *bench) partGRPCAllocs() error {
	return b.callAllocs("grpc-allocs", "grpc", b.grpcAgent(), dialGRPC)
}
