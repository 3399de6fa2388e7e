package rollout

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// While not all agents are seen no stage begins and none is passed; after a while somebody has to look. Then it goes on.
func TestNothingPassesUnseen(t *testing.T) {
	for _, c := range []struct {
		name string
		when time.Duration // of the run, in which a centre is not heard any more
	}{
		{"before the first stage", 0},
		{"before the second stage", 40 * time.Second},
		{"while agents answer", 1500 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, z *mesh, r *Rollouts) {
				z.change(func() { z.delay = 3 * time.Second })
				p := run(t, r, moving(staged))
				blind := func(err error) { z.change(func() { z.unseen = err }) }
				time.Sleep(c.when)
				blind(errors.New("centre c2 was not heard"))
				synctest.Wait() // for what is being given at this very moment
				ever, _, _ := z.given()
				was := len(ever)
				time.Sleep(30 * time.Second)
				if ever, _, _ := z.given(); len(ever) > was {
					t.Errorf("commands were given unseen: %v", ever)
				}
				if p, _ := r.Plan(p.ID); p.State != Running {
					t.Errorf("after 30 s it is %s: %s", p.State, p.Reason)
				}
				blind(nil)
				time.Sleep(10 * time.Second)
				blind(errors.New("centre c2 was not heard"))
				p = until(t, r, p.ID, Paused)
				if !strings.Contains(p.Reason, "unseen: centre c2 was not heard") {
					t.Errorf("reason: %s", p.Reason)
				}
				blind(nil)
				if err := r.Continue(t.Context(), p.ID, "ana", "it is heard"); err != nil {
					t.Fatal(err)
				}
				until(t, r, p.ID, Done)
			})
		})
	}
}
