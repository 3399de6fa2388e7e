package accesslog_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/agent/filter/accesslog"
	"github.com/sluice-mesh/sluice/agent/filter/conformance"
	"github.com/sluice-mesh/sluice/resources"
)

const (
	ok     = resources.OutcomeOK
	failed = resources.Outcome(resources.Unavailable)
)

func policy(set func(*resources.AccessLog)) *resources.Policy {
	a := &resources.AccessLog{}
	if set != nil {
		set(a)
	}
	return &resources.Policy{AccessLog: a}
}

var stamp = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`)

func TestTextLine(t *testing.T) {
	fx := conformance.New(t, policy(func(a *resources.AccessLog) { a.Sample = 100 }))
	f := fx.Build(t, accesslog.Definition, nil)
	fx.Do(f, "GET", ok, 1204*time.Microsecond)
	fx.Session.SetIdentity(&resources.Identity{Caller: `batch "7"` + "\n", User: ""})
	fx.Do(f, "SET", failed, 2*time.Second)
	want := []string{
		`time=T resource=feed-cache op=GET class=read text="GET user:17" caller=feed-web user=app client=10.0.0.9:51122 ` +
			`group=yf endpoint=10.0.0.1:6379 outcome=ok latency=1.204ms tries=1 in=31 out=128`,
		`time=T resource=feed-cache op=SET class=write text="SET user:17" caller="batch \"7\"\n" client=10.0.0.9:51122 ` +
			`group=yf endpoint=10.0.0.1:6379 outcome=unavailable latency=2s tries=1 in=31 out=128 ` +
			`fault="sluice: feed-cache: 10.0.0.1:6379 closed the connection"`,
	}
	got := fx.Lines(t)
	if len(got) != len(want) {
		t.Fatalf("%d lines, want %d: %q", len(got), len(want), got)
	}
	for i := range want {
		if line := stamp.ReplaceAllString(got[i], "T"); line != want[i] {
			t.Errorf("line %d:\n got %s\nwant %s", i, line, want[i])
		}
	}
}

func TestJSONLine(t *testing.T) {
	fx := conformance.New(t, policy(func(a *resources.AccessLog) { a.Sample, a.Format = 100, "json" }))
	f := fx.Build(t, accesslog.Definition, nil)
	fx.Session.SetIdentity(&resources.Identity{Caller: "b\xff\x01é\u2028" + strings.Repeat("x", 600), User: "app"})
	fx.Do(f, "GET", failed, 1500*time.Microsecond)
	lines := fx.Lines(t)
	if len(lines) != 1 {
		t.Fatalf("%d lines, want 1", len(lines))
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &got); err != nil {
		t.Fatalf("%v in %s", err, lines[0])
	}
	want := map[string]any{
		"resource": "feed-cache", "op": "GET", "class": "read", "text": "GET user:17", "user": "app", "client": "10.0.0.9:51122",
		"group": "yf", "endpoint": "10.0.0.1:6379", "outcome": "unavailable", "latency_ns": 1.5e6, "tries": 1.0, "in": 31.0, "out": 128.0,
		"fault": "sluice: feed-cache: 10.0.0.1:6379 closed the connection",
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s is %v, want %v", k, got[k], v)
		}
	}
	caller, _ := got["caller"].(string)
	if !strings.HasPrefix(caller, "b\uFFFD\x01é\u2028xxx") || !strings.HasSuffix(caller, "x...") || len(caller) > 520 {
		t.Errorf("caller is %q", caller)
	}
	if _, err := time.Parse(time.RFC3339, got["time"].(string)); err != nil {
		t.Error(err)
	}
	if len(got) != len(want)+2 {
		t.Errorf("%d fields, want %d: %v", len(got), len(want)+2, got)
	}
}

func TestWhatIsLogged(t *testing.T) {
	no := false
	for _, tc := range []struct {
		name    string
		set     func(*resources.AccessLog)
		op      string
		outcome resources.Outcome
		took    time.Duration
		want    int
	}{
		{"ordinary call", nil, "GET", ok, time.Millisecond, 0},
		{"slow call", nil, "GET", ok, 51 * time.Millisecond, 10},
		{"stream is never slow", nil, "SUBSCRIBE", ok, time.Hour, 0},
		{"failure", nil, "GET", failed, 0, 10},
		{"error of the upstream", nil, "GET", resources.OutcomeError, 0, 10},
		{"errors switched off", func(a *resources.AccessLog) { a.Errors = &no }, "GET", failed, 0, 0},
		{"slow error", func(a *resources.AccessLog) { a.Errors = &no }, "GET", failed, time.Second, 10},
		{"all sampled", func(a *resources.AccessLog) { a.Sample = 100 }, "GET", ok, 0, 10},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fx := conformance.New(t, policy(tc.set))
			f := fx.Build(t, accesslog.Definition, nil)
			for range 10 {
				fx.Do(f, tc.op, tc.outcome, tc.took)
			}
			if n := len(fx.Lines(t)); n != tc.want {
				t.Errorf("%d lines of 10 calls, want %d", n, tc.want)
			}
		})
	}
}

func TestSampleIsAShare(t *testing.T) {
	fx := conformance.New(t, policy(func(a *resources.AccessLog) { a.Sample = 10 }))
	f := fx.Build(t, accesslog.Definition, nil)
	for range 5000 {
		fx.Do(f, "GET", ok, 0)
	}
	// 500 are expected, with a standard deviation of 21: eight of them either way never happen. None is dropped: the
	// ring holds 1024.
	if n := len(fx.Lines(t)); n < 330 || n > 670 {
		t.Errorf("%d lines of 5000 calls at 10%%, want about 500", n)
	}
}

func TestRefusedCallIsLoggedWithItsFault(t *testing.T) {
	fx := conformance.New(t, policy(nil))
	f := fx.Build(t, accesslog.Definition, nil)
	c := fx.Call("KEYS")
	f.OnCall(c)
	stop := &resources.Stop{
		Fault:   resources.NewFault(resources.Limited, resources.FromAgent, "feed-cache", "over 0/s (limit 1)"),
		Outcome: resources.Outcome(resources.Limited),
	}
	fx.End(c, stop, ok, 0)
	f.OnDone(c)
	lines := fx.Lines(t)
	if len(lines) != 1 || !strings.Contains(lines[0], `client=10.0.0.9:51122 outcome=limited latency=0ns`) ||
		!strings.Contains(lines[0], `fault="sluice: feed-cache: over 0/s (limit 1)"`) {
		t.Errorf("lines are %q", lines)
	}
}

func TestFileStaysOpenWhileAFilterUsesIt(t *testing.T) {
	fx := conformance.New(t, policy(func(a *resources.AccessLog) { a.Sample = 100 }))
	f := fx.Build(t, accesslog.Definition, nil).(*accesslog.Filter)
	g := fx.Build(t, accesslog.Definition, f).(*accesslog.Filter)
	dropped := fx.Sinks.Dropped("accesslog")
	f.Close()
	fx.Do(f, "GET", ok, 0) // a call that began under the filter that was replaced
	fx.Do(g, "GET", ok, 0)
	if dropped.Load() != 0 {
		t.Fatal("the file was closed under the filter that goes on using it")
	}
	g.Close()
	for end := time.Now().Add(10 * time.Second); dropped.Load() == 0; time.Sleep(time.Millisecond) {
		fx.Do(g, "GET", ok, 0)
		if time.Now().After(end) {
			t.Fatal("the file is open although no filter uses it")
		}
	}
}
