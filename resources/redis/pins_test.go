package redis

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/resp"
	"github.com/sluice-mesh/sluice/resources"
	"github.com/sluice-mesh/sluice/testenv/fault"
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

// lossy is an agent in front of a server, with a proxy between them that can break.
type lossy struct {
	*agent
	t     *testing.T
	node  *server.RedisNode
	proxy *fault.Proxy
}

func newLossy(t *testing.T, set *Settings) *lossy {
	t.Helper()
	s := server.Start(t, server.Redis{})
	p := fault.Start(t, fault.Options{Target: s.Primary.Addr})
	return &lossy{startAgent(t, newFake(t, p.Addr), set), t, s.Primary, p}
}

// mute makes the servers' answers get lost, executes the requests all the same, and breaks the connections when the
// server got so many calls of a command.
func (l *lossy) mute(command string, calls int, during func()) {
	l.t.Helper()
	before := l.calls(command)
	l.proxy.Set(fault.Blackhole().Down())
	during()
	eventually(l.t, command+" to be executed", func() bool { return l.calls(command) >= before+calls })
	l.proxy.ResetAll()
	l.proxy.Clear()
}

// calls returns how often the server executed a command.
func (l *lossy) calls(command string) int {
	l.t.Helper()
	for line := range strings.SplitSeq(string(l.node.Do("INFO", "commandstats").Str), "\r\n") {
		if rest, ok := strings.CutPrefix(line, "cmdstat_"+strings.ToLower(command)+":calls="); ok {
			n, _, _ := strings.Cut(rest, ",")
			v, _ := atoi([]byte(n))
			return int(v)
		}
	}
	return 0
}

// lose kills every connection that the agent has at the server, and waits until the agent noticed.
func (l *lossy) lose() {
	l.t.Helper()
	l.proxy.ResetAll()
	eventually(l.t, "the agent to notice", func() bool {
		return l.open(modeShared)+l.open(modeLeased)+l.open(modePaired) == 0
	})
}

// word returns the first word of an error reply, with its type byte.
func word(r string) string {
	w, _, _ := strings.Cut(strings.TrimRight(r, "\r\n"), " ")
	return w
}

func TestLossOfTransaction(t *testing.T) {
	l := newLossy(t, nil)
	c := dial(t, l.addr)
	for _, end := range []struct{ say, want string }{
		{"EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n"}, {"DISCARD", "+OK\r\n"},
		{"RESET", "+RESET\r\n"},
	} {
		c.want("MULTI", "+OK\r\n")
		c.want("SET lost 1", "+QUEUED\r\n")
		l.lose()
		if p := l.session(c).Pins(); p != 0 {
			t.Errorf("pins are %v after the loss", resources.PinNames(p))
		}
		c.wantPrefix("SET lost 2", "-UNAVAILABLE sluice: test: ")
		c.want(end.say, end.want)
		c.want("EXISTS lost", ":0\r\n")
	}
}

func TestLossOfWatch(t *testing.T) {
	l := newLossy(t, nil)
	c := dial(t, l.addr)
	c.want("WATCH k", "+OK\r\n")
	l.lose()
	c.want("GET k", "$-1\r\n")
	c.want("MULTI", "+OK\r\n")
	c.want("SET k 1", "+QUEUED\r\n")
	c.want("EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n")
	c.want("GET k", "$-1\r\n")

	c.want("WATCH k", "+OK\r\n")
	l.lose()
	c.send(encode([][]string{{"MULTI"}, {"SET", "k", "1"}, {"EXEC"}})) // in one piece
	if got := c.replies(3); word(got[2]) != "-EXECABORT" {
		t.Fatalf("got %q", got)
	}
	c.want("WATCH k", "+OK\r\n")
	l.lose()
	c.want("UNWATCH", "+OK\r\n")
	c.want("MULTI", "+OK\r\n")
	c.want("SET k 2", "+QUEUED\r\n")
	c.want("EXEC", "*1\r\n+OK\r\n")
}

// TestLossAfterExec breaks the connection when EXEC was sent and not answered: it counts once, and nobody knows.
func TestLossAfterExec(t *testing.T) {
	for _, piece := range []bool{true, false} {
		t.Run(fmt.Sprintf("in one piece %v", piece), func(t *testing.T) {
			l := newLossy(t, nil)
			c := dial(t, l.addr)
			c.want("PING", "+PONG\r\n")
			txn := encode([][]string{{"MULTI"}, {"INCR", "n"}, {"EXEC"}})
			if !piece {
				c.want("MULTI", "+OK\r\n")
				c.want("INCR n", "+QUEUED\r\n")
				txn = encode([][]string{{"EXEC"}})
			}
			l.mute("exec", 1, func() { c.send(txn) })
			n := 1
			if piece {
				n = 3
			}
			for _, r := range c.replies(n) {
				if word(r) != "-UNKNOWN" {
					t.Errorf("got %q", r)
				}
			}
			c.want("GET n", "$1\r\n1\r\n")
			c.want("INCR n", ":2\r\n")
		})
	}
}

// TestLossInFlight breaks connections with requests in flight: reads are sent again, writes never.
func TestLossInFlight(t *testing.T) {
	for _, profile := range []string{profileMultiplexed, profileTransparent} {
		t.Run(profile, func(t *testing.T) {
			l := newLossy(t, &Settings{Profile: profile})
			c := dial(t, l.addr)
			c.want("SET k v", "+OK\r\n")
			for i, line := range []string{"INCR n", "EVAL return(redis.call('incr','n')) 0", "LPUSH list x", "PUBLISH ch m"} {
				name := strings.ToLower(strings.Fields(line)[0])
				l.mute(name, 1, func() { c.send(resp.AppendCommand(nil, strings.Fields(line)...)) })
				if r := c.reply(); !strings.HasPrefix(r, "-UNKNOWN sluice: test: ") {
					t.Fatalf("%s: got %q", line, r)
				}
				if n := l.calls(name); n != 1 {
					t.Errorf("row %d: %s ran %d times", i, line, n)
				}
			}
			c.want("GET n", "$1\r\n2\r\n")
			l.mute("get", 1, func() { c.send(resp.AppendCommand(nil, "GET", "k")) })
			want := "$1\r\nv\r\n"
			if r := c.reply(); profile == profileMultiplexed && r != want {
				t.Errorf("a read whose connection was lost is answered %q", r)
			} else if profile == profileTransparent && r != want && word(r) != "-UNKNOWN" {
				t.Errorf("a read whose connection was lost is answered %q", r)
			}
			c.want("PING", "+PONG\r\n")
		})
	}
}

func TestLossOfSubscription(t *testing.T) {
	for _, line := range []string{"SUBSCRIBE a", "PSUBSCRIBE a*", "SSUBSCRIBE a", "MONITOR", "CLIENT ID", "CLIENT NO-EVICT ON"} {
		t.Run(line, func(t *testing.T) {
			l := newLossy(t, nil)
			c := dial(t, l.addr)
			c.say(line)
			l.lose()
			c.rest()
		})
	}
}

func TestLossOfBlocking(t *testing.T) {
	for line, push := range map[string]string{
		"BLPOP q 0": "RPUSH q x", "BRPOPLPUSH q other 0": "RPUSH q x", "BZPOPMIN q 0": "ZADD q 1 x",
		"XREAD BLOCK 0 STREAMS q $": "XADD q 1-1 f x", "BLMPOP 0 1 q LEFT": "RPUSH q x", "BLMOVE q other LEFT LEFT 0": "RPUSH q x",
	} {
		t.Run(strings.Fields(line)[0], func(t *testing.T) {
			l := newLossy(t, nil)
			c := dial(t, l.addr)
			c.send(resp.AppendCommand(nil, strings.Fields(line)...))
			l.awaitBlocked("1")
			if p := l.session(c).Pins(); p != resources.PinBlocking {
				t.Errorf("pins are %v", resources.PinNames(p))
			}
			l.lose()
			if r := c.reply(); word(r) != "-UNKNOWN" {
				t.Fatalf("got %q", r)
			}
			l.awaitBlocked("0") // it was not sent again
			c.say(push)
			c.want("EXISTS q", ":1\r\n")

			// And the other way round: the client leaves.
			c.say("DEL q")
			c.send(resp.AppendCommand(nil, strings.Fields(line)...))
			l.awaitBlocked("1")
			_ = c.nc.Close()
			l.awaitBlocked("0")
			c = dial(t, l.addr)
			c.say(push)
			c.want("EXISTS q", ":1\r\n")
		})
	}
}

func (l *lossy) awaitBlocked(n string) {
	l.t.Helper()
	eventually(l.t, n+" blocked clients", func() bool {
		v, err := l.node.Info("blocked_clients")
		return err == nil && v == n
	})
}

func TestLossOfReplayedState(t *testing.T) {
	for _, profile := range []string{profileMultiplexed, profileTransparent} {
		t.Run(profile, func(t *testing.T) {
			l := newLossy(t, &Settings{Profile: profile})
			c := dial(t, l.addr)
			c.say("HELLO 3")
			c.want("SELECT 3", "+OK\r\n")
			c.want("CLIENT SETNAME me", "+OK\r\n")
			c.want("SET k 3", "+OK\r\n")
			l.lose()
			c.want("GET nosuch", "_\r\n")
			c.want("GET k", "$1\r\n3\r\n")
			c.want("CLIENT GETNAME", "$2\r\nme\r\n")
			c.want("SELECT 0", "+OK\r\n")
			c.want("GET k", "_\r\n")
		})
	}
}

// TestServerGoneAndBack stops the server: nothing was sent, so UNAVAILABLE, and it works again by itself.
func TestServerGoneAndBack(t *testing.T) {
	s := server.Start(t, server.Redis{})
	a := startAgent(t, newFake(t, s.Primary.Addr), nil)
	c := dial(t, a.addr)
	c.want("SET k 1", "+OK\r\n")
	s.Primary.Kill()
	eventually(t, "the agent to notice", func() bool { return a.open(modeShared) == 0 })
	for _, line := range []string{"SET k 2", "GET k", "MULTI", "SUBSCRIBE ch", "BLPOP q 0", "SELECT 1", "NOSUCH"} {
		c.wantPrefix(line, "-UNAVAILABLE sluice: test: ")
		if p := a.session(c).Pins(); p != 0 {
			t.Errorf("%s leaves pins %v", line, resources.PinNames(p))
		}
	}
	c.send(encode([][]string{{"MULTI"}, {"SET", "k", "2"}, {"EXEC"}}))
	for _, r := range c.replies(3) {
		if word(r) != "-UNAVAILABLE" {
			t.Errorf("got %q", r)
		}
	}
	s.Primary.Restart()
	eventually(t, "the server to be used again", func() bool { return c.say("SET k 3") == "+OK\r\n" })
}

// TestTimeout holds the server: requests are answered TIMEOUT, and their replies, when they come, answer nobody.
func TestTimeout(t *testing.T) {
	s := server.Start(t, server.Redis{})
	f := newFake(t, s.Primary.Addr)
	f.policy.Timeout = resources.Duration(200 * time.Millisecond)
	a := startAgent(t, f, nil)
	c := dial(t, a.addr)
	c.want("SET k v", "+OK\r\n")
	s.Primary.Pause()
	c.wantPrefix("GET k", "-TIMEOUT sluice: test: ")
	c.wantPrefix("WATCH k", "-TIMEOUT sluice: test: ")
	s.Primary.Continue()
	eventually(t, "answers to be on time again", func() bool { return c.say("ECHO a") == "$1\r\na\r\n" })
	for i := range 100 {
		want := fmt.Sprintf("$%d\r\n%d\r\n", len(fmt.Sprint(i)), i)
		c.want(fmt.Sprintf("ECHO %d", i), want)
	}
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
