package control

import (
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/resources"
)

func openWith(t *testing.T, dir string, theirs *clock.Followed) *Center {
	t.Helper()
	c, err := OpenCenter(dir, theirs, (&logBuffer{}).logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// written is a command as a centre writes it that is ahead of this machine.
func written(id string, ahead, lasts time.Duration) resources.Command {
	c := order(id, "cache", lasts)
	c.Created = c.Created.Add(ahead)
	if c.Expires != nil {
		end := c.Expires.Add(ahead)
		c.Expires = &end
	}
	return c
}

// The centre's clock says how long a command is in force, however far this machine's is off.
func TestCommandsEndByTheCentresClock(t *testing.T) {
	for _, ahead := range []time.Duration{0, time.Hour, -time.Hour, 24 * time.Hour, -24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			var theirs clock.Followed
			c := openWith(t, t.TempDir(), &theirs)
			theirs.Set(time.Now().Add(ahead))
			s := centerState(1)
			late := written("g-2", ahead, 10*time.Minute)
			late.Created, *late.Expires = late.Created.Add(-9*time.Minute), late.Expires.Add(-9*time.Minute) // it came late: a minute is left
			s.Commands = []resources.Command{written("g-1", ahead, 10*time.Minute), late}
			c.Put(s)
			for _, step := range []struct {
				sleep time.Duration
				want  []string
			}{{59 * time.Second, []string{"g-1", "g-2"}}, {2 * time.Second, []string{"g-1"}}, {8*time.Minute + 58*time.Second, []string{"g-1"}}, {2 * time.Second, nil}} {
				time.Sleep(step.sleep)
				if got := ids(c.Commands("")); !reflect.DeepEqual(got, step.want) {
					t.Errorf("a centre that is %v ahead: in force %v, want %v", ahead, got, step.want)
				}
			}
			if c.Guessed() {
				t.Error("it guessed")
			}
		})
	}
}

// A start from the disk goes on with the centre's clock: the command is in force for what is left of it.
func TestTheCentresClockSurvives(t *testing.T) {
	for _, ahead := range []time.Duration{time.Hour, -24 * time.Hour} {
		dir := t.TempDir()
		var theirs, again clock.Followed
		c := openWith(t, dir, &theirs)
		theirs.Set(time.Now().Add(ahead))
		s := centerState(1)
		s.Commands = []resources.Command{written("g-1", ahead, time.Minute)}
		mustSave(t, c, s)
		c.Close()
		c = openWith(t, dir, &again)
		left := time.Until(c.ends["g-1 cache"].at)
		if len(c.Commands("")) != 1 || left < 50*time.Second || left > time.Minute {
			t.Errorf("a centre that is %v ahead: %v left of %v", ahead, left, ids(c.Commands("")))
		}
		if off := time.Since(c.State().Saved.Add(-ahead)); off.Abs() > 10*time.Second {
			t.Errorf("saved %v, which is %v off by the centre's clock", c.State().Saved, off)
		}
	}
}

// A clock that is a guess after the machine was started anew is put right when the centre is heard: what is left is counted
// again, and what was ended in between is asked for again.
func TestAGuessIsPutRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var theirs clock.Followed
		c := openWith(t, dir, &theirs)
		theirs.Set(time.Now())
		s := centerState(1)
		s.Commands = []resources.Command{written("g-1", 0, time.Hour), written("g-2", 0, time.Minute)}
		c.Put(s)
		c.state.Clock = theirs.Mark()
		c.state.Clock.Boot = "another"
		state := c.state
		c.Close()
		f := file{dir: dir, name: "center.json"}
		if err := f.save(1, time.Now(), state); err != nil {
			t.Fatal(err)
		}

		// By this machine's clock, which is wrong now, half an hour went by.
		time.Sleep(30 * time.Minute)
		var now clock.Followed
		c = openWith(t, dir, &now)
		if got := ids(c.Commands("")); !reflect.DeepEqual(got, []string{"g-1"}) || !now.Guess() {
			t.Fatalf("in force %v, a guess %v", got, now.Guess())
		}
		if left := time.Until(c.ends["g-1 cache"].at); left != 30*time.Minute {
			t.Errorf("%v left", left)
		}
		now.Set(time.Now().Add(-30 * time.Minute))
		c.Put(c.State())
		if left := time.Until(c.ends["g-1 cache"].at); left != time.Hour {
			t.Errorf("%v left by the centre's clock", left)
		}
		if !c.Guessed() || c.Guessed() {
			t.Error("that a command was ended by a guess is said once")
		}
	})
}
