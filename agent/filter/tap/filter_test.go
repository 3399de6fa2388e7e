package tap_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/agent/filter"
	"github.com/sluice-mesh/sluice/agent/filter/accesslog"
	"github.com/sluice-mesh/sluice/agent/filter/conformance"
	"github.com/sluice-mesh/sluice/agent/filter/tap"
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
	ev.Time = time.Time{}
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
