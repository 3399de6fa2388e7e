package mesh

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-mesh/sluice/testenv/motan"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// What motan-go's agent 1.2.0 does wrong, and the tests that say that this agent does not:
//
//	a retry writes into a message that a stalled connection still sends   resources/motan TestStalledServer, TestStalledPeers
//	a timeout gives buffers back that are in use                          resources/motan TestStalledServer, TestTimes
//	an unregistered service stays, and registers anew to no effect        TestRegistrationsHold
//	after a crash it serves what was taken out of service                 TestRegistrationsHold
//	a malformed request of Motan1 gets no answer                          resources/motan TestMotan1, protocols/motan1 TestParseMalformed, FuzzBody
//	with all workers busy, requests are dropped without an answer         resources/motan TestManyAtOnce, TestWhatServersSay (10002)
//	a server that did not have the service is never called again          TestServerThatGetsTheService
//	the breaker makes another exception of a business exception           TestBusinessExceptionsPassTheBreaker
//	a timer that was used before ends a later call at once                TestTimeoutsEndThemselvesAlone
//	a call waits for others' connecting, beyond its time                  TestCallsDoNotQueueForAConnection
//	errors of accept are a busy loop                                      agent/listen TestAcceptErrorsDoNotSpin, TestOutOfFilesShedsAndRecovers
//	memory by a declared length, unbounded inflating                      protocols/motan2 TestBadFrames, FuzzScan; bodies are never inflated
//	ZooKeeper: lost and doubled watches, lost registrations               agent/discovery/zookeeper TestNothingIsMissedBetweenConnections,
//	                                                                      TestWatchesAreNotDoubled, TestFaults
//	a request of another group is served                                  TestServicesShareAnAddress, resources/motan TestRefused
//	changed weights of a known node are ignored                           agent/discovery/zookeeper TestSource
//	the management API says that all is well when it is not               TestRefusedRegistrations
//	data races                                                            all of them, with the race detector
//	what belongs to endpoints that are gone is never freed                agent/cluster TestRemovedEndpointsLeaveNoSeries
//	CONNECT is an open relay, and dials for as long as it likes           TestConnectIsNoWayOut

func TestRegistrationsHold(t *testing.T) {
	t.Parallel()
	p, s := startPlane(t), motan.Serve(t, motan.Server{})
	registeredAnew(t, p, s)
	crashDoesNotMakeAvailable(t, p, s)
}

// A service that was taken back is not announced, and can be registered once more.
func registeredAnew(t *testing.T, p *plane, s *motan.ServerProcess) {
	t.Helper()
	own := p.javaURL(portOf(s.Addr), "")
	outside := motan.Dial(t, motan.Client{Registry: motan.ZooKeeper(p.zk)})
	for range 3 {
		p.must("/registry/register", own)
		p.exported(true)
		reaches(t, outside)
		awaitNames(t, outside, s.Name)
		p.must("/registry/unregister", own)
		if r := registriesOf(t, p.AgentProcess); len(r) > 0 {
			t.Fatalf("nothing is registered, and the agent uses %+v", r)
		}
		if list := registryList(t, p); len(list) > 0 {
			t.Fatalf("%v stays registered", list)
		}
	}
}

// The agent is killed while a service that was registered with it is away, and does not say after its restart that it is there.
func crashDoesNotMakeAvailable(t *testing.T, p *plane, s *motan.ServerProcess) {
	t.Helper()
	p.must("/registry/register", p.javaURL(portOf(s.Addr), ""))
	p.exported(true)
	s.Kill()
	p.exported(false)
	p.Kill()
	p.Restart()
	p.exported(false)
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		for _, one := range registryOf(t, p.AgentProcess).Announced {
			if one.Available {
				t.Fatalf("it says that %s is available", one.Service)
			}
		}
	}
	s.Restart()
	p.exported(true)
}

// A server says many times that it does not have the service, and then it has.
func TestServerThatGetsTheService(t *testing.T) {
	addr := server.FreeAddr(t)
	before := motan.Serve(t, motan.Server{Address: addr, Service: "another.Service"})
	a := forward(t, addr)
	c := motan.Dial(t, motan.Client{Peer: motan.PHP, Registry: motan.Direct(a.Addr("peers"))})
	for range 40 {
		if r := c.Do(motan.Name()); r.Exception == nil {
			t.Fatalf("a server without the service answers %v", r.Value)
		}
	}
	before.Kill()
	after := motan.Serve(t, motan.Server{Address: addr})
	server.Wait(t, 20*time.Second, "the server to be called again", func() error {
		if r := c.Do(motan.Name()); r.Value != after.Name {
			return fmt.Errorf("%v, %v", r.Value, r.Exception)
		}
		return nil
	})
}

// guarded is an agent whose breaker opens soon, and whose timeout is short.
const guarded = `
agent: { admin: {{addr "admin"}}, application: mesh-test, drain: { wait: 0s } }
resources:
  peers:
    kind: motan2
    listen: {{addr "forward"}}
    settings: { service: sluice.testenv.PeerService, idempotent: ["*"], max-timeout: 1000% }
    groups: { testenv: { endpoints: [{{.servers}}] } }
    policy: { timeout: 1s, connect-timeout: 1s, breaker: { errors: 20%, min-calls: 5, open: 30s, mode: enforce } }
`

// Business exceptions reach the caller as they are, are not tried again, and open no breaker.
func TestBusinessExceptionsPassTheBreaker(t *testing.T) {
	s, other := motan.Serve(t, motan.Server{}), motan.Serve(t, motan.Server{})
	a := server.Start(t, server.Agent{Config: guarded, Vars: map[string]string{"servers": `"` + s.Addr + `", "` + other.Addr + `"`}})
	for _, peer := range []motan.Peer{motan.Go, motan.PHP} {
		c := motan.Dial(t, motan.Client{Peer: peer, Registry: motan.Direct(a.Addr("peers"))})
		for n := range 40 {
			r := c.Do(motan.Fail(fmt.Sprint("as asked ", n)))
			if r.Exception == nil || r.Exception.Type != motan.BusinessException || r.Exception.Code != 30001 || !strings.Contains(r.Exception.Message, fmt.Sprint("as asked ", n)) {
				t.Fatalf("%s: call %d: %v, %v", peer, n, r.Value, r.Exception)
			}
		}
		if name := c.Must(motan.Name()); name != s.Name && name != other.Name {
			t.Errorf("%s: %v answers", peer, name)
		}
	}
	if _, text, err := a.Get("/metrics"); err != nil || strings.Contains(text, `sluice_retries_total{resource="peers"`) && !strings.Contains(text, "} 0") {
		t.Errorf("they were tried again: %v", err)
	}
}

// Calls that time out leave those that come later their time.
func TestTimeoutsEndThemselvesAlone(t *testing.T) {
	s := motan.Serve(t, motan.Server{})
	a := forward(t, s.Addr)
	c := motan.Dial(t, motan.Client{Registry: motan.Direct(a.Addr("peers")), Parameters: map[string]string{"errorCountThreshold": "1000000"}})
	for round := range 5 {
		var late, soon []motan.Call
		for range 30 {
			one := motan.Sleep(400 * time.Millisecond)
			one.Attachments = map[string]string{"M_tmo": "50"}
			late, soon = append(late, one), append(soon, motan.Sleep(60*time.Millisecond))
		}
		for _, r := range c.Multi(late...) {
			if r.Exception == nil || r.Exception.Code != 10003 {
				t.Fatalf("round %d: a call that takes too long: %v, %v", round, r.Value, r.Exception)
			}
		}
		for _, r := range c.Multi(soon...) {
			if r.Exception != nil {
				t.Fatalf("round %d: a call in time: %v", round, r.Exception)
			}
		}
	}
}

// A server whose machine answers nothing, not even an attempt to connect: each of many calls ends in its own time.
func TestCallsDoNotQueueForAConnection(t *testing.T) {
	a := server.Start(t, server.Agent{Config: guarded, NoWait: true, Vars: map[string]string{"servers": `"` + swallowing(t) + `"`}})
	a.AwaitReady()
	c := motan.Dial(t, motan.Client{Registry: motan.Direct(a.Addr("peers")), Parameters: map[string]string{"errorCountThreshold": "1000000"}})
	var all sync.WaitGroup
	began := time.Now()
	for range 20 {
		all.Go(func() {
			for range 5 {
				if r, err := c.Try(motan.Name()); err != nil || r[0].Exception == nil {
					t.Errorf("a call to nobody: %v, %v", r, err)
				}
			}
		})
	}
	all.Wait()
	const most = 5 * time.Second // five times the timeout, one after the other
	if took := time.Since(began); took > most+3*time.Second {
		t.Errorf("5 calls one after the other took %v, of 1s each", took)
	}
}

// swallowing returns an address that drops all that is sent to it.
func swallowing(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil { // packets that find it full are dropped
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
	for range 100 {
		nc, err := net.DialTimeout("tcp", addr, 200*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { nc.Close() })
	}
	t.Fatal("connections are not dropped")
	return ""
}
