package zookeeper

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/sluice-mesh/sluice/agent/discovery"
	"github.com/sluice-mesh/sluice/agent/discovery/discoverytest"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// raw is another client of ZooKeeper.
type raw struct {
	*zk.Conn
	t *testing.T
}

func newRaw(t *testing.T, addr string) *raw {
	t.Helper()
	c, events, err := zk.Connect([]string{addr}, 10*time.Second, zk.WithLogger(quiet{discard}), zk.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		for range events {
		}
	})
	discoverytest.Eventually(t, "a session", func() error { // the server answers that it is well before it serves
		_, _, err := c.Exists("/")
		return err
	})
	return &raw{c, t}
}

// make makes an entry, ephemeral as both Motans do.
func (r *raw) make(path, data string) {
	r.t.Helper()
	err := mkdirs(r.Conn, above(path))
	if err == nil {
		_, err = r.Create(path, []byte(data), zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
	}
	if err != nil {
		r.t.Fatalf("make %s: %v", path, err)
	}
}

func (r *raw) remove(path string) {
	r.t.Helper()
	if err := r.Delete(path, -1); err != nil {
		r.t.Fatalf("remove %s: %v", path, err)
	}
}

// expect waits until an entry holds the data and is ephemeral or not; "" waits until it is gone.
func (r *raw) expect(path, data string, ephemeral bool) {
	r.t.Helper()
	discoverytest.Eventually(r.t, path+" to be right", func() error {
		got, stat, err := r.Get(path)
		switch {
		case err == zk.ErrNoNode && data == "":
			return nil
		case err != nil:
			return err
		case string(got) != data || (stat.EphemeralOwner != 0) != ephemeral:
			return fmt.Errorf("it is %q, owner %#x", got, stat.EphemeralOwner)
		}
		acl, _, err := r.GetACL(path)
		if err == nil && (len(acl) != 1 || acl[0] != zk.WorldACL(zk.PermAll)[0]) {
			err = fmt.Errorf("its ACL is %v", acl)
		}
		return err
	})
}

// What we write is byte for byte what the peers expect.
func TestLayout(t *testing.T) {
	t.Parallel()
	z := server.Start(t, server.ZooKeeper{})
	r := newRaw(t, z.Addr)
	s, err := Open(Options{Servers: []string{z.Addr}, Subscriber: "10.0.0.9:9981", Application: "app"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	service := discovery.Service{Group: "feed-yf", Path: "com.example.Feed"}
	n := discoverytest.Node(service, "10.0.0.1:8002")
	n.Available, n.Weight, n.Params = false, 150, map[string]string{"filter": "a,b", "serialization": "breeze"}
	const (
		up   = "/motan/feed-yf/com.example.Feed/server/10.0.0.1:8002"
		down = "/motan/feed-yf/com.example.Feed/unavailableServer/10.0.0.1:8002"
		url  = "motan2://10.0.0.1:8002/com.example.Feed?group=feed-yf&META_WEIGHT=15&filter=a,b&nodeType=service&serialization=breeze&version=1.0"
	)
	reg, err := s.Register(n)
	if err != nil {
		t.Fatal(err)
	}
	r.expect(down, url, true)
	r.expect(up, "", true)
	n.Available = true
	if err := reg.Update(n); err != nil {
		t.Fatal(err)
	}
	r.expect(up, url, true)
	r.expect(down, "", true)

	service.Version, service.Protocol = "1.0", "motan2"
	w := discoverytest.Watch(t, s, service)
	const subscriber = "/motan/feed-yf/com.example.Feed/client/10.0.0.9:9981"
	r.expect(subscriber, "motan2://10.0.0.9:9981/com.example.Feed?group=feed-yf&application=app&nodeType=referer&version=1.0", true)
	again := discoverytest.Watch(t, s, service)
	again.UntilNodes(n)
	if err := w.Stop(); err != nil {
		t.Fatal(err)
	}
	r.expect(subscriber, "motan2://10.0.0.9:9981/com.example.Feed?group=feed-yf&application=app&nodeType=referer&version=1.0", true)
	if err := again.Stop(); err != nil {
		t.Fatal(err)
	}
	r.expect(subscriber, "", true)

	for path, scope := range map[string]discovery.Scope{
		"/motan/feed-yf/command": {Group: "feed-yf"}, "/motan/agent/app/command": {Application: "app"},
	} {
		if err := s.PutCommands(t.Context(), scope, nil); err != nil {
			t.Fatal(err)
		}
		r.expect(path, `{"clientCommandList":[]}`, false)
	}
	if err := reg.Withdraw(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.expect(up, "", true)
}

func TestRoot(t *testing.T) {
	t.Parallel()
	z := server.Start(t, server.ZooKeeper{})
	s, err := Open(Options{Servers: []string{z.Addr}, Root: "/mesh/yf/"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	n := discoverytest.Node(feed, "10.0.0.1:80")
	if _, err := s.Register(n); err != nil {
		t.Fatal(err)
	}
	newRaw(t, z.Addr).expect("/mesh/yf/motan/feed/svc/server/10.0.0.1:80", "motan2://10.0.0.1:80/svc?group=feed&nodeType=service&version=1.0", true)
	discoverytest.Watch(t, s, feed).UntilNodes(n)
	discoverytest.Watch(t, opened(t, z.Addr), feed).UntilNodes()
	for _, bad := range []Options{
		{}, {Servers: []string{"nowhere"}}, {Servers: []string{"a:1"}, Root: "mesh"}, {Servers: []string{"a:1"}, Root: "/a//b"},
		{Servers: []string{"a:1"}, Session: time.Millisecond}, {Servers: []string{"a:1"}, Subscriber: "me"},
	} {
		if s, err := Open(bad); err == nil {
			t.Errorf("%+v is taken", bad)
			s.Close()
		}
	}
}

// What the peers write is read, in each of their forms.
func TestEntriesOfPeers(t *testing.T) {
	t.Parallel()
	z := server.Start(t, server.ZooKeeper{})
	r := newRaw(t, z.Addr)
	s := opened(t, z.Addr)
	const dir = "/motan/g/svc/"
	serialized := "motan2://10.0.0.3:80/svc?group=g&version=1.0&nodeType=service&"
	r.make(dir+"server/10.0.0.1:80", "motan2://10.0.0.1:80/svc?filter=a%2Cb+c&version=1.0&nodeType=service&group=g&META_WEIGHT=20&")
	r.make(dir+"server/10.0.0.2:80", "motan2://10.0.0.2:80/svc?group=g&filter=a,b&nodeType=service&version=1.0")
	r.make(dir+"server/10.0.0.3:80", fmt.Sprintf("\xac\xed\x00\x05\x74\x00%c%s", len(serialized), serialized))
	r.make(dir+"server/10.0.0.4:80", "")
	r.make(dir+"server/10.0.0.5:80", "\xac\xed\x00\x05garbage")
	r.make(dir+"server/nothing", "nothing")
	r.make(dir+"unavailableServer/10.0.0.6:80", "motan://10.0.0.6:80/svc?group=g&nodeType=service&version=2.0")
	// On its way from one folder to the other a node may be in both.
	r.make(dir+"unavailableServer/10.0.0.2:80", "motan2://10.0.0.2:80/svc?group=g&filter=a,b&nodeType=service&version=1.0")

	service := discovery.Service{Group: "g", Path: "svc"}
	node := func(protocol, address, version string, weight int, available bool, params map[string]string) discovery.Node {
		return discovery.Node{Service: discovery.Service{Group: "g", Path: "svc", Version: version, Protocol: protocol}, Address: address,
			Weight: weight, Available: available, Params: params}
	}
	w := discoverytest.Watch(t, s, service)
	report := w.UntilNodes(
		node("motan2", "10.0.0.1:80", "1.0", 200, true, map[string]string{"filter": "a,b c"}),
		node("motan2", "10.0.0.2:80", "1.0", 100, true, map[string]string{"filter": "a,b"}),
		node("motan2", "10.0.0.3:80", "1.0", 100, true, nil),
		node("", "10.0.0.4:80", "", 100, true, nil),
		node("", "10.0.0.5:80", "", 100, true, nil),
		node("motan", "10.0.0.6:80", "2.0", 100, false, nil),
	)
	if report.Unread != 1 {
		t.Errorf("one entry is none: %s", discoverytest.Text(report))
	}
	// Commands of the older Java registry, and an entry that was made empty as motan-go does.
	scope := discovery.Scope{Group: "g"}
	if _, err := r.Create("/motan/g/command", nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, 10)
	done := make(chan error, 1)
	ctx, cancel := contextWithTimeout(t)
	defer cancel()
	go func() {
		done <- s.WatchCommands(ctx, scope, func(json []byte) { seen <- fmt.Sprintf("%t %s", json == nil, json) })
	}()
	expect := func(want string) {
		t.Helper()
		select {
		case got := <-seen:
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		case <-ctx.Done():
			t.Fatalf("%q is not reported", want)
		}
	}
	expect("true ")
	if _, err := r.Set("/motan/g/command", []byte("\xac\xed\x00\x05\x74\x00\x02{}"), -1); err != nil {
		t.Fatal(err)
	}
	expect("false {}")
	r.remove("/motan/g/command")
	expect("true ")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// An entry that somebody deletes is made again, and one whose data somebody changes is put right.
func TestDamagedEntriesAreMended(t *testing.T) {
	t.Parallel()
	z := server.Start(t, server.ZooKeeper{})
	r := newRaw(t, z.Addr)
	s := opened(t, z.Addr)
	n := discoverytest.Node(discovery.Service{Group: "g", Path: "svc"}, "10.0.0.1:80")
	reg, err := s.Register(n)
	if err != nil {
		t.Fatal(err)
	}
	discoverytest.Stands(t, reg)
	path := s.entryOf(n, true)
	data, _, err := r.Get(path)
	if err != nil {
		t.Fatal(err)
	}
	r.remove(path)
	r.expect(path, string(data), true)
	if _, err := r.Set(path, []byte("nonsense"), -1); err != nil {
		t.Fatal(err)
	}
	r.expect(path, string(data), true)
	// A persistent entry under the same name, as somebody makes by hand.
	if err := reg.Withdraw(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Create(path, []byte("by hand"), 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Register(n); err != nil {
		t.Fatal(err)
	}
	r.expect(path, string(data), true)
}

// Who lost an address and withdraws leaves the other's entry alone. The other one would mend it so soon that no list shows it.
func TestWithdrawLeavesOthers(t *testing.T) {
	t.Parallel()
	z := server.Start(t, server.ZooKeeper{})
	r := newRaw(t, z.Addr)
	first, second := opened(t, z.Addr), opened(t, z.Addr)
	n := discoverytest.Node(feed, "10.0.0.1:80")
	lost, err := first.Register(n)
	if err != nil {
		t.Fatal(err)
	}
	discoverytest.Stands(t, lost)
	holds, err := second.Register(n)
	if err != nil {
		t.Fatal(err)
	}
	discoverytest.Stands(t, holds)
	_, before, err := r.Get(first.entryOf(n, true))
	if err != nil {
		t.Fatal(err)
	}
	if err := lost.Withdraw(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, after, err := r.Get(first.entryOf(n, true))
	if err != nil || after.Czxid != before.Czxid {
		t.Errorf("the other's entry was made in %#x and is now of %+v, %v", before.Czxid, after, err)
	}
}

// Each event is told once by ZooKeeper, and each watch is armed again once: neither losing connections nor watching anew leaves
// watches behind.
func TestWatchesAreNotDoubled(t *testing.T) {
	t.Parallel()
	z := server.Start(t, server.ZooKeeper{})
	s := opened(t, z.Addr)
	total := regexp.MustCompile(`zk_watch_count\s+\d+`)
	count := func() string {
		answer, err := z.Ask("mntr")
		if err != nil {
			t.Fatal(err)
		}
		return total.FindString(answer)
	}
	var nodes []discovery.Node
	service := discovery.Service{Group: "g", Path: "svc"}
	for i := range 10 {
		n := discoverytest.Node(service, fmt.Sprintf("10.0.0.%d:80", i+1))
		reg, err := s.Register(n)
		if err != nil {
			t.Fatal(err)
		}
		discoverytest.Stands(t, reg)
		nodes = append(nodes, n)
	}
	w := discoverytest.Watch(t, s, service)
	w.UntilNodes(nodes...)
	before := ""
	discoverytest.Eventually(t, "the watches to come to rest", func() error {
		last := before
		if before = count(); before == "" || before != last {
			return fmt.Errorf("%s", before)
		}
		return nil
	})
	for range 20 {
		another := discoverytest.Watch(t, s, service)
		another.UntilNodes(nodes...)
		if err := another.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	discoverytest.Eventually(t, "the watches to be as before", func() error {
		if now := count(); now != before {
			return fmt.Errorf("%s, before %s", now, before)
		}
		return nil
	})
	if n := len(w.Reports()); n != 1 {
		t.Errorf("%d reports of a list that did not change", n)
	}
}
