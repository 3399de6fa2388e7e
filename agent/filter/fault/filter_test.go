package fault_test

import (
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/agent/filter/conformance"
	"github.com/sluice-mesh/sluice/agent/filter/fault"
	"github.com/sluice-mesh/sluice/resources"
)

func inject(op string, delay time.Duration, text string) resources.Command {
	return resources.Command{
		ID: "c-7f3a", Type: resources.CommandFault, Percent: 100, Match: resources.Match{Op: op}, Delay: resources.Duration(delay), Error: text,
	}
}

func TestDelay(t *testing.T) {
	fx := conformance.New(t, nil, inject("GET", 50*time.Millisecond, ""))
	f := fx.Build(t, fault.Definition, nil)
	for op, want := range map[string]time.Duration{"GET": 50 * time.Millisecond, "SET": 0} {
		c := fx.Call(op)
		if stop := f.OnCall(c); stop != nil {
			t.Errorf("%s got %+v", op, stop)
		}
		if c.Delay != int64(want) {
			t.Errorf("%s is held for %d ns, want %v", op, c.Delay, want)
		}
	}
}

func TestError(t *testing.T) {
	fx := conformance.New(t, nil, inject("GET", time.Second, "LOADING Redis is loading"))
	f := fx.Build(t, fault.Definition, nil)
	c := fx.Call("GET")
	stop := f.OnCall(c)
	if stop == nil || stop.Fault == nil || stop.Fault.Text != "LOADING Redis is loading" || stop.Fault.Code != resources.Unavailable ||
		stop.Fault.Close || stop.Outcome != resources.Outcome(resources.Unavailable) {
		t.Fatalf("GET got %+v", stop)
	}
	if c.Delay != 0 {
		t.Error("a call that is answered with an error is held as well")
	}
}
