package switcher_test

import (
	"testing"

	"github.com/sluice-mesh/sluice/agent/filter/conformance"
	"github.com/sluice-mesh/sluice/agent/filter/switcher"
	"github.com/sluice-mesh/sluice/resources"
)

func degrade(id, op, reply string, percent resources.Percent) resources.Command {
	return resources.Command{
		ID: id, Type: resources.CommandDegrade, Match: resources.Match{Op: op}, Reply: reply, Percent: percent, Author: "ana", Why: "KEYS is too slow",
	}
}

func TestReplies(t *testing.T) {
	fx := conformance.New(t, nil, degrade("c-7f3a", "KEYS", "error", 100), degrade("c-7f3b", "GET", "empty", 100), degrade("c-7f3c", "SET", "later", 100))
	f := fx.Build(t, switcher.Definition, nil)
	degraded := resources.Outcome(resources.Degraded)
	stop := fx.Do(f, "KEYS", resources.OutcomeOK, 0)
	if stop == nil || stop.Fault == nil || stop.Outcome != degraded || stop.Fault.Code != resources.Degraded ||
		stop.Fault.Text != "sluice: feed-cache: degraded by command c-7f3a (ana: KEYS is too slow)" {
		t.Errorf("reply error: %+v", stop)
	}
	if stop = fx.Do(f, "GET", resources.OutcomeOK, 0); stop == nil || *stop != (resources.Stop{Empty: true, Outcome: degraded}) {
		t.Errorf("reply empty: %+v", stop)
	}
	if stop = fx.Do(f, "SET", resources.OutcomeOK, 0); stop == nil || *stop != (resources.Stop{Reply: "later", Outcome: degraded}) {
		t.Errorf("reply later: %+v", stop)
	}
	if stop = fx.Do(f, "CONFIG|GET", resources.OutcomeOK, 0); stop != nil {
		t.Errorf("a call that no command selects: %+v", stop)
	}
}

func TestNewestDecides(t *testing.T) {
	fx := conformance.New(t, nil, degrade("c-1", "*", "old", 100), degrade("c-2", "GET", "new", 100))
	f := fx.Build(t, switcher.Definition, nil)
	if stop := fx.Do(f, "GET", resources.OutcomeOK, 0); stop == nil || stop.Reply != "new" {
		t.Errorf("GET got %+v, want the newer command's reply", stop)
	}
	if stop := fx.Do(f, "SET", resources.OutcomeOK, 0); stop == nil || stop.Reply != "old" {
		t.Errorf("SET got %+v, want the older command's reply", stop)
	}
}

func TestPercent(t *testing.T) {
	fx := conformance.New(t, nil, degrade("c-1", "GET", "old", 100), degrade("c-2", "GET", "new", 20))
	f := fx.Build(t, switcher.Definition, nil)
	hit := 0
	for range 5000 {
		switch stop := fx.Do(f, "GET", resources.OutcomeOK, 0); {
		case stop == nil:
		case stop.Reply == "new":
			hit++
		default:
			t.Fatal("a call that the newest command spared was hit by an older one")
		}
	}
	if hit < 770 || hit > 1230 { // 1000 with a standard deviation of 28
		t.Errorf("%d of 5000 calls were degraded at 20%%", hit)
	}
}

func TestOffWithoutCommands(t *testing.T) {
	fx := conformance.New(t, nil, resources.Command{ID: "c-1", Type: resources.CommandMock, Reply: "17"})
	if f, err := switcher.Definition.Compile(fx.Env(), nil); f != nil || err != nil {
		t.Errorf("got %v, %v; want none", f, err)
	}
}
