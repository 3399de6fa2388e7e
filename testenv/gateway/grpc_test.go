package gateway

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/grpc"
	"github.com/sluice-mesh/sluice/testenv/motan"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// grpcOverMotan is an agent with a service that speaks gRPC and can be called over Motan.
const grpcOverMotan = `
agent: { admin: {{addr "admin"}}, application: gateway-test, drain: { wait: 0s, timeout: 10s } }
resources:
  test:
    kind: grpc
    listen: {{addr "test"}}
    accept: { motan2: { listen: {{.motan}} } }
    settings: { services: [grpc.testing.TestService], caller: motan-s }
    groups: { g: { endpoints: ["{{.server}}"] } }
    policy: { timeout: 3s, probe: { every: 200ms } }
`

// The fields of grpc.testing.SimpleRequest and SimpleResponse (grpc/testing/messages.proto), by hand.
func sized(n byte) []byte { return []byte{2 << 3, n} }

func refusedWith(code byte, text string) []byte {
	status := append([]byte{1 << 3, code, 2<<3 | 2, byte(len(text))}, text...)
	return append([]byte{7<<3 | 2, byte(len(status))}, status...)
}

func payload(n byte) []byte {
	return append([]byte{1<<3 | 2, n + 2, 2<<3 | 2, n}, make([]byte, n)...)
}

// A Motan client calls a server of grpc-go with messages of Protocol Buffers, in each serialization that can hold them.
func TestMotanClientsCallGRPC(t *testing.T) {
	s := grpc.Serve(t, grpc.Server{})
	vars := map[string]string{"server": s.Addr, "motan": server.FreeAddr(t)}
	a := server.Start(t, server.Agent{Config: grpcOverMotan, Vars: vars})
	call := func(method string, arg any, returns string) motan.Call {
		c := motan.Call{Service: "grpc.testing.TestService", Group: "g", Method: method, Args: []any{arg}, Returns: returns, Timeout: 3 * time.Second}
		if arg == nil {
			c.Args = nil
		}
		return c
	}
	for _, x := range []struct {
		peer          motan.Peer
		serialization string
		arg           func([]byte) any
		returns       string
	}{
		{motan.Go, "grpc-pb", func(b []byte) any { return motan.Proto(b) }, "proto"},
		{motan.Go, "protobuf", func(b []byte) any { return motan.Proto(b) }, "proto"},
		{motan.Go, "simple", func(b []byte) any { return b }, "bytes"},
		{motan.Go, "breeze", func(b []byte) any { return b }, "bytes"},
		{motan.PHP, "simple", func(b []byte) any { return b }, "bytes"},
	} {
		t.Run(string(x.peer)+" "+x.serialization, func(t *testing.T) {
			c := motan.Dial(t, motan.Client{Peer: x.peer, Registry: motan.Direct(vars["motan"]), Serialization: x.serialization})
			r := c.Do(call("UnaryCall", x.arg(sized(5)), x.returns))
			got, _ := r.Value.([]byte)
			if p, ok := r.Value.(motan.Proto); ok {
				got = p
			}
			if r.Exception != nil || !bytes.Equal(got, payload(5)) {
				t.Errorf("%x %v, want %x", r.Value, r.Exception, payload(5))
			}
			if r := c.Do(call("UnaryCall", x.arg(refusedWith(9, "gone ü")), x.returns)); r.Exception == nil || r.Exception.Code != 9 || r.Exception.Type != 2 || r.Exception.Message != "gone ü" {
				t.Errorf("a status: %v %+v", r.Value, r.Exception)
			}
			if r := c.Do(call("UnimplementedCall", x.arg([]byte{}), x.returns)); r.Exception == nil || r.Exception.Code != 12 {
				t.Errorf("no such method: %v %+v", r.Value, r.Exception)
			}
		})
	}
	c := motan.Dial(t, motan.Client{Registry: motan.Direct(vars["motan"]), Serialization: "grpc-pb"})
	echo := call("UnaryCall", motan.Proto(sized(1)), "proto")
	echo.Attachments = map[string]string{"x-grpc-test-echo-initial": "hello"}
	if r := c.Do(echo); r.Exception != nil || r.Attachments["x-grpc-test-echo-initial"] != "hello" {
		t.Errorf("metadata: %v %v", r.Attachments, r.Exception)
	}
	status, answer, err := a.Call("POST", "/v1/commands", `{"type":"limit","resource":"test","rate":"0/s","for":"2s"}`)
	if err != nil || status != 201 {
		t.Fatal(status, answer, err)
	}
	if r := c.Do(call("UnaryCall", motan.Proto(sized(1)), "proto")); r.Exception == nil || r.Exception.Code != 10002 || r.Exception.Type != 1 {
		t.Errorf("limited: %v %+v", r.Value, r.Exception)
	}
	server.Wait(t, 10*time.Second, "the limit to end", func() error {
		if r := c.Do(call("UnaryCall", motan.Proto(sized(1)), "proto")); r.Exception != nil {
			return r.Exception
		}
		return nil
	})
	s.Pause()
	slow := call("UnaryCall", motan.Proto(sized(1)), "proto")
	slow.Timeout = 100 * time.Millisecond
	const times = 10 // the agent's time and the caller's are over at about the same moment
	for range times {
		if r := c.Do(slow); r.Exception == nil {
			t.Errorf("a server that stands still: %v", r.Value)
		}
	}
	s.Continue()
	server.Wait(t, 10*time.Second, "nothing to be left", func() error {
		_, text, err := a.Get("/metrics")
		if err != nil || !bytes.Contains([]byte(text), []byte(`sluice_calls_open{resource="test"} 0`)) {
			return fmt.Errorf("calls are open: %v", err)
		}
		// motan-go may give a call up before it sends it, because so many before it failed.
		if timed := ended(text, "test", "timeout"); timed < times-2 || timed > times || ended(text, "test", "canceled") != 0 {
			return fmt.Errorf("%d calls timed out, want %d, and none to be canceled", timed, times)
		}
		return nil
	})
}
