package grpc

import (
	"context"
	"errors"
	"github.com/sluice-mesh/sluice/resources/servicetest"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/sluice-mesh/sluice/resources"
)

// A client is told twice to go: first so that what it sends meanwhile is worked on, then, when it has heard it, for good.
func TestDoorTellsClients(t *testing.T) {
	s := newServer(t)
	w := newWorld(t)
	w.service(&Settings{}, nil, s.addr)
	c := w.raw().hello()
	message := func(id uint32) { _ = c.WriteData(id, true, make([]byte, 5)) }
	first := c.call(false)
	message(first)
	c.want(first, "grpc 0")
	open := c.call(false) // and does not end until later
	ctx := within(t, 20*time.Second)
	ended := make(chan error, 1)
	go func() { ended <- w.Door.Shutdown(ctx) }()

	var late uint32
	var goAways []uint32
	answered := map[uint32]bool{}
	for !answered[open] || !answered[late] {
		f, err := c.ReadFrame()
		if err != nil {
			t.Fatalf("%v; streams answered: %v, GOAWAY: %v", err, answered, goAways)
		}
		switch f := f.(type) {
		case *http2.GoAwayFrame:
			if goAways = append(goAways, f.LastStreamID); len(goAways) == 1 {
				late = c.call(false) // the client had sent it before it heard
				message(late)
			} else {
				message(open)
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				_ = c.WritePing(true, f.Data)
			}
		case *http2.MetaHeadersFrame:
			answered[f.StreamID] = answered[f.StreamID] || f.StreamEnded()
		}
	}
	if len(goAways) != 2 || goAways[0] != 1<<31-1 || goAways[1] != late {
		t.Errorf("GOAWAY named %v, and the last stream was %d", goAways, late)
	}
	for {
		if _, err := c.ReadFrame(); err != nil {
			break
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Clients that neither end nor go are cut when the time for it is over.
func TestDoorCuts(t *testing.T) {
	s := newServer(t)
	w := newWorld(t)
	f := w.service(&Settings{}, nil, s.addr)
	c := w.raw().hello()
	c.call(false)
	eventually(t, "the call to begin", func() bool { return f.Begun.Load() == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := w.Door.Shutdown(ctx); err == nil {
		t.Error("nobody was cut")
	}
}

// A server that ends in order loses no call, and one that stops to take calls on a connection gets them on another.
func TestServerGoesAway(t *testing.T) {
	var n atomic.Int64
	s := newRawServer(t, nil, func(c *rawConn, id uint32, _ string) bool {
		if n.Add(1)%10 == 0 { // before the answer, so that the next call knows it
			_ = c.WriteGoAway(id, http2.ErrCodeNo, nil)
		}
		c.ok(id)
		return true
	})
	w := newWorld(t)
	w.service(&Settings{}, nil, s.addr)
	c := w.client()
	for range 100 {
		if _, err := c.UnaryCall(within(t, 10*time.Second), &pb.SimpleRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	if streams, conns := s.begun(); streams != 100 || conns < 10 {
		t.Errorf("%d streams on %d connections", streams, conns)
	}
}

// A server that is silent while it has calls is asked once whether it lives.
func TestKeepalive(t *testing.T) {
	s := newRawServer(t, nil, func(*rawConn, uint32, string) bool { return true })
	w := newWorld(t)
	w.service(&Settings{Heartbeat: resources.Duration(100 * time.Millisecond)}, func(f *servicetest.Runtime) { f.Rules.Timeout = resources.Duration(5 * time.Second) }, s.addr)
	_, _ = w.client().UnaryCall(within(t, 3500*time.Millisecond), &pb.SimpleRequest{})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pings != 1 {
		t.Errorf("%d PINGs in 3.5 s", s.pings)
	}
}

// A health check knows who is well, who is not, and who cannot say.
func TestProbe(t *testing.T) {
	well := health.NewServer()
	with := newServer(t)
	withHealth := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(withHealth, well)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = withHealth.Serve(ln) }()
	t.Cleanup(func() { withHealth.Stop(); <-served })
	silent := newRawServer(t, nil, func(*rawConn, uint32, string) bool { return true })
	drops := newRawServer(t, nil, func(*rawConn, uint32, string) bool { return false })

	w := newWorld(t)
	f := w.Runtime("svc", ln.Addr().String(), with.addr, silent.addr, drops.addr, "127.0.0.1:1")
	set := &Settings{}
	w.open(map[*servicetest.Runtime]*Settings{f: set})
	var r *Resource
	for _, m := range w.Opened() {
		r = m.(*Resource)
	}
	check := func(i int, want string) {
		t.Helper()
		p := r.Probe(f.Eps[i])
		defer p.Close()
		for range 3 { // on the same connection
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			if want == "no answer" {
				ctx, cancel = context.WithTimeout(context.Background(), time.Second)
			}
			h, err := p.Check(ctx)
			cancel()
			if want == "" && (err != nil || !h.Ready) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("server %d: %+v, %v, want %q", i, h, err, want)
			}
		}
	}
	check(0, "")
	well.SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	check(0, "NOT_SERVING")
	check(1, "")
	check(2, "no answer")
	check(3, "closed the connection")
	check(4, "refused")
	set.Health = "a.B"
	check(0, "settings.health")
	well.SetServingStatus("a.B", grpc_health_v1.HealthCheckResponse_SERVING)
	check(0, "")
}

// A connection that does not greet, or does not end what it began, does not stay.
func TestHalfGreeting(t *testing.T) {
	s := newServer(t)
	w := newWorld(t)
	w.service(&Settings{}, nil, s.addr)
	begun := []string{"", "PRI * HT", http2.ClientPreface + "\x00\x00\x12\x04\x00"}
	var conns []net.Conn
	for _, said := range begun {
		nc, err := net.Dial("tcp", w.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		conns = append(conns, nc)
		if _, err := nc.Write([]byte(said)); err != nil {
			t.Fatal(err)
		}
	}
	for i, nc := range conns {
		_ = nc.SetReadDeadline(time.Now().Add(20 * time.Second))
		var err error
		for b := make([]byte, 1024); err == nil; {
			_, err = nc.Read(b)
		}
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			t.Errorf("after %q it stays", begun[i])
		}
	}
}
