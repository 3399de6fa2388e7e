package fleet

import (
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// next returns the next frame of a type.
func next(t *testing.T, r *control.Reader, want control.Type) []byte {
	t.Helper()
	for {
		got, payload, err := r.Next()
		if err != nil {
			t.Fatalf("waiting for %v: %v", want, err)
		}
		if got == want {
			return append([]byte(nil), payload...)
		}
	}
}

// The centre says what its clock shows, with Welcome and each Pong, and shows how far an agent's is off.
func TestClocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, newSource(), nil)
		defer l.close()
		var said atomic.Int64
		l.f.o.OnState = func(*Agent) { said.Add(1) }
		conn := l.pipe("a")
		defer conn.Close()
		send := func(conn net.Conn, kind control.Type, message any) {
			t.Helper()
			if _, err := conn.Write(frameOf(kind, message)); err != nil {
				t.Fatal(err)
			}
		}
		r := control.NewReader(conn, control.MaxToAgent)
		theirs := time.Now().Add(time.Hour)
		send(conn, control.TypeHello, control.Hello{Protocol: 1, Name: "a", Boot: "x", Now: theirs.UnixMilli(), Started: theirs.Add(-time.Minute).UnixMilli()})
		var w control.Welcome
		if err := control.Decode(control.TypeWelcome, next(t, r, control.TypeWelcome), &w); err != nil || w.Now != time.Now().UnixMilli() {
			t.Errorf("%+v %v, and it is %d", w, err, time.Now().UnixMilli())
		}
		if v := l.view("a"); v.Clock == nil || v.Clock.D() != time.Hour || !v.ClockOff || !v.Started.Equal(time.Now().Add(-time.Minute)) {
			t.Errorf("an hour ahead, started a minute ago: %v, off %v, started %v", v.Clock, v.ClockOff, v.Started)
		}

		synctest.Wait()
		before := said.Load()
		for _, c := range []struct {
			ahead time.Duration
			off   bool
			news  int64
		}{{-24 * time.Hour, true, 0}, {ClockTolerance, false, 1}, {0, false, 0}, {-ClockTolerance - time.Millisecond, true, 1}} {
			time.Sleep(time.Second)
			send(conn, control.TypePing, control.Clock{Now: time.Now().Add(c.ahead).UnixMilli()})
			pong, err := control.DecodeClock(control.TypePong, next(t, r, control.TypePong))
			if err != nil || pong.Now != time.Now().UnixMilli() {
				t.Errorf("%+v %v, and it is %d", pong, err, time.Now().UnixMilli())
			}
			synctest.Wait()
			if v := l.view("a"); v.Clock == nil || v.Clock.D() != c.ahead || v.ClockOff != c.off || said.Load()-before != c.news {
				t.Errorf("%v ahead: %v, off %v, told %d times", c.ahead, v.Clock, v.ClockOff, said.Load()-before)
			}
			before = said.Load()
		}

		send(conn, control.TypePing, nil) // of a version that does not say
		next(t, r, control.TypePong)
		if v := l.view("a"); v.Clock != nil || v.ClockOff {
			t.Errorf("an agent that does not say what its clock shows: %v, off %v", v.Clock, v.ClockOff)
		}
		if _, err := conn.Write(control.AppendFrame(nil, control.TypePing, []byte("noon"))); err != nil {
			t.Fatal(err)
		}
		next(t, r, control.TypeBye)
	})
}
