package discoverytest

import (
	"cmp"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/agent/discovery"
)

// Registry is a running server of a registry, with a proxy before it that misbehaves on demand.
type Registry struct {
	Addr    string // of the server
	Proxied string // of the proxy
	// Open opens a source on one of the two. The suite closes it. session is how long the registry keeps what the source
	// announced when it does not hear of it.
	Open func(t *testing.T, addr string, session time.Duration) discovery.Source

	Kill, Restart func() // of the server; Restart waits until it serves
	Reset         func() // ends connections through the proxy
	Cut           func() // the same, and lets none be made
	Swallow       func() // connections through the proxy are open and nothing gets through
	Mend          func() // of the proxy
	Happened      func() // fails the test if the proxy's last fault did not happen

	Services int // that one agent announces when many come back; default 500
}

// RunFaults tests a source with a registry that fails. start starts one for each test.
func RunFaults(t *testing.T, start func(t *testing.T) Registry) {
	for _, c := range []struct {
		name string
		f    func(*fragile)
	}{
		{"ComesLater", faultLater},
		{"KilledAndRestarted", faultKilled},
		{"SessionExpires", faultExpires},
		{"NetworkSwallows", faultSwallows},
		{"BrokenConnections", faultBroken},
		{"StaleEntryIsTakenOver", faultStale},
		{"Flapping", faultFlapping},
		{"ManyAnnouncementsComeBack", faultMany},
		{"Close", faultClose},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name != "Flapping" { // which counts goroutines; the others wait, for sessions that expire and servers that start
				t.Parallel()
			}
			c.f(&fragile{lab: &lab{T: t}, Registry: start(t)})
		})
	}
}

// fragile is what a fault test has.
type fragile struct {
	*lab
	Registry
}

// Sessions are short, so that tests need not wait long for one to expire, or too long for one to expire by accident.
const (
	brief  = 2 * time.Second
	steady = 12 * time.Second
)

func (f *fragile) open(addr string) discovery.Source {
	f.Helper()
	return f.openFor(addr, brief)
}

func (f *fragile) openFor(addr string, session time.Duration) discovery.Source {
	f.Helper()
	s := f.Open(f.T, addr, session)
	f.Cleanup(func() {
		if err := s.Close(); err != nil {
			f.Errorf("close: %v", err)
		}
	})
	return s
}

var feed = discovery.Service{Group: "feed", Path: "svc"}

// connected waits until a source is connected, or is not.
func (f *fragile) connected(s discovery.Source, want bool) discovery.Status {
	f.Helper()
	var st discovery.Status
	Eventually(f.T, fmt.Sprintf("connected to be %t", want), func() error {
		if st = s.Status(); st.Connected != want {
			return fmt.Errorf("status is %+v", st)
		}
		return nil
	})
	return st
}

// Everything may be asked for before the registry is there.
func faultLater(f *fragile) {
	f.Kill()
	s := f.open(f.Addr)
	n := Node(feed, "10.0.0.1:80")
	r := f.register(s, n)
	w := Watch(f.T, s, feed)
	o := f.watchCommands(s, discovery.Scope{Group: "feed"})
	Eventually(f.T, "an attempt", func() error {
		if st := s.Status(); st.Connected || !strings.Contains(st.Server, f.Addr) || st.Error == "not connected yet" {
			return fmt.Errorf("status is %+v", st)
		}
		return nil
	})
	if st := r.State(); st.Stands {
		f.Errorf("it stands without a registry: %+v", st)
	}
	if len(w.Reports()) != 0 {
		f.Errorf("reported without a registry: %v", w.Reports())
	}
	f.Restart()
	start := time.Now()
	Stands(f.T, r)
	w.UntilNodes(n)
	o.expect("none")
	f.recovered(start)
}

// recovered says how long it took since a fault's end. 5 s are promised; on a busy machine it may be more.
func (f *fragile) recovered(since time.Time) {
	f.Helper()
	took := time.Since(since).Round(time.Millisecond)
	f.Logf("recovered %v after the fault", took)
	if took > Patience {
		f.Errorf("it took %v", took)
	}
}

// A server that is killed takes nothing with it: the list stands, and afterwards everything goes on where it was.
func faultKilled(f *fragile) {
	a, b := f.openFor(f.Addr, steady), f.openFor(f.Addr, steady)
	n := Node(feed, "10.0.0.1:80")
	w := Watch(f.T, b, feed)
	r := f.register(a, n)
	w.UntilNodes(n)
	for round := range 2 {
		reports := len(w.Reports())
		f.Kill()
		f.connected(a, false)
		if st := f.connected(b, false); st.Error == "" || time.Since(st.Since) > Patience {
			f.Errorf("status is %+v", st)
		}
		n.Weight = 10 + round
		f.update(r, n)
		if len(w.Reports()) != reports {
			f.Errorf("reported without a registry: %s", Text(w.Reports()[reports]))
		}
		f.Restart()
		start := time.Now()
		f.connected(a, true)
		f.connected(b, true)
		w.UntilNodes(n)
		Stands(f.T, r)
		f.recovered(start)
	}
	w.NeverWithout(n.Address)
}

// A session that expires while the network is away loses the entry; it comes back with the network, and what was missed is read.
func faultExpires(f *fragile) {
	a, b := f.open(f.Proxied), f.open(f.Addr)
	n, other := Node(feed, "10.0.0.1:80"), Node(feed, "10.0.0.2:80")
	near, far := Watch(f.T, a, feed), Watch(f.T, b, feed)
	r := f.register(a, n)
	near.UntilNodes(n)
	far.UntilNodes(n)
	f.Cut()
	st := f.connected(a, false)
	if gone := far.UntilNodes(); !gone.Emptied {
		f.Errorf("the only node is gone: %s", Text(gone))
	}
	f.register(b, other)
	far.UntilNodes(other)
	if now := a.Status(); now.Since != st.Since || now.Connected {
		f.Errorf("gone since %v, and now %+v", st.Since, now)
	}
	near.UntilNodes(n) // its last list stands
	f.Happened()
	f.Mend()
	start := time.Now()
	far.UntilNodes(n, other)
	near.UntilNodes(n, other)
	Stands(f.T, r)
	f.recovered(start)
	if st := f.connected(a, true); st.Sessions != 2 {
		f.Errorf("status is %+v", st)
	}
}

// A network that swallows everything is noticed, and left behind when it ends.
func faultSwallows(f *fragile) {
	a, b := f.open(f.Proxied), f.open(f.Addr)
	n := Node(feed, "10.0.0.1:80")
	w := Watch(f.T, b, feed)
	r := f.register(a, n)
	w.UntilNodes(n)
	start := time.Now()
	f.Swallow()
	f.connected(a, false)
	if took := time.Since(start); took > 3*brief {
		f.Errorf("it took %v to notice", took)
	}
	w.UntilNodes()
	f.Happened()
	f.Mend()
	w.UntilNodes(n)
	Stands(f.T, r)
}

// Connections that break again and again lose no event.
func faultBroken(f *fragile) {
	a, b := f.openFor(f.Proxied, steady), f.openFor(f.Addr, steady)
	w := Watch(f.T, a, feed)
	n, near := Node(feed, "10.0.0.1:80"), Node(feed, "10.0.0.9:80")
	r := f.register(b, n)
	w.UntilNodes(n)
	for i := range 15 {
		f.Reset() // now and then before a watch is armed again, now and then after
		n.Weight = 200 + i
		f.update(r, n)
		if i%3 == 0 {
			w.UntilNodes(n)
		}
	}
	f.register(a, near)
	w.UntilNodes(n, near)
	w.NeverWithout(n.Address)
}

// A process dies without a word, and its successor announces the same address: when the dead one's session expires nothing is
// lost, not even for a moment.
func faultStale(f *fragile) {
	dead, successor, b := f.open(f.Proxied), f.open(f.Addr), f.open(f.Addr)
	n, mark := Node(feed, "10.0.0.1:80"), Node(feed, "10.0.0.2:80")
	w := Watch(f.T, b, feed)
	Stands(f.T, f.register(dead, n))
	witness := discovery.Service{Group: "feed", Path: "witness"} // of the dead one's session
	Stands(f.T, f.register(dead, Node(witness, "10.0.0.1:80")))
	seen := Watch(f.T, b, witness)
	seen.UntilNodes(Node(witness, "10.0.0.1:80"))
	w.UntilNodes(n)
	f.Swallow()
	Stands(f.T, f.register(successor, n))
	seen.Until("the witness", func(r discovery.Report) bool { return len(r.Nodes) == 1 })
	seen.UntilNodes()
	f.register(successor, mark)
	w.UntilNodes(n, mark)
	w.NeverWithout(n.Address)
	f.Happened()
	f.Mend()
}

// A node that comes and goes hundreds of times costs few reports and no goroutine, and in the end the list is right.
func faultFlapping(f *fragile) {
	a, b := f.open(f.Addr), f.open(f.Addr)
	stays := Node(feed, "10.0.0.1:80")
	w := Watch(f.T, a, feed)
	Stands(f.T, f.register(a, stays))
	w.UntilNodes(stays)
	before, start := runtime.NumGoroutine(), time.Now()
	const flaps = 300
	for range flaps {
		r := f.register(b, Node(feed, "10.0.0.2:80"))
		Stands(f.T, r)
		f.withdraw(r)
	}
	took := time.Since(start)
	mark := Node(feed, "10.0.0.3:80")
	f.register(a, mark)
	w.UntilNodes(stays, mark)
	w.NeverWithout(stays.Address)
	reports := len(w.Reports())
	f.Logf("%d flaps in %v made %d reports", flaps, took.Round(time.Millisecond), reports)
	if most := int(took/(100*time.Millisecond)) + 5; reports > most {
		f.Errorf("%d reports in %v", reports, took)
	}
	if n := runtime.NumGoroutine(); n > before+10 {
		f.Errorf("%d goroutines, %d before", n, before)
	}
}

// An agent with many services loses its session, and all of them come back.
func faultMany(f *fragile) {
	a, b := f.open(f.Proxied), f.open(f.Addr)
	many := cmp.Or(f.Services, 500)
	var all []*discovery.Registration
	var watches []*Watcher
	for i := range many {
		service := discovery.Service{Group: "many", Path: fmt.Sprint("svc", i)}
		watches = append(watches, Watch(f.T, b, service))
		all = append(all, f.register(a, Node(service, "10.0.0.1:80")))
	}
	for i, w := range watches {
		w.UntilNodes(all[i].State().Node)
	}
	f.Cut()
	for _, w := range watches {
		w.UntilNodes()
	}
	f.Happened()
	f.Mend()
	start := time.Now()
	for i, w := range watches {
		w.UntilNodes(all[i].State().Node)
		Stands(f.T, all[i])
	}
	f.recovered(start)
}

// A source is closed soon, whatever its connection does.
func faultClose(f *fragile) {
	for name, spoil := range map[string]func(){"cut": f.Cut, "swallow": f.Swallow} {
		for _, first := range []bool{true, false} { // broken from the start, or later
			if first {
				spoil()
			}
			s := f.Open(f.T, f.Proxied, brief)
			f.register(s, Node(feed, "10.0.0.1:80"))
			Watch(f.T, s, feed)
			if first {
				Eventually(f.T, "an attempt", func() error {
					if st := s.Status(); name == "cut" && st.Error == "not connected yet" {
						return fmt.Errorf("status is %+v", st)
					}
					return nil
				})
			} else {
				f.connected(s, true)
				spoil()
			}
			start := time.Now()
			if err := s.Close(); err != nil {
				f.Error(err)
			}
			if took := time.Since(start); took > 5*time.Second {
				f.Errorf("%s, first %t: closing took %v", name, first, took)
			}
			f.Mend()
		}
		f.Happened()
	}
}
