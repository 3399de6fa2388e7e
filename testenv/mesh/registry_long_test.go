//go:build long

package mesh

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/sluice-mesh/sluice/agent/discovery"
	"github.com/sluice-mesh/sluice/testenv/fault"
	"github.com/sluice-mesh/sluice/testenv/load/counted"
	loads "github.com/sluice-mesh/sluice/testenv/load/motan"
	"github.com/sluice-mesh/sluice/testenv/motan"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// manyServices is how many services there are, each of them with a resource of its own.
const manyServices = 500

// What the agent may take for them while each of them changes several times a second, on a machine with two processors.
const (
	flapEvery      = 300 * time.Millisecond
	flapCPU        = 1.0      // processors
	flapMemory     = 96 << 20 // bytes more than before
	flapGoroutines = 50       // more than before, beside one for the checks of each endpoint
)

// registrar lists an address for all services in a registry, or strikes it.
type registrar interface {
	set(address string, listed bool) error
}

// A registry with 500 services is flapping, killed, cut off for longer than sessions live, and emptied; no call to any of them fails.
func TestLongRegistryTroubles(t *testing.T) {
	t.Run("zookeeper", func(t *testing.T) {
		z := server.Start(t, server.ZooKeeper{})
		c := z.Connect()
		r := &inZooKeeper{c: c}
		for n := range manyServices {
			if err := r.folders(manyNode(n, "").Service); err != nil {
				t.Fatal(err)
			}
		}
		registryTroubles(t, "zookeeper://", z.Addr, "", z.Process, r)
	})
	t.Run("etcd", func(t *testing.T) {
		e := server.Start(t, server.Etcd{}).Members[0]
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{e.URL}, DialTimeout: 10 * time.Second, Logger: zap.NewNop()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		registryTroubles(t, "etcd://", e.Addr, "/many", e.Process, &inEtcd{c: c, root: "many/services/"})
	})
}

func registryTroubles(t *testing.T, scheme, addr, root string, p *server.Process, r registrar) {
	proxy := fault.Start(t, fault.Options{Target: addr, Seed: 1})
	var servers []*motan.ServerProcess
	var addrs []string
	for range 3 {
		s := motan.Serve(t, motan.Server{More: manyServices})
		servers, addrs = append(servers, s), append(addrs, s.Addr)
	}
	list := func(listed bool, which ...int) {
		t.Helper()
		for _, n := range which {
			if err := r.set(addrs[n], listed); err != nil {
				t.Fatalf("list %s: %v", addrs[n], err)
			}
		}
	}
	list(true, 0, 1)
	a := server.Start(t, server.Agent{Config: manyConfig(scheme + proxy.Addr + root)})
	know := func(where string, want ...string) {
		t.Helper()
		server.Wait(t, 30*time.Second, where, func() error {
			for _, n := range []int{0, manyServices / 2, manyServices - 1} {
				if got := endpointsOf(t, a, fmt.Sprint("s", n)); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
					return fmt.Errorf("service %d has %q", n, got)
				}
			}
			return nil
		})
	}
	know("the services to be found", addrs[0], addrs[1])

	var services []string
	for n := range manyServices {
		services = append(services, manyNode(n, "").Path)
	}
	load := counted.Start(context.Background(), counted.Config{Dial: loads.DialServices(services...), Address: a.Addr("s0"), Clients: 8, Rate: 500,
		Timeout: 5 * time.Second, Servers: addrs})
	defer load.Stop()
	during := func(what string, d time.Duration, trouble func()) {
		t.Helper()
		from, begin, before := a.Usage(), time.Now(), load.Counts()
		trouble()
		time.Sleep(time.Until(begin.Add(d)))
		took, now, c := time.Since(begin), a.Usage(), load.Counts()
		cpu := (now.CPU() - from.CPU()).Seconds() / took.Seconds()
		t.Logf("%-13s %5.1f s: %5d calls, %d failed; agent: %.2f processors, %d MiB, %.0f goroutines", what, took.Seconds(), c.OK-before.OK,
			c.Errors-before.Errors, cpu, now.RSS>>20, metric(t, a, "go_goroutines"))
		if c.Errors > before.Errors {
			t.Errorf("%s: %d calls failed", what, c.Errors-before.Errors)
		}
		if c.OK-before.OK < int64(100*took.Seconds()) {
			t.Errorf("%s: only %d calls in %v", what, c.OK-before.OK, took)
		}
		if cpu > flapCPU {
			t.Errorf("%s: the agent used %.2f processors", what, cpu)
		}
	}
	during("steady", 3*time.Second, func() {})
	base, goroutines := a.Usage().RSS, metric(t, a, "go_goroutines")

	during("flapping", 8*time.Second, func() {
		stop := flap(t, r, addrs[1])
		know("a service to lose an address", addrs[0])
		know("it to come back", addrs[0], addrs[1])
		time.Sleep(5 * time.Second)
		stop()
	})
	during("killed", 4*time.Second, p.Kill)
	during("restarted", 4*time.Second, p.Restart)
	during("cut off", 7*time.Second, func() { // sessions live 4 s
		proxy.Set(fault.Blackhole())
		stop := flap(t, r, addrs[1])
		time.Sleep(6 * time.Second)
		stop()
	})
	proxy.MustHaveFired(t, fault.KindBlackhole)
	during("back", 4*time.Second, proxy.Clear)
	during("emptied", 6*time.Second, func() { list(false, 0, 1) })
	during("filled", 2*time.Second, func() { list(true, 0, 1) })
	during("a new server", 2*time.Second, func() { list(true, 2) })
	know("the new server to be found", addrs...)
	during("quiet", 3*time.Second, func() {})

	if grown := a.Usage().RSS - base; grown > flapMemory {
		t.Errorf("resident memory grew by %d MiB", grown>>20)
	}
	server.Wait(t, 10*time.Second, "goroutines to end", func() error {
		if n := metric(t, a, "go_goroutines"); n > goroutines+manyServices+flapGoroutines {
			return fmt.Errorf("there are %.0f, and were %.0f", n, goroutines)
		}
		return nil
	})
	load.Stop().Check(t, 200)
	for i := range servers {
		if load.CountedBy(addrs[i]) == 0 {
			t.Errorf("server %d was not called", i)
		}
	}
}

// flap strikes an address and lists it again, over and over, until it is stopped; then it is listed.
func flap(t *testing.T, r registrar, address string) (stop func()) {
	t.Helper()
	end := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		tick := time.NewTicker(flapEvery)
		defer tick.Stop()
		for listed := false; ; listed = !listed {
			if err := r.set(address, listed); err != nil {
				t.Errorf("flapping: %v", err)
				return
			}
			select {
			case <-tick.C:
			case <-end:
				if !listed {
					if err := r.set(address, true); err != nil {
						t.Errorf("flapping: %v", err)
					}
				}
				return
			}
		}
	})
	return func() {
		close(end)
		work.Wait()
	}
}

// manyConfig is an agent with a resource for each service, all at one address.
func manyConfig(registry string) string {
	var b strings.Builder
	b.WriteString("agent: { admin: {{addr \"admin\"}}, idc: yf, application: mesh-test, data: data, drain: { wait: 0s } }\nresources:\n")
	for n := range manyServices {
		fmt.Fprintf(&b, `  s%d: { kind: motan2, listen: {{addr "forward"}}, settings: { service: %s, idempotent: [echo] }, groups: { %s: { registry: %q } } }%s`,
			n, manyNode(n, "").Path, motan.Group, registry, "\n")
	}
	return b.String()
}

// manyNode is a service's node at an address.
func manyNode(n int, address string) discovery.Node {
	return discovery.Node{Service: discovery.Service{Group: motan.Group, Path: fmt.Sprint(motan.Service, n), Version: motan.Version, Protocol: motan.Motan2},
		Address: address, Weight: 100, Available: true}
}

// endpointsOf returns the addresses of a resource, sorted.
func endpointsOf(t *testing.T, a *server.AgentProcess, resource string) (all []string) {
	t.Helper()
	code, text, err := a.Call("GET", "/v1/resources/"+resource+"/endpoints", "")
	if err != nil || code != 200 {
		t.Fatalf("endpoints of %s: %d %s %v", resource, code, text, err)
	}
	for part := range strings.SplitSeq(text, `"address":"`) {
		if addr, _, ok := strings.Cut(part, `"`); ok && strings.HasPrefix(addr, "127.") {
			all = append(all, addr)
		}
	}
	slices.Sort(all)
	return all
}

// metric returns the value of a metric without labels.
func metric(t *testing.T, a *server.AgentProcess, name string) float64 {
	t.Helper()
	_, text, err := a.Get("/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return v
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}

// inZooKeeper is a registrar whose nodes outlive its session, and the server.
type inZooKeeper struct{ c *zk.Conn }

// folders makes what a service's nodes are in.
func (r *inZooKeeper) folders(s discovery.Service) error {
	path := ""
	for _, name := range []string{"motan", s.Group, s.Path, "server"} {
		path += "/" + name
		if _, err := r.c.Create(path, nil, 0, zk.WorldACL(zk.PermAll)); err != nil && !errors.Is(err, zk.ErrNodeExists) {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

func (r *inZooKeeper) set(address string, listed bool) error {
	var ops []any
	for n := range manyServices {
		node := manyNode(n, address)
		path := "/motan/" + node.Group + "/" + node.Path + "/server/" + address
		if !listed {
			ops = append(ops, &zk.DeleteRequest{Path: path, Version: -1})
			continue
		}
		text, err := node.URL()
		if err != nil {
			return err
		}
		ops = append(ops, &zk.CreateRequest{Path: path, Data: []byte(text), Acl: zk.WorldACL(zk.PermAll)})
	}
	_, err := r.c.Multi(ops...)
	return err
}

// inEtcd is a registrar whose nodes have no lease.
type inEtcd struct {
	c    *clientv3.Client
	root string
}

func (r *inEtcd) set(address string, listed bool) error {
	const most = 100 // operations of a transaction; etcd takes 128
	var ops []clientv3.Op
	for n := range manyServices {
		node := manyNode(n, address)
		key := r.root + node.Group + "/" + node.Path + "/" + address
		if listed {
			ops = append(ops, clientv3.OpPut(key, `{"protocol":"motan2","version":"`+node.Version+`"}`))
		} else {
			ops = append(ops, clientv3.OpDelete(key))
		}
	}
	for part := range slices.Chunk(ops, most) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		_, err := r.c.Txn(ctx).Then(part...).Commit()
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}
