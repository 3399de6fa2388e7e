package grpc

import (
	"bytes"
	"context"
	"errors"
	"github.com/sluice-mesh/sluice/resources/servicetest"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/sluice-mesh/sluice/resources"
)

const unary = "/grpc.testing.TestService/UnaryCall"

// A unary call of any size comes back as it was, with headers and trailers, binary ones too.
func TestUnary(t *testing.T) {
	s := newServer(t)
	w := newWorld(t)
	f := w.service(&Settings{}, nil, s.addr)
	c := w.client()
	for _, n := range []int{0, 1, 1 << 10, 16 << 10, 17 << 10, 65 << 10, 300 << 10, 3 << 20} {
		var header, trailer metadata.MD
		ctx := metadata.AppendToOutgoingContext(within(t, 20*time.Second), "echo", "a b", "echo-bin", "\x00\xff\x01", "echo-bin", "second")
		in := payload(n, 'a')
		out, err := c.UnaryCall(ctx, &pb.SimpleRequest{Payload: in}, grpc.Header(&header), grpc.Trailer(&trailer))
		if err != nil || !bytes.Equal(out.GetPayload().GetBody(), in.Body) {
			t.Fatalf("%d bytes: %v, %d came back", n, err, len(out.GetPayload().GetBody()))
		}
		for _, md := range []metadata.MD{header, trailer} {
			if got := md.Get("echo-bin"); len(got) != 2 || got[0] != "\x00\xff\x01" || md.Get("echo")[0] != "a b" {
				t.Fatalf("%d bytes: metadata came back as %v", n, md)
			}
		}
	}
	if n := f.Outcome(unary + " ok"); n != 8 {
		t.Errorf("%d calls were counted: %v", n, f.Outcomes())
	}
}

// What a service says of a call reaches the client as it is, and does not count against the server.
func TestStatuses(t *testing.T) {
	s := newServer(t)
	w := newWorld(t)
	f := w.service(&Settings{Idempotent: []string{"*/UnaryCall"}}, nil, s.addr)
	c := w.client()
	for code := codes.Code(1); code <= 16; code++ {
		before := s.count()
		_, err := c.UnaryCall(within(t, 20*time.Second), &pb.SimpleRequest{ResponseStatus: &pb.EchoStatus{Code: int32(code), Message: "Grüße: 100 %"}})
		if st := status.Convert(err); st.Code() != code || st.Message() != "Grüße: 100 %" {
			t.Errorf("%v came as %v", code, err)
		}
		times := 1
		if code == codes.Unavailable || code == codes.DeadlineExceeded {
			times += f.Tries // the method is idempotent
		}
		if n := s.count() - before; n != times {
			t.Errorf("%v: the server was asked %d times, not %d", code, n, times)
		}
	}
	for what, n := range map[string]int{"error": 14, "unavailable": 1, "timeout": 1} {
		if got := f.Outcome(unary + " " + what); got != n {
			t.Errorf("%d calls ended as %s, not %d: %v", got, what, n, f.Outcomes())
		}
	}
}

// Streams of each sort carry more than any window, both ways.
func TestStreams(t *testing.T) {
	s := newServer(t)
	w := newWorld(t)
	w.service(&Settings{Window: 64 << 10}, nil, s.addr)
	c := w.client()
	ctx := within(t, 30*time.Second)

	up, err := c.StreamingInputCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	const messages, size = 40, 100_000
	for range messages {
		if err := up.Send(&pb.StreamingInputCallRequest{Payload: payload(size, 'u')}); err != nil {
			t.Fatal(err)
		}
	}
	if sum, err := up.CloseAndRecv(); err != nil || sum.AggregatedPayloadSize != messages*size {
		t.Fatalf("up: %v, %v", sum, err)
	}

	request := &pb.StreamingOutputCallRequest{}
	for range messages {
		request.ResponseParameters = append(request.ResponseParameters, &pb.ResponseParameters{Size: size})
	}
	down, err := c.StreamingOutputCall(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	receive(t, down, messages, size)
	if _, err := down.Recv(); !errors.Is(err, io.EOF) {
		t.Fatalf("after the last message: %v", err)
	}

	both, err := c.FullDuplexCall(metadata.AppendToOutgoingContext(ctx, "echo", "both"))
	if err != nil {
		t.Fatal(err)
	}
	for n := range 30 {
		one := &pb.StreamingOutputCallRequest{ResponseParameters: []*pb.ResponseParameters{{Size: int32(n * 5000)}}, Payload: payload(n*3000, 'b')}
		if err := both.Send(one); err != nil {
			t.Fatal(err)
		}
		receive(t, both, 1, n*5000)
	}
	if err := both.Send(&pb.StreamingOutputCallRequest{ResponseStatus: &pb.EchoStatus{Code: 9, Message: "enough"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := both.Recv(); status.Code(err) != codes.FailedPrecondition || both.Trailer().Get("echo")[0] != "both" {
		t.Fatalf("the end of both: %v, %v", err, both.Trailer())
	}
}

func receive(t *testing.T, st interface {
	Recv() (*pb.StreamingOutputCallResponse, error)
}, messages, size int) {
	t.Helper()
	for range messages {
		m, err := st.Recv()
		if err != nil {
			t.Fatal(err)
		}
		body := m.GetPayload().GetBody()
		if len(body) != size {
			t.Fatalf("a message has %d bytes, not %d", len(body), size)
		}
		for i, b := range body {
			if b != byte(i) {
				t.Fatalf("byte %d of a message is %d", i, b)
			}
		}
	}
}

// A client that leaves, or whose time is over, takes its call away from the server; what it has left travels on.
func TestCancelAndDeadline(t *testing.T) {
	s := newServer(t)
	w := newWorld(t)
	f := w.service(&Settings{}, nil, s.addr)
	c := w.client()
	slow := metadata.AppendToOutgoingContext(context.Background(), "pause", "1m")

	ctx, cancel := context.WithCancel(slow)
	go func() {
		for s.count() == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if _, err := c.UnaryCall(ctx, &pb.SimpleRequest{}); status.Code(err) != codes.Canceled {
		t.Errorf("a call that was given up: %v", err)
	}
	<-s.gone

	const limit = 3 * time.Second // long enough for the call to reach the server on a busy machine
	ctx, cancel = context.WithTimeout(slow, limit)
	defer cancel()
	if _, err := c.UnaryCall(ctx, &pb.SimpleRequest{}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a call with too little time: %v", err)
	}
	<-s.gone
	s.mu.Lock()
	if s.left <= 0 || s.left > limit {
		t.Errorf("the server had %v of %v", s.left, limit)
	}
	s.mu.Unlock()

	// Without a deadline of its own a call has the policy's; and the server hears of it when that is over.
	w = newWorld(t)
	short := w.service(&Settings{}, func(f *servicetest.Runtime) { f.Rules.Timeout = resources.Duration(limit) }, s.addr)
	_, err := w.client().UnaryCall(slow, &pb.SimpleRequest{})
	if st := status.Convert(err); st.Code() != codes.DeadlineExceeded || !strings.HasPrefix(st.Message(), "sluice: svc: no answer from ") {
		t.Errorf("a call that took longer than the policy says: %v", err)
	}
	<-s.gone
	if short.Outcome(unary+" timeout") != 1 || f.Outcome(unary+" canceled") == 0 {
		t.Errorf("outcomes: %v, %v", short.Outcomes(), f.Outcomes())
	}
}
