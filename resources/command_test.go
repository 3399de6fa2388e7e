package resources

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

func commandSpec() *Spec {
	return &Spec{Name: "feed-cache", Kind: "redis", Groups: map[string]Group{
		"yf": {Endpoints: []EndpointSpec{{Address: "10.0.0.1:6379"}}},
		"tc": {Endpoints: []EndpointSpec{{Address: "10.1.0.1:6379"}}},
	}}
}

func TestDrains(t *testing.T) {
	for endpoint, want := range map[string]string{
		"10.0.0.1:80": "10.0.0.1:80", "10.0.*": "10.0.0.1:80 10.0.0.10:80", "10.0.0.1:*": "10.0.0.1:80", "!10.0.*": "10.1.0.1:80",
		"!10.0.0.1:*": "10.0.0.10:80 10.1.0.1:80", "*": "10.0.0.1:80 10.0.0.10:80 10.1.0.1:80", "!*": "",
	} {
		c := Command{Type: CommandDrain, Endpoint: endpoint}
		var got []string
		for _, a := range []string{"10.0.0.1:80", "10.0.0.10:80", "10.1.0.1:80"} {
			if c.Drains(a) {
				got = append(got, a)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s drains %v, not %s", endpoint, got, want)
		}
	}
}

func TestCommandValidate(t *testing.T) {
	now := time.Now()
	earlier := now.Add(-time.Second)
	long := strings.Repeat("x", maxReply+1)
	for _, c := range []struct {
		name string
		in   Command
		want string // part of the error; "": valid
	}{
		{"switch", Command{Type: CommandSwitch, Weights: map[string]int{"yf": 30, "tc": 70}}, ""},
		{"switch one group", Command{Type: CommandSwitch, Weights: map[string]int{"tc": 1}}, ""},
		{"switch nothing", Command{Type: CommandSwitch}, "a switch needs at least one GROUP=WEIGHT; groups of feed-cache: tc, yf"},
		{"switch unknown group", Command{Type: CommandSwitch, Weights: map[string]int{"gz": 1}}, `no group "gz": its groups are tc, yf`},
		{"switch negative", Command{Type: CommandSwitch, Weights: map[string]int{"tc": -1}}, "weight -1 of group tc is out of range: use 0 to 10000"},
		{"switch too heavy", Command{Type: CommandSwitch, Weights: map[string]int{"tc": MaxWeight + 1}}, "out of range"},
		{"switch to nowhere", Command{Type: CommandSwitch, Weights: map[string]int{"tc": 0, "yf": 0}}, "to stop calls use degrade"},
		{"degrade", Command{Type: CommandDegrade, Percent: 10, Match: Match{Op: "KEYS"}}, ""},
		{"degrade two lines", Command{Type: CommandDegrade, Reply: "a\nb"}, "reply must be one line"},
		{"degrade long", Command{Type: CommandDegrade, Reply: long}, "too long"},
		{"mock", Command{Type: CommandMock, Reply: "PONG"}, ""},
		{"mock without reply", Command{Type: CommandMock}, "a mock needs a reply"},
		{"limit", Command{Type: CommandLimit, Rate: 100, Burst: 10}, ""},
		{"limit per caller", Command{Type: CommandLimit, Rate: 100, Per: PerCaller}, ""},
		{"limit per user", Command{Type: CommandLimit, Rate: 100, Per: "user"}, `per "user" is unknown: use caller`},
		{"degrade per caller", Command{Type: CommandDegrade, Per: PerCaller}, "only a limit is per caller"},
		{"limit to nothing", Command{Type: CommandLimit}, ""},
		{"limit negative", Command{Type: CommandLimit, Rate: -1}, "use a number per second, 0/s to refuse all"},
		{"limit NaN", Command{Type: CommandLimit, Rate: Rate(math.NaN())}, "out of range"},
		{"limit burst", Command{Type: CommandLimit, Rate: 1, Burst: -1}, "burst -1 is out of range"},
		{"fault delay", Command{Type: CommandFault, Delay: Duration(50 * time.Millisecond)}, ""},
		{"fault error", Command{Type: CommandFault, Error: "ERR injected"}, ""},
		{"fault of nothing", Command{Type: CommandFault}, "a fault needs a delay, an error or both"},
		{"fault long delay", Command{Type: CommandFault, Delay: maxDelay + 1}, "use up to 1m"},
		{"fault two lines", Command{Type: CommandFault, Error: "a\r\nb"}, "error must be one line"},
		{"drain", Command{Type: CommandDrain, Endpoint: "10.0.0.1:6379"}, ""},
		{"drain nothing", Command{Type: CommandDrain}, "a drain needs the address of an endpoint"},
		{"no type", Command{}, `unknown command type "": use switch, degrade, limit, fault, mock or drain`},
		{"unknown type", Command{Type: "stop"}, `unknown command type "stop"`},
		{"percent", Command{Type: CommandDegrade, Percent: 101}, "percent 101 is out of range: use 0 to 100"},
		{"percent NaN", Command{Type: CommandDegrade, Percent: Percent(math.NaN())}, "out of range"},
		{"class", Command{Type: CommandDegrade, Match: Match{Class: "reed"}}, `unknown class "reed"`},
		{"digest", Command{Type: CommandDegrade, Match: Match{Digest: "1"}}, "16 hexadecimal digits"},
		{"expired", Command{Type: CommandDegrade, Expires: &earlier}, "is not after created"},
	} {
		c.in.Resource, c.in.Created = "feed-cache", now
		err := c.in.Validate(commandSpec())
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if err == nil && c.in.Percent == 0 {
			t.Errorf("%s: percent is not filled in", c.name)
		}
	}
	other := Command{Type: CommandMock, Resource: "orders-db", Reply: "x"}
	if err := other.Validate(commandSpec()); err == nil || !strings.Contains(err.Error(), `for resource "orders-db", not "feed-cache"`) {
		t.Error(err)
	}
}

func TestCommandDefaults(t *testing.T) {
	c := Command{Type: CommandDegrade, Resource: "feed-cache"}
	if err := c.Validate(commandSpec()); err != nil || c.Reply != "error" || c.Percent != 100 {
		t.Fatalf("%+v, %v", c, err)
	}
}

func TestCommandSummary(t *testing.T) {
	for want, c := range map[string]Command{
		"tc=70 yf=30":                {Type: CommandSwitch, Percent: 100, Weights: map[string]int{"yf": 30, "tc": 70}},
		"10% error":                  {Type: CommandDegrade, Percent: 10, Reply: "error"},
		"PONG":                       {Type: CommandMock, Percent: 100, Reply: "PONG"},
		"100/s":                      {Type: CommandLimit, Percent: 100, Rate: 100},
		"delay 50ms error ERR tired": {Type: CommandFault, Delay: Duration(50 * time.Millisecond), Error: "ERR tired"},
		"10.0.0.1:6379":              {Type: CommandDrain, Endpoint: "10.0.0.1:6379"},
	} {
		if got := c.Summary(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestCommandExpired(t *testing.T) {
	now := time.Now()
	c := Command{}
	if c.Expired(now) {
		t.Error("a command without an end expired")
	}
	c.Expires = &now
	if c.Expired(now.Add(-1)) || !c.Expired(now) {
		t.Error("a command ends at its time, not before and not later")
	}
}

func TestCommandJSON(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	in := Command{
		ID: "c-7f3a9b", Type: CommandLimit, Resource: "feed-cache", Match: Match{Op: "KEYS"}, Percent: 12.5, Rate: 0.5, Burst: 3,
		Author: "ana@host", Why: "slow", Created: at, Expires: &at,
	}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"id":"c-7f3a9b","type":"limit","resource":"feed-cache","match":{"op":"KEYS"},"percent":"12.5%","rate":"0.5/s",` +
		`"burst":3,"author":"ana@host","why":"slow","created":"2026-03-01T12:00:00Z","expires":"2026-03-01T12:00:00Z"}`
	if string(b) != want {
		t.Errorf("%s\nwant\n%s", b, want)
	}
	var out Command
	if err := json.Unmarshal(b, &out); err != nil || !reflect.DeepEqual(out, in) {
		t.Errorf("%+v, %v", out, err)
	}
}
