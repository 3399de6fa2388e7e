package agent

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mesh/sluice/agent/admin"
	"github.com/sluice-mesh/sluice/agent/runtime"
	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/metrics"
	"github.com/sluice-mesh/sluice/resources"
)

func TestRatesAreOfTheLastSecond(t *testing.T) {
	reg := metrics.NewRegistry(metrics.Options{Outcomes: runtime.Outcomes()})
	cell := reg.Resource("cache", "echo").Cell("yf", "GET", "read")
	count := func(n int, o resources.Outcome) {
		for range n {
			cell.Done(uint8(o), 1000, false, 1, 1)
		}
	}
	s := newSampler(reg)
	now := time.Unix(1000, 0)
	count(1000, resources.OutcomeOK)
	s.sample(now)
	if got := s.rate("cache", ""); got != (admin.Rate{}) {
		t.Errorf("what was counted before the first look is not a rate: %+v", got)
	}
	count(10, resources.OutcomeOK)
	count(4, resources.OutcomeError)
	reg.Resource("cache", "echo").Cell("tc", "GET", "read").Done(0, 1000, false, 1, 1)
	s.sample(now.Add(2 * time.Second))
	if got := s.rate("cache", "yf"); got != (admin.Rate{Calls: 7, Errors: 2}) {
		t.Errorf("group: %+v", got)
	}
	if got := s.rate("cache", ""); got != (admin.Rate{Calls: 7.5, Errors: 2}) {
		t.Errorf("resource: %+v", got)
	}
	reg.Drop("cache")
	reg.Resource("cache", "echo").Cell("yf", "GET", "read")
	s.sample(now.Add(3 * time.Second))
	if got := s.rate("cache", "yf"); got != (admin.Rate{}) {
		t.Errorf("a resource that was made anew: %+v", got)
	}
}

func TestReadinessIsLatchedAndSettles(t *testing.T) {
	var r readiness
	now := time.Unix(1000, 0)
	waiting, missing := []string{"the first check of cache"}, []string(nil)
	ask := func(at time.Duration, draining bool) string {
		ok, detail := r.ready(now.Add(at), draining, func() []string { return waiting }, func() []string { return missing })
		if ok {
			return "ready"
		}
		return detail
	}
	steps := []string{ask(0, false)}
	r.begin(now)
	steps = append(steps, ask(time.Second, false))
	waiting, missing = nil, []string{"feed", "orders"}
	steps = append(steps, ask(time.Hour, false))
	missing = nil
	steps = append(steps, ask(2*time.Second, false))
	waiting = []string{"the first check of a new one"}
	steps = append(steps, ask(3*time.Second, false), ask(4*time.Second, true))
	want := []string{"starting", "waiting for the first check of cache", "waiting for the centre to define feed, orders", "ready", "ready", "draining"}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Error(diff)
	}
	var slow readiness
	slow.begin(now)
	if ok, _ := slow.ready(now.Add(settle), false, func() []string { return waiting }, func() []string { return nil }); !ok {
		t.Error("an upstream that is away keeps the agent from getting ready")
	}
}

func TestSharesOfEndpoints(t *testing.T) {
	list := []runtime.EndpointStatus{
		{Group: "tc", Address: "c", Weight: 100, Share: 1, State: "up"},
		{Group: "yf", Address: "a", Weight: 100, Share: 1, State: "up"},
		{Group: "yf", Address: "b", Weight: 100, Share: 0.5, State: "up"},                                         // slow start
		{Group: "yf", Address: "d", Weight: 100, State: "ejected", Why: "5 failures in a row", ReturnInNs: 4.6e9}, // out
		{Group: "mars", Address: "e", Weight: 100, State: "down"},
	}
	groups := []runtime.GroupStatus{{Name: "tc", InForce: 25, Sound: 1}, {Name: "yf", InForce: 75, Sound: 2}, {Name: "mars", InForce: 100}}
	got := map[string]string{}
	for _, e := range endpointViews(list, groups) {
		got[e.Address] = e.Share.String() + " " + e.Detail
	}
	want := map[string]string{"a": "50% ", "b": "25% ", "c": "25% ", "d": "0% 5 failures in a row (back in 5s)", "e": "0% "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPreviewsInPlainWords(t *testing.T) {
	p := runtime.Preview{
		Command: resources.Command{Type: resources.CommandSwitch, Resource: "cache", Match: resources.Match{Caller: "web"}},
		Calls:   120, Exact: false,
		Groups: []runtime.PreviewGroup{{Name: "tc", After: 84, WeightAfter: 70}, {Name: "yf", Before: 120, After: 36, WeightBefore: 100, WeightAfter: 30}},
		Moves:  []runtime.PreviewMove{{From: "yf", To: "tc", Calls: 84}},
		Notes:  []string{"3 of 40 sessions are pinned: they move when their transaction or other pin ends"},
	}
	want := `cache: at most 120 calls with caller=web a second match now (last minute).
Group tc: weight 0 -> 70, 0 -> 84 calls/s.
Group yf: weight 100 -> 30, 120 -> 36 calls/s.
84 calls/s would move from yf to tc.
3 of 40 sessions are pinned: they move when their transaction or other pin ends.`
	if diff := cmp.Diff(want, strings.Join(previewText(&p), "\n")); diff != "" {
		t.Error(diff)
	}
	for typ, want := range map[resources.CommandType]string{
		resources.CommandLimit: "refused by the limit of 5/s", resources.CommandDegrade: "answered by the agent: empty",
		resources.CommandMock: "answered by the agent: empty", resources.CommandFault: "disturbed",
	} {
		q := runtime.Preview{Command: resources.Command{Type: typ, Resource: "cache", Reply: "empty", Rate: 5}, Calls: 9, Answered: 4, Exact: true}
		if got := strings.Join(previewText(&q), "\n"); !strings.Contains(got, want) || strings.Contains(got, "at most") {
			t.Errorf("%s: %s", typ, got)
		}
	}
}

func TestConditionSaysWhatIsWrong(t *testing.T) {
	for want, s := range map[string]runtime.Status{
		"true ":                                  {Ready: true, Groups: []runtime.GroupStatus{{Name: "yf", InForce: 1, Sound: 1, Of: 1}, {Name: "tc"}}},
		"false no endpoint of group yf is sound": {Ready: true, Groups: []runtime.GroupStatus{{Name: "yf", InForce: 1, Of: 1}}},
		"true only 1 of 3 endpoints of group yf are sound": {Ready: true, Groups: []runtime.GroupStatus{{Name: "yf", InForce: 1, Sound: 1, Of: 3, Panics: true}}},
		"false endpoints are checked for the first time":   {Groups: []runtime.GroupStatus{{Name: "yf", InForce: 1, Sound: 1, Of: 1}}},
		"true no endpoint of group tc is sound":            {Ready: true, Groups: []runtime.GroupStatus{{Name: "tc", InForce: 1}, {Name: "yf", InForce: 1, Sound: 1}}},
	} {
		ok, detail := condition(&s, nil, "")
		got := "false " + detail
		if ok {
			got = "true " + detail
		}
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestSettingsThatNeedARestartAreNamed(t *testing.T) {
	old := config.Agent{Name: "a", Admin: "127.0.0.1:1", Drain: config.DrainConfig{Wait: 1}}
	next := old
	next.Drain.Wait = 2 // live
	if got := needsRestart(old, next); len(got) != 0 {
		t.Errorf("%v", got)
	}
	next.Admin, next.Log.Level = "127.0.0.1:2", "debug"
	if diff := cmp.Diff([]string{"agent.admin", "agent.log"}, needsRestart(old, next)); diff != "" {
		t.Error(diff)
	}
}

func TestLoggerFollowsItsConfig(t *testing.T) {
	var out bytes.Buffer
	log := NewLogger(&out, config.LogConfig{Level: "warn", Format: "json"})
	log.Info("no")
	log.Warn("yes")
	if s := out.String(); !strings.HasPrefix(s, "{") || strings.Contains(s, "no\"") || !strings.Contains(s, "yes") {
		t.Errorf("%q", s)
	}
	out.Reset()
	NewLogger(&out, config.LogConfig{}).Info("text")
	if !strings.Contains(out.String(), "msg=text") {
		t.Errorf("%q", out.String())
	}
}
