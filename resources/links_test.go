package resources

import (
	"fmt"
	"net"
	"testing"

	"github.com/sluice-mesh/sluice/internal/loop"
)

// hall is the lobby of one service, and its runtime.
type hall struct {
	Runtime
	entered, closed int
}

func (h *hall) Name() string    { return "user" }
func (h *hall) Address() string { return "127.0.0.1:9981" }
func (h *hall) Closed(*Session) { h.closed++ }
func (h *hall) open() int       { return h.entered - h.closed }

type lobby struct{ *hall }

func (lobby) Loops() *loop.Group { return nil }

func (lobby) Metadata() map[string]string { return nil }

func (l lobby) Enter(_ Resource, _ net.Addr, id *Identity) (*Session, *Fault) {
	if id == nil {
		id = &Identity{Caller: "the agent's"}
	}
	l.entered++
	s := &Session{}
	s.SetIdentity(id)
	return s, nil
}

// A client has a session for each application that it calls for, the one that it used last first.
func TestLinks(t *testing.T) {
	var h hall
	var life Lifetime
	var at Linked[string, string]
	at.Begin("shard", &h, &life)
	var ls Links[string, string]
	enter := func(caller string) *Link[string, string] {
		t.Helper()
		l, fault := ls.Enter(lobby{&h}, nil, &at, "client", nil, caller)
		if fault != nil {
			t.Fatal(fault)
		}
		return l
	}
	nobody, feed := enter(""), enter("feed")
	if string(nobody.Source) != "the agent's" || string(feed.Source) != "feed" || feed.Shard != "shard" || feed.Conn != "client" {
		t.Errorf("links are %+v and %+v", nobody, feed)
	}
	if ls.Find(&at, []byte("feed")) != feed || ls.Find(&at, nil) != nobody || ls.Find(&at, []byte("other")) != nil {
		t.Error("links are not found by who calls")
	}
	if n := testing.AllocsPerRun(100, func() { ls.Find(&at, []byte("feed")) }); n != 0 {
		t.Errorf("%v allocations to find a link", n)
	}
	var elsewhere Linked[string, string]
	if ls.Find(&elsewhere, []byte("feed")) != nil {
		t.Error("a link at one service is found at another")
	}

	// Of ever more applications only so many have one; those with calls in flight keep theirs.
	feed.Add()
	ls.Find(&at, nil)
	for i := range 2 * maxLinks {
		enter(fmt.Sprint("app-", i))
	}
	if h.open() != maxLinks || life.Sessions.Load() != maxLinks {
		t.Errorf("%d sessions are open, %d counted: want %d", h.open(), life.Sessions.Load(), maxLinks)
	}
	if ls.Find(&at, []byte("feed")) != feed {
		t.Error("a link with a call in flight was taken away")
	}

	// A service that closes lets nobody in, and lets go of the last one with its call.
	at.Drain()
	if _, fault := ls.Enter(lobby{&h}, nil, &at, "client", nil, "late"); fault == nil || fault.Code != Draining {
		t.Errorf("while the service closes: %v", fault)
	}
	if h.open() != 1 || !at.Any() {
		t.Errorf("%d sessions are open: want the one with a call", h.open())
	}
	feed.Done()
	if h.open() != 0 || life.Sessions.Load() != 0 || at.Any() {
		t.Errorf("%d sessions are open at the end, %d counted", h.open(), life.Sessions.Load())
	}
}

// What is in flight when a service or a client ends is given up first, and what is forgotten is noticed.
func TestLinksEnd(t *testing.T) {
	for name, end := range map[string]func(*Links[int, int], *Linked[int, int], func(*Link[int, int])){
		"service": func(_ *Links[int, int], at *Linked[int, int], abandon func(*Link[int, int])) { at.End(abandon) },
		"client": func(ls *Links[int, int], at *Linked[int, int], abandon func(*Link[int, int])) {
			abandon(ls.Find(at, nil))
			ls.Leave()
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, forget := range []bool{false, true} {
				var h hall
				var life Lifetime
				var at Linked[int, int]
				at.Begin(1, &h, &life)
				var ls Links[int, int]
				l, _ := ls.Enter(lobby{&h}, nil, &at, 2, nil, "")
				l.Add()
				if got := panics(func() {
					end(&ls, &at, func(l *Link[int, int]) {
						if !forget {
							l.Done()
						}
					})
				}); got != forget {
					t.Errorf("forgotten %v: panics %v", forget, got)
				}
				if !forget && h.open() != 0 {
					t.Errorf("%d sessions are open", h.open())
				}
			}
		})
	}
}

func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return
}
