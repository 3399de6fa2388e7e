package peers

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/governance/fleet"
	"github.com/sluice-mesh/sluice/protocols/control"
)

// Reports come once, all of them, whatever becomes of the link that they come by; so do those that were made while there was none.
func TestReportsOnceAcrossLinks(t *testing.T) {
	m := newMesh(t)
	one, two := m.start("c1", nil), m.start("c2", nil)
	next, made := numbers()
	stop := two.agent("web", next, nil)
	one.knows("web@c2")
	for range 5 {
		two.cut()
		time.Sleep(30 * time.Millisecond)
	}
	two.deaf.Store(true)
	two.cut()
	m.await("the centre not to be heard", func() error {
		if one.p.Whole() == nil {
			return errors.New("it is")
		}
		return nil
	})
	one.knows("web@c2") // it lives, and what was heard stands
	before := made()
	m.await("reports that nobody hears", func() error {
		if made() < before+10 {
			return fmt.Errorf("%d", made())
		}
		return nil
	})
	two.deaf.Store(false)
	stop()
	m.await("all reports", func() error {
		if n := one.came("web"); n < made()-1 { // the last one may have been cut off with the agent
			return fmt.Errorf("%d of %d", n, made())
		}
		return one.p.Whole()
	})
	if a, b := one.losses(), two.losses(); a != 0 || b != 1 { // the mesh began with the first; the second lacks what was before it
		t.Errorf("%d times are missing at the first, %d at the second", a, b)
	}
	one.knows("-web")
}

// A centre that was stopped goes on with the reports where it was. One that was killed takes what others still have, and says that the
// time before may lack something.
func TestReportsOnceAcrossProcesses(t *testing.T) {
	m := newMesh(t)
	one, two := m.start("c1", nil), m.start("c2", nil)
	next, made := numbers()
	two.agent("web", next, nil)
	one.knows("web@c2")
	m.await("reports", func() error {
		if one.came("web") < 5 {
			return errors.New("few")
		}
		return nil
	})
	one.stop()
	had := one.came("web")
	two.knows("web@c2")
	again := m.start("c1", nil)
	m.await("the reports since", func() error {
		if n := again.came("web"); had+n < made()-1 || n < 5 {
			return fmt.Errorf("%d and %d of %d", had, n, made())
		}
		return nil
	})
	for _, k := range again.told() {
		if slices.Contains(one.told(), k) {
			t.Errorf("report %q came to both processes", k)
		}
	}
	if again.losses() != 0 {
		t.Error("times are missing")
	}
}

// Reports that are not there any more are said to be missing, and the others come.
func TestReportsLost(t *testing.T) {
	m := newMesh(t)
	two := m.start("c2", func(o *Options) { o.MaxLog = 4 * (overhead + 3) })
	next, made := numbers()
	stop := two.agent("web", next, nil)
	m.await("more reports than are kept", func() error {
		if made() < 20 {
			return errors.New("few")
		}
		return nil
	})
	stop() // or whoever is slow lacks more
	one := m.start("c1", nil)
	m.await("the reports that are kept", func() error {
		if n := one.came("web"); n < 4 {
			return fmt.Errorf("%d", n)
		}
		return one.p.Whole()
	})
	if n := one.losses(); n != 2 {
		t.Errorf("%d times are missing, want that before the start and that before the first report", n)
	}
	two.p.log.mu.Lock()
	defer two.p.log.mu.Unlock()
	if two.p.log.bytes > two.p.log.most || len(two.p.log.list) > 5 {
		t.Errorf("%d bytes in %d reports are kept", two.p.log.bytes, len(two.p.log.list))
	}
}

// A follower that does not read is cut off, and another one notices nothing of it.
func TestSlowFollower(t *testing.T) {
	m := newMesh(t)
	two := m.start("c2", func(o *Options) { o.Stall, o.Quiet = 4*time.Second, time.Minute })
	big := bytes.Repeat([]byte("x"), 64<<10)
	next, made := numbers()
	two.agent("web", func() []byte { return append(next(), big...) }, nil)
	config, err := m.ca.PeerConfig("c9")
	if err != nil {
		t.Fatal(err)
	}
	slow, err := tls.Dial("tcp", two.p.o.Address, config)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if _, err := upgrade(slow, "x"); err != nil {
		t.Fatal(err)
	}
	hi, err := frame(typeHello, hello{Version: version, Name: "c9", Cluster: m.store.Cluster()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := slow.Write(hi); err != nil {
		t.Fatal(err)
	}
	tellers := func() int {
		two.p.mu.Lock()
		defer two.p.mu.Unlock()
		return len(two.p.tellers)
	}
	one := m.start("c1", nil)
	one.knows("web@c2")
	m.await("both to be told", func() error {
		if n := tellers(); n != 2 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	for tellers() == 2 { // the healthy one is never behind by more than the reports of 3 s, however busy the machine is: it does not wait
		if n, of := one.came("web"), made(); n < of-150 {
			t.Fatalf("%d of %d reports came while another centre did not read", n, of)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if n := made(); n < 5 {
		t.Errorf("it was cut off after %d reports, before it was behind", n)
	}
	m.await("the healthy one to be whole", one.p.Whole)
}

// A centre that does not live any more has no agents; one that says goodbye has none at once. One that starts later hears of them.
func TestCenterGone(t *testing.T) {
	m := newMesh(t)
	one, two, three := m.start("c1", nil), m.start("c2", nil), m.start("c3", nil)
	two.agent("a", nil, nil)
	three.agent("b", nil, nil)
	one.knows("a@c2 b@c3")

	two.deaf.Store(true)
	two.cut()
	m.await("it not to be heard", func() error {
		if err := one.p.Whole(); err == nil || !strings.Contains(err.Error(), "c2") {
			return fmt.Errorf("%v", err)
		}
		return nil
	})
	one.knows("a@c2 b@c3")
	m.lives("c2", false)
	one.knows("-a b@c3")
	m.await("a mesh without it to be whole", one.p.Whole)
	two.deaf.Store(false) // it was not dead
	one.knows("a@c2 b@c3")

	three.stop()
	one.knows("a@c2 -b")
	four := m.start("c4", nil)
	four.knows("a@c2 -b")
}

// Questions reach agents of other centres, and have an end.
func TestAskElsewhere(t *testing.T) {
	m := newMesh(t)
	one, two := m.start("c1", nil), m.start("c2", nil)
	long := bytes.Repeat([]byte("0123456789"), 50_000)
	two.agent("web", nil, func(q control.Ask, send func(control.Answer) error) error {
		switch q.Path {
		case "/long":
			return send(control.Answer{ID: q.ID, Status: 200, Body: long})
		case "/never":
			return nil
		}
		for i := range 3 {
			if err := send(control.Answer{ID: q.ID, Status: 200, Body: fmt.Append(nil, i), More: i < 2}); err != nil {
				return err
			}
		}
		return nil
	})
	one.knows("web@c2")
	get := func(agent, path string, wait time.Duration) (control.Answer, error) {
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		defer cancel()
		return one.f.Ask(ctx, agent, control.Ask{Method: "GET", Path: path})
	}
	if a, err := get("web", "/long", 5*time.Second); err != nil || a.Status != 200 || !bytes.Equal(a.Body, long) {
		t.Errorf("%d, %d bytes, %v", a.Status, len(a.Body), err)
	}
	if a, err := get("web", "/pieces", 5*time.Second); err != nil || string(a.Body) != "012" {
		t.Errorf("%s %v", a.Body, err)
	}
	if _, err := get("web", "/never", 50*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if _, err := get("other", "/", time.Second); !errors.Is(err, fleet.ErrUnknown) {
		t.Errorf("%v", err)
	}
	// What this centre does not know yet: the agent left the other one.
	if _, err := one.p.Ask(t.Context(), "c2", "other", control.Ask{}); !errors.Is(err, fleet.ErrUnknown) {
		t.Errorf("%v", err)
	}
	if _, err := one.p.Ask(t.Context(), "c7", "web", control.Ask{}); !errors.Is(err, fleet.ErrAway) {
		t.Errorf("%v", err)
	}
	if b, err := one.p.AskCenter(t.Context(), "c2", "echo", []byte(`"hi"`)); err != nil || string(b) != `"hi"` {
		t.Errorf("%s %v", b, err)
	}
	if _, err := one.p.AskCenter(t.Context(), "c2", "else", nil); err == nil || err.Error() != "what?" {
		t.Errorf("%v", err)
	}

	pieces, err := one.f.AskStream(t.Context(), "web", control.Ask{Method: "GET", Path: "/pieces"})
	var text string
	for a := range pieces {
		text += string(a.Body)
	}
	if err != nil || text != "012" {
		t.Errorf("%s %v", text, err)
	}
	// A stream and a question end with the link; a stream that is cancelled ends at the agent's centre too.
	hung, err := one.f.AskStream(t.Context(), "web", control.Ask{Method: "GET", Path: "/never"})
	if err != nil {
		t.Fatal(err)
	}
	m.await("the question to be open", func() error { return two.open(1) })
	two.cut()
	if a, ok := <-hung; !ok || a.Status != 503 {
		t.Errorf("%+v %v", a, ok)
	}
	if _, ok := <-hung; ok {
		t.Error("the stream goes on")
	}
	ctx, cancel := context.WithCancel(t.Context())
	m.await("a new link", func() error {
		hung, err = one.f.AskStream(ctx, "web", control.Ask{Method: "GET", Path: "/never"})
		return err
	})
	m.await("the question to be open", func() error { return two.open(1) })
	cancel()
	m.await("the question not to be open", func() error { return two.open(0) })
	if _, ok := <-hung; ok {
		t.Error("a cancelled stream says something")
	}
}

// open fails unless so many questions of others are open.
func (c *center) open(want int) error {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	n := 0
	for _, t := range c.p.tellers {
		t.mu.Lock()
		n += len(t.asks)
		t.mu.Unlock()
	}
	if n != want {
		return fmt.Errorf("%d questions are open", n)
	}
	return nil
}

// Who is not what he says, or not of this mesh, is told nothing.
func TestHelloRefused(t *testing.T) {
	m := newMesh(t)
	c := m.start("c1", nil)
	for _, h := range []hello{
		{Version: version + 1, Name: "c2", Cluster: m.store.Cluster()},
		{Version: version, Name: "c3", Cluster: m.store.Cluster()},
		{Version: version, Name: "c2", Cluster: "another"},
	} {
		near, far := net.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- c.p.Serve(t.Context(), far, "c2") }()
		l := newConn(near, nil, &c.p.o)
		if err := l.message(typeHello, h); err != nil {
			t.Fatal(err)
		}
		if kind, payload, err := l.frames.Next(); err != nil || kind != typeBye {
			t.Errorf("%+v: %v %s %v", h, kind, payload, err)
		}
		near.Close()
		if err := <-ended; err == nil {
			t.Errorf("%+v was served", h)
		}
	}
}

func FuzzReport(f *testing.F) {
	now := time.Now()
	f.Add(appendReport(nil, &report{seq: 3, at: now.Add(-time.Second), agent: "web", application: "app", idc: "yf", payload: []byte("x")}, now)[5:])
	f.Add([]byte{1, 0, 1, 'a', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, payload []byte) {
		r, err := readReport(payload, now)
		if err != nil {
			return
		}
		again, err := readReport(appendReport(nil, &r, now)[5:], now)
		if err != nil || again.seq != r.seq || !again.at.Equal(r.at) || again.agent != r.agent || again.application != r.application || again.idc != r.idc ||
			!bytes.Equal(again.payload, r.payload) {
			t.Errorf("%+v became %+v, %v", r, again, err)
		}
	})
}
