package mesh

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/grpc"
	"github.com/sluice-mesh/sluice/testenv/load/counted"
	load "github.com/sluice-mesh/sluice/testenv/load/grpc"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// nearCalls is an agent in yf that prefers the two servers that are there, though nearly all the weight is elsewhere.
const nearCalls = `
agent: { admin: {{addr "admin"}}, idc: yf, application: mesh-test, drain: { wait: 0s } }
resources:
  calls:
    kind: grpc
    listen: {{addr "calls"}}
    settings: { services: [sluice.testenv.Counter] }
    groups: { yf: { weight: 1, endpoints: ["{{.one}}", "{{.two}}"] }, tc: { weight: 99, endpoints: ["{{.far}}"] } }
    policy: { timeout: 5s, reads: nearest, probe: { every: 200ms }, eject: { base: 200ms, max: 1s } }
`

// Calls of gRPC, which must not be repeated, stay with the servers of their own data centre. When all of these end, at once and by force or
// in order and under load, calls go to the other one, and none fails or is made twice; and they come back.
func TestOwnDataCentreFirstForGRPC(t *testing.T) {
	t.Parallel()
	one, two, far := grpc.Serve(t, grpc.Server{}), grpc.Serve(t, grpc.Server{}), grpc.Serve(t, grpc.Server{})
	a := server.Start(t, server.Agent{Config: nearCalls, Vars: map[string]string{"one": one.Addr, "two": two.Addr, "far": far.Addr}})
	dial := func(addr string) counted.Caller {
		c, err := load.Dial(t.Context(), addr, 10*time.Second, t.Errorf)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	client := dial(a.Addr("calls"))
	peers := []*grpc.ServerProcess{one, two, far}
	var at [3]counted.Caller // the servers themselves
	for i, p := range peers {
		at[i] = dial(p.Addr)
	}
	var ids atomic.Int64
	call := func() string {
		id := fmt.Sprint("call-", ids.Add(1))
		if n, err := client.Count(id); n != 1 || err != nil {
			t.Errorf("%s: %d, %v", id, n, err)
		}
		return id
	}
	// where makes calls one after another and returns how many each server got.
	where := func(calls int) (got [3]int64) {
		var made []string
		for range calls {
			made = append(made, call())
		}
		for i, p := range peers {
			if !p.Running() {
				continue
			}
			for _, id := range made {
				n, err := at[i].Counted(id)
				if err != nil {
					t.Fatalf("ask server %d: %v", i, err)
				}
				got[i] += n
			}
		}
		if got[0]+got[1]+got[2] != int64(calls) {
			t.Errorf("the servers counted %v of %d calls", got, calls)
		}
		return got
	}
	local := func() {
		t.Helper()
		server.Wait(t, 20*time.Second, "the servers of the own data centre to have the calls", func() error {
			if got := where(8); got[2] != 0 {
				return fmt.Errorf("the servers got %v", got)
			}
			return nil
		})
		if got := where(200); got[2] != 0 { // the faster one may have them all
			t.Errorf("the servers got %v", got)
		}
	}
	away := func() {
		t.Helper()
		if got := where(60); got[2] != 60 {
			t.Errorf("the servers got %v", got)
		}
	}
	restart := func() {
		one.Restart()
		two.Restart()
		for i, p := range peers[:2] {
			at[i] = dial(p.Addr)
		}
	}
	local()
	one.Kill()
	two.Kill()
	away() // from the first call on
	restart()
	local()

	stop := make(chan struct{})
	var made atomic.Int64
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					call()
					made.Add(1)
				}
			}
		})
	}
	grow := func() {
		t.Helper()
		from := made.Load()
		server.Wait(t, 20*time.Second, "calls", func() error {
			if n := made.Load() - from; n < 200 {
				return fmt.Errorf("%d", n)
			}
			return nil
		})
	}
	grow()
	one.Signal(syscall.SIGTERM)
	two.Signal(syscall.SIGTERM)
	<-one.Done()
	<-two.Done()
	grow()
	close(stop)
	running.Wait()
	away()
	restart()
	local()
}
