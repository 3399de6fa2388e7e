package redis

import (
	"io"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/resp"
	"github.com/sluice-mesh/sluice/resources"
	"github.com/sluice-mesh/sluice/testenv/load"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// behind is a stage where client A asked for a long reply, others asked behind it, and the reply began.
type behind struct {
	*stage
	long  *scriptConn
	reply string
	sent  int
}

const partSent = 400 << 10

// newBehind has the server get what ask asks behind the long request, and begins the long reply.
func newBehind(st *stage, a *wire, ask func(queue func(w *wire, line string))) *behind {
	st.t.Helper()
	a.ask("GET long")
	b := &behind{stage: st, long: st.up.want("GET long"), reply: bulkReply(big(1<<20, 1)), sent: partSent}
	ask(func(w *wire, line string) {
		st.t.Helper()
		w.ask(line)
		if st.up.want(line) != b.long {
			st.t.Fatalf("%s did not go behind the long request", line)
		}
	})
	b.long.send(b.reply[:b.sent])
	return b
}

// end sends the rest of the long reply and the replies behind it.
func (b *behind) end(a *wire, replies ...string) {
	b.t.Helper()
	b.long.send(append([]string{b.reply[b.sent:]}, replies...)...)
	a.expect(b.reply)
}

// Reads that wait behind a long reply are sent again elsewhere, once and in order; what writes waits, and so does what
// the same client sent around it. The first replies, when they come, answer nobody.
func TestReadsBehindALongReplyAreAnsweredElsewhere(t *testing.T) {
	st := newStage(t, patience, nil)
	c := st.clients(6)
	b := newBehind(st, c[0], func(queue func(*wire, string)) {
		queue(c[1], "SET k 1")
		queue(c[2], "SET x 1")
		queue(c[2], "GET x")
		queue(c[3], "GET x")
		queue(c[3], "INCR n")
		queue(c[5], "GET long")
		queue(c[0], "GET own")
		queue(c[4], "GET a")
		queue(c[4], "HGET b c")
	})
	second := st.up.want("GET a", "HGET b c")
	if second == b.long {
		t.Fatal("reads were sent again on the connection that is held up")
	}
	second.send(bulkReply("new a"), bulkReply("new b"))
	c[4].expect(bulkReply("new a"))
	c[4].expect(bulkReply("new b"))
	c[4].ask("GET d")
	if st.up.want("GET d") != second {
		t.Fatal("a client went back behind the long reply")
	}
	second.send(bulkReply("d"))
	c[4].expect(bulkReply("d"))
	st.up.none()
	b.end(c[0], "+OK\r\n", "+OK\r\n", bulkReply("1"), bulkReply("1"), ":1\r\n", bulkReply("short"), bulkReply("own"), bulkReply("old a"), bulkReply("old b"))
	c[0].expect(bulkReply("own"))
	c[1].expect("+OK\r\n")
	c[2].expect("+OK\r\n")
	c[2].expect(bulkReply("1"))
	c[3].expect(bulkReply("1"))
	c[3].expect(":1\r\n")
	c[5].expect(bulkReply("short"))
	c[4].ask("GET e")
	st.up.request().at.send(bulkReply("e"))
	c[4].expect(bulkReply("e"))
	if n := st.outcome("GET ok"); n != 8 {
		t.Errorf("%d calls of GET ended well, want 8", n)
	}
}

// Whoever waits behind a long reply whose client left is sent elsewhere likewise.
func TestReadsBehindADroppedLongReplyAreAnsweredElsewhere(t *testing.T) {
	st := newStage(t, patience, nil)
	c := st.clients(2)
	c[0].ask("GET long")
	first := st.up.want("GET long")
	c[1].ask("GET a")
	st.up.want("GET a")
	st.leave(c[0])
	reply := bulkReply(big(1<<20, 1))
	first.send(reply[:partSent])
	second := st.up.want("GET a")
	if second == first {
		t.Fatal("a read was sent again on the connection that is held up")
	}
	second.send(bulkReply("a"))
	c[1].expect(bulkReply("a"))
	first.send(reply[partSent:], bulkReply("old a"))
	c[1].ask("GET b")
	st.up.request().at.send(bulkReply("b"))
	c[1].expect(bulkReply("b"))
}

// A read is sent a second time only once, however long the reply is that it finds before it there.
func TestReadsStepAsideOnce(t *testing.T) {
	st := newStage(t, patience, nil)
	c := st.clients(4)
	b := newBehind(st, c[0], func(queue func(*wire, string)) {
		queue(c[1], "GET other")
		queue(c[2], "GET a")
	})
	second := st.up.want("GET other", "GET a")
	other := bulkReply(big(1<<20, 2))
	second.send(other[:partSent])
	eventually(t, "the second connection to be taken out of use", func() bool {
		c[3].ask("GET d")
		r := st.up.request()
		r.at.send(bulkReply("d"))
		return r.at != second && c[3].reply() == bulkReply("d")
	})
	st.up.none()
	second.send(other[partSent:], bulkReply("a"))
	c[1].expect(other)
	c[2].expect(bulkReply("a"))
	b.end(c[0], bulkReply("old other"), bulkReply("old a"))
}

// Nothing is sent twice where the policy does not want it: reads then wait, and get their answer.
func TestReadsStayWhereThePolicySaysSo(t *testing.T) {
	no := false
	for name, f := range map[string]resources.Failover{
		"reads: false": {Tries: 2, Budget: 15, Reads: &no}, "tries: -1": {Tries: -1, Budget: 15}, "budget: 0%": {Tries: 2},
	} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t, patience, nil, func(r *fakeRuntime) { r.policy.Failover = f })
			c := st.clients(3)
			b := newBehind(st, c[0], func(queue func(*wire, string)) { queue(c[1], "GET a") })
			askedFor(st, c[2], 100*time.Millisecond)
			b.end(c[0], bulkReply("a"))
			c[1].expect(bulkReply("a"))
		})
	}
}

// askedFor has a client ask for a time; nothing else may reach the server meanwhile.
func askedFor(st *stage, w *wire, d time.Duration) {
	st.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		w.ask("GET z")
		st.up.want("GET z").send(bulkReply("z"))
		w.expect(bulkReply("z"))
	}
}

// The allowance is for a quiet resource; who finds it spent waits.
func TestReadsThatStepAsideTakeBudget(t *testing.T) {
	st := newStage(t, patience, nil, func(r *fakeRuntime) { r.policy.Failover.Budget = 0.01 })
	c := st.clients(spareMost + 2)
	b := newBehind(st, c[0], func(queue func(*wire, string)) {
		for _, w := range c[1:] {
			queue(w, "GET a")
		}
	})
	var again *scriptConn
	for range spareMost {
		again = st.up.want("GET a")
		again.send(bulkReply("new"))
	}
	if again == b.long {
		t.Fatal("reads were sent again on the connection that is held up")
	}
	for _, w := range c[1 : spareMost+1] {
		w.expect(bulkReply("new"))
	}
	st.up.none()
	var late []string
	for range spareMost + 1 {
		late = append(late, bulkReply("old"))
	}
	b.end(c[0], late...)
	c[spareMost+1].expect(bulkReply("old"))
}

// While the server takes no further connection, reads stay where they will be answered some day.
func TestReadsStayWhenThereIsNoOtherConnection(t *testing.T) {
	st := newStage(t, patience, nil)
	c := st.clients(2)
	c[0].ask("GET long")
	first := st.up.want("GET long")
	c[1].ask("GET a")
	st.up.want("GET a")
	_ = st.up.ln.Close()
	before := st.dials.Load()
	reply := bulkReply(big(1<<20, 1))
	first.send(reply[:partSent])
	eventually(t, "more than one attempt to connect", func() bool { return st.dials.Load() > before+1 })
	first.send(reply[partSent:], bulkReply("a"))
	c[0].expect(reply)
	c[1].expect(bulkReply("a"))
}

// A long reply that comes before its turn is not gathered as a whole: its connection waits. When its client leaves, or
// has no time left, it is dropped, and who is behind it goes on.
func TestLongReplyBeforeItsTurnIsDroppedWhenItsClientLeaves(t *testing.T) {
	other := startScript(t)
	st := newStage(t, patience, nil, func(f *fakeRuntime) {
		f.setMembers([]resources.Member{{Address: f.Endpoints()[0].Address}, {Address: other.addr}})
		f.routes = func(c *resources.Call) *resources.Endpoint {
			if f.ops.Info(c.Op).Name == "HGET" {
				return f.Endpoints()[1]
			}
			return f.Endpoints()[0]
		}
	})
	c := st.clients(3)
	c[0].ask("HGET slow f")
	other.want("HGET slow f")
	c[0].ask("GET long")
	first := st.up.want("GET long")
	c[1].ask("SET k 1")
	st.up.want("SET k 1")
	reply := bulkReply(big(3<<20, 1))
	first.send(reply[:gatherMost+1<<19])
	eventually(t, "the connection to wait", func() bool {
		c[2].ask("GET b")
		r := st.up.request()
		if r.at == first {
			st.leave(c[2]) // it would wait, too
			c[2] = st.clients(1)[0]
			return false
		}
		r.at.send(bulkReply("b"))
		c[2].expect(bulkReply("b"))
		return true
	})
	st.leave(c[0])
	first.send(reply[gatherMost+1<<19:], "+OK\r\n")
	c[1].expect("+OK\r\n")
}

// Under a load whose every reply is checked, clients come and take a long value slowly, again and again.
func TestIntegrityBesideLongReplies(t *testing.T) {
	n := server.Start(t, server.Redis{}).Primary
	const size = 16 << 20 // more than the system takes on the way
	n.Do("SET", "large", big(size, 4))
	f := newFake(t, n.Addr)
	f.policy.Failover.Budget = 100
	f.generous.Store(true)
	a := startAgent(t, f, nil)
	l, err := load.Start(t.Context(), load.Config{Address: a.addr, VerifyAddress: n.Addr, Clients: 16, Pipeline: 4, Rate: 2000,
		Duration: time.Minute, Mix: load.Mix{Get: 20, Set: 1, Incr: 1, Append: 1, MGet: 4}})
	if err != nil {
		t.Fatal(err)
	}
	<-l.Started()
	for end := time.Now().Add(patience); a.spared.Load() < 100; {
		if time.Now().After(end) {
			t.Fatalf("%d reads were sent again, want 100", a.spared.Load())
		}
		w := dial(t, a.addr)
		_, _ = w.nc.Write(resp.AppendCommand(nil, "GET", "large"))
		part := make([]byte, 64<<10)
		for range 4 {
			if _, err := io.ReadFull(w.nc, part); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond) // a slow client
		}
		_ = w.nc.Close()
	}
	l.Stop().Check(t, 100)
}
