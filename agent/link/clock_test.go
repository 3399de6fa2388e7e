package link

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/protocols/control"
)

// An agent whose clock is a day behind the centre's, or ahead of it, renews its certificate when two thirds of its life are
// over, and not sooner.
func TestCertificatesAreRenewedByTheCentresClock(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]time.Duration{"agent behind": 24 * time.Hour, "agent ahead": -24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := center(t)
			c.SetAhead(ahead)
			c.SetLife(life)
			r := start(t, c, t.TempDir(), c.Token())
			begin := time.Now()
			conn := accept(t, c)
			if off := r.opt.Clock.Ahead() + ahead; off.Abs() > time.Minute {
				t.Errorf("the agent takes itself to be %v ahead", r.opt.Clock.Ahead())
			}
			r.until("two renewals", func() bool { return c.Requests(control.PathRenew) >= 2 })
			if took := time.Since(begin); took < life {
				t.Errorf("two renewals of certificates for %v within %v", life, took)
			}
			select {
			case <-conn.Ended:
				t.Error("a renewal ended the link")
			default:
			}
			r.stop()
			if n := strings.Count(r.log.String(), "this machine's clock is not the centre's"); n != 1 {
				t.Errorf("said %d times that the clock is off", n)
			}
		})
	}
}

// A clock that is set while the agent is linked, here the centre's, is followed.
func TestClocksThatAreSet(t *testing.T) {
	c := center(t)
	c.Heartbeat = heartbeat
	r := start(t, c, t.TempDir(), c.Token())
	conn := accept(t, c)
	r.until("two pings", func() bool { return conn.Pings() >= 2 })
	if ahead := r.opt.Clock.Ahead(); ahead.Abs() > time.Minute {
		t.Fatalf("%v ahead of a clock that is the same", ahead)
	}
	c.SetAhead(-time.Hour)
	r.until("an hour ahead", func() bool { return (r.opt.Clock.Ahead() - time.Hour).Abs() < time.Minute })
	c.SetAhead(0)
	r.until("right again", func() bool { return strings.Contains(r.log.String(), "the centre's again") })
}

// A centre of a version that does not say what its clock shows is served as ever.
func TestACentreWithoutAClock(t *testing.T) {
	c := center(t)
	c.NoClock, c.Heartbeat = true, heartbeat
	r := start(t, c, t.TempDir(), c.Token())
	conn := accept(t, c)
	r.until("three pings", func() bool { return conn.Pings() >= 3 })
	if r.opt.Clock.Heard() || conn.Hello.Now == 0 || !r.Status().Connected {
		t.Errorf("heard %v, hello %+v, %+v", r.opt.Clock.Heard(), conn.Hello, r.Status())
	}
}

// An agent that was started with a clock that is behind takes its certificate for one that holds. The centre refuses it: it
// joins anew, or says what it needs.
func TestACertificateThatTheCentreHoldsForExpired(t *testing.T) {
	c := center(t)
	dir := t.TempDir()
	r := start(t, c, dir, c.Token())
	accept(t, c)
	r.stop()
	c.SetAhead(24 * time.Hour)
	r = start(t, c, dir, "")
	r.until("it asks for a token", func() bool { return strings.Contains(r.Status().Error, "give the agent a new join token") })
	r.stop()
	start(t, c, dir, c.Token())
	accept(t, c)
	if n := c.Requests(control.PathJoin); n != 2 {
		t.Errorf("joined %d times", n)
	}
}

// With a clock that is so wrong that the centre's certificate does not hold by it, there is no link, and the reason is said.
func TestAClockThatIsFarOffIsExplained(t *testing.T) {
	c := center(t)
	ahead := &clock.Followed{}
	ahead.Set(time.Now().Add(5000 * time.Hour))
	dir := t.TempDir()
	r := startAt(t, c, dir, c.Token(), ahead)
	want := "which is not now by the clock of this machine: is it right?"
	r.until(want, func() bool { return strings.Contains(r.Status().Error, want) })
	r.stop()
	if n := c.Requests(control.PathJoin); n != 0 {
		t.Errorf("the token was sent %d times", n)
	}
}
