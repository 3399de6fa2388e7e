package resources

import (
	"net"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-mesh/sluice/internal/loop"
)

func TestStagesOfCalls(t *testing.T) {
	type until = [NumStages]int64
	for name, c := range map[string]struct {
		s          Stages
		start, now int64
		from       int64
		until      until
	}{
		"whole":                   {Stages{First: 5, Began: 12, Ready: 20, Written: 31, Answered: 90, Replied: 110}, 10, 95, 5, until{12, 20, 31, 90, 110}},
		"nobody saw the end":      {Stages{Began: 12, Ready: 20, Written: 31, Answered: 90}, 10, 95, 10, until{12, 20, 31, 90, 95}},
		"answered by a filter":    {Stages{Began: 12, Replied: 30}, 10, 10, 10, until{12, 30, 30, 30, 30}},
		"no connection":           {Stages{Began: 12}, 10, 95, 10, until{12, 95, 95, 95, 95}},
		"never written":           {Stages{Began: 12, Ready: 20}, 10, 95, 10, until{12, 20, 95, 95, 95}},
		"never answered":          {Stages{Began: 12, Ready: 20, Written: 31}, 10, 95, 10, until{12, 20, 31, 95, 95}},
		"nobody saw it written":   {Stages{Began: 12, Ready: 20, Answered: 90}, 10, 95, 10, until{12, 20, 20, 90, 95}},
		"answered before written": {Stages{Began: 12, Ready: 20, Written: 93, Answered: 90}, 10, 95, 10, until{12, 20, 93, 93, 95}},
		"ended in one round":      {Stages{Began: 12, Ready: 13}, 10, 10, 10, until{10, 10, 10, 10, 10}},
	} {
		if from, got := c.s.Spans(c.start, c.now); from != c.from || got != c.until {
			t.Errorf("%s: from %d until %v, want from %d until %v", name, from, got, c.from, c.until)
		}
	}
}

// Whatever was seen, stages follow each other and end with the call.
func TestStagesFollowEachOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.Int64Range(0, 1000)
		s := Stages{
			First: at.Draw(t, "first"), Began: at.Draw(t, "began"), Ready: at.Draw(t, "ready"), Written: at.Draw(t, "written"),
			Answered: at.Draw(t, "answered"), Replied: at.Draw(t, "replied"),
		}
		start := at.Draw(t, "start")
		now := rapid.Int64Range(start, 2000).Draw(t, "now")
		from, until := s.Spans(start, now)
		last := from
		for i, u := range until {
			if u < last {
				t.Fatalf("%s ends at %d, before the stage before it: %v", Stage(i), u, until)
			}
			last = u
		}
		if from > start || last != max(now, s.Replied) {
			t.Fatalf("the stages go from %d to %d, the call from %d to %d: %+v", from, last, start, now, s)
		}
	})
}

func TestWatchedOnce(t *testing.T) {
	var c Call
	if !c.Watch() || c.Watch() || c.Stages.Began == 0 {
		t.Errorf("the stages are %+v", c.Stages)
	}
	c.Stages.Ready, c.Stages.Written, c.Stages.Answered = 1, 2, 3
	c.Stages.Again()
	if s := c.Stages; s.Ready != 0 || s.Written != 0 || s.Answered != 0 || s.Began == 0 {
		t.Errorf("an attempt that failed left %+v", s)
	}
	c.Unwatch()
	if c.Stages != nil {
		t.Error("the call is still watched")
	}
}

// idle is the handler of a connection that nothing comes on.
type idle struct{}

func (idle) OnData(_ *loop.Conn, b []byte) int { return len(b) }
func (idle) OnEOF(*loop.Conn)                  {}
func (idle) OnDrained(*loop.Conn)              {}
func (idle) OnClose(*loop.Conn, error)         {}

// What a connection has yet to tell of a call is not told of the next one: its stages are used again when it is told.
func TestStagesAreNotUsedAgainTooSoon(t *testing.T) {
	l, err := loop.New()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Stop()
	near, far := net.Pipe() // nobody reads
	waits := map[*Stages]bool{}
	placed, told := make(chan struct{}), make(chan int, 1)
	if err := l.Attach(near, func(c *loop.Conn) {
		c.SetHandler(idle{})
		c.Write([]byte("request"))
		for range 100 {
			var call Call
			call.Watch()
			if waits[call.Stages] {
				t.Error("the stages of a call are another one's that a connection waits to tell")
				break
			}
			waits[call.Stages] = true
			call.Stages.Placed(c)
			call.Stages.Again() // the attempt failed, and there is no other connection
			call.Unwatch()
		}
		close(placed)
	}); err != nil {
		t.Fatal(err)
	}
	<-placed
	far.Close()
	left := len(waits)
	for end := time.Now().Add(10 * time.Second); left > 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		l.Post(func() {
			n := 0
			for s := range waits {
				n += s.untold
			}
			told <- n
		})
		left = <-told
	}
	if left > 0 {
		t.Errorf("%d calls are left to be told of a connection that is closed", left)
	}
}
