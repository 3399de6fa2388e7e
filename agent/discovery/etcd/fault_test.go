package etcd

import (
	"fmt"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sluice-mesh/sluice/agent/discovery"
	"github.com/sluice-mesh/sluice/agent/discovery/discoverytest"
	"github.com/sluice-mesh/sluice/resources"
	"github.com/sluice-mesh/sluice/testenv/fault"
	"github.com/sluice-mesh/sluice/testenv/server"
)

func TestFaults(t *testing.T) {
	discoverytest.RunFaults(t, func(t *testing.T) discoverytest.Registry {
		e := server.Start(t, server.Etcd{}).Members[0]
		p := fault.Start(t, fault.Options{Target: e.Addr})
		var now fault.Kind
		return discoverytest.Registry{
			Addr: e.Addr, Proxied: p.Addr,
			Open: func(t *testing.T, addr string, session time.Duration) discovery.Source {
				return open(t, Options{Endpoints: []string{addr}, Lease: session})
			},
			Kill:     e.Kill,
			Restart:  e.Restart,
			Reset:    func() { p.ResetAll() },
			Cut:      func() { now = fault.KindRefuse; p.Set(fault.Refuse()); p.ResetAll() },
			Swallow:  func() { now = fault.KindBlackhole; p.Set(fault.Blackhole()) },
			Mend:     p.Clear,
			Happened: func() { t.Helper(); p.MustHaveFired(t, now) },
		}
	})
}

var feed = discovery.Service{Group: "feed", Path: "svc"}

// With a password, and TLS, a source is open before etcd is there as without.
func TestPasswordAndTLS(t *testing.T) {
	t.Parallel()
	e := server.Start(t, server.Etcd{Password: "right", TLS: true})
	m := e.Members[0]
	password, err := resources.NewSecret("right")
	if err != nil {
		t.Fatal(err)
	}
	m.Kill()
	s := open(t, Options{Endpoints: e.Endpoints(), Username: "root", Password: password, TLS: m.TLS})
	defer s.Close()
	n := discoverytest.Node(feed, "10.0.0.1:80")
	r, err := s.Register(n)
	if err != nil {
		t.Fatal(err)
	}
	w := discoverytest.Watch(t, s, feed)
	discoverytest.Eventually(t, "an attempt", func() error {
		if st := s.Status(); st.Connected || st.Error == "not connected yet" {
			return fmt.Errorf("status is %+v", st)
		}
		return nil
	})
	m.Restart()
	discoverytest.Stands(t, r)
	w.UntilNodes(n)

	wrong, err := resources.NewSecret("wrong")
	if err != nil {
		t.Fatal(err)
	}
	refused := open(t, Options{Endpoints: e.Endpoints(), Username: "root", Password: wrong, TLS: m.TLS})
	defer refused.Close()
	discoverytest.Eventually(t, "being refused", func() error {
		if st := refused.Status(); !strings.Contains(st.Error, "authentication failed") || strings.Contains(st.Error, "wrong") {
			return fmt.Errorf("status is %+v", st)
		}
		return nil
	})
}

// What is written is as documented, other writers' entries are read, and a key that somebody deletes or changes is put right.
func TestLayout(t *testing.T) {
	t.Parallel()
	m := server.Start(t, server.Etcd{}).Members[0]
	s := opened(t, m.URL)
	n := discoverytest.Node(discovery.Service{Group: "feed-yf", Path: "com.example.Feed"}, "10.0.0.1:8002")
	n.Params = map[string]string{"filter": "a,b"}
	r, err := s.Register(n)
	if err != nil {
		t.Fatal(err)
	}
	discoverytest.Stands(t, r)
	const key = "sluice-discovery/services/feed-yf/com.example.Feed/10.0.0.1:8002"
	const text = `{"protocol":"motan2","version":"1.0","weight":100,"available":true,"params":{"filter":"a,b"}}` + "\n"
	right := func() error {
		if got := m.Ctl("get", "--print-value-only", key); got != text {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	}
	if err := right(); err != nil {
		t.Error(err)
	}
	m.Ctl("del", key)
	discoverytest.Eventually(t, "the key to come back", right)

	m.Ctl("put", "sluice-discovery/services/g/svc/10.0.0.1:80", `{"protocol":"grpc"}`)
	m.Ctl("put", "sluice-discovery/services/g/svc/10.0.0.2:80", `{"protocol":"grpc","weight":0,"available":false,"new":1}`)
	m.Ctl("put", "sluice-discovery/services/g/svc/10.0.0.3:80", `{"weight":1}`)
	m.Ctl("put", "sluice-discovery/services/g/svc/10.0.0.4:80", `nothing`)
	m.Ctl("put", "sluice-discovery/services/g/svc/nowhere", `{"protocol":"grpc"}`)
	one := discovery.Node{Service: discovery.Service{Group: "g", Path: "svc", Protocol: "grpc"}, Address: "10.0.0.1:80", Weight: 100, Available: true}
	two := one
	two.Address, two.Weight, two.Available = "10.0.0.2:80", 0, false
	got := discoverytest.Watch(t, s, discovery.Service{Group: "g", Path: "svc"}).UntilNodes(one, two)
	if got.Unread != 3 {
		t.Errorf("three keys are no nodes: %s", discoverytest.Text(got))
	}
	if err := s.PutCommands(t.Context(), discovery.Scope{Group: "g"}, nil); err != nil {
		t.Fatal(err)
	}
	if got := m.Ctl("get", "--print-value-only", "sluice-discovery/commands/group/g"); got != discovery.NoCommands+"\n" {
		t.Errorf("commands are %q", got)
	}
}

// More nodes than one answer has, and a watch whose revision is compacted away while it is cut off.
func TestManyNodesAndCompaction(t *testing.T) {
	t.Parallel()
	m := server.Start(t, server.Etcd{}).Members[0]
	p := fault.Start(t, fault.Options{Target: m.Addr})
	a, b := opened(t, p.Addr), opened(t, m.URL)
	last := discoverytest.Node(feed, "10.9.9.9:80")
	r, err := b.Register(last)
	if err != nil {
		t.Fatal(err)
	}
	discoverytest.Stands(t, r)
	nodes := []discovery.Node{last}
	for i := range page / 100 * 2 {
		var puts []clientv3.Op
		for k := range 100 {
			n := discoverytest.Node(feed, fmt.Sprintf("10.0.%d.%d:80", i, k))
			data, err := writeNode(n)
			if err != nil {
				t.Fatal(err)
			}
			nodes, puts = append(nodes, n), append(puts, clientv3.OpPut(b.folder(feed)+n.Address, string(data)))
		}
		if _, err := b.client.Txn(t.Context()).Then(puts...).Commit(); err != nil {
			t.Fatal(err)
		}
	}
	w := discoverytest.Watch(t, a, feed)
	w.UntilNodes(nodes...)
	p.Set(fault.Refuse())
	p.ResetAll()
	for weight := range 5 {
		nodes[0].Weight = weight
		if err := r.Update(nodes[0]); err != nil {
			t.Fatal(err)
		}
		discoverytest.Stands(t, r)
	}
	revision := b.revision(t)
	m.Ctl("compact", fmt.Sprint(revision))
	p.Clear()
	w.UntilNodes(nodes...)
	p.MustHaveFired(t, fault.KindRefuse)
}

func (s *Source) revision(t *testing.T) int64 {
	t.Helper()
	r, err := s.client.Get(t.Context(), "nothing")
	if err != nil {
		t.Fatal(err)
	}
	return r.Header.Revision
}

// Whatever stands under a key, what is made of it could be announced and comes back as it is.
func FuzzNode(f *testing.F) {
	f.Add("10.0.0.1:80", []byte(`{"protocol":"motan2","version":"1.0","weight":100,"available":true,"params":{"filter":"a,b"}}`))
	f.Add("[::1]:80", []byte(`{"protocol":"grpc"}`))
	f.Add("x", []byte(`{"protocol":"grpc","params":{"":""}}`))
	f.Fuzz(func(t *testing.T, address string, data []byte) {
		n, err := readNode(feed, address, data)
		if err != nil {
			return
		}
		text, err := writeNode(n)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := readNode(feed, address, text); err != nil || !again.Equal(n) {
			t.Fatalf("%+v was written as %s and read as %+v, %v", n, text, again, err)
		}
		url, err := n.URL()
		if err != nil {
			t.Fatal(err)
		}
		n.Params = nil // they are tested by motanurl
		if again, err := discovery.FromURL(feed, url, n.Available); err != nil || again.Weight != n.Weight || again.Service != n.Service {
			t.Fatalf("%+v was written as %s and read as %+v, %v", n, url, again, err)
		}
	})
}
