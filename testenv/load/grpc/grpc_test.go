package grpc

import (
	"context"
	"net"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	peers "github.com/sluice-mesh/sluice/testenv/grpc"
	"github.com/sluice-mesh/sluice/testenv/load"
	"github.com/sluice-mesh/sluice/testenv/load/counted"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A real server does nothing wrong, and one that was killed is seen.
func TestServer(t *testing.T) {
	s := peers.Serve(t, peers.Server{})
	counted.CheckDial(t.Context(), t, Dial, s, s.Addr)
}

// Whatever an agent could do wrong is found.
func TestDetects(t *testing.T) {
	words := func(of ...string) func(*load.Report) int64 {
		return func(r *load.Report) int64 { return r.ErrorCount(of...) }
	}
	wrong := func(r *load.Report) int64 { return r.Wrong }
	sluice := func(code codes.Code) error { return status.Error(code, "sluice: counter: as the test says") }
	for what, of := range map[string]struct {
		echo    string // "": what was said
		count   int64
		counted int64
		err     error
		pushed  bool
		found   func(*load.Report) int64
	}{
		"another call's answer":      {echo: "x", count: 1, counted: 1, found: wrong},
		"a second count":             {count: 2, counted: 1, found: func(r *load.Report) int64 { return r.Repeated }},
		"acknowledged and lost":      {count: 1, found: func(r *load.Report) int64 { return r.Lost }},
		"refused and executed":       {err: sluice(codes.Unavailable), counted: 1, found: wrong},
		"unknown, and executed once": {err: sluice(codes.Unavailable), pushed: true, counted: 1, found: words(counted.Unknown)},
		"unknown and repeated":       {err: sluice(codes.Unavailable), pushed: true, counted: 2, found: func(r *load.Report) int64 { return r.Repeated }},
		"late":                       {err: sluice(codes.DeadlineExceeded), counted: 1, found: words(counted.Timeout)},
		"over a limit":               {err: sluice(codes.ResourceExhausted), found: words(counted.Limited)},
		"a server's own word":        {err: status.Error(codes.Aborted, ""), found: words("Aborted")},
		"what cannot be":             {err: status.Error(codes.Internal, ""), found: wrong},
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := grpc.NewServer()
		method := func(name string, do func(*wrapperspb.StringValue) (any, error)) grpc.MethodDesc {
			return grpc.MethodDesc{MethodName: name, Handler: func(_ any, ctx context.Context, read func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				in := new(wrapperspb.StringValue)
				if err := read(in); err != nil {
					return nil, err
				}
				if of.pushed {
					_ = grpc.SetTrailer(ctx, metadata.Pairs("grpc-retry-pushback-ms", "-1"))
				}
				return do(in)
			}}
		}
		s.RegisterService(&grpc.ServiceDesc{ServiceName: Service, HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{
			method("Echo", func(in *wrapperspb.StringValue) (any, error) {
				if of.echo != "" {
					in.Value = of.echo
				}
				return in, of.err
			}),
			method("Count", func(*wrapperspb.StringValue) (any, error) { return wrapperspb.Int64(of.count), of.err }),
			method("Counted", func(*wrapperspb.StringValue) (any, error) { return wrapperspb.Int64(of.counted), nil }),
		}}, nil)
		served := make(chan error, 1)
		go func() { served <- s.Serve(ln) }()
		addr := ln.Addr().String()
		run := counted.Start(t.Context(), counted.Config{Dial: Dial, Address: addr, Clients: 1, Servers: []string{addr}})
		run.Await(t, 12)
		r := run.Stop()
		s.Stop()
		<-served
		if of.found(r) == 0 {
			t.Errorf("%s: %v", what, r)
		}
	}
}
