package grpc

import (
	"context"
	"fmt"
	"github.com/sluice-mesh/sluice/resources/servicetest"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/sluice-mesh/sluice/resources"
)

// A call that its server refused, or that came after the last one a server worked on, goes to another one; what a server may have
// executed goes nowhere else, unless its method is marked.
func TestSentAgain(t *testing.T) {
	for name, c := range map[string]struct {
		do         func(*rawConn, uint32, string) bool
		idempotent bool
		code       codes.Code
		text       string
	}{
		"refused": {do: func(c *rawConn, id uint32, _ string) bool {
			_ = c.WriteRSTStream(id, http2.ErrCodeRefusedStream)
			return true
		}},
		"going away": {do: func(c *rawConn, id uint32, _ string) bool {
			_ = c.WriteGoAway(id-1, http2.ErrCodeNo, nil)
			return true
		}},
		"closed": {code: codes.Unavailable, text: "the request may have been executed", do: func(*rawConn, uint32, string) bool { return false }},
		"reset": {code: codes.Unavailable, text: "gave the call up (INTERNAL_ERROR)", do: func(c *rawConn, id uint32, _ string) bool {
			_ = c.WriteRSTStream(id, http2.ErrCodeInternal)
			return true
		}},
		"closed, of a method that may be repeated": {idempotent: true, do: func(*rawConn, uint32, string) bool { return false }},
		"unavailable, of a method that may be repeated": {idempotent: true, do: func(c *rawConn, id uint32, _ string) bool {
			c.block(id, true, ":status", "200", "content-type", "application/grpc", "grpc-status", "14")
			return true
		}},
		"unavailable": {code: codes.Unavailable, text: "by itself", do: func(c *rawConn, id uint32, _ string) bool {
			c.block(id, true, ":status", "200", "content-type", "application/grpc", "grpc-status", "14", "grpc-message", "by itself")
			return true
		}},
		"unavailable, and not to be asked now": {idempotent: true, code: codes.Unavailable, do: func(c *rawConn, id uint32, _ string) bool {
			c.block(id, true, ":status", "200", "content-type", "application/grpc", "grpc-status", "14", "grpc-retry-pushback-ms", "100")
			return true
		}},
		"cut in the answer": {idempotent: true, code: codes.Unavailable, do: func(c *rawConn, id uint32, _ string) bool {
			c.block(id, false, ":status", "200", "content-type", "application/grpc")
			_ = c.WriteData(id, false, make([]byte, 5))
			return false
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bad := newRawServer(t, nil, c.do)
			good := newServer(t)
			w := newWorld(t)
			set := &Settings{}
			if c.idempotent {
				set.Idempotent = []string{unary}
			}
			w.service(set, nil, bad.addr, good.addr)
			_, err := w.client().UnaryCall(within(t, 10*time.Second), &pb.SimpleRequest{Payload: payload(1000, 'x')})
			if st := status.Convert(err); st.Code() != c.code || !strings.Contains(st.Message(), c.text) {
				t.Errorf("%v, want %v %q", err, c.code, c.text)
			}
			if n, _ := bad.begun(); n != 1 {
				t.Errorf("the bad server was asked %d times", n)
			}
			if n := good.count(); (n == 1) != (c.code == codes.OK) {
				t.Errorf("the good server was asked %d times", n)
			}
		})
	}
}

// A server that cannot be reached is named, and nothing is called unknown.
func TestUnreachable(t *testing.T) {
	w := newWorld(t)
	f := w.service(&Settings{}, func(f *servicetest.Runtime) { f.Tries = 0 }, "127.0.0.1:1")
	_, err := w.client().UnaryCall(within(t, 10*time.Second), &pb.SimpleRequest{})
	if st := status.Convert(err); st.Code() != codes.Unavailable || !strings.HasPrefix(st.Message(), "sluice: svc: ") || f.Outcome(unary+" unavailable") != 1 {
		t.Errorf("%v, %v", err, f.Outcomes())
	}
}

// The answer of a backup request is taken when it comes first, and the slow server is told to stop.
func TestBackup(t *testing.T) {
	slow := newRawServer(t, nil, func(*rawConn, uint32, string) bool { return true })
	good := newServer(t)
	w := newWorld(t)
	f := w.service(&Settings{Idempotent: []string{"*"}}, func(f *servicetest.Runtime) { f.BackupAfter.Store(int64(20 * time.Millisecond)) }, slow.addr, good.addr)
	for range 5 {
		if _, err := w.client().UnaryCall(within(t, 10*time.Second), &pb.SimpleRequest{Payload: payload(2000, 'x')}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the slow server to be told", func() bool {
		slow.mu.Lock()
		defer slow.mu.Unlock()
		return len(slow.resets) == 5
	})
	if f.Outcome(unary+" ok") != 5 || good.count() != 5 {
		t.Errorf("%v, %d calls at the good server", f.Outcomes(), good.count())
	}
}

// Calls wait for a server that takes few at once, on few connections, and no call is lost.
func TestFewStreams(t *testing.T) {
	var now, most atomic.Int32
	s := newServer(t, grpc.MaxConcurrentStreams(3), grpc.UnaryInterceptor(func(ctx context.Context, in any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		n := now.Add(1)
		defer now.Add(-1)
		for {
			if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		time.Sleep(2 * time.Millisecond)
		return next(ctx, in)
	}))
	w := newWorld(t)
	f := w.service(&Settings{Connections: 2}, nil, s.addr)
	clients := []pb.TestServiceClient{w.client(), w.client(), w.client()}
	var all sync.WaitGroup
	for i := range 300 {
		all.Go(func() {
			if _, err := clients[i%3].UnaryCall(within(t, 20*time.Second), &pb.SimpleRequest{}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := most.Load(); n > 3*2*2 || n < 6 {
		t.Errorf("%d calls at once at a server that takes 3 on each of at most 4 connections", n)
	}
	if n := f.Open.Load(); n > 4 {
		t.Errorf("%d connections", n)
	}
}

// A client that does not read an answer stops its own call alone, and the agent keeps no more than windows allow.
func TestSlowReader(t *testing.T) {
	s := newServer(t)
	w := newWorld(t)
	w.service(&Settings{Window: 64 << 10}, nil, s.addr)
	c := w.client(grpc.WithInitialWindowSize(64<<10), grpc.WithInitialConnWindowSize(1<<20))
	request := &pb.StreamingOutputCallRequest{}
	for range 200 {
		request.ResponseParameters = append(request.ResponseParameters, &pb.ResponseParameters{Size: 50_000})
	}
	ctx := within(t, 30*time.Second)
	stalled, err := c.StreamingOutputCall(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	other := w.client()
	for range 200 {
		if _, err := other.UnaryCall(ctx, &pb.SimpleRequest{Payload: payload(1000, 'x')}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.UnaryCall(ctx, &pb.SimpleRequest{Payload: payload(1000, 'x')}); err != nil {
			t.Fatal(err)
		}
	}
	receive(t, stalled, 200, 50_000)
}

// A server that reads nothing of a call makes that call's client wait, and no other.
func TestSlowServer(t *testing.T) {
	deaf := newRawServer(t, nil, func(c *rawConn, id uint32, path string) bool {
		c.ok(id) // of unary calls; streams never end
		return true
	})
	w := newWorld(t)
	f := w.service(&Settings{Window: 64 << 10}, nil, deaf.addr)
	c := w.client()
	ctx, cancel := context.WithCancel(within(t, 30*time.Second))
	up, err := c.StreamingInputCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var sent atomic.Int32
	var sending sync.WaitGroup
	sending.Go(func() {
		for up.Send(&pb.StreamingInputCallRequest{Payload: payload(10_000, 'u')}) == nil {
			sent.Add(1)
		}
	})
	eventually(t, "the windows to be full", func() bool { return sent.Load() >= 6 })
	for range 100 {
		if _, err := c.UnaryCall(ctx, &pb.SimpleRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := sent.Load(); n > 40 {
		t.Errorf("%d messages of 10 kB were taken from a client whose server reads none", n)
	}
	cancel()
	sending.Wait()
	eventually(t, "the call to end", func() bool { return f.Begun.Load() == f.Ended.Load() })
}

// What a filter answers with, a client of gRPC understands.
func TestStops(t *testing.T) {
	s := newServer(t)
	for name, c := range map[string]struct {
		stop *resources.Stop
		code codes.Code
		text string
		body string
	}{
		"limited":  {stop: &resources.Stop{Fault: resources.NewFault(resources.Limited, resources.FromAgent, "svc", "rule 1"), Outcome: resources.Outcome(resources.Limited)}, code: codes.ResourceExhausted, text: "sluice: svc: rule 1"},
		"denied":   {stop: &resources.Stop{Fault: resources.NewFault(resources.Denied, resources.FromAgent, "svc", "rüle %"), Outcome: resources.Outcome(resources.Denied)}, code: codes.PermissionDenied, text: "sluice: svc: rüle %"},
		"degraded": {stop: &resources.Stop{Fault: resources.NewFault(resources.Degraded, resources.FromAgent, "svc", "command"), Outcome: resources.Outcome(resources.Degraded)}, code: codes.Unavailable, text: "sluice: svc: command"},
		"empty":    {stop: &resources.Stop{Empty: true}},
		"base64":   {stop: &resources.Stop{Reply: "base64:CgUSA2hleQ=="}, body: "hey"},
		"no base":  {stop: &resources.Stop{Reply: "base64:?"}, code: codes.Unavailable, text: "is no base64"},
		"long":     {stop: &resources.Stop{Reply: strings.Repeat("x", 20000)}, code: codes.Unavailable, text: "at most"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.service(&Settings{}, func(f *servicetest.Runtime) {
				f.Hook = func(call *resources.Call) *resources.Stop {
					if f.Operations.Info(call.Op).Name != unary {
						return nil
					}
					return c.stop
				}
			}, s.addr)
			client := w.client()
			before := s.count()
			for range 3 {
				out, err := client.UnaryCall(within(t, 10*time.Second), &pb.SimpleRequest{Payload: payload(100_000, 'x')})
				if st := status.Convert(err); st.Code() != c.code || !strings.Contains(st.Message(), c.text) || string(out.GetPayload().GetBody()) != c.body {
					t.Fatalf("%v %v, want %v %q %q", out, err, c.code, c.text, c.body)
				}
			}
			if s.count() != before {
				t.Error("the server was asked")
			}
			if _, err := client.StreamingInputCall(within(t, 10*time.Second)); err != nil {
				t.Errorf("the connection cannot go on: %v", err)
			}
		})
	}
}

// A delay that a command injects holds a call back, with what its client sends meanwhile.
func TestDelay(t *testing.T) {
	s := newServer(t)
	w := newWorld(t)
	w.service(&Settings{}, func(f *servicetest.Runtime) {
		f.Hook = func(c *resources.Call) *resources.Stop { c.Delay = int64(150 * time.Millisecond); return nil }
	}, s.addr)
	began := time.Now()
	out, err := w.client().UnaryCall(within(t, 10*time.Second), &pb.SimpleRequest{Payload: payload(200_000, 'x')})
	if err != nil || len(out.Payload.Body) != 200_000 || time.Since(began) < 150*time.Millisecond {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

// Nobody gets the answer to somebody else's call, however many there are and however they end.
func TestNobodyElsesAnswer(t *testing.T) {
	one, two := newServer(t), newServer(t)
	w := newWorld(t)
	f := w.service(&Settings{}, nil, one.addr, two.addr)
	var all sync.WaitGroup
	for n := range 4 {
		c := w.client()
		for m := range 16 {
			all.Go(func() {
				for i := range 40 {
					mine := fmt.Sprintf("%d %d %d", n, m, i)
					ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(context.Background(), "echo", mine), 20*time.Second)
					if i%7 == 3 {
						ctx = metadata.AppendToOutgoingContext(ctx, "pause", "1m")
						time.AfterFunc(time.Millisecond, cancel)
					}
					var trailer metadata.MD
					out, err := c.UnaryCall(ctx, &pb.SimpleRequest{Payload: &pb.Payload{Body: []byte(mine)}}, grpc.Trailer(&trailer))
					cancel()
					if i%7 == 3 {
						if status.Code(err) != codes.Canceled {
							t.Errorf("a call that was given up: %v", err)
						}
						continue
					}
					if err != nil || string(out.Payload.Body) != mine || trailer.Get("echo")[0] != mine {
						t.Errorf("%s got %v %v %v", mine, out, trailer, err)
						return
					}
				}
			})
		}
	}
	all.Wait()
	eventually(t, "all calls to end", func() bool { return f.Begun.Load() == f.Ended.Load() })
	if n := f.Mismatches.Load(); n != 0 {
		t.Errorf("%d answers that belong to nobody", n)
	}
}

// A server that is killed in the middle of calls loses those alone.
func TestKilledServer(t *testing.T) {
	s := newServer(t)
	w := newWorld(t)
	f := w.service(&Settings{}, nil, s.addr)
	c := w.client()
	ctx := metadata.AppendToOutgoingContext(within(t, 20*time.Second), "pause", "1m")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			_, err := c.UnaryCall(ctx, &pb.SimpleRequest{})
			if st := status.Convert(err); st.Code() != codes.Unavailable || !strings.Contains(st.Message(), "may have been executed") {
				t.Errorf("%v", err)
			}
		})
	}
	eventually(t, "the calls to arrive", func() bool { return s.count() == 20 })
	s.Stop()
	all.Wait()
	ln, err := net.Listen("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, ln)
	if _, err := c.UnaryCall(within(t, 10*time.Second), &pb.SimpleRequest{}); err != nil {
		t.Errorf("after the server is back: %v", err)
	}
	if n := f.Outcome(unary + " unknown"); n != 20 {
		t.Errorf("%v", f.Outcomes())
	}
}

// What a client may not say ends its stream, or its connection, and nothing else.
func TestGarbage(t *testing.T) {
	s := newServer(t)
	w := newWorld(t)
	f := w.service(&Settings{Services: []string{"grpc.testing.TestService"}}, nil, s.addr)
	c := w.raw().hello()
	c.want(c.call(true, ":path", "/no.Such/Method"), "grpc 12: no resource here serves no.Such for svc; there is grpc.testing.TestService")
	c.want(c.call(false, ":path", "/no.Such/Method"), "grpc 12")
	c.want(c.call(true, ":method", "GET"), "http 405")
	c.want(c.call(true, "content-type", "text/html"), "http 415")
	c.want(c.call(true, "Upper", "x"), "reset PROTOCOL_ERROR")
	c.want(c.call(true, "connection", "close"), "reset PROTOCOL_ERROR")
	c.want(c.call(true, "x", "a\r\nb: c"), "reset PROTOCOL_ERROR")
	c.want(c.call(true, ":path", ""), "reset PROTOCOL_ERROR")
	c.want(c.call(true, ":other", "x"), "reset PROTOCOL_ERROR")
	id := c.call(false, "long", strings.Repeat("x", 15_000))
	_ = c.WriteDataPadded(id, true, []byte{0, 0, 0, 0, 0}, make([]byte, 100))
	c.want(id, "grpc 0")
	if f.Begun.Load() != 1 {
		t.Errorf("%d calls", f.Begun.Load())
	}
	for how, do := range map[string]func(*rawClient){
		"gone PROTOCOL_ERROR preface": func(c *rawClient) { _, _ = io.WriteString(c.nc, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") },
		"gone PROTOCOL_ERROR first": func(c *rawClient) {
			_, _ = io.WriteString(c.nc, http2.ClientPreface)
			_ = c.WritePing(false, [8]byte{})
		},
		"gone PROTOCOL_ERROR even": func(c *rawClient) { c.hello().next = 2; c.call(true) },
		"gone PROTOCOL_ERROR idle": func(c *rawClient) { _ = c.hello().WriteData(7, true, nil) },
		"gone FRAME_SIZE_ERROR":    func(c *rawClient) { _ = c.hello().WriteData(7, true, make([]byte, 20_000)) },
		"gone COMPRESSION_ERROR": func(c *rawClient) {
			_ = c.hello().WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0xfe}, EndHeaders: true})
		},
		"gone FLOW_CONTROL_ERROR": func(c *rawClient) {
			_ = c.hello().WriteWindowUpdate(0, 1<<31-1)
		},
		"gone ENHANCE_YOUR_CALM pieces": func(c *rawClient) {
			_ = c.hello().WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x88}})
			for range 200 {
				_ = c.WriteContinuation(1, false, nil)
			}
		},
		"gone ENHANCE_YOUR_CALM settings": func(c *rawClient) {
			c.hello()
			go func() { _, _ = io.Copy(io.Discard, strings.NewReader("")) }()
			for range 6000 {
				if c.WriteSettings() != nil {
					return
				}
			}
		},
		"gone ENHANCE_YOUR_CALM resets": func(c *rawClient) {
			c.hello()
			for range 7000 {
				if c.WriteRSTStream(c.call(false), http2.ErrCodeCancel) != nil {
					return
				}
			}
		},
	} {
		t.Run(how, func(t *testing.T) {
			c := w.raw()
			c.t = t
			do(c)
			c.want(0, strings.Join(strings.Fields(how)[:2], " "))
		})
	}
	if _, err := w.client().UnaryCall(within(t, 10*time.Second), &pb.SimpleRequest{}); err != nil {
		t.Errorf("others: %v", err)
	}
}

// A server that breaks the rules loses its connection and nobody gets its answers.
func TestServerGarbage(t *testing.T) {
	for name, do := range map[string]func(*rawConn, uint32, string) bool{
		"no HTTP/2": func(c *rawConn, _ uint32, _ string) bool {
			_, _ = io.WriteString(c.nc, "HTTP/1.1 400 Bad Request\r\n\r\n")
			return true
		},
		"another's stream": func(c *rawConn, id uint32, _ string) bool { c.ok(id + 100); return true },
		"data first":       func(c *rawConn, id uint32, _ string) bool { _ = c.WriteData(id, true, nil); return true },
		"more than allowed": func(c *rawConn, id uint32, _ string) bool {
			c.block(id, false, ":status", "200", "content-type", "application/grpc")
			for range 30 {
				_ = c.WriteData(id, false, make([]byte, 16384))
			}
			return true
		},
		"long metadata": func(c *rawConn, id uint32, _ string) bool {
			pairs := []string{":status", "200"}
			for i := range 66 {
				pairs = append(pairs, fmt.Sprint("k", i), strings.Repeat("v", 1000))
			}
			c.buf.Reset()
			for i := 0; i < len(pairs); i += 2 {
				_ = c.enc.WriteField(field(pairs[i], pairs[i+1]))
			}
			b := c.buf.Bytes()
			_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: b[:16000]})
			for b = b[16000:]; len(b) > 16000; b = b[16000:] {
				_ = c.WriteContinuation(id, false, b[:16000])
			}
			_ = c.WriteContinuation(id, true, b)
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			bad := newRawServer(t, nil, do)
			w := newWorld(t)
			f := w.service(&Settings{Window: 64 << 10}, func(f *servicetest.Runtime) { f.Rules.Timeout = resources.Duration(3 * time.Second) }, bad.addr)
			// A client that reads nothing, so that what is too much for the windows is.
			c := w.raw().hello()
			_ = c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			id := c.call(true)
			want := "grpc 14"
			if name == "long metadata" {
				want = "grpc 8"
			}
			c.want(id, want)
			if n := f.Mismatches.Load(); (name == "no HTTP/2" || name == "another's stream") && n != 1 {
				t.Errorf("%d mismatches", n)
			}
		})
	}
}
