package grpc

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// config is that of an agent whose application calls one service.
const config = `
agent: { admin: {{addr "admin"}}, application: grpc-test, drain: { wait: 0s, timeout: 10s } }
resources:
  peers:
    kind: grpc
    listen: '{{addr "grpc"}}'
    settings: { services: [grpc.testing.TestService] }
    groups: { g: { endpoints: [{{.servers}}] } }
    policy: { probe: { every: 200ms }, eject: { consecutive: 3 } }
`

func agent(t *testing.T, servers ...string) *server.AgentProcess {
	t.Helper()
	return server.Start(t, server.Agent{Config: config, Vars: map[string]string{"servers": `"` + strings.Join(servers, `", "`) + `"`}})
}

// dial makes a client that calls the first of some addresses that takes it.
func dial(t *testing.T, addrs ...string) pb.TestServiceClient {
	t.Helper()
	r := manual.NewBuilderWithScheme("test")
	var state resolver.State
	for _, a := range addrs {
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: a}}})
	}
	r.InitialState(state)
	cc, err := grpc.NewClient("test:///", grpc.WithResolvers(r), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return pb.NewTestServiceClient(cc)
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// What gRPC's implementations ask of each other holds with an agent in between, in clear and in TLS on either side.
func TestInterop(t *testing.T) {
	s := Serve(t, Server{})
	a := agent(t, s.Addr)
	if passed := CallAll(t, a.Addr("peers"), ""); len(passed) != Cases {
		t.Errorf("in clear: %q", passed)
	}
	certs := server.NewCerts(t)
	secure := Serve(t, Server{Certs: certs})
	b := server.Start(t, server.Agent{
		Config: strings.Replace(config, "    groups:", "    tls: { cert: '{{.cert}}', key: '{{.key}}' }\n    upstream-tls: { ca: '{{.ca}}' }\n    groups:", 1),
		Vars:   map[string]string{"servers": `"` + secure.Addr + `"`, "cert": certs.ServerCert, "key": certs.ServerKey, "ca": certs.CA},
	})
	if passed := CallAll(t, b.Addr("peers"), certs.CA); len(passed) != Cases {
		t.Errorf("in TLS: %q", passed)
	}
}

// Many clients that ask for much at once get answers to all of it, and leave nothing behind.
func TestManyClients(t *testing.T) {
	one, two := Serve(t, Server{}), Serve(t, Server{})
	a := agent(t, one.Addr, two.Addr)
	const calls = 5000
	out, err := exec.Command("h2load", "-n", fmt.Sprint(calls), "-c", "10", "-m", "40", "-H", "content-type: application/grpc", "-H", "te: trailers",
		"-d", message(t), "http://"+a.Addr("peers")+"/grpc.testing.TestService/EmptyCall").CombinedOutput()
	if err != nil || !strings.Contains(string(out), fmt.Sprintf("%d succeeded, 0 failed, 0 errored, 0 timeout", calls)) {
		t.Fatalf("h2load: %v\n%s", err, out)
	}
	server.Wait(t, 10*time.Second, "all to end", func() error {
		_, text, err := a.Get("/metrics")
		if err != nil {
			return err
		}
		counted := map[string]int{} // by outcome
		for line := range strings.Lines(text) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
			if n, err := strconv.Atoi(value); err == nil && strings.HasPrefix(name, "sluice_calls_total{") {
				if !strings.Contains(name, `op="/grpc.testing.TestService/EmptyCall"`) { // from the first call of the method on
					return fmt.Errorf("%s", line)
				}
				_, outcome, _ := strings.Cut(name, "outcome=")
				counted[outcome] += n
			}
		}
		if len(counted) != 1 || counted[`"ok"`] != calls {
			return fmt.Errorf("%v were counted", counted)
		}
		for _, name := range []string{"sluice_calls_open", "sluice_sessions", "sluice_reply_mismatch_total"} {
			if !strings.Contains(text, name+`{resource="peers"} 0`) {
				return fmt.Errorf("%s is not 0", name)
			}
		}
		return nil
	})
}

// message is a file with an empty message.
func message(t *testing.T) string {
	t.Helper()
	path := t.TempDir() + "/message"
	if err := exec.Command("sh", "-c", `printf '\000\000\000\000\000' > "$0"`, path).Run(); err != nil {
		t.Fatal(err)
	}
	return path
}

// load makes calls until it is stopped, and returns how many went well; every other one is an error of the test.
func load(t *testing.T, clients ...pb.TestServiceClient) (calls *atomic.Int64, stop func()) {
	t.Helper()
	calls = new(atomic.Int64)
	end := make(chan struct{})
	var all sync.WaitGroup
	for i := range 8 {
		c := clients[i%len(clients)]
		all.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				out, err := c.UnaryCall(ctx, &pb.SimpleRequest{ResponseSize: 1000, Payload: &pb.Payload{Body: make([]byte, 1000)}})
				cancel()
				if err != nil || len(out.GetPayload().GetBody()) != 1000 {
					t.Errorf("a call after %d others: %v", calls.Load(), err)
					return
				}
				calls.Add(1)
			}
		})
	}
	return calls, func() { close(end); all.Wait() }
}

// more waits for a number of further calls.
func more(t *testing.T, calls *atomic.Int64, n int64) {
	t.Helper()
	from := calls.Load()
	server.Wait(t, 20*time.Second, "more calls", func() error {
		if now := calls.Load(); now < from+n {
			return fmt.Errorf("%d of %d", now-from, n)
		}
		return nil
	})
}

// Neither an agent nor a server that ends in order costs a call, though both are in the middle of many.
func TestNoCallIsLost(t *testing.T) {
	one, two := Serve(t, Server{}), Serve(t, Server{})
	first, second := agent(t, one.Addr, two.Addr), agent(t, one.Addr, two.Addr)
	addrs := []string{first.Addr("peers"), second.Addr("peers")}
	calls, stop := load(t, dial(t, addrs...), dial(t, addrs...), dial(t, addrs...))
	more(t, calls, 300)
	one.Stop()
	more(t, calls, 300)
	first.Stop()
	more(t, calls, 300)
	stop()
}

// A server that stands still costs each call its own time and no more, and is called again when it goes on.
func TestStalledServer(t *testing.T) {
	s := Serve(t, Server{})
	a := agent(t, s.Addr)
	c := dial(t, a.Addr("peers"))
	call := func(d time.Duration) error {
		ctx, cancel := context.WithTimeout(context.Background(), d)
		defer cancel()
		_, err := c.UnaryCall(ctx, &pb.SimpleRequest{})
		return err
	}
	if err := call(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	s.Pause()
	for range 3 {
		began := time.Now()
		if err := call(300 * time.Millisecond); status.Code(err) != codes.DeadlineExceeded && status.Code(err) != codes.Unavailable {
			t.Errorf("while it stands still: %v", err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("a call with 300 ms took %v", took)
		}
	}
	s.Continue()
	server.Wait(t, 20*time.Second, "calls to go well again", func() error { return call(time.Second) })
}

// A server that says that it is not well gets no calls until it is.
func TestHealth(t *testing.T) {
	one, two := Serve(t, Server{}), Serve(t, Server{})
	a := agent(t, one.Addr, two.Addr)
	up := func(want int) {
		t.Helper()
		server.Wait(t, 20*time.Second, fmt.Sprint(want, " servers to be up"), func() error {
			_, text, err := a.Get("/metrics")
			got := 0
			for line := range strings.Lines(text) {
				if strings.HasPrefix(line, "sluice_endpoint_up{") && strings.HasSuffix(line, " 1\n") {
					got++
				}
			}
			if err != nil || got != want {
				return fmt.Errorf("%d are, %v", got, err)
			}
			return nil
		})
	}
	up(2)
	one.Signal(syscall.SIGUSR1)
	up(1)
	calls, stop := load(t, dial(t, a.Addr("peers")))
	more(t, calls, 50)
	one.Signal(syscall.SIGUSR2)
	up(2)
	stop()
}

// What operators order holds for calls of gRPC as for all others.
func TestCommands(t *testing.T) {
	s := Serve(t, Server{})
	a := agent(t, s.Addr)
	c := dial(t, a.Addr("peers"))
	const op = "/grpc.testing.TestService/UnaryCall"
	if _, err := c.UnaryCall(within(t), &pb.SimpleRequest{}); err != nil { // methods are known by their first call
		t.Fatal(err)
	}
	for _, one := range []struct {
		order string
		code  codes.Code
		text  string
	}{
		{`{"type":"limit","resource":"peers","rate":"0/s","match":{"op":"` + op + `"}}`, codes.ResourceExhausted, "sluice: peers: "},
		{`{"type":"degrade","resource":"peers"}`, codes.Unavailable, "sluice: peers: "},
		{`{"type":"fault","resource":"peers","error":"broken on purpose","percent":"100%"}`, codes.Unavailable, "broken on purpose"},
		{`{"type":"mock","resource":"peers","reply":"base64:CgUSA2hleQ=="}`, codes.OK, "hey"},
	} {
		status1, answer, err := a.Call("POST", "/v1/commands", one.order)
		var made struct{ ID string }
		if err != nil || status1 != http.StatusCreated || json.Unmarshal([]byte(answer), &made) != nil {
			t.Errorf("%s: %d %s %v", one.order, status1, answer, err)
			continue
		}
		out, err := c.UnaryCall(within(t), &pb.SimpleRequest{})
		if st := status.Convert(err); st.Code() != one.code || !strings.Contains(st.Message()+string(out.GetPayload().GetBody()), one.text) {
			t.Errorf("%s: %v, %v", one.order, out, err)
		}
		if code, text, err := a.Call("DELETE", "/v1/commands/"+made.ID, ""); err != nil || code/100 != 2 {
			t.Fatalf("undo: %d %s %v", code, text, err)
		}
	}
	if _, err := c.UnaryCall(within(t), &pb.SimpleRequest{}); err != nil {
		t.Errorf("without commands: %v", err)
	}
}

// Calls move to another group and away from a server, as an operator says, without one that fails: what they left can be killed.
func TestSwitchAndDrain(t *testing.T) {
	one, two, other := Serve(t, Server{}), Serve(t, Server{}), Serve(t, Server{})
	a := server.Start(t, server.Agent{Vars: map[string]string{"one": one.Addr, "two": two.Addr, "other": other.Addr}, Config: `
agent: { admin: {{addr "admin"}}, drain: { wait: 0s } }
resources:
  peers:
    kind: grpc
    listen: '{{addr "grpc"}}'
    settings: { services: [grpc.testing.TestService] }
    groups: { g: { endpoints: ["{{.one}}", "{{.two}}"] }, h: { weight: 0, endpoints: ["{{.other}}"] } }
`})
	order := func(body string) (undo func()) {
		t.Helper()
		code, answer, err := a.Call("POST", "/v1/commands", body)
		var made struct{ ID string }
		if err != nil || code != http.StatusCreated || json.Unmarshal([]byte(answer), &made) != nil {
			t.Fatalf("%s: %d %s %v", body, code, answer, err)
		}
		return func() {
			if code, text, err := a.Call("DELETE", "/v1/commands/"+made.ID, ""); err != nil || code/100 != 2 {
				t.Fatalf("undo: %d %s %v", code, text, err)
			}
		}
	}
	calls, stop := load(t, dial(t, a.Addr("peers")))
	defer stop()
	more(t, calls, 500)
	back := order(`{"type":"switch","resource":"peers","weights":{"h":100}}`)
	more(t, calls, 500)
	one.Kill()
	two.Kill()
	more(t, calls, 500)
	one.Restart()
	two.Restart()
	server.Wait(t, 10*time.Second, "both servers to be up", func() error {
		_, text, err := a.Call("GET", "/v1/resources/peers/endpoints", "")
		if err == nil && strings.Count(text, `"state":"up"`) != 3 {
			err = fmt.Errorf("%s", text)
		}
		return err
	})
	back()
	more(t, calls, 500)
	other.Kill()
	drained := order(`{"type":"drain","resource":"peers","endpoint":"` + one.Addr + `"}`)
	more(t, calls, 500)
	one.Kill()
	more(t, calls, 500)
	one.Restart()
	drained()
	more(t, calls, 500)
}

// Services share an address and are told apart by their names, or by the name that is called.
func TestSharedAddress(t *testing.T) {
	s := Serve(t, Server{})
	a := server.Start(t, server.Agent{Vars: map[string]string{"server": s.Addr}, Config: `
agent: { admin: {{addr "admin"}}, drain: { wait: 0s } }
resources:
  tests: { kind: grpc, listen: '{{addr "grpc"}}', settings: { services: [grpc.testing.TestService] }, groups: { g: { endpoints: ["{{.server}}"] } } }
  elsewhere: { kind: grpc, listen: '{{addr "grpc"}}', settings: { authorities: [elsewhere] }, groups: { g: { endpoints: ["127.0.0.1:1"] } } }
`})
	addr := a.Addr("tests")
	if _, err := dial(t, addr).EmptyCall(within(t), &pb.Empty{}); err != nil {
		t.Errorf("by its service: %v", err)
	}
	cc, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("elsewhere"))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	if _, err := pb.NewTestServiceClient(cc).EmptyCall(within(t), &pb.Empty{}); !strings.HasPrefix(status.Convert(err).Message(), "sluice: elsewhere: ") {
		t.Errorf("by its authority: %v", err)
	}
	other, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := pb.NewUnimplementedServiceClient(other).UnimplementedCall(within(t), &pb.Empty{}); status.Code(err) != codes.Unimplemented ||
		!strings.Contains(status.Convert(err).Message(), "no resource here serves grpc.testing.UnimplementedService") {
		t.Errorf("nobody's: %v", err)
	}
	if code, text, err := a.Call("PUT", "/v1/resources/third", fmt.Sprintf(
		`{"kind":"grpc","listen":%q,"settings":{"authorities":["elsewhere","more"]},"groups":{"g":{"endpoints":[%q]}}}`, addr, s.Addr)); err != nil ||
		code/100 != 4 || !strings.Contains(text, "both take calls of any service at elsewhere") {
		t.Errorf("one that callers could not tell apart: %d %s %v", code, text, err)
	}
}

// A method that a rule denies stays denied: also the first time that it is called, and when a client has invented so many methods
// that there is no room for it in the table of operations.
func TestDeniedFromTheFirstCallOn(t *testing.T) {
	s := Serve(t, Server{})
	a := server.Start(t, server.Agent{
		Config: strings.Replace(config, "eject: {", `acl: { deny: [{ op: "/grpc.testing.TestService/*Call" }] }, eject: {`, 1),
		Vars:   map[string]string{"servers": `"` + s.Addr + `"`},
	})
	cc, err := grpc.NewClient("passthrough:///"+a.Addr("peers"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	call := func(method string, want codes.Code) {
		t.Helper()
		if err := cc.Invoke(within(t), "/grpc.testing.TestService/"+method, &pb.Empty{}, &pb.Empty{}); status.Code(err) != want {
			t.Fatalf("%s: %v, want %v", method, err, want)
		}
	}
	call("UnaryCall", codes.PermissionDenied)
	for i := range 600 {
		call(fmt.Sprint("Invented", i), codes.Unimplemented)
	}
	call("CacheableUnaryCall", codes.PermissionDenied)
	call("InventedCall", codes.PermissionDenied)
	call("EmptyCall", codes.PermissionDenied)
}
