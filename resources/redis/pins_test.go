package redis

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/protocols/resp"
	"github.com/sluice-mesh/sluice/resources"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// pinRows are sessions: after each command the session has these pins. What a pin needs to go away is nothing else than
// the command that follows in its row.
var pinRows = map[string][]struct {
	say  string
	pins resources.Pin
}{
	"exec":                    {{"MULTI", resources.PinTxn}, {"SET a 1", resources.PinTxn}, {"EXEC", 0}},
	"exec with an argument":   {{"MULTI", resources.PinTxn}, {"EXEC x", resources.PinTxn}, {"EXEC", 0}},
	"aborted":                 {{"MULTI", resources.PinTxn}, {"NOSUCH", resources.PinTxn}, {"EXEC", 0}},
	"discard":                 {{"MULTI", resources.PinTxn}, {"SET a 1", resources.PinTxn}, {"DISCARD", 0}},
	"nested multi":            {{"MULTI", resources.PinTxn}, {"MULTI", resources.PinTxn}, {"EXEC", 0}},
	"multi refused":           {{"MULTI x", 0}, {"EXEC", 0}, {"DISCARD", 0}},
	"reset in a transaction":  {{"MULTI", resources.PinTxn}, {"RESET", 0}},
	"unwatch":                 {{"WATCH a", resources.PinWatch}, {"GET a", resources.PinWatch}, {"UNWATCH", 0}},
	"watch refused":           {{"WATCH", 0}},
	"watch and exec":          {{"WATCH a", resources.PinWatch}, {"MULTI", resources.PinWatch | resources.PinTxn}, {"EXEC", 0}},
	"watch and discard":       {{"WATCH a", resources.PinWatch}, {"MULTI", resources.PinWatch | resources.PinTxn}, {"DISCARD", 0}},
	"exec without multi":      {{"WATCH a", resources.PinWatch}, {"EXEC", resources.PinWatch}, {"DISCARD", resources.PinWatch}, {"UNWATCH", 0}},
	"unwatch in multi":        {{"WATCH a", resources.PinWatch}, {"MULTI", resources.PinWatch | resources.PinTxn}, {"UNWATCH", resources.PinWatch | resources.PinTxn}, {"EXEC", 0}},
	"reset of watch":          {{"WATCH a", resources.PinWatch}, {"RESET", 0}},
	"channel":                 {{"SUBSCRIBE a", resources.PinSubscribe}, {"UNSUBSCRIBE a", 0}},
	"pattern":                 {{"PSUBSCRIBE a*", resources.PinSubscribe}, {"PUNSUBSCRIBE", 0}},
	"shard channel":           {{"SSUBSCRIBE a", resources.PinSubscribe}, {"SUNSUBSCRIBE a", 0}},
	"channel and pattern":     {{"SUBSCRIBE a", resources.PinSubscribe}, {"PSUBSCRIBE a*", resources.PinSubscribe}, {"UNSUBSCRIBE", resources.PinSubscribe}, {"PUNSUBSCRIBE", 0}},
	"channel twice":           {{"SUBSCRIBE a", resources.PinSubscribe}, {"SUBSCRIBE a", resources.PinSubscribe}, {"UNSUBSCRIBE a", 0}},
	"not subscribed":          {{"UNSUBSCRIBE a", 0}, {"SUBSCRIBE", 0}},
	"subscriber resets":       {{"SUBSCRIBE a", resources.PinSubscribe}, {"RESET", 0}, {"GET a", 0}},
	"blocking that times out": {{"BLPOP a 0.01", 0}, {"XREAD BLOCK 1 STREAMS a $", 0}, {"BLPOP a x", 0}, {"WAIT 0 0", 0}},
	"tracking":                {{"HELLO 3", 0}, {"CLIENT TRACKING ON", resources.PinState}, {"GET a", resources.PinState}, {"RESET", 0}},
	"tracking off":            {{"HELLO 3", 0}, {"CLIENT TRACKING ON OPTIN", resources.PinState}, {"CLIENT CACHING YES", resources.PinState}, {"GET a", resources.PinState}, {"CLIENT TRACKING OFF", 0}},
	"tracking off, and tied":  {{"HELLO 3", 0}, {"CLIENT NO-EVICT ON", resources.PinState}, {"CLIENT TRACKING ON", resources.PinState}, {"CLIENT TRACKING OFF", resources.PinState}},
	"tracking refused":        {{"CLIENT TRACKING ON REDIRECT 99999", 0}},
	"its number":              {{"CLIENT ID", resources.PinState}, {"GET a", resources.PinState}},
	"eviction":                {{"CLIENT NO-EVICT ON", resources.PinState}},
	"about itself":            {{"CLIENT INFO", 0}, {"CLIENT GETREDIR", 0}, {"CLIENT TRACKINGINFO", 0}},
	"replication":             {{"REPLCONF listening-port 1", resources.PinMonitor}},
	"monitor":                 {{"MONITOR", resources.PinMonitor}},
	"replayed state":          {{"SELECT 3", 0}, {"HELLO 3", 0}, {"CLIENT SETNAME x", 0}, {"HELLO 2 SETNAME y", 0}},
	"refused by the server":   {{"READONLY", 0}, {"NOSUCH a", 0}, {"CONFIG NOSUCH", 0}, {"CLIENT NO-TOUCH ON", 0}},
	"select in multi":         {{"MULTI", resources.PinTxn}, {"SELECT 1", resources.PinTxn | resources.PinState}, {"EXEC", resources.PinState}},
	"names in multi":          {{"MULTI", resources.PinTxn}, {"CLIENT GETNAME", resources.PinTxn}, {"EXEC", 0}},
}

// TestPins follows the pins of sessions, and where their requests go: to a connection of the session's own as long as
// there is a pin, to a shared one else.
func TestPins(t *testing.T) {
	s := server.Start(t, server.Redis{})
	a := startAgent(t, newFake(t, s.Primary.Addr), nil)
	for name, row := range pinRows {
		t.Run(name, func(t *testing.T) {
			c := dial(t, a.addr)
			for i, step := range row {
				c.say(step.say)
				eventually(t, fmt.Sprintf("pins %v after %q, have %v", resources.PinNames(step.pins), step.say, resources.PinNames(a.session(c).Pins())), func() bool {
					return a.session(c).Pins() == step.pins
				})
				if i < len(row)-1 || step.pins != 0 {
					continue
				}
				if v := c.say("PING"); v != "+PONG\r\n" {
					t.Fatalf("PING is answered %q after the last pin", v)
				}
			}
			_ = c.nc.Close()
		})
	}
	eventually(t, "sessions to end", func() bool { return a.closed.Load() == int64(a.ids.Load()) })
}

// TestCleanConnectionsAreLentAgain counts connections: sessions one after the other use one, those that leave a
// connection dirty have it closed.
func TestCleanConnectionsAreLentAgain(t *testing.T) {
	s := server.Start(t, server.Redis{})
	a := startAgent(t, newFake(t, s.Primary.Addr), nil)
	c := dial(t, a.addr)
	c.say("BLPOP nolist 0.01")
	for range 10 {
		c.say("WATCH a")
		c.say("MULTI")
		c.say("EXEC")
		c.say("BLPOP nolist 0.001")
		c.say("SUBSCRIBE a")
		c.say("UNSUBSCRIBE a")
	}
	if n := a.open(modeLeased); n != 1 {
		t.Errorf("%d connections were opened to be lent", n)
	}
	for _, dirty := range []string{"WATCH a", "MULTI", "SUBSCRIBE a", "MONITOR", "CLIENT ID"} {
		c = dial(t, a.addr)
		c.say(dirty)
		left := a.open(modeLeased) - 1
		_ = c.nc.Close()
		eventually(t, "the connection of a client that left after "+dirty+" to be closed", func() bool { return a.open(modeLeased) == left })
	}
	c = dial(t, a.addr)
	for _, left := range []string{"WATCH a", "MULTI", "SET a 1"} {
		c.say(left)
	}
	left := a.open(modeLeased) - 1
	c.say("RESET")
	eventually(t, "the connection of a transaction to end with RESET", func() bool { return a.open(modeLeased) == left })
	c.want("EXEC", "-ERR EXEC without MULTI\r\n")
}

// TestWholeTransactionNeedsNoLease sends MULTI to EXEC in one piece.
func TestWholeTransactionNeedsNoLease(t *testing.T) {
	s := server.Start(t, server.Redis{})
	a := startAgent(t, newFake(t, s.Primary.Addr), nil)
	c := dial(t, a.addr)
	for i := range 20 {
		c.send(encode([][]string{{"MULTI"}, {"INCR", "n"}, {"GET", "n"}, {"EXEC"}}))
		got := strings.Join(c.replies(4), "")
		n := fmt.Sprint(i + 1)
		if want := fmt.Sprintf("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:%s\r\n$%d\r\n%s\r\n", n, len(n), n); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	if n := a.open(modeLeased); n != 0 {
		t.Errorf("%d connections were lent", n)
	}
}

// TestUnknownCommandPins sends a command that the server knows and the agent does not: it may have changed anything.
func TestUnknownCommandPins(t *testing.T) {
	s := server.Start(t, server.Redis{Args: []string{"--rename-command", "GET", "MYGET"}})
	a := startAgent(t, newFake(t, s.Primary.Addr), nil)
	a.res.learnt.Store(true) // the server is not asked for its commands
	c := dial(t, a.addr)
	c.want("MYGET k", "$-1\r\n")
	if p := a.session(c).Pins(); p != resources.PinUnknown {
		t.Errorf("pins are %v", resources.PinNames(p))
	}
}

// clientsOf returns the lines of CLIENT LIST that contain a text.
func clientsOf(n *server.RedisNode, text string) []string {
	var out []string
	for line := range strings.SplitSeq(string(n.Do("CLIENT", "LIST").Str), "\n") {
		if strings.Contains(line, text) {
			out = append(out, line)
		}
	}
	return out
}

// TestServerSeesWhoIsBehind finds a client by its name at the server while it has a connection of its own.
func TestServerSeesWhoIsBehind(t *testing.T) {
	s := server.Start(t, server.Redis{})
	a := startAgent(t, newFake(t, s.Primary.Addr), nil)
	one, two := dial(t, a.addr), dial(t, a.addr)
	one.want("CLIENT SETNAME worker-1", "+OK\r\n")
	one.say("WATCH k")
	if l := clientsOf(s.Primary, "name=worker-1"); len(l) != 1 {
		t.Errorf("the server knows %d clients of the name", len(l))
	}
	one.say("UNWATCH")
	two.say("WATCH k") // may get the connection that the other gave back
	if l := clientsOf(s.Primary, "name=worker-1"); len(l) > 1 || len(l) == 1 && len(clientsOf(s.Primary, "watch")) == 1 {
		t.Errorf("a client without a name has another's: %q", l)
	}
	two.want("CLIENT GETNAME", "$-1\r\n")
}

// TestReplyOffIsTheClientsOwn: others on the same connection get theirs.
func TestReplyOffIsTheClientsOwn(t *testing.T) {
	s := server.Start(t, server.Redis{})
	f := newFake(t, s.Primary.Addr)
	a := startAgent(t, f, nil)
	var all []*wire
	for range 4 { // on both loops
		all = append(all, dial(t, a.addr))
	}
	all[0].send(encode([][]string{{"CLIENT", "REPLY", "OFF"}, {"SET", "k", "1"}}))
	for i := range 50 {
		all[0].send(encode([][]string{{"INCR", "k"}}))
		for _, c := range all[1:] {
			c.want(fmt.Sprintf("ECHO %d", i), fmt.Sprintf("$%d\r\n%d\r\n", len(fmt.Sprint(i)), i))
		}
	}
	all[0].want("CLIENT REPLY ON", "+OK\r\n")
	all[0].want("GET k", "$2\r\n51\r\n")
}

// TestWaitSpeaksOfOwnWrites asks for replication of writes that went over a shared connection.
func TestWaitSpeaksOfOwnWrites(t *testing.T) {
	s := server.Start(t, server.Redis{Replicas: 1})
	f := newFake(t, s.Primary.Addr)
	a := startAgent(t, f, nil)
	c := dial(t, a.addr)
	for i := range 20 {
		c.want(fmt.Sprintf("SET k %d", i), "+OK\r\n")
		c.want("WAIT 1 5000", ":1\r\n")
	}
	s.Replicas[0].Pause()
	c.want("SET k last", "+OK\r\n")
	c.want("WAIT 1 50", ":0\r\n")
	s.Replicas[0].Continue()
	c.want("WAIT 1 5000", ":1\r\n")
}

// TestMonitorStream shows the commands of others, and goes on as a stream.
func TestMonitorStream(t *testing.T) {
	s := server.Start(t, server.Redis{})
	a := startAgent(t, newFake(t, s.Primary.Addr), nil)
	m, c := dial(t, a.addr), dial(t, a.addr)
	m.want("MONITOR", "+OK\r\n")
	var want []string
	for i := range 50 {
		c.say(fmt.Sprintf("SET k %d", i))
		want = append(want, fmt.Sprintf(`"SET" "k" "%d"`, i))
	}
	for len(want) > 0 {
		r := m.reply()
		if i := slices.IndexFunc(want, func(w string) bool { return strings.Contains(r, w) }); i == 0 {
			want = want[1:]
		} else if i > 0 {
			t.Fatalf("%q came before %q", r, want[0])
		}
	}
	m.send(encode([][]string{{"QUIT"}}))
	eventually(t, "the stream to end", func() bool { _, err := m.next(patience); return err != nil })
}

// TestTransparentPairs gives each client one connection of its own, from its first request to its end.
func TestTransparentPairs(t *testing.T) {
	s := server.Start(t, server.Redis{})
	a := startAgent(t, newFake(t, s.Primary.Addr), &Settings{Profile: profileTransparent})
	var clients []*wire
	ids := map[string]bool{}
	for i := range 5 {
		c := dial(t, a.addr)
		clients = append(clients, c)
		id := c.say("CLIENT ID")
		for range 3 {
			c.want("SET k v", ok)
			c.want("BLPOP nolist 0.001", "*-1\r\n")
			c.want("CLIENT ID", id)
		}
		ids[id] = true
		if n := a.open(modePaired); n != int64(i+1) || len(ids) != i+1 {
			t.Fatalf("%d clients have %d connections, of %d numbers", i+1, n, len(ids))
		}
		if p := a.session(c).Pins(); p&resources.PinPaired == 0 {
			t.Errorf("pins are %v", resources.PinNames(p))
		}
	}
	for _, c := range clients {
		_ = c.nc.Close()
	}
	eventually(t, "their connections to be closed", func() bool { return a.open(modePaired) == 0 })
	if n := a.open(modeShared) + a.open(modeLeased); n != 0 {
		t.Errorf("%d connections are not paired", n)
	}
}

// TestLeave asks sessions to leave an endpoint: each does at its next boundary, and none before.
func TestLeave(t *testing.T) {
	s := server.Start(t, server.Redis{})
	a := startAgent(t, newFake(t, s.Primary.Addr), nil)
	txn, watch, sub, pair := dial(t, a.addr), dial(t, a.addr), dial(t, a.addr), dial(t, a.addr)
	txn.want("MULTI", ok)
	watch.want("WATCH k", ok)
	sub.say("SUBSCRIBE ch")
	pair.send(resp.AppendCommand(nil, "BLPOP", "q", "0"))
	eventually(t, "the blocking request to arrive", func() bool { return a.session(pair).Pins() == resources.PinBlocking })
	a.leave.Store(true)
	a.res.Update()
	sub.rest()
	txn.want("SET k 1", "+QUEUED\r\n")
	watch.want("GET k", "$-1\r\n")
	watch.want("MULTI", ok)
	watch.want("SET k 2", "+QUEUED\r\n")
	txn.want("EXEC", "*1\r\n+OK\r\n")
	watch.want("EXEC", "*-1\r\n")
	txn.want("RPUSH q x", ":1\r\n")
	if r := pair.reply(); r != "*2\r\n$1\r\nq\r\n$1\r\nx\r\n" {
		t.Errorf("got %q", r)
	}
	for _, c := range []*wire{txn, watch, pair} {
		if p := a.session(c).Pins(); p != 0 {
			t.Errorf("pins are %v at the end", resources.PinNames(p))
		}
		c.want("GET k", "$1\r\n1\r\n")
	}
}
