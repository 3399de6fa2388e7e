package redis

import (
	"io"
	"sync"
	"testing"
)

// WAIT speaks of the last write of its connection, so a command goes before it; on a connection that was opened for it, too.
func TestWaitIsPrecededByACommandOnANewConnection(t *testing.T) {
	st := newStage(t, patience, nil)
	c := st.clients(1)
	for range 2 {
		c[0].ask("WAIT 0 100")
		up := st.up.want("PING", "WAIT 0 100")
		up.send("+PONG\r\n", ":0\r\n")
		c[0].expect(":0\r\n")
	}
	st.up.none()
}

// The same for ASKING, without which a node that is taking over a slot refuses the request.
func TestAskIsFollowedOnANewConnection(t *testing.T) {
	from, to := startScript(t), startScript(t)
	f := newFake(t, from.addr, to.addr)
	a := startAgent(t, f, &Settings{Topology: topologyCluster})
	a.res.learnt.Store(true)
	c := dial(t, a.addr)
	for range 2 {
		c.ask("GET k")
		from.want("GET k").send("-ASK 7629 " + to.addr + "\r\n")
		to.want("ASKING", "GET k").send("+OK\r\n", bulkReply("v"))
		c.expect(bulkReply("v"))
	}
	from.none()
	to.none()
}

// Where a watched key is moving to, the whole transaction has to be asked for; within MULTI, ASKING would be a part of it.
func TestAskCoversATransaction(t *testing.T) {
	from, to := startScript(t), startScript(t)
	a := startAgent(t, newFake(t, from.addr, to.addr), &Settings{Topology: topologyCluster})
	a.res.learnt.Store(true)
	c := dial(t, a.addr)
	c.want("CLIENT SETNAME me", "+OK\r\n")
	c.ask("WATCH k")
	from.want("CLIENT SETNAME me", "WATCH k").send("+OK\r\n", "-ASK 7629 "+to.addr+"\r\n")
	at := to.want("CLIENT SETNAME me", "ASKING", "WATCH k")
	at.send("+OK\r\n", "+OK\r\n", "+OK\r\n")
	c.expect("+OK\r\n")
	for _, step := range []struct {
		line  string
		asked bool
		reply string
	}{
		{"GET k", true, bulkReply("v")}, {"MULTI", true, "+OK\r\n"}, {"SET k w", false, "+QUEUED\r\n"}, {"EXEC", false, "*1\r\n+OK\r\n"},
	} {
		c.ask(step.line)
		if step.asked {
			to.want("ASKING", step.line).send("+OK\r\n", step.reply)
		} else {
			to.want(step.line).send(step.reply)
		}
		c.expect(step.reply)
	}
	from.none()
	to.none()
}

// A client whose requests wait behind a long reply stays on that connection until they are answered, also when the long
// reply is over and another connection was opened meanwhile: its next request must not overtake them.
func TestClientStaysOnItsConnectionAfterALongReply(t *testing.T) {
	st := newStage(t, patience, nil)
	c := st.clients(3)
	c[0].ask("GET long")
	first := st.up.want("GET long")
	c[1].ask("SET k 1")
	if st.up.want("SET k 1") != first {
		t.Fatal("two clients of one loop do not share a connection")
	}
	reply := bulkReply(big(4<<20, 1))
	first.send(reply[:3<<20])
	left := int64(len(reply))
	for left > 2<<20 { // then the connection takes nothing new
		n, err := c[0].nc.Read(make([]byte, 64<<10))
		if err != nil {
			t.Fatal(err)
		}
		left -= int64(n)
	}
	c[2].ask("GET c")
	second := st.up.want("GET c")
	if second == first {
		t.Fatal("a new client has to wait behind a long reply")
	}
	second.send(bulkReply("c"))
	c[2].expect(bulkReply("c"))
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = io.CopyN(io.Discard, c[0].nc, left) })
	first.send(reply[3<<20:])
	reading.Wait()
	eventually(t, "the end of the long reply", func() bool { return st.outcome("GET ok") == 2 })
	c[1].ask("GET k")
	if st.up.want("GET k") != first {
		t.Error("a request overtook an earlier one of its client on another connection")
	}
	first.send("+OK\r\n", bulkReply("1"))
	c[1].expect("+OK\r\n")
	c[1].expect(bulkReply("1"))
}

// Parts of a request count as their whole: what comes behind an MSET waits on the same connection.
func TestPartsOfARequestAreNotOvertaken(t *testing.T) {
	st := newStage(t, patience, &Settings{Topology: topologyHashed, Connections: 4})
	c := st.clients(1)
	c[0].ask("MSET a 1 b 2")
	up := st.up.want("MSET a 1", "MSET b 2")
	c[0].ask("GET a")
	if st.up.want("GET a") != up {
		t.Error("a request overtook an earlier one of its client on another connection")
	}
	up.send("+OK\r\n", "+OK\r\n", bulkReply("1"))
	c[0].expect("+OK\r\n")
	c[0].expect(bulkReply("1"))
}

// settings.connections is how many shared connections there are once enough clients ask.
func TestConnectionsAreUsed(t *testing.T) {
	st := newStage(t, patience, &Settings{Connections: 3})
	c := st.clients(9)
	at := map[*scriptConn]int{}
	for range 2 {
		for _, w := range c {
			w.ask("GET k")
			r := st.up.request()
			at[r.at]++
			r.at.send(bulkReply("v"))
			w.expect(bulkReply("v"))
		}
	}
	if len(at) != 3 {
		t.Errorf("%d connections are used, want 3", len(at))
	}
}
