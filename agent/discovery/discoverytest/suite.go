package discoverytest

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sluice-mesh/sluice/agent/discovery"
)

// Back is a source under test.
type Back struct {
	// Open opens a source on the one registry that all tests share. The suite closes it.
	Open func(t *testing.T) discovery.Source
	// Services is how many one agent announces and watches; default 500.
	Services int
	// NoCommands says that the source keeps no commands: it must be no Commander then.
	NoCommands bool
}

// Run tests a source.
func Run(t *testing.T, b Back) {
	for _, c := range []struct {
		name string
		f    func(*lab)
	}{
		{"NothingThere", testNothing},
		{"Announce", testAnnounce},
		{"FieldsComeBack", testFields},
		{"WatchBeforeThereIsAnything", testBefore},
		{"Availability", testAvailability},
		{"ChangedParametersAreAChange", testChanged},
		{"Withdraw", testWithdraw},
		{"WithdrawAndAnnounceAgain", testAgain},
		{"CloseWithdraws", testClose},
		{"TakeOver", testTakeOver},
		{"LaterOneHasIt", testHeld},
		{"WithdrawLeavesOthers", testLeaves},
		{"VersionsAndProtocols", testFilter},
		{"Groups", testGroups},
		{"TwoWatchesOfOneService", testTwoWatches},
		{"WatchEnds", testWatchEnds},
		{"Refused", testRefused},
		{"Commands", testCommands},
		{"CommandsEnd", testCommandsEnd},
		{"Status", testStatus},
		{"Model", testModel},
		{"ManyServices", testMany},
	} {
		if b.NoCommands && (c.name == "Commands" || c.name == "CommandsEnd") {
			c.f = testNoCommands
		}
		t.Run(c.name, func(t *testing.T) {
			l := &lab{T: t, back: b, group: fmt.Sprintf("g%d-%s", groups.Add(1), c.name)}
			c.f(l)
		})
	}
}

var groups atomic.Int64

// lab is what a test has.
type lab struct {
	*testing.T
	back  Back
	group string // nobody else's
}

func (l *lab) open() discovery.Source {
	l.Helper()
	s := l.back.Open(l.T)
	l.Cleanup(func() {
		if err := s.Close(); err != nil {
			l.Errorf("close: %v", err)
		}
	})
	return s
}

func (l *lab) service(path string) discovery.Service {
	return discovery.Service{Group: l.group, Path: path}
}

// node is a plain one that serves.
func (l *lab) node(path, address string) discovery.Node {
	return Node(l.service(path), address)
}

// Node is a plain node that serves.
func Node(s discovery.Service, address string) discovery.Node {
	s.Version, s.Protocol = "1.0", "motan2"
	return discovery.Node{Service: s, Address: address, Weight: 100, Available: true}
}

func (l *lab) register(s discovery.Source, n discovery.Node) *discovery.Registration {
	l.Helper()
	r, err := s.Register(n)
	if err != nil {
		l.Fatal(err)
	}
	return r
}

func (l *lab) update(r *discovery.Registration, n discovery.Node) {
	l.Helper()
	if err := r.Update(n); err != nil {
		l.Fatal(err)
	}
}

func (l *lab) withdraw(r *discovery.Registration) {
	l.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if err := r.Withdraw(ctx); err != nil {
		l.Fatal(err)
	}
}

func testNothing(l *lab) {
	w := Watch(l.T, l.open(), l.service("svc"))
	r := w.Until("a report of nothing", func(discovery.Report) bool { return true })
	if len(r.Nodes) != 0 || !r.Unknown || r.Emptied {
		l.Errorf("of a service that nobody announced: %s", Text(r))
	}
}

func testAnnounce(l *lab) {
	a, b := l.open(), l.open()
	n := l.node("svc", "10.0.0.1:8001")
	r := l.register(a, n)
	Stands(l.T, r)
	got := Watch(l.T, b, l.service("svc")).UntilNodes(n)
	if got.Unknown || got.Emptied {
		l.Errorf("the service is there: %s", Text(got))
	}
	Watch(l.T, a, l.service("svc")).UntilNodes(n)
	if _, err := a.Register(n); err == nil {
		l.Error("one node was announced twice by one source")
	}
}

func testFields(l *lab) {
	s := l.open()
	var want []discovery.Node
	for i, c := range []struct {
		weight int
		params map[string]string
	}{
		{0, nil}, {1, nil}, {99, nil}, {100, nil}, {101, nil}, {5000, nil}, {discovery.MaxWeight, nil},
		{100, map[string]string{"serialization": "breeze", "empty": "", "filter": "a,b", "odd": "a=b&c?d/e %41+é中\"\n"}},
	} {
		n := l.node("svc", fmt.Sprintf("10.0.0.%d:80", i+1))
		n.Weight, n.Params, n.Available = c.weight, c.params, i%2 == 0
		if i == 3 {
			n.Version, n.Address = "", "[::1]:80"
		}
		l.register(s, n)
		want = append(want, n)
	}
	Watch(l.T, l.open(), l.service("svc")).UntilNodes(want...)
}

func testBefore(l *lab) {
	s := l.open()
	w := Watch(l.T, s, l.service("svc"))
	w.Until("a first report", func(discovery.Report) bool { return true })
	n := l.node("svc", "10.0.0.1:80")
	n.Available = false
	r := l.register(l.open(), n)
	w.UntilNodes(n)
	n.Available = true
	l.update(r, n)
	w.UntilNodes(n)
}

func testAvailability(l *lab) {
	a := l.open()
	n := l.node("svc", "10.0.0.1:80")
	w := Watch(l.T, l.open(), l.service("svc"))
	r := l.register(a, n)
	for range 5 {
		w.UntilNodes(n)
		n.Available = !n.Available
		l.update(r, n)
	}
	w.UntilNodes(n)
	w.NeverWithout(n.Address)
	Stands(l.T, r)
}

func testChanged(l *lab) {
	n := l.node("svc", "10.0.0.1:80")
	n.Params = map[string]string{"requestTimeout": "200"}
	w := Watch(l.T, l.open(), l.service("svc"))
	r := l.register(l.open(), n)
	w.UntilNodes(n)
	n.Params["requestTimeout"] = "300" // in place: the announcement has a copy
	l.update(r, n)
	w.UntilNodes(n)
	n.Weight = 7
	l.update(r, n)
	w.UntilNodes(n)
	w.NeverWithout(n.Address)
	other := n
	other.Address = "10.0.0.2:80"
	if err := r.Update(other); err == nil {
		l.Error("an announcement moved to another address")
	}
}

func testWithdraw(l *lab) {
	a := l.open()
	w := Watch(l.T, l.open(), l.service("svc"))
	one, two := l.node("svc", "10.0.0.1:80"), l.node("svc", "10.0.0.2:80")
	r1, r2 := l.register(a, one), l.register(a, two)
	w.UntilNodes(one, two)
	l.withdraw(r1)
	l.withdraw(r1) // only waits
	if err := r1.Update(one); err == nil {
		l.Error("a withdrawn announcement was changed")
	}
	w.UntilNodes(two)
	l.withdraw(r2)
	r := w.UntilNodes()
	if !r.Emptied {
		l.Errorf("the last node went: %s", Text(r))
	}
	if n := len(a.Status().Announced); n != 0 {
		l.Errorf("%d announcements are left", n)
	}
}

func testAgain(l *lab) {
	a := l.open()
	n := l.node("svc", "10.0.0.1:80")
	w := Watch(l.T, l.open(), l.service("svc"))
	for i := range 5 {
		n.Weight = 100 + i
		r := l.register(a, n)
		w.UntilNodes(n)
		over, cancel := context.WithCancel(context.Background())
		cancel()
		_ = r.Withdraw(over) // begins it
	}
	w.UntilNodes()
}

func testClose(l *lab) {
	a := l.back.Open(l.T)
	n := l.node("svc", "10.0.0.1:80")
	w := Watch(l.T, l.open(), l.service("svc"))
	r := l.register(a, n)
	w.UntilNodes(n)
	own := Watch(l.T, a, l.service("svc"))
	own.UntilNodes(n)
	if err := a.Close(); err != nil {
		l.Fatal(err)
	}
	if err := own.wait(); err != discovery.ErrClosed {
		l.Errorf("the watch of a closed source ended with %v", err)
	}
	w.UntilNodes()
	if _, err := a.Register(n); err == nil {
		l.Error("a closed source announces")
	}
	if err := a.Watch(context.Background(), l.service("svc"), func(discovery.Report) {}); err != discovery.ErrClosed {
		l.Errorf("a closed source watches: %v", err)
	}
	if err := r.Withdraw(context.Background()); err != discovery.ErrClosed {
		l.Errorf("a closed source withdraws: %v", err)
	}
	if err := a.Close(); err != nil {
		l.Errorf("closing again: %v", err)
	}
}

// A process that is started again before its predecessor's entry is gone has it without a moment in between.
func testTakeOver(l *lab) {
	old := l.back.Open(l.T)
	n := l.node("svc", "10.0.0.1:80")
	w := Watch(l.T, l.open(), l.service("svc"))
	Stands(l.T, l.register(old, n))
	w.UntilNodes(n)
	Stands(l.T, l.register(l.open(), n))
	if err := old.Close(); err != nil {
		l.Fatal(err)
	}
	mark := l.node("svc", "10.0.0.2:80")
	l.register(l.open(), mark)
	w.UntilNodes(n, mark)
	w.NeverWithout(n.Address)
}

// Two processes that announce one address do not fight; the earlier one steps in when the later one goes.
func testHeld(l *lab) {
	n := l.node("svc", "10.0.0.1:80")
	first, second := n, n
	first.Weight, second.Weight = 1, 2
	w := Watch(l.T, l.open(), l.service("svc"))
	r1 := l.register(l.open(), first)
	w.UntilNodes(first)
	r2 := l.register(l.open(), second)
	Eventually(l.T, "the first to find out", func() error {
		if st := r1.State(); !strings.Contains(st.Error, discovery.ErrHeld.Error()) || st.Stands {
			return fmt.Errorf("its state is %+v", st)
		}
		return nil
	})
	Stands(l.T, r2)
	first.Weight = 3
	l.update(r1, first) // is no reason to fight either
	mark := l.node("svc", "10.0.0.2:80")
	l.register(l.open(), mark)
	w.UntilNodes(second, mark)
	l.withdraw(r2)
	w.UntilNodes(first, mark)
	Stands(l.T, r1)
	for i, r := range w.Reports() {
		for _, n := range r.Nodes {
			if n.Weight == 3 && i < len(w.Reports())-1 {
				l.Errorf("report %d has what the first announced while the second stood: %s", i, Text(r))
			}
		}
	}
}

// Who lost an address to another process and withdraws takes nothing with it.
func testLeaves(l *lab) {
	n := l.node("svc", "10.0.0.1:80")
	w := Watch(l.T, l.open(), l.service("svc"))
	first := l.open()
	r := l.register(first, n)
	Stands(l.T, r)
	Stands(l.T, l.register(l.open(), n))
	Eventually(l.T, "the first to find out", func() error {
		if st := r.State(); st.Stands {
			return fmt.Errorf("its state is %+v", st)
		}
		return nil
	})
	l.withdraw(r)
	mark := l.node("svc", "10.0.0.2:80")
	l.register(first, mark)
	w.UntilNodes(n, mark)
	w.NeverWithout(n.Address)
}

func testFilter(l *lab) {
	s := l.open()
	var nodes []discovery.Node
	for i, c := range []struct{ protocol, version string }{{"motan2", "1.0"}, {"motan", "1.0"}, {"grpc", "1.0"}, {"motan2", "2.0"}, {"motan2", ""}} {
		n := l.node("svc", fmt.Sprintf("10.0.0.%d:80", i))
		n.Protocol, n.Version = c.protocol, c.version
		l.register(s, n)
		nodes = append(nodes, n)
	}
	Watch(l.T, s, l.service("svc")).UntilNodes(nodes...)
	for _, c := range []struct {
		protocol, version string
		want              []int
	}{
		{"motan2", "", []int{0, 3, 4}}, {"motan", "", []int{0, 1, 3, 4}}, {"grpc", "", []int{2}}, {"", "1.0", []int{0, 1, 2, 4}},
		{"motan2", "2.0", []int{3}}, {"http", "", nil},
	} {
		asked := l.service("svc")
		asked.Protocol, asked.Version = c.protocol, c.version
		var want []discovery.Node
		for _, i := range c.want {
			want = append(want, nodes[i])
		}
		w := Watch(l.T, s, asked)
		r := w.UntilNodes(want...)
		if r = w.Until("the others", func(r discovery.Report) bool { return r.Others+len(r.Nodes) == len(nodes) }); r.Unknown {
			l.Errorf("%+v: %s", asked, Text(r))
		}
	}
}

func testGroups(l *lab) {
	s := l.open()
	n := l.node("svc", "10.0.0.1:80")
	other, longer := n, n
	other.Group += "x"
	longer.Path = "svc2"
	other.Weight, longer.Weight = 1, 2
	for _, n := range []discovery.Node{n, other, longer} {
		l.register(s, n)
	}
	for _, n := range []discovery.Node{n, other, longer} {
		Watch(l.T, s, discovery.Service{Group: n.Group, Path: n.Path}).UntilNodes(n)
	}
}

func testTwoWatches(l *lab) {
	s := l.open()
	n := l.node("svc", "10.0.0.1:80")
	w1, w2 := Watch(l.T, s, l.service("svc")), Watch(l.T, s, l.service("svc"))
	r := l.register(s, n)
	w1.UntilNodes(n)
	w2.UntilNodes(n)
	if err := w1.Stop(); err != nil {
		l.Error(err)
	}
	ended := len(w1.Reports())
	n.Weight = 5
	l.update(r, n)
	w2.UntilNodes(n)
	w3 := Watch(l.T, s, l.service("svc"))
	w3.UntilNodes(n)
	n.Weight = 6
	l.update(r, n)
	w2.UntilNodes(n)
	w3.UntilNodes(n)
	if len(w1.Reports()) != ended {
		l.Error("a watch that ended reported")
	}
}

func testWatchEnds(l *lab) {
	s := l.open()
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Watch(over, l.service("svc"), func(discovery.Report) { l.Error("reported after the end") }); err != nil {
		l.Errorf("a watch whose context had ended: %v", err)
	}
	w := Watch(l.T, s, l.service("svc"))
	w.Until("a report", func(discovery.Report) bool { return true })
	if err := w.Stop(); err != nil {
		l.Errorf("a watch ended with %v", err)
	}
	if n := s.Status().Watches; n != 0 {
		l.Errorf("%d watches are counted", n)
	}
}

func testRefused(l *lab) {
	s := l.open()
	for _, bad := range []discovery.Service{
		{}, {Group: "g"}, {Path: "p"}, {Group: "a/b", Path: "p"}, {Group: "g", Path: ".."}, {Group: "g", Path: "a b"}, {Group: "g", Path: "a\x00"},
		{Group: strings.Repeat("g", 300), Path: "p"}, {Group: "g", Path: "a?b"},
	} {
		if err := s.Watch(context.Background(), bad, func(discovery.Report) {}); err == nil {
			l.Errorf("%+v is watched", bad)
		}
		if r, err := s.Register(Node(bad, "10.0.0.1:80")); err == nil {
			l.Errorf("%+v is announced", bad)
			l.withdraw(r)
		}
	}
	for _, change := range []func(*discovery.Node){
		func(n *discovery.Node) { n.Address = "" }, func(n *discovery.Node) { n.Address = "10.0.0.1" },
		func(n *discovery.Node) { n.Address = ":80" }, func(n *discovery.Node) { n.Address = "10.0.0.1:0" },
		func(n *discovery.Node) { n.Address = "10.0.0.1:99999" }, func(n *discovery.Node) { n.Address = "a/b:80" },
		func(n *discovery.Node) { n.Protocol = "" }, func(n *discovery.Node) { n.Protocol = "a://b" },
		func(n *discovery.Node) { n.Weight = -1 }, func(n *discovery.Node) { n.Weight = discovery.MaxWeight + 1 },
		func(n *discovery.Node) { n.Params = map[string]string{"group": "x"} }, func(n *discovery.Node) { n.Params = map[string]string{"": "x"} },
		func(n *discovery.Node) { n.Params = map[string]string{"x": "\xff"} },
	} {
		n := l.node("svc", "10.0.0.1:80")
		change(&n)
		if r, err := s.Register(n); err == nil {
			l.Errorf("%+v is announced", n)
			l.withdraw(r)
		}
	}
}

func testStatus(l *lab) {
	s := l.open()
	w := Watch(l.T, s, l.service("svc"))
	r := l.register(s, l.node("svc", "10.0.0.1:80"))
	Stands(l.T, r)
	w.UntilNodes(l.node("svc", "10.0.0.1:80"))
	st := s.Status()
	if !st.Connected || st.Since.IsZero() || st.Error != "" || st.Sessions != 1 || st.Watches != 1 || st.Reports < 1 || st.Server == "" {
		l.Errorf("status is %+v", st)
	}
	if len(st.Announced) != 1 || !st.Announced[0].Stands || st.Announced[0].Node.Address != "10.0.0.1:80" {
		l.Errorf("announced is %+v", st.Announced)
	}
}
