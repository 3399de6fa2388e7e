package rollout

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/governance/say"
	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/resources"
)

func TestPlanGoesThroughItsStages(t *testing.T) {
	bubble(t, func(t *testing.T, z *mesh, r *Rollouts) {
		began := time.Now()
		p := run(t, r, moving(staged))
		time.Sleep(10 * time.Second)
		if c := z.command(t, "g-"+p.ID+"-1-1"); !slices.Equal(c.Agents, []string{"web-1"}) || c.Plan != p.ID || c.Step != 1 || c.Author != "ana" || c.Why != "yf is repaired" {
			t.Fatalf("canary: %+v", c)
		}
		time.Sleep(80 * time.Second)
		half := z.command(t, "g-"+p.ID+"-1-2").Agents
		if !slices.Contains(half, "web-1") || len(half) < 5 || len(half) > 6 {
			t.Fatalf("half: %v", half)
		}
		p = until(t, r, p.ID, Done)
		ever, now, ended := z.given()
		want := []string{"g-" + p.ID + "-1-1", "g-" + p.ID + "-1-2", "g-" + p.ID + "-1-3", "g-" + p.ID + "-2-1", "g-" + p.ID + "-2-2", "g-" + p.ID + "-2-3"}
		if !slices.Equal(ever, want) || !slices.Equal(now, []string{want[2], want[5]}) || len(ended) != 4 {
			t.Fatalf("ever %v, now %v, ended %v", ever, now, ended)
		}
		if c := z.command(t, "g-"+p.ID+"-2-3"); len(c.Agents) != 0 {
			t.Errorf("the last stage is for %v, not for all", c.Agents)
		}
		if took := time.Since(began); took < 8*time.Minute || took > 10*time.Minute {
			t.Errorf("took %s: two steps bake 4 min each", took)
		}
		for _, s := range p.Steps {
			if s.State != StepDone || len(s.Stages) != 3 || s.Stages[0].Of != 1 || s.Stages[0].Applied != 1 || len(s.Stages[1].Guards) != 3 {
				t.Errorf("step: %+v", s.Progress)
			}
		}
	})
}

func TestWithoutStagesAllAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, z *mesh, r *Rollouts) {
		var topics []string
		defer r.OnChange(func(topic string) { z.change(func() { topics = append(topics, topic) }) })()
		p := run(t, r, moving(func(p *Plan) { p.Steps[0].Wait = resources.Duration(time.Minute) }))
		began := time.Now()
		until(t, r, p.ID, Done)
		if took := time.Since(began); took < time.Minute || took > 2*time.Minute {
			t.Errorf("took %s", took)
		}
		if _, now, _ := z.given(); len(now) != 2 {
			t.Errorf("in force: %v", now)
		}
		z.change(func() {
			if !slices.Contains(topics, "plans") {
				t.Errorf("told: %v", topics)
			}
		})
	})
}

// wentBack checks that a plan failed for a reason and left nothing behind.
func wentBack(t *testing.T, z *mesh, r *Rollouts, id, reason string) Plan {
	t.Helper()
	p := until(t, r, id, Failed)
	if !strings.Contains(p.Reason, reason) {
		t.Errorf("reason: %s; want %s", p.Reason, reason)
	}
	if _, now, ended := z.given(); len(now) != 0 || len(ended) == 0 {
		t.Errorf("in force: %v; ended: %v", now, ended)
	}
	return p
}

func TestRefusalTakesAllBackInReverse(t *testing.T) {
	bubble(t, func(t *testing.T, z *mesh, r *Rollouts) {
		p := run(t, r, moving())
		for {
			time.Sleep(time.Second)
			if now, _ := r.Plan(p.ID); now.Steps[0].State == StepDone {
				break
			}
		}
		z.change(func() { z.refuses["web-3"] = "no group tc" })
		p = wentBack(t, z, r, p.ID, "web-3 says of feed-cache: no group tc")
		if _, _, ended := z.given(); !slices.Equal(ended, []string{"g-" + p.ID + "-2-1", "g-" + p.ID + "-1-1"}) {
			t.Errorf("taken back in the order %v", ended)
		}
		z.change(func() { clear(z.refuses) })
		if _, err := r.RunPlan(t.Context(), p.ID, Start{By: "ana"}); err != nil {
			t.Fatal(err)
		}
		until(t, r, p.ID, Done)
		if _, now, _ := z.given(); !slices.Equal(now, []string{"g-" + p.ID + "-r2-1-1", "g-" + p.ID + "-r2-2-1"}) {
			t.Errorf("second run gave %v", now)
		}
	})
}

func TestSomeRefusalsAreAllowed(t *testing.T) {
	bubble(t, func(t *testing.T, z *mesh, r *Rollouts) {
		z.refuses["web-3"] = "no"
		p := run(t, r, moving(func(p *Plan) { p.Guards.Refusals = 1 }))
		until(t, r, p.ID, Done)
	})
}

func TestAgentThatNeverAnswers(t *testing.T) {
	bubble(t, func(t *testing.T, z *mesh, r *Rollouts) {
		z.mute["web-3"] = true
		p := run(t, r, moving())
		wentBack(t, z, r, p.ID, "web-3 did not answer within 1m0s")
	})
	bubble(t, func(t *testing.T, z *mesh, r *Rollouts) { // one that is gone does not hold it up
		z.agents[3].Connected = false
		p := run(t, r, moving())
		if p = until(t, r, p.ID, Done); p.Steps[0].Stages[0].Away != 1 {
			t.Errorf("%+v", p.Steps[0])
		}
	})
	bubble(t, func(t *testing.T, z *mesh, r *Rollouts) { // nor one that has nothing to answer
		z.misfit = "web-3"
		p := run(t, r, moving())
		until(t, r, p.ID, Done)
	})
	bubble(t, func(t *testing.T, z *mesh, r *Rollouts) { // none is there: nothing passes unseen
		for i := range z.agents {
			z.agents[i].Connected = false
		}
		p := run(t, r, moving())
		if p = until(t, r, p.ID, Paused); !strings.Contains(p.Reason, "none of the 10 agents") {
			t.Error(p.Reason)
		}
	})
}

// failing makes calls fail from a time on; where says of which windows.
func failing(z *mesh, since time.Time, where func(w Window) bool) {
	z.calls = func(w Window) (Numbers, error) {
		n := Numbers{Calls: 3000, P99: 2 * time.Millisecond}
		if !w.From.Before(since) && where(w) {
			n.Failed, n.P99 = 300, 20*time.Millisecond
		}
		return n, nil
	}
}

func TestGuards(t *testing.T) {
	inStage := func(w Window) bool { return len(w.Agents) > 0 }
	for _, c := range []struct {
		name, reason string
		where        func(w Window) bool
		guards       Guards
	}{
		{"errors of the canary", "guard errors: 10 points, more than 1%", inStage, Guards{Errors: 1}},
		{"p99 of the canary", "guard p99: 1000%, more than 150%", inStage, Guards{P99: 1.5}},
		{"everywhere alike", "", func(w Window) bool { return w.Agents != nil || w.NotAgents != nil }, Guards{Errors: 1, P99: 1.5}},
		{"elsewhere", "", func(w Window) bool { return w.NotAgents != nil }, Guards{Errors: 1, P99: 1.5}},
		{"within bounds", "", inStage, Guards{Errors: 11, P99: 11}},
		{"when all have it", "guard errors: 10 points", func(w Window) bool { return w.Agents == nil && w.NotAgents == nil }, Guards{Errors: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, z *mesh, r *Rollouts) {
				failing(z, time.Now(), c.where)
				time.Sleep(time.Second)
				p := run(t, r, moving(staged, func(p *Plan) { p.Guards = c.guards }))
				if c.reason != "" {
					wentBack(t, z, r, p.ID, c.reason)
				} else {
					until(t, r, p.ID, Done)
				}
			})
		})
	}
}

func TestGuardsThatCannotBeLookedAt(t *testing.T) {
	bubble(t, func(t *testing.T, z *mesh, r *Rollouts) {
		well := z.calls
		p := run(t, r, moving(staged))
		z.change(func() { z.calls = func(Window) (Numbers, error) { return Numbers{}, errors.New("the disk is gone") } })
		if p = until(t, r, p.ID, Paused); !strings.Contains(p.Reason, "the disk is gone") {
			t.Error(p.Reason)
		}
		z.change(func() { z.calls = well })
		if err := r.Continue(t.Context(), p.ID, "ana", ""); err != nil {
			t.Fatal(err)
		}
		until(t, r, p.ID, Done)
	})
	bubble(t, func(t *testing.T, z *mesh, r *Rollouts) {
		well, began := z.calls, time.Now()
		z.calls = func(w Window) (Numbers, error) { // no call comes through any more
			if w.From.After(began) {
				return Numbers{}, nil
			}
			return well(w)
		}
		time.Sleep(time.Second)
		p := run(t, r, moving(staged))
		if p = until(t, r, p.ID, Paused); !strings.Contains(p.Reason, "no call was counted since") {
			t.Error(p.Reason)
		}
	})
}

func TestPauseContinueUndo(t *testing.T) {
	bubble(t, func(t *testing.T, z *mesh, r *Rollouts) {
		p := run(t, r, moving(staged))
		time.Sleep(20 * time.Second)
		if err := r.Pause(t.Context(), p.ID, "bo", "lunch"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if ever, _, _ := z.given(); len(ever) != 1 {
			t.Fatalf("while it was paused: %v", ever)
		}
		if err := r.Pause(t.Context(), p.ID, "bo", ""); !errors.Is(err, ErrState) {
			t.Error(err)
		}
		if err := r.Remove(t.Context(), p.ID); !errors.Is(err, ErrState) {
			t.Error(err)
		}
		if err := r.Continue(t.Context(), p.ID, "bo", ""); err != nil {
			t.Fatal(err)
		}
		until(t, r, p.ID, Done)
		if err := r.Undo(t.Context(), p.ID, "bo", "repaired"); err != nil {
			t.Fatal(err)
		}
		if p = until(t, r, p.ID, Undone); p.Reason != "repaired" || p.By != "bo" {
			t.Errorf("%+v", p.Course)
		}
		if _, now, ended := z.given(); len(now) != 0 || !slices.Equal(ended[4:], []string{"g-" + p.ID + "-2-3", "g-" + p.ID + "-1-3"}) {
			t.Errorf("in force %v, ended %v", now, ended)
		}
		if err := r.Undo(t.Context(), p.ID, "bo", ""); !errors.Is(err, ErrState) {
			t.Error(err)
		}
		if err := r.Remove(t.Context(), p.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Plan(p.ID); !errors.Is(err, store.ErrNotFound) {
			t.Error(err)
		}
	})
}

func TestExpiry(t *testing.T) {
	hour := func(p *Plan) { p.For = resources.Duration(time.Hour) }
	bubble(t, func(t *testing.T, z *mesh, r *Rollouts) {
		p := run(t, r, moving(hour))
		until(t, r, p.ID, Done)
		if c := z.command(t, "g-"+p.ID+"-2-1"); c.Expires == nil || !c.Expires.Equal(*p.Expires) {
			t.Errorf("expires %v, want %v", c.Expires, p.Expires)
		}
		time.Sleep(time.Hour)
		if p, _ = r.Plan(p.ID); !p.Expired || p.State != Done || p.Steps[0].State != StepExpired {
			t.Errorf("%+v", p)
		}
		if err := r.Undo(t.Context(), p.ID, "bo", ""); !errors.Is(err, ErrState) {
			t.Error(err)
		}
	})
	bubble(t, func(t *testing.T, z *mesh, r *Rollouts) { // while it is paused
		p := run(t, r, moving(staged, hour))
		time.Sleep(20 * time.Second)
		if err := r.Pause(t.Context(), p.ID, "bo", ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if p, _ = r.Plan(p.ID); !p.Expired || p.State != Done || !strings.Contains(p.Reason, "before all steps") {
			t.Errorf("%+v", p)
		}
	})
}

func TestCommandEndedByHand(t *testing.T) {
	bubble(t, func(t *testing.T, z *mesh, r *Rollouts) {
		p := run(t, r, moving(staged))
		time.Sleep(20 * time.Second)
		if _, err := z.m.Commit(t.Context(), store.Txn{Then: []store.Op{{Key: commandPrefix + "g-" + p.ID + "-1-1", Delete: true}}}); err != nil {
			t.Fatal(err)
		}
		if p = until(t, r, p.ID, Paused); !strings.Contains(p.Reason, "ended by hand") {
			t.Error(p.Reason)
		}
		if err := r.Continue(t.Context(), p.ID, "bo", ""); err != nil {
			t.Fatal(err)
		}
		until(t, r, p.ID, Done)
		if _, now, _ := z.given(); !slices.Equal(now, []string{"g-" + p.ID + "-2-3"}) {
			t.Errorf("in force: %v", now)
		}
	})
}

func TestChecksStopAPlan(t *testing.T) {
	for _, c := range []struct {
		name, check, detail string
		change              func(z *mesh)
		warning             bool
	}{
		{"down", "targets", "none of the 1 endpoints of tc is up (tc:1: down, connection refused)", func(z *mesh) { z.down = "tc:1" }, false},
		{"lag", "lag", "tc:1 of tc is 9s behind its primary", func(z *mesh) { z.lag = 9 * time.Second }, false},
		{"behind", "agents", "web-2 is behind", func(z *mesh) { z.agents[2].Behind = true }, false},
		{"gone", "agents", "web-2 is not connected", func(z *mesh) { z.agents[2].Connected = false }, true},
		{"conflict", "conflicts", "g-1 is about", func(z *mesh) { z.talks = []say.Sentence{{Text: "g-1 is about calls too", Code: "command.too"}} }, false},
		{"capacity", "capacity", "tc would get 10 calls/s, 5.0 times what it carried", func(z *mesh) { z.peak = 2 }, true},
		{"cold", "capacity", "took none in 24 h", func(z *mesh) { z.peak = 0 }, true},
		{"connections", "connections", "tc has 1 connections and would get up to 90 more: it takes 50", func(z *mesh) {
			z.infos[0].Groups[0].Connections, z.infos[0].Groups[1].Connections, z.infos[0].Groups[1].MaxConnections = 90, 1, 50
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, z *mesh, r *Rollouts) {
				z.change(func() { c.change(z) })
				p, err := r.AddPlan(t.Context(), moving())
				if err != nil {
					t.Fatal(err)
				}
				started, err := r.RunPlan(t.Context(), p.ID, Start{By: "ana"})
				var failed *ChecksError
				if !c.warning {
					if !errors.As(err, &failed) || !slices.Equal(failed.Failed, []string{c.check}) || !strings.Contains(err.Error(), c.detail) {
						t.Fatalf("error: %v", err)
					}
					if _, err := r.RunPlan(t.Context(), p.ID, Start{By: "ana", Override: map[string]string{c.check: " "}}); err == nil {
						t.Error("overridden without a reason")
					}
					started, err = r.RunPlan(t.Context(), p.ID, Start{By: "ana", Override: map[string]string{c.check: "we know"}})
				}
				if err != nil {
					t.Fatal(err)
				}
				i := slices.IndexFunc(started.Checks, func(k Check) bool { return k.Name == c.check })
				if k := started.Checks[i]; k.Warning != c.warning || !strings.Contains(k.Detail, c.detail) || (k.Override == "") != c.warning {
					t.Errorf("check: %+v", k)
				}
				if err := r.Undo(t.Context(), p.ID, "ana", ""); err != nil {
					t.Fatal(err)
				}
				until(t, r, p.ID, Undone)
			})
		})
	}
}

func TestPreview(t *testing.T) {
	bubble(t, func(t *testing.T, z *mesh, r *Rollouts) {
		got, err := r.Preview(moving(staged))
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Steps) != 2 || len(got.Checks) != len(CheckNames) || len(got.Warnings) != 0 {
			t.Fatalf("%+v", got)
		}
		s := got.Steps[1]
		want := Effect{Resource: "feed-db", Calls: 10, Before: map[string]float64{"yf": 10, "tc": 0}, After: map[string]float64{"yf": 0, "tc": 10}, Moves: 10}
		if len(s.Agents) != 8 || s.Summary != "tc=100" || len(s.Effects) != 1 || !reflect.DeepEqual(s.Effects[0], want) {
			t.Errorf("%+v", s)
		}
		if n := len(s.Stages[0].Agents) + len(s.Stages[1].Agents) + len(s.Stages[2].Agents); n != 8 || s.Stages[0].Agents[0] != "web-1" {
			t.Errorf("%+v", s.Stages)
		}
	})
}

func TestTwoEditors(t *testing.T) {
	bubble(t, func(t *testing.T, z *mesh, r *Rollouts) {
		p, err := r.AddPlan(t.Context(), moving())
		if err != nil {
			t.Fatal(err)
		}
		mine := p
		mine.Name = "another name"
		if _, err := r.SavePlan(t.Context(), mine); err != nil {
			t.Fatal(err)
		}
		if _, err := r.SavePlan(t.Context(), p); !errors.Is(err, store.ErrConflict) {
			t.Errorf("the second editor: %v", err)
		}
		if got, _ := r.Plan(p.ID); got.Name != "another name" || !got.Created.Equal(p.Created) {
			t.Errorf("%+v", got)
		}
		if _, err := r.RunPlan(context.Background(), p.ID, Start{By: "ana"}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.SavePlan(t.Context(), mine); !errors.Is(err, ErrState) {
			t.Errorf("changed while it runs: %v", err)
		}
		until(t, r, p.ID, Done)
	})
}
