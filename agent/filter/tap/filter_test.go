package tap_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/agent/filter/accesslog"
	"github.com/sluice-mesh/sluice/agent/filter/conformance"
	"github.com/sluice-mesh/sluice/agent/filter/tap"
	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/internal/loop"
	"github.com/sluice-mesh/sluice/resources"
)

const ok = resources.OutcomeOK

func TestEvent(t *testing.T) {
	fx := conformance.New(t, nil)
	f := fx.Build(t, tap.Definition, nil)
	fx.Do(f, "GET", ok, 0) // before anybody watches
	events, cancel := fx.Tap.Subscribe(nil, 0, 8)
	defer cancel()
	fx.Advance(time.Second)
	fx.Do(f, "GET", resources.Outcome(resources.Unavailable), 3*time.Millisecond)
	if len(events) != 1 {
		t.Fatalf("%d events, want 1", len(events))
	}
	ev := <-events
	if ev.Time.IsZero() {
		t.Error("the event has no time")
	}
	if ev.Stages.Total != 3000 {
		t.Errorf("the stages are %+v, want 3000 µs in all", ev.Stages)
	}
	ev.Time, ev.Stages = time.Time{}, filter.Stages{}
	want := filter.Event{
		Op: "GET", Class: "read", Caller: "feed-web", User: "app", Client: "10.0.0.9:51122", Group: "yf", Endpoint: "10.0.0.1:6379",
		Outcome: "unavailable", Latency: 3e6, ReqBytes: 31, RespBytes: 128, Text: "GET user:17",
		Fault: "sluice: feed-cache: 10.0.0.1:6379 closed the connection",
	}
	if ev != want {
		t.Errorf("event is\n%+v, want\n%+v", ev, want)
	}
}

func TestObserversGetWhatTheySelected(t *testing.T) {
	fx := conformance.New(t, nil)
	f := fx.Build(t, tap.Definition, nil)
	reads, err := resources.Match{Class: "read"}.Compile(fx.Ops)
	if err != nil {
		t.Fatal(err)
	}
	all, cancelAll := fx.Tap.Subscribe(nil, 0, 8)
	read, cancelRead := fx.Tap.Subscribe(reads, 0, 8)
	slow, cancelSlow := fx.Tap.Subscribe(nil, time.Second, 8)
	fx.Advance(time.Second)
	fx.Do(f, "GET", ok, 0)
	fx.Do(f, "SET", ok, 2*time.Second)
	if len(all) != 2 || len(read) != 1 || len(slow) != 1 {
		t.Errorf("%d, %d and %d events, want all 2, 1 read, 1 slow", len(all), len(read), len(slow))
	}
	if ev := <-slow; ev.Op != "SET" || ev.Text != "SET user:17" {
		t.Errorf("the slow one is %+v", ev)
	}
	cancelAll()
	cancelAll()
	cancelSlow()
	fx.Do(f, "GET", ok, 0)
	if len(all) != 2 || len(read) != 2 {
		t.Errorf("%d and %d events after one observer left, want 2 and 2", len(all), len(read))
	}
	cancelRead()
	if fx.Tap.Active() {
		t.Error("the tap is active although all observers left")
	}
}

// Who wants a share of the calls gets about that, and none but those are watched.
func TestSample(t *testing.T) {
	fx := conformance.New(t, nil)
	f := fx.Build(t, tap.Definition, nil)
	some, cancel := fx.Tap.SubscribeSample(nil, 0, 10, 5000)
	defer cancel()
	none, cancelNone := fx.Tap.SubscribeSample(nil, 0, 0, 1)
	defer cancelNone()
	fx.Advance(time.Second)
	watched := 0
	for range 5000 {
		c := fx.Call("GET")
		f.OnCall(c)
		if c.Stages != nil {
			watched++
		}
		fx.End(c, nil, ok, 0)
		f.OnDone(c)
	}
	if n := len(some); n < 330 || n > 670 || n != watched { // 500 with a standard deviation of 21
		t.Errorf("%d of 5000 events at 10%%, %d calls were watched", n, watched)
	}
	if len(none) != 0 {
		t.Errorf("%d events at 0%%", len(none))
	}
}

// An event waits until the client's connection took the answer, or is gone; then its reply is measured to there.
func TestEventsWaitForTheAnswer(t *testing.T) {
	loops, err := loop.NewGroup(1)
	if err != nil {
		t.Fatal(err)
	}
	defer loops.Stop()
	for _, reads := range []bool{true, false} {
		fx := conformance.New(t, nil)
		f := fx.Build(t, tap.Definition, nil)
		events, cancel := fx.Tap.Subscribe(nil, 0, 8)
		defer cancel()
		fx.Now = clock.Now() // as the loop has it
		agent, client := net.Pipe()
		ended, gone := make(chan struct{}), make(chan *loop.Conn, 1)
		if err := loops.Next().Attach(agent, func(out *loop.Conn) {
			out.SetHandler(deaf{})
			out.Write(make([]byte, 1<<20)) // answers before it
			c := fx.Call("GET")
			f.OnCall(c)
			c.Stages.Out = out
			fx.End(c, nil, ok, 0)
			f.OnDone(c)
			gone <- out
			close(ended)
		}); err != nil {
			t.Fatal(err)
		}
		<-ended
		if len(events) != 0 {
			t.Error("the event came before the answer was written")
		}
		if reads {
			_, _ = io.CopyN(io.Discard, client, 1<<20)
		} else {
			out := <-gone
			loops.Next().Post(func() { out.Close(nil) })
		}
		select {
		case ev := <-events:
			if measured := ev.Stages.Total > 0; measured != reads {
				t.Errorf("a client that reads (%v) has the stages %+v", reads, ev.Stages)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("no event of a call whose client reads (%v)", reads)
		}
		client.Close()
	}
}

// deaf does nothing with what happens on a connection.
type deaf struct{}

func (deaf) OnData(_ *loop.Conn, b []byte) int { return len(b) }
func (deaf) OnEOF(*loop.Conn)                  {}
func (deaf) OnDrained(*loop.Conn)              {}
func (deaf) OnClose(*loop.Conn, error)         {}

func TestSlowObserverLosesEvents(t *testing.T) {
	fx := conformance.New(t, nil)
	f := fx.Build(t, tap.Definition, nil)
	events, cancel := fx.Tap.Subscribe(nil, 0, 4)
	defer cancel()
	fx.Advance(time.Second)
	for range 10 {
		fx.Do(f, "GET", ok, 0)
	}
	if len(events) != 4 || fx.Tap.Dropped() != 6 || fx.Sinks.Dropped("observe").Load() != 6 {
		t.Errorf("%d events, %d dropped, %d counted; want 4, 6, 6", len(events), fx.Tap.Dropped(), fx.Sinks.Dropped("observe").Load())
	}
}

// A call that began before its observer is nobody's: the observer's bit belonged to somebody else then.
func TestNewObserverGetsNoOldCalls(t *testing.T) {
	fx := conformance.New(t, nil)
	f := fx.Build(t, tap.Definition, nil)
	var cancels []func()
	for range filter.MaxSubscribers {
		_, cancel := fx.Tap.Subscribe(nil, 0, 1)
		cancels = append(cancels, cancel)
	}
	if extra, _ := fx.Tap.Subscribe(nil, 0, 1); func() bool { _, open := <-extra; return open }() {
		t.Error("one observer too many got a channel that is open")
	}
	c := fx.Call("GET")
	f.OnCall(c)
	cancels[0]()
	events, cancel := fx.Tap.Subscribe(nil, 0, 1)
	fx.End(c, nil, ok, time.Hour)
	f.OnDone(c)
	if len(events) != 0 {
		t.Error("an observer got a call that began before it came")
	}
	cancel()
	for _, cancel := range cancels[1:] {
		cancel()
	}
}

// The access log and the tap share the text and the slot that holds it.
func TestTogetherWithTheAccessLog(t *testing.T) {
	fx := conformance.New(t, &resources.Policy{AccessLog: &resources.AccessLog{Sample: 100}})
	env := fx.Env()
	log, err := accesslog.Definition.Compile(env, nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := tap.Definition.Compile(env, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range filter.MaxSlots - 1 {
		if _, err := env.TakeSlot(); err != nil {
			t.Fatalf("the access log and the tap took more than one slot: %v", err)
		}
	}
	events, cancel := fx.Tap.Subscribe(nil, 0, 5000)
	defer cancel()
	fx.Advance(time.Second)
	for range 5000 { // more than there are texts: each is given back
		c := fx.Call("GET")
		log.OnCall(c)
		f.OnCall(c)
		fx.End(c, nil, ok, 0)
		f.OnDone(c)
		log.OnDone(c)
		if ev := <-events; ev.Text != "GET user:17" {
			t.Fatalf("the event's text is %q", ev.Text)
		}
	}
	lines := fx.Lines(t)
	for _, l := range lines {
		if !strings.Contains(l, ` text="GET user:17" `) {
			t.Fatalf("a line has no text: %s", l)
		}
	}
	if len(lines) == 0 {
		t.Error("the access log has no lines")
	}
}
