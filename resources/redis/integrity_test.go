package redis

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/resp"
	"github.com/sluice-mesh/sluice/resources"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// The tests of this file and of integrity_sizes_test.go hold the ten rules that keep a reply with its request and a write
// from being executed twice. Each rule stands for a bug that a proxy or a client library had; bugs.go brings it back.

// M1: a connection goes back to the pool only if everything written on it was answered (redis-py, CVE-2023-28858).

func TestIntegrityM1LateConnectionIsNotLent(t *testing.T) {
	st := newStage(t, 500*time.Millisecond, nil)
	c := st.clients(2)
	c[0].ask("CLIENT INFO")
	first := st.up.want("CLIENT INFO")
	c[0].expectWord("TIMEOUT")
	c[1].ask("CLIENT INFO")
	second := st.up.want("CLIENT INFO")
	first.send(bulkReply("for A"))
	second.send(bulkReply("for B"))
	c[1].expect(bulkReply("for B"))
	first.awaitGone(patience, "what it was asked for the first client is not answered")
}

func TestIntegrityM1AbandonedConnectionIsNotLent(t *testing.T) {
	st := newStage(t, patience, nil)
	c := st.clients(2)
	c[0].ask("CLIENT INFO")
	first := st.up.want("CLIENT INFO")
	st.leave(c[0])
	c[1].ask("CLIENT INFO")
	second := st.up.want("CLIENT INFO")
	first.send(bulkReply("for A"))
	second.send(bulkReply("for B"))
	c[1].expect(bulkReply("for B"))
	first.awaitGone(patience, "its client left before it answered")
}

// M2: a connection whose login was not answered in time is closed (go-redis, CVE-2025-29923).

// hasty ends waits that have any deadline at all after a short time.
type hasty struct{ net.Conn }

func (h hasty) SetDeadline(d time.Time) error {
	if !d.IsZero() {
		d = time.Now().Add(min(time.Until(d), 200*time.Millisecond))
	}
	return h.Conn.SetDeadline(d)
}

func TestIntegrityM2LateLoginAnswersNothing(t *testing.T) {
	st := newStage(t, patience, &Settings{DB: 1}, func(f *fakeRuntime) {
		f.dialed = func(nc net.Conn) net.Conn {
			if f.dials.Load() > 1 {
				return nc // only the first login is late
			}
			return hasty{nc}
		}
	})
	c := st.clients(1)
	c[0].ask("GET k")
	first := st.up.want("SELECT 1") // not answered
	switch r := st.up.request(); {
	case r.at == first:
		first.send("+OK\r\n", bulkReply("v"))
	case r.text == "SELECT 1":
		first.send("+OK\r\n")
		r.at.send("+OK\r\n")
		st.up.want("GET k").send(bulkReply("v"))
	default:
		t.Fatalf("request %q on a new connection, before its login", r.text)
	}
	c[0].expect(bulkReply("v"))
	first.awaitGone(patience, "its login was not answered in time")
}

// M3: a timeout leaves its expectation behind, so that the late reply is dropped (go-redis #1113).

func TestIntegrityM3LateReplyIsDropped(t *testing.T) {
	st := newStage(t, time.Second, nil)
	c := st.clients(2)
	c[0].ask("GET a")
	up := st.up.want("GET a")
	c[0].expectWord("TIMEOUT")
	c[1].ask("GET b")
	next := st.up.want("GET b")
	up.send(bulkReply("a"))
	next.send(bulkReply("b"))
	c[1].expect(bulkReply("b"))
	c[0].ask("GET c")
	st.up.want("GET c").send(bulkReply("c"))
	c[0].expect(bulkReply("c"))
}

// Several that wait on one connection time out together; the replies to all of them are dropped, those of others not.
func TestIntegrityM3LateRepliesOfManyAreDropped(t *testing.T) {
	st := newStage(t, time.Second, nil)
	c := st.clients(4)
	for i, name := range []string{"GET a", "GET b", "GET c"} {
		c[i].ask(name)
	}
	late := []scriptRequest{st.up.request(), st.up.request(), st.up.request()}
	for i := range 3 {
		c[i].expectWord("TIMEOUT")
	}
	c[3].ask("GET d")
	next := st.up.want("GET d")
	for _, r := range late {
		r.at.send(bulkReply(r.text))
	}
	next.send(bulkReply("d"))
	c[3].expect(bulkReply("d"))
}

// M4: the reply to a request whose client left is read and dropped by the connection's one reader (radix #277).

func TestIntegrityM4RepliesOfGoneClientsAreDropped(t *testing.T) {
	for _, gone := range []int{0, 1, 2} {
		st := newStage(t, patience, nil)
		c := st.clients(3)
		names := []string{"a", "b", "c"}
		var up *scriptConn
		for i, name := range names {
			c[i].ask("GET " + name)
			up = st.up.want("GET " + name)
		}
		st.leave(c[gone])
		for i, name := range names {
			up.send(bulkReply(name))
			if i != gone {
				c[i].expect(bulkReply(name))
			}
		}
		for i := range names {
			if i != gone {
				c[i].ask("GET again")
				st.up.want("GET again").send(bulkReply("again"))
				c[i].expect(bulkReply("again"))
			}
		}
	}
}

// A client that leaves in the middle of a large reply does not take what follows with it.
func TestIntegrityM4RestOfAReplyIsDropped(t *testing.T) {
	st := newStage(t, patience, nil)
	c := st.clients(2)
	c[0].ask("GET large")
	up := st.up.want("GET large")
	reply := bulkReply(big(300_000, 1))
	up.send(reply[:100_000])
	_ = c[0].nc.SetReadDeadline(time.Now().Add(patience))
	if _, err := c[0].nc.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	c[1].ask("GET b")
	next := st.up.want("GET b")
	st.leave(c[0])
	up.send(reply[100_000:])
	next.send(bulkReply("b"))
	c[1].expect(bulkReply("b"))
}

// The first of two answers to a backed-up request wins; the other is dropped when it comes, however it is cut up.
func TestIntegrityM4LoserOfABackupIsDropped(t *testing.T) {
	value := bulkReply(big(40_000, 2))
	for name, cut := range map[string]int{"whole": 0, "begun": 35_000} {
		t.Run(name, func(t *testing.T) {
			slow, quick := startScript(t), startScript(t)
			f := newFake(t, slow.addr, quick.addr)
			f.policy.Timeout = resources.Duration(patience)
			f.routes = func(c *resources.Call) *resources.Endpoint {
				if f.ops.Info(c.Op).Name == "GETRANGE" {
					c.Backup = 1
				}
				return f.Endpoints()[0]
			}
			f.backup = func(*resources.Call) *resources.Endpoint { return f.Endpoints()[1] }
			a := startAgent(t, f, nil)
			a.res.learnt.Store(true)
			c := dial(t, a.addr)
			c.ask("GET warm") // a backup is sent only where the first connection stands
			slow.want("GET warm").send(bulkReply("warm"))
			c.expect(bulkReply("warm"))
			c.ask("GETRANGE k 0 -1")
			first, second := slow.want("GETRANGE k 0 -1"), quick.want("GETRANGE k 0 -1")
			if cut > 0 {
				first.send(value[:cut])
				_ = c.nc.SetReadDeadline(time.Now().Add(patience))
				for len(c.buf) < cut {
					chunk := make([]byte, 64<<10)
					n, err := c.nc.Read(chunk)
					if err != nil {
						t.Fatal(err)
					}
					c.buf = append(c.buf, chunk[:n]...)
				}
				second.send(value)
				first.send(value[cut:])
			} else {
				second.send(value)
			}
			c.expect(value)
			if cut == 0 {
				first.send(value)
			}
			c.ask("GET next")
			slow.want("GET next").send(bulkReply("next"))
			c.expect(bulkReply("next"))
		})
	}
}

// M5: a connection whose head stays silent is closed, and everybody who waits on it is told (twemproxy #404).

func TestIntegrityM5SilentConnectionIsClosed(t *testing.T) {
	const timeout = 300 * time.Millisecond
	for _, begin := range []string{"", "$100\r\nhalf of"} {
		st := newStage(t, timeout, nil)
		c := st.clients(3)
		c[0].ask("GET a")
		c[1].ask("SET b 1")
		first := st.up.request().at
		if st.up.request().at != first {
			t.Fatal("two clients of one loop do not share a connection")
		}
		first.send(begin)
		c[0].expectWord("TIMEOUT")
		c[1].expectWord("TIMEOUT")
		first.awaitGone(20*timeout, "it was silent for twice the timeout with requests waiting")
		c[2].ask("GET c")
		st.up.want("GET c").send(bulkReply("c"))
		c[2].expect(bulkReply("c"))
		st.up.none()
	}
}

func TestIntegrityM5LossIsToldToAll(t *testing.T) {
	st := newStage(t, patience, nil)
	c := st.clients(3)
	for i, name := range []string{"SET a 1", "SET b 2", "SET c 3"} {
		c[i].ask(name)
		if up := st.up.want(name); i == 2 {
			up.send("+OK\r\n", "+O")
			c[0].expect("+OK\r\n")
			_ = up.nc.Close()
		}
	}
	c[1].expectWord("UNKNOWN")
	c[2].expectWord("UNKNOWN")
	st.up.none()
}

// What was passed on of a reply cannot be taken back: its client is cut off, and the call ends once.
func TestIntegrityM5LossInTheMiddleOfAReplyCutsItsClient(t *testing.T) {
	st := newStage(t, patience, nil)
	c := st.clients(2)
	c[0].ask("GET large")
	up := st.up.want("GET large")
	c[1].ask("SET b 1")
	st.up.want("SET b 1")
	reply := bulkReply(big(100_000, 1))
	up.send(reply[:60_000])
	_ = up.nc.Close()
	if got := c[0].rest(); !strings.HasPrefix(reply, got) || len(got) == len(reply) {
		t.Errorf("of a reply that was lost came %s", show(got))
	}
	c[1].expectWord("UNKNOWN")
	eventually(t, "the call to end", func() bool { return st.outcome("GET unknown") == 1 })
}

// M6: an expectation is there before the first byte of its request; an early answer to a request that is not wholly sent
// ends both connections (twemproxy #149).

func TestIntegrityM6EarlyAnswerEndsBothConnections(t *testing.T) {
	st := newStage(t, patience, nil)
	c := st.clients(2)
	rest := strings.Repeat("*1\r\n$4\r\nPING\r\n", 2000)
	set := resp.AppendCommand(nil, "SET", "k", big(50_000, 3)+"\r\n"+rest)
	c[0].send(set[:len(set)-len(rest)-2])
	first := st.up.accepted(1)
	eventually(t, "a part of the request to arrive", func() bool { return first.received.Load() > 0 })
	first.send("-OOM command not allowed when used memory > 'maxmemory'.\r\n")
	c[0].expectWord("OOM")
	first.awaitGone(5*time.Second, "it has half of a request on it")
	_, _ = c[0].nc.Write([]byte(rest)) // it may be cut already
	if got := c[0].rest(); got != "" {
		t.Errorf("the rest of a value was taken for requests and answered %s", show(got))
	}
	c[1].ask("CLIENT INFO")
	st.up.want("CLIENT INFO").send(bulkReply("for B"))
	c[1].expect(bulkReply("for B"))
}

// An answer that comes as soon as the connection stands belongs to the request that it was opened for, or to nobody.
func TestIntegrityM6GreetingAnswersNobody(t *testing.T) {
	st := newStage(t, patience, &Settings{DB: 1})
	c := st.clients(1)
	c[0].ask("GET k")
	first := st.up.want("SELECT 1")
	first.send("+OK\r\n+OK\r\n") // one more than was asked for
	second := st.up.want("SELECT 1")
	second.send("+OK\r\n")
	st.up.want("GET k").send(bulkReply("v"))
	c[0].expect(bulkReply("v"))
	first.awaitGone(patience, "it answered more than the login")
}

// M8: a write that was sent and not answered is never sent again, and what an old primary still says after a failover
// reaches nobody (RedisRaft #26).

func TestIntegrityM8WriteIsNotRepeated(t *testing.T) {
	for _, line := range []string{"INCR k", "SET k v", "EVAL return 0", "PUBLISH ch m", "BLPOP k 0", "GETDEL k"} {
		st := newStage(t, 3*time.Second, nil)
		c := st.clients(1)
		c[0].ask(line)
		_ = st.up.want(line).nc.Close()
		c[0].expectWord("UNKNOWN")
		c[0].ask("GET k")
		st.up.want("GET k").send(bulkReply("v"))
		c[0].expect(bulkReply("v"))
	}
}

func TestIntegrityM8ReadIsRepeatedAndWriteBehindItIsNot(t *testing.T) {
	st := newStage(t, 3*time.Second, nil)
	c := st.clients(2)
	c[0].ask("GET a")
	st.up.want("GET a")
	c[1].ask("INCR b")
	_ = st.up.want("INCR b").nc.Close()
	c[1].expectWord("UNKNOWN")
	st.up.want("GET a").send(bulkReply("v"))
	c[0].expect(bulkReply("v"))
	st.up.none()
}

// A read may be repeated, but not past a later write of the same client that may have been executed: it would show the
// client its own future.
func TestIntegrityM8ReadIsNotRepeatedPastAWrite(t *testing.T) {
	st := newStage(t, 3*time.Second, nil)
	c := st.clients(1)
	c[0].send(encode([][]string{{"GET", "k"}, {"SET", "k", "later"}, {"GET", "other"}}))
	_ = st.up.want("GET k", "SET k later", "GET other").nc.Close()
	c[0].expectWord("UNKNOWN")
	c[0].expectWord("UNKNOWN")
	st.up.want("GET other").send(bulkReply("v")) // no write of this client is behind it
	c[0].expect(bulkReply("v"))
	st.up.none()
}

func TestIntegrityM8OldPrimarySaysNothingAfterFailover(t *testing.T) {
	old, now := startScript(t), startScript(t)
	f := newFake(t, old.addr)
	f.policy.Timeout = resources.Duration(time.Second)
	a := startAgent(t, f, nil)
	a.res.learnt.Store(true)
	c := dial(t, a.addr)
	c.ask("GET k")
	was := old.want("GET k")
	f.setMembers([]resources.Member{{Address: now.addr}})
	a.res.Update()
	c.expectWord("TIMEOUT")
	c.ask("GET k")
	is := now.want("GET k")
	was.send(bulkReply("stale"))
	is.send(bulkReply("fresh"))
	c.expect(bulkReply("fresh"))
	was.awaitGone(patience, "its endpoint is gone")
	old.none()
}

// M9: a connection that entered a mode belongs to one session until the server's replies prove that the mode ended
// (Traefik, CVE-2026-71324).

func TestIntegrityM9ModesAreNotShared(t *testing.T) {
	for _, mode := range []struct{ enter, publish, message string }{
		{enter: "MULTI"},
		{enter: "WATCH k"},
		{"SUBSCRIBE ch", "PUBLISH ch m", "*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$1\r\nm\r\n"},
		{"PSUBSCRIBE c*", "PUBLISH ch m", "*4\r\n$8\r\npmessage\r\n$2\r\nc*\r\n$2\r\nch\r\n$1\r\nm\r\n"},
		{"SSUBSCRIBE ch", "SPUBLISH ch m", "*3\r\n$8\r\nsmessage\r\n$2\r\nch\r\n$1\r\nm\r\n"},
		{enter: "CLIENT TRACKING ON OPTIN"},
		{enter: "CLIENT NO-EVICT ON"},
		{enter: "MONITOR"},
	} {
		t.Run(mode.enter, func(t *testing.T) {
			n := server.Start(t, server.Redis{}).Primary
			st := &stage{agent: startAgent(t, newFake(t, n.Addr), nil)}
			c := st.clients(3)
			enter := func() {
				t.Helper()
				if mode.enter == "CLIENT TRACKING ON OPTIN" {
					c[0].wantPrefix("HELLO 3", "%")
				}
				if got := c[0].say(mode.enter); isError([]byte(got)) {
					t.Fatalf("%s is answered %s", mode.enter, got)
				}
			}
			enter()
			c[1].wantsPlainConnection("B")
			if mode.publish != "" {
				c[1].want(mode.publish, ":1\r\n")
				c[0].expect(mode.message)
			}
			switch mode.enter {
			case "MULTI":
				c[0].want("GET k", "+QUEUED\r\n")
				c[0].want("EXEC", "*1\r\n"+bulkReply("B"))
				enter()
			case "WATCH k":
				c[0].want("MULTI", "+OK\r\n")
				c[0].want("GET k", "+QUEUED\r\n")
				c[0].want("EXEC", "*-1\r\n") // k was changed meanwhile
				enter()
			}
			st.leave(c[0]) // in the middle of the mode
			c[2].wantsPlainConnection("C")
		})
	}
}

// wantsPlainConnection checks that what needs a connection of its own gets one that is in no mode.
func (w *wire) wantsPlainConnection(value string) {
	w.t.Helper()
	info := w.say("CLIENT INFO")
	for _, part := range []string{" flags=N ", " sub=0 ", " psub=0 ", " ssub=0 ", " multi=-1 "} {
		if !strings.Contains(info, part) {
			w.t.Errorf("%s got a connection that is not %q: %s", w.name, part, show(info))
		}
	}
	w.want("SET k "+value, "+OK\r\n")
	w.want("WATCH k", "+OK\r\n")
	w.want("MULTI", "+OK\r\n")
	w.want("GET k", "+QUEUED\r\n")
	w.want("EXEC", "*1\r\n"+bulkReply(value))
}

// What MONITOR shows may arrive together with its OK. It belongs to the client like all that follows.
func TestIntegrityM9MonitorBeginsWithItsOK(t *testing.T) {
	st := newStage(t, patience, nil)
	c := st.clients(1)
	c[0].ask("MONITOR")
	const line = "+1700000000.000000 [0 127.0.0.1:1] \"GET\" \"k\"\r\n"
	up := st.up.want("MONITOR")
	up.send("+OK\r\n", line, line)
	c[0].expect("+OK\r\n")
	c[0].expect(line)
	c[0].expect(line)
	st.leave(c[0])
	up.awaitGone(patience, "its client left")
}

// M10: a reply that nobody asked for closes the connection and is counted.

func TestIntegrityM10UnexpectedReplyEndsTheConnection(t *testing.T) {
	for name, extra := range map[string]string{
		"doubled": bulkReply("a"), "another": "+OK\r\n", "error": "-ERR late\r\n", "garbage": "\x00\x01",
	} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t, patience, nil)
			c := st.clients(2)
			c[0].ask("GET a")
			first := st.up.want("GET a")
			first.send(bulkReply("a"), extra)
			c[0].expect(bulkReply("a"))
			first.awaitGone(5*time.Second, "it said something that nobody asked for")
			c[1].ask("GET b")
			second := st.up.want("GET b")
			first.send(bulkReply("not b"))
			second.send(bulkReply("b"))
			c[1].expect(bulkReply("b"))
			if n := st.mismatches.Swap(0); n != 1 {
				t.Errorf("%d mismatches are counted, want 1", n)
			}
		})
	}
}

// The same for a connection that waits in the pool for its next loan.
func TestIntegrityM10UnexpectedReplyEndsAnIdleConnection(t *testing.T) {
	st := newStage(t, patience, nil)
	c := st.clients(2)
	c[0].ask("CLIENT INFO")
	first := st.up.want("CLIENT INFO")
	first.send(bulkReply("info"))
	c[0].expect(bulkReply("info"))
	first.send(bulkReply("more"))
	first.awaitGone(5*time.Second, "it said something that nobody asked for")
	c[1].ask("CLIENT INFO")
	st.up.want("CLIENT INFO").send(bulkReply("for B"))
	c[1].expect(bulkReply("for B"))
	if n := st.mismatches.Swap(0); n != 1 {
		t.Errorf("%d mismatches are counted, want 1", n)
	}
}
