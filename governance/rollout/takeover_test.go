package rollout

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mesh/sluice/governance/command"
)

// outcome is what is left of a rollout, less times.
func (z *mesh) outcome(t *testing.T, r *Rollouts) string {
	t.Helper()
	var b strings.Builder
	for _, p := range r.Plans() {
		fmt.Fprintf(&b, "%s %s %s\n", p.Name, p.State, p.Reason)
		for i := range p.Steps {
			fmt.Fprintln(&b, shape(&p.Steps[i].Progress, p.ID))
		}
	}
	for _, rel := range r.Releases() {
		fmt.Fprintf(&b, "%s %s %s %v\n%s\n", rel.ID, rel.State, rel.Reason, z.versions(r), shape(&rel.Step, rel.ID))
	}
	ever, now, ended := z.given()
	for i, id := range ever {
		if slices.Contains(ever[:i], id) {
			t.Errorf("command %s was given twice", id)
		}
	}
	for _, list := range [][]string{ever, now, ended} {
		for _, id := range list {
			fmt.Fprint(&b, " ", id[len("g-p-00000000"):])
		}
		fmt.Fprintln(&b)
	}
	fmt.Fprintln(&b, "newest", z.newest, "backs", z.backs)
	return b.String()
}

func shape(s *Progress, id string) string {
	text := fmt.Sprint(s.State, " ", strings.TrimPrefix(s.Given, "g-"+id), " ", s.All, " ", s.Error)
	for _, st := range s.Stages {
		text += fmt.Sprint("; ", st.Name, " ", st.State)
		for _, g := range st.Guards {
			text += fmt.Sprint(" ", g.Name, " ", g.OK, " ", g.Value)
		}
	}
	return text
}

// began is when the command whose id ends so was given first.
func (z *mesh) began(suffix string) (time.Time, bool) {
	z.m.mu.Lock()
	defer z.m.mu.Unlock()
	for _, b := range z.m.log {
		for _, c := range b.Changes {
			if strings.HasPrefix(c.Key, commandPrefix) && strings.HasSuffix(c.Key, suffix) && !c.Deleted {
				var cmd command.Command
				err := json.Unmarshal(c.Value, &cmd)
				return cmd.Created, err == nil
			}
		}
	}
	return time.Time{}, false
}

// over reports whether no rollout is on its way.
func over(r *Rollouts) bool {
	ended := true
	for _, p := range r.Plans() {
		ended = ended && p.State != Running && p.State != Undoing
	}
	for _, p := range r.Releases() {
		ended = ended && p.State != Running && p.State != Undoing
	}
	return ended
}

// ends waits until no rollout is on its way.
func ends(r *Rollouts) bool {
	for range 24 * 60 {
		if over(r) {
			return true
		}
		time.Sleep(5 * time.Second)
	}
	return false
}

// The leader is killed at each of its commits, before it and after it without an answer, and another takes over: what comes
// out is the same as if nothing had happened, and nothing is done twice.
func TestTakingOverAtEveryCommit(t *testing.T) {
	plan := func(t *testing.T, z *mesh, r *Rollouts) { run(t, r, moving(staged)) }
	for _, c := range []struct {
		name  string
		start func(t *testing.T, z *mesh, r *Rollouts)
		set   func(z *mesh)
	}{
		{"plan", plan, func(z *mesh) {}},
		{"plan that goes back", plan, func(z *mesh) { // all is well until the second step is with all
			well := z.calls
			z.calls = func(w Window) (Numbers, error) {
				n, err := well(w)
				if began, ok := z.began("-2-3"); ok && w.Resource == "feed-db" && w.From.After(began) {
					n.Failed = n.Calls / 2
				}
				return n, err
			}
		}},
		{"release", func(t *testing.T, z *mesh, r *Rollouts) { release2(t, z, r, newRelease()) }, func(z *mesh) {}},
		{"release that goes back", func(t *testing.T, z *mesh, r *Rollouts) { release2(t, z, r, newRelease()) }, func(z *mesh) { z.refuses["web-7"] = "no" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := ""
			back := strings.HasSuffix(c.name, "goes back")
			for kill := 0; ; kill++ {
				reached := true
				for _, after := range []bool{false, true} {
					synctest.Test(t, func(t *testing.T) {
						z := newMesh()
						c.set(z)
						time.Sleep(time.Second)
						shared := &mortal{Store: z.m, left: kill, immortal: kill == 0, after: after, dead: make(chan struct{})}
						r := z.open(t, shared)
						defer func() { r.Close() }()
						c.start(t, z, r)
						if kill > 0 {
							for !shared.gone() && !over(r) {
								time.Sleep(5 * time.Second)
							}
							if reached = shared.gone(); reached {
								r.Close()
								time.Sleep(2 * time.Minute) // longer than agents may take to answer
								r = z.open(t, z.m)
							}
						}
						if !ends(r) {
							t.Fatalf("killed at commit %d: it never ends", kill)
						}
						time.Sleep(time.Minute)
						got := z.outcome(t, r)
						if want == "" {
							if want = got; back != strings.Contains(got, string(Failed)) {
								t.Fatalf("it is not what this is about:\n%s", got)
							}
							t.Logf("without a kill:\n%s", got)
						}
						if got != want {
							t.Errorf("killed at commit %d (kept: %v):\n%s\nwant:\n%s", kill, after, got, want)
						}
					})
				}
				if !reached {
					t.Logf("%d commits", kill-1)
					if kill < 6 {
						t.Errorf("only %d commits: nothing was tested", kill-1)
					}
					return
				}
			}
		})
	}
}
