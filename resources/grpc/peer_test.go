package grpc

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// server is a grpc-go server of the service that gRPC's own tests between languages use:
//
//	UnaryCall          the payload, after the pause in its metadata "pause"; a status if it asks for one
//	StreamingInputCall the sum of the sizes
//	StreamingOutputCall, FullDuplexCall   payloads of the sizes asked for
//
// It sends metadata "echo" and "echo-bin" back as headers and as trailers.
type server struct {
	pb.UnimplementedTestServiceServer
	*grpc.Server
	addr string

	mu    sync.Mutex
	calls int
	gone  chan struct{} // one for each stream whose client left
	last  metadata.MD   // of the newest call
	left  time.Duration // that it had
}

func newServer(t testing.TB, options ...grpc.ServerOption) *server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, ln, options...)
}

func serveOn(t testing.TB, ln net.Listener, options ...grpc.ServerOption) *server {
	s := &server{Server: grpc.NewServer(options...), addr: ln.Addr().String(), gone: make(chan struct{}, 1000)}
	pb.RegisterTestServiceServer(s.Server, s)
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(ln) })
	t.Cleanup(func() { s.Stop(); serving.Wait() })
	return s
}

// came records a call.
func (s *server) came(ctx context.Context) (back metadata.MD) {
	md, _ := metadata.FromIncomingContext(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	s.last, s.left = md, 0
	if d, ok := ctx.Deadline(); ok {
		s.left = time.Until(d)
	}
	back = metadata.MD{}
	for _, k := range []string{"echo", "echo-bin"} {
		if v := md.Get(k); len(v) > 0 {
			back[k] = v
		}
	}
	return back
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

func (s *server) UnaryCall(ctx context.Context, in *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	back := s.came(ctx)
	_ = grpc.SetHeader(ctx, back)
	_ = grpc.SetTrailer(ctx, back)
	if v := metadata.ValueFromIncomingContext(ctx, "pause"); len(v) > 0 {
		d, _ := time.ParseDuration(v[0])
		select {
		case <-time.After(d):
		case <-ctx.Done():
			s.gone <- struct{}{}
			return nil, ctx.Err()
		}
	}
	if st := in.GetResponseStatus(); st != nil {
		return nil, status.Error(codes.Code(st.Code), st.Message)
	}
	out := &pb.SimpleResponse{Payload: in.Payload}
	if in.ResponseSize > 0 {
		out.Payload = &pb.Payload{Body: make([]byte, in.ResponseSize)}
	}
	return out, nil
}

func (s *server) StreamingInputCall(st pb.TestService_StreamingInputCallServer) error {
	s.came(st.Context())
	n := 0
	for {
		in, err := st.Recv()
		if errors.Is(err, io.EOF) {
			return st.SendAndClose(&pb.StreamingInputCallResponse{AggregatedPayloadSize: int32(n)})
		}
		if err != nil {
			s.gone <- struct{}{}
			return err
		}
		n += len(in.GetPayload().GetBody())
	}
}

func (s *server) StreamingOutputCall(in *pb.StreamingOutputCallRequest, st pb.TestService_StreamingOutputCallServer) error {
	s.came(st.Context())
	return s.output(in, st.Send)
}

func (s *server) output(in *pb.StreamingOutputCallRequest, send func(*pb.StreamingOutputCallResponse) error) error {
	for _, p := range in.ResponseParameters {
		time.Sleep(time.Duration(p.IntervalUs) * time.Microsecond)
		body := make([]byte, p.Size)
		for i := range body {
			body[i] = byte(i)
		}
		if err := send(&pb.StreamingOutputCallResponse{Payload: &pb.Payload{Body: body}}); err != nil {
			s.gone <- struct{}{}
			return err
		}
	}
	return nil
}

func (s *server) FullDuplexCall(st pb.TestService_FullDuplexCallServer) error {
	back := s.came(st.Context())
	_ = st.SetHeader(back)
	st.SetTrailer(back)
	for {
		in, err := st.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			s.gone <- struct{}{}
			return err
		}
		if in.ResponseStatus != nil {
			return status.Error(codes.Code(in.ResponseStatus.Code), in.ResponseStatus.Message)
		}
		if err := s.output(in, st.Send); err != nil {
			return err
		}
	}
}

// client is a grpc-go client of the door.
func (w *world) client(options ...grpc.DialOption) pb.TestServiceClient {
	w.T.Helper()
	options = append([]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry()}, options...)
	cc, err := grpc.NewClient("passthrough:///"+w.Addr, options...)
	if err != nil {
		w.T.Fatal(err)
	}
	w.T.Cleanup(func() { cc.Close() })
	return pb.NewTestServiceClient(cc)
}

// within is a context for what must not take long.
func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func payload(n int, b byte) *pb.Payload {
	body := make([]byte, n)
	for i := range body {
		body[i] = b + byte(i>>8)
	}
	return &pb.Payload{Body: body}
}

// eventually waits until what holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}
