package motan

import (
	"bytes"
	"fmt"
	"github.com/sluice-mesh/sluice/resources/servicetest"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/protocols/serial"
	"github.com/sluice-mesh/sluice/resources"
)

// A request reaches its server with what callers may leave out, in the server's group, and the answer is the server's.
func TestCall(t *testing.T) {
	w, s := newWorld(t), newServer(t)
	f := w.service(&Settings{Groups: map[string]string{"g": "user-rpc"}}, nil, s.addr)
	c := w.dial()
	c.send(request(77, "M_m=echo M_g=user-rpc M_x=kept", "body"))
	r := c.want(77, "body")
	if string(r.Meta) != "M_pt\n1" || r.Serialization != byte(serial.IDSimple) {
		t.Errorf("the answer is %+v", r)
	}
	got := s.requests()[0]
	if string(got.body) != "body" || string(got.meta.Get("M_x")) != "kept" || string(got.meta.Get("M_g")) != "user-rpc" ||
		string(got.meta.Get("M_rid")) != "77" || string(got.meta.Get("M_s")) != "agent's app" {
		t.Errorf("the server got %q %q", got.meta, got.body)
	}
	if left := got.meta.Call().Timeout; left < 1900 || left > 2000 {
		t.Errorf("the server was told of %d ms", left)
	}
	// A group of the endpoint's, under both names; the caller's own words where they are right.
	c.send(request(1<<63|5, "M_m=echo M_s=app M_rid=-9 M_tmo=500 group=user-rpc", ""))
	c.want(1<<63|5, "")
	if got := s.requests()[1]; string(got.meta.Get("group")) != "user-rpc" || string(got.meta.Get("M_rid")) != "-9" || string(got.meta.Get("M_s")) != "app" ||
		got.meta.Call().Timeout > 500 || got.meta.Call().Timeout < 400 {
		t.Errorf("the server got %q", got.meta)
	}
	if n := f.Outcome("echo ok"); n != 2 {
		t.Errorf("%d calls are counted", n)
	}
	if n := f.Entered.Load(); n != 2 {
		t.Errorf("%d sessions for two applications", n)
	}
}

// Answers come in the order of the servers, and each finds its request, whatever the size and however it is cut.
func TestManyAtOnce(t *testing.T) {
	w, s := newWorld(t), newServer(t)
	w.service(&Settings{}, nil, s.addr)
	c := w.dial()
	var all []byte
	want := map[uint64]string{}
	for id := uint64(1); id <= 300; id++ {
		body := strings.Repeat(fmt.Sprint(id, " "), int(id*id%3000))
		want[id] = body
		all = append(all, request(id, []string{"M_m=echo", "M_m=late"}[id%2], body)...)
	}
	go func() {
		for len(all) > 0 {
			n := min(len(all), 7777)
			_, _ = c.nc.Write(all[:n])
			all = all[n:]
		}
	}()
	for len(want) > 0 {
		r, err := c.reply(5 * time.Second)
		if err != nil {
			t.Fatalf("%d answers are missing: %v", len(want), err)
		}
		if body, ok := want[r.ID]; !ok || body != string(r.Body) {
			t.Fatalf("answer %d has %d bytes, want %d, asked for: %v", r.ID, len(r.Body), len(body), ok)
		}
		delete(want, r.ID)
	}
}

func TestWhatServersSay(t *testing.T) {
	w, s, other := newWorld(t), newServer(t), newServer(t)
	f := w.service(&Settings{Idempotent: []string{"get*"}}, nil, s.addr, other.addr)
	c := w.dial()
	c.send(request(1, "M_m=biz", ""))
	c.want(1, "30001 2")
	if len(other.requests()) != 0 {
		t.Error("an exception of the service was a reason to ask another server")
	}
	c.send(request(2, "M_m=reject", ""))
	c.want(2, "10002 1") // of the last of three servers that were asked
	c.send(request(3, "M_m=missing", ""))
	c.want(3, "404 1")
	if a, b := len(s.requests()), len(other.requests()); a != 5 || b != 2 {
		t.Errorf("the servers were asked %d and %d times", a, b)
	}
	c.send(request(3, "M_m=unsent", "")) // as an agent before a server says it
	c.want(3, "10001 1")
	if a, b := len(s.requests()), len(other.requests()); a != 7 || b != 3 {
		t.Errorf("the servers were asked %d and %d times", a, b)
	}
	c.send(request(4, "M_m=drop", ""))
	c.want(4, "10023 1")
	if a, b := len(s.requests()), len(other.requests()); a != 8 || b != 3 {
		t.Errorf("what may have been executed was repeated: the servers were asked %d and %d times", a, b)
	}
	c.send(request(5, "M_m=getDrop", ""))
	c.want(5, "10023 1")
	if a, b := len(s.requests()), len(other.requests()); a != 10 || b != 4 {
		t.Errorf("an idempotent method was not repeated as it may be: the servers were asked %d and %d times", a, b)
	}
	c.send(request(6, "M_m=unknown", "")) // as an agent before a server says it that lost the server
	c.want(6, "10023 1")
	if a, b := len(s.requests()), len(other.requests()); a != 11 || b != 4 {
		t.Errorf("what an agent does not know to be executed was repeated: the servers were asked %d and %d times", a, b)
	}
	c.send(request(7, "M_m=getUnknown", ""))
	c.want(7, "10023 1")
	if a, b := len(s.requests()), len(other.requests()); a != 13 || b != 5 {
		t.Errorf("an idempotent method was not repeated when an agent lost its server: the servers were asked %d and %d times", a, b)
	}
	for what, n := range map[string]int{"biz error": 1, "drop unknown": 1, "getDrop unknown": 1, "unknown unknown": 1, "getUnknown unknown": 1} {
		if got := f.Outcome(what); got != n {
			t.Errorf("%s: %d, want %d (%v)", what, got, n, f.Outcomes())
		}
	}
}

func TestTimes(t *testing.T) {
	w, s := newWorld(t), newServer(t)
	f := w.service(&Settings{}, func(f *servicetest.Runtime) { f.Rules.Timeout = resources.Duration(400 * time.Millisecond) }, s.addr)
	c := w.dial()
	for _, call := range []struct {
		pairs    string
		how      string
		min, max time.Duration
	}{
		{"M_m=hang", "10003 1", 390, 600},
		{"M_m=hang M_tmo=50", "10003 1", 45, 300},
		{"M_m=late M_tmo=790", "x", 290, 790},           // more than the policy, as the settings allow
		{"M_m=hang M_tmo=100000", "10003 1", 790, 1000}, // and no more than that
		{"M_m=hang M_tmo=-1 M_x=y", "10003 1", 390, 600},
		{"M_m=hang M_tmo=0", "10003 1", 390, 600},
	} {
		var how string
		var took time.Duration
		for range 5 { // a busy machine is late at times
			began := time.Now()
			c.send(request(9, call.pairs, "x"))
			_, how = c.answer(9)
			took = time.Since(began)
			if how == call.how && took <= call.max*time.Millisecond+200*time.Millisecond {
				break
			}
		}
		if how != call.how || took < call.min*time.Millisecond || took > call.max*time.Millisecond+200*time.Millisecond {
			t.Errorf("%s was answered %q after %s, want %q after %d to %d ms", call.pairs, how, took, call.how, call.min, call.max)
		}
	}
	// An answer that comes too late is dropped, and the connection goes on.
	before := f.Drops("late-reply")
	c.send(request(10, "M_m=late M_tmo=100", "late"))
	c.want(10, "10003 1")
	eventually(t, "the late answer", func() bool { return f.Drops("late-reply") > before })
	c.send(request(11, "M_m=echo", "next"))
	c.want(11, "next")
	if f.Mismatches.Load() != 0 {
		t.Error("a late answer counts as a mismatch")
	}
}

func TestServerThatCannotBeTrusted(t *testing.T) {
	w, s := newWorld(t), newServer(t)
	f := w.service(&Settings{}, nil, s.addr)
	c := w.dial()
	c.send(request(1, "M_m=invent", ""))
	c.want(1, "10023 1")
	if f.Mismatches.Load() != 1 {
		t.Errorf("%d mismatches", f.Mismatches.Load())
	}
	c.send(request(2, "M_m=twice", "a"))
	c.want(2, "a")
	c.send(request(3, "M_m=echo", "b"))
	c.want(3, "b")
	if f.Mismatches.Load() != 1 || f.Drops("late-reply") != 1 {
		t.Errorf("a second answer: %d mismatches, %d dropped", f.Mismatches.Load(), f.Drops("late-reply"))
	}
}

// getLate is how long a server takes for a call of that name.
const getLate = 2500 * time.Millisecond

func TestBackup(t *testing.T) {
	w, slow, fast := newWorld(t), newServer(t), newServer(t)
	f := w.service(&Settings{Idempotent: []string{"get*", "hang"}}, func(f *servicetest.Runtime) { f.Rules.Timeout = resources.Duration(20 * time.Second) },
		slow.addr, fast.addr)
	f.BackupAfter.Store(int64(30 * time.Millisecond))
	c := w.dial()
	began := time.Now()
	c.send(request(1, "M_m=getLate", "x"))
	c.want(1, "x")
	if took := time.Since(began); took < getLate-10*time.Millisecond {
		t.Errorf("both servers are slow, and the answer came after %s", took)
	}
	if len(slow.requests()) != 1 || len(fast.requests()) != 1 {
		t.Errorf("%d and %d requests", len(slow.requests()), len(fast.requests()))
	}
	eventually(t, "the other answer", func() bool { return f.Drops("late-reply") == 1 })
	c.send(request(2, "M_m=getLate", "y")) // one of two connections is lost while both have the request
	eventually(t, "both to be asked", func() bool { return len(slow.requests()) == 2 && len(fast.requests()) == 2 })
	slow.cut()
	c.want(2, "y")
}

func TestOneway(t *testing.T) {
	w, s := newWorld(t), newServer(t)
	f := w.service(&Settings{}, nil, s.addr)
	c := w.dial()
	for i, pairs := range []string{"M_m=echo", "M_m=echo", "M_m=biz", "M_p=nobody M_m=x"} {
		b := request(uint64(i+1), pairs, "one way")
		b[2] |= motan2.TypeOneway
		c.send(b)
	}
	c.send(request(9, "M_m=echo", "both ways"))
	c.want(9, "both ways")
	eventually(t, "the requests", func() bool { return len(s.requests()) == 4 })
	for _, r := range s.requests()[:3] {
		if r.Type&motan2.TypeOneway == 0 {
			t.Errorf("%+v lost its type", r.Head)
		}
	}
	eventually(t, "their ends", func() bool { return f.Outcome("echo ok") == 3 && f.Outcome("biz ok") == 1 })
}

func TestRefused(t *testing.T) {
	w, s := newWorld(t), newServer(t)
	f := w.service(&Settings{Version: "1.0", MaxContent: 1 << 10}, nil, s.addr)
	c := w.dial()
	for _, r := range []struct{ pairs, how, says string }{
		{"M_p=a.C M_m=echo", "10101 0", "no resource here serves a.C"},
		{"M_g=other M_m=echo", "10101 0", `a.B is not served in group \"other\"`},
		{"M_v=2.0 M_m=echo", "10101 0", "there is a.B in g, version 1.0"},
		{"M_p= M_m=echo", "10101 0", "names no service"},
	} {
		c.send(request(3, r.pairs, ""))
		if got := c.want(3, r.how); !strings.Contains(string(got.Meta), r.says) {
			t.Errorf("%s: %s", r.pairs, got.Meta)
		}
	}
	c.send(motan2.Append(nil, motan2.Head{ID: 4}, motan2.Meta("M_p\na.B\nM_m"), nil))
	c.want(4, "20003 0")
	c.send(request(5, "M_m=echo", strings.Repeat("x", 5000)))
	c.want(5, "10201 0")
	c.send(request(6, "M_m=echo M_v=1.0 M_g=g", "still there"))
	c.want(6, "still there")
	if f.Begun.Load() != 1 {
		t.Errorf("%d calls began", f.Begun.Load())
	}
	c.send(motan2.AppendHeartbeat(nil, 8, false))
	if r, err := c.reply(time.Second); err != nil || r.Type != motan2.TypeHeartbeat|motan2.TypeResponse || r.ID != 8 {
		t.Errorf("a heartbeat: %+v %v", r, err)
	}
	c.send(request(7, "M_x="+strings.Repeat("x", 5000), ""))
	c.want(7, "10201 0")
	c.ended()
	c = w.dial()
	c.send([]byte("GET / HTTP/1.1\r\n\r\n"))
	c.ended()
}

// What the server answers and is too large for the agent is refused, and nothing else.
func TestLargeAnswer(t *testing.T) {
	w, s := newWorld(t), newServer(t)
	f := w.Runtime("a.B", s.addr)
	roomy := w.Runtime("roomy", s.addr)
	w.open(map[*servicetest.Runtime]*Settings{f: {MaxContent: 2 << 10}, roomy: {}})
	c := w.dial()
	c.send(request(1, "M_m=late", "x"))
	c.send(request(2, "M_m=echo", strings.Repeat("x", 3<<10)))
	c.want(2, "10201 1")
	c.want(1, "x")
	c.send(request(3, "M_p=roomy M_m=echo", strings.Repeat("y", 3<<20)))
	c.want(3, strings.Repeat("y", 3<<20))
}

func TestFilters(t *testing.T) {
	w, s := newWorld(t), newServer(t)
	fault := resources.NewFault(resources.BreakerOpen, resources.FromAgent, "a.B", "open")
	filter := func(f *servicetest.Runtime, c *resources.Call) *resources.Stop {
		text := c.View.AppendText(make([]byte, 0, 100))
		switch f.Operations.Info(c.Op).Name {
		case "refused":
			return &resources.Stop{Fault: fault, Outcome: resources.OutcomeOf(fault)}
		case "empty":
			return &resources.Stop{Empty: true}
		case "mock":
			return &resources.Stop{Reply: "hi"}
		case "number":
			return &resources.Stop{Reply: `json:{"$int32": 5}`}
		case "noJSON":
			return &resources.Stop{Reply: "json:[5"}
		case "delayed":
			c.Delay = int64(100 * time.Millisecond)
		case "traced":
			if c.Trace.TraceID[0] != 0x0a || !c.Trace.Sampled {
				t.Errorf("%+v", c.Trace)
			}
			c.Trace.SpanID[7]++
		case "text":
			if string(text) != "a.B.text(int,long)" || c.Session.Identity().Caller != "app" {
				t.Errorf("%q from %+v", text, c.Session.Identity())
			}
			if k, ok := c.View.Key(0); !ok || string(k) != "key" || !c.HasKey {
				t.Errorf("key %q %v", k, ok)
			}
		}
		return nil
	}
	w.service(&Settings{}, func(f *servicetest.Runtime) { f.Hook = func(c *resources.Call) *resources.Stop { return filter(f, c) } }, s.addr)
	c := w.dial()
	c.send(request(1, "M_m=refused", ""))
	c.want(1, "10022 1")
	c.send(request(2, "M_m=empty", ""))
	c.want(2, "\x00")
	c.send(request(3, "M_m=mock", ""))
	c.want(3, "\x01\x00\x00\x00\x02hi")
	c.send(request(7, "M_m=number", ""))
	c.want(7, "\x08\x0a")
	c.send(request(8, "M_m=noJSON", ""))
	c.want(8, "10021 1")
	if len(s.requests()) != 0 {
		t.Error("the server was asked")
	}
	c.send(request(6, "M_m=traced traceparent=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", ""))
	c.want(6, "")
	if got := string(s.requests()[0].meta.Get("traceparent")); got != "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203332-01" {
		t.Errorf("the server got the trace %s", got)
	}
	began := time.Now()
	c.send(append(request(4, "M_m=delayed", "x"), request(5, "M_m=text M_s=app M_md=int,long consistentHashKey=key", "y")...))
	c.want(5, "y")
	c.want(4, "x")
	if took := time.Since(began); took < 95*time.Millisecond {
		t.Errorf("a delay of 100 ms took %s", took)
	}
}

// A server that does not read must get nothing late, and nobody else's bytes (defect 1 of motan-go v1.2.0: a retry wrote
// into the message that the stalled connection was still sending).
func TestStalledServer(t *testing.T) {
	deaf := make(chan struct{})
	w, good, stalled := newWorld(t), newServer(t), newDeafServer(t, deaf)
	f := w.service(&Settings{Idempotent: []string{"echo"}}, func(f *servicetest.Runtime) { f.Rules.Timeout = resources.Duration(time.Second) },
		stalled.addr, good.addr)
	c := w.dial()
	const size = 9 << 20
	for id := uint64(1); id <= 3; id++ {
		c.send(request(id, "M_m=echo", strings.Repeat(string(rune('0'+id)), size)))
		c.want(id, "10003 1")
	}
	c.send(request(4, "M_m=echo", "small"))
	c.want(4, "10003 1")
	close(deaf)
	eventually(t, "the end of the stalled connections", func() bool { return f.Open.Load() <= 1 })
	time.Sleep(50 * time.Millisecond)
	for _, r := range stalled.requests() {
		if len(r.body) == size && len(bytes.Trim(r.body, string(r.body[:1]))) > 0 {
			t.Errorf("a request has the bytes of another")
		}
	}
}

// A server that answers nothing more loses its connection; one whose method takes too long keeps it, and with it the calls of
// others.
func TestSilentServer(t *testing.T) {
	w, s := newWorld(t), newServer(t)
	f := w.service(&Settings{}, func(f *servicetest.Runtime) { f.Rules.Timeout = resources.Duration(300 * time.Millisecond) }, s.addr)
	c := w.dial()
	for range 12 { // longer than it takes to give a silent server up
		c.send(request(1, "M_m=hang", ""))
		c.want(1, "10003 1")
	}
	if f.Open.Load() != 1 || len(s.requests()) != 12 {
		t.Errorf("%d connections are open, the server got %d requests", f.Open.Load(), len(s.requests()))
	}
	s.mute.Store(true)
	c.send(request(2, "M_m=echo", ""))
	c.want(2, "10003 1")
	eventually(t, "the silent server's connection to end", func() bool { return f.Open.Load() == 0 })
	s.mute.Store(false)
	c.send(request(3, "M_m=echo", "back"))
	c.want(3, "back")
}

// A server that says that it goes away gets nothing more on its connections, and they end when what is under way is answered. The call
// was not executed, which the caller hears in the agent's own words: the agent itself does not go away.
func TestLeavingServer(t *testing.T) {
	w, s := newWorld(t), newServer(t)
	f := w.service(&Settings{}, func(f *servicetest.Runtime) { f.Rules.Timeout = resources.Duration(20 * time.Second) }, s.addr)
	c := w.dial()
	c.send(request(1, "M_m=getLate", "slow"))
	c.send(request(2, "M_m=echo", strings.Repeat("x", large))) // on a connection of its own
	c.want(2, strings.Repeat("x", large))
	if n := f.Open.Load(); n != 2 {
		t.Fatalf("%d connections are open", n)
	}
	c.send(request(3, "M_m=leave", ""))
	if a := c.want(3, "10001 1"); a.Meta.Get(motan2.KeyUnsent) == nil || motan2.Leaves(a) {
		t.Errorf("metadata %q", a.Meta)
	}
	c.send(request(4, "M_m=echo", "new"))
	c.want(4, "new")
	eventually(t, "the idle connection to end", func() bool { return f.Open.Load() == 2 })
	c.want(1, "slow")
	eventually(t, "the other one to end", func() bool { return f.Open.Load() == 1 })
}

// Clients that go away leave nothing behind; servers that do are replaced.
func TestComingsAndGoings(t *testing.T) {
	w, s := newWorld(t), newServer(t)
	f := w.service(&Settings{}, nil, s.addr)
	for range 20 {
		c := w.dial()
		c.send(request(1, "M_m=hang", ""))
		c.send(request(2, "M_m=echo", "x"))
		c.want(2, "x")
		c.nc.Close()
	}
	eventually(t, "the calls' ends", func() bool { return f.Outcome("hang canceled") == 20 })
	c := w.dial()
	for i := range 20 {
		c.send(request(uint64(i), "M_m=echo", "x"))
		c.want(uint64(i), "x")
		s.cut()
		eventually(t, "the connection's end", func() bool { return f.Open.Load() == 0 })
	}
	// What was sent one way before the end is not lost.
	b := request(50, "M_m=echo", "one way")
	b[2] |= motan2.TypeOneway
	n := len(s.requests())
	c.send(b)
	c.nc.Close()
	eventually(t, "the oneway request", func() bool { return len(s.requests()) == n+1 })
}
