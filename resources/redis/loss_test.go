package redis

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/resp"
	"github.com/sluice-mesh/sluice/resources"
	"github.com/sluice-mesh/sluice/testenv/fault"
	"github.com/sluice-mesh/sluice/testenv/server"
)

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
			if r := c.reply(); word(r) != "-UNKNOWN" {
				t.Errorf("got %q", r)
			}
			if piece {
				c.over("the rest of the transaction")
				c = dial(t, l.addr)
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
	for _, line := range []string{"SET k 2", "GET k", "BLPOP q 0", "SELECT 1", "NOSUCH"} {
		c.wantPrefix(line, "-UNAVAILABLE sluice: test: ")
		if p := a.session(c).Pins(); p != 0 {
			t.Errorf("%s leaves pins %v", line, resources.PinNames(p))
		}
	}
	sub := dial(t, a.addr)
	sub.wantPrefix("SUBSCRIBE ch", "-UNAVAILABLE sluice: test: ")
	sub.rest() // so that client libraries come back with all their subscriptions
	for _, txn := range [][][]string{{{"MULTI"}}, {{"MULTI"}, {"SET", "k", "2"}, {"EXEC"}}} {
		m := dial(t, a.addr)
		m.send(encode(txn))
		if r := m.reply(); word(r) != "-UNAVAILABLE" {
			t.Errorf("got %q", r)
		}
		m.over("the rest of the transaction") // some libraries leave it unread after an error for MULTI
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

// TestSlowReaderOfALargeReply stops reading in the middle of a reply for longer than the timeout: the server did its part.
func TestSlowReaderOfALargeReply(t *testing.T) {
	s := server.Start(t, server.Redis{})
	f := newFake(t, s.Primary.Addr)
	f.policy.Timeout = resources.Duration(500 * time.Millisecond)
	a := startAgent(t, f, nil)
	value := big(30<<20, 5) // more than all buffers on the way
	s.Primary.Do("SET", "k", value)
	c, other := dial(t, a.addr), dial(t, a.addr)
	c.send(resp.AppendCommand(nil, "GET", "k"))
	part := make([]byte, 1<<20)
	_ = c.nc.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(c.nc, part); err != nil {
		t.Fatal(err)
	}
	for until := time.Now().Add(1200 * time.Millisecond); time.Now().Before(until); {
		other.want("PING", "+PONG\r\n")
	}
	c.buf = part
	if want := fmt.Sprintf("$%d\r\n%s\r\n", len(value), value); c.reply() != want {
		t.Error("the reply is damaged")
	}
	c.want("PING", "+PONG\r\n")
}

// TestSecondEndpoint has a first endpoint where nothing listens: requests that need a connection of their own are sent to
// the second one as they were.
func TestSecondEndpoint(t *testing.T) {
	s := server.Start(t, server.Redis{})
	a := startAgent(t, newFake(t, server.FreeAddr(t), s.Primary.Addr), nil)
	c := dial(t, a.addr)
	c.want("MULTI", ok)
	c.want("SET k 1", "+QUEUED\r\n")
	c.want("EXEC", "*1\r\n+OK\r\n")
	c.want("WATCH k", ok)
	c.want("SET k 2", ok)
	c.want("MULTI", ok)
	c.want("GET k", "+QUEUED\r\n")
	c.want("EXEC", "*-1\r\n")
	c.want("BLPOP nolist 0.01", "*-1\r\n")
	c.want("XREAD BLOCK 1 STREAMS nosuch $", "*-1\r\n")
	if p := a.session(c).Pins(); p != 0 {
		t.Errorf("pins are %v", resources.PinNames(p))
	}
	// The beginning of the next request is there already when the first endpoint fails.
	c.send([]byte("*3\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n$1\r\nb\r\n*5\r\n$11\r\nUNSUBSCRIBE\r\n$1\r\na\r\n"))
	c.replies(2)
	c.send([]byte("$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n"))
	c.replies(4)
	c.want("GET k", "$1\r\n2\r\n")
	c.want("PING", "+PONG\r\n")
	if p := a.session(c).Pins(); p != 0 {
		t.Errorf("pins are %v", resources.PinNames(p))
	}
	// A transaction that is there as a whole is sent elsewhere as a whole, what is around it as well.
	c.send(encode([][]string{{"GET", "k"}, {"MULTI"}, {"INCR", "k"}, {"EXEC"}, {"GET", "k"}, {"MULTI"}, {"INCR", "k"}, {"INCR", "k"}, {"EXEC"}}))
	want := "$1\r\n2\r\n+OK\r\n+QUEUED\r\n*1\r\n:3\r\n$1\r\n3\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:4\r\n:5\r\n"
	if got := strings.Join(c.replies(9), ""); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	c.want("GET k", "$1\r\n5\r\n")
}

// TestSecondEndpointForHalfATransaction lets the budget end in the middle of a transaction: then nothing of it is sent.
func TestSecondEndpointForHalfATransaction(t *testing.T) {
	s := server.Start(t, server.Redis{})
	f := newFake(t, server.FreeAddr(t), s.Primary.Addr)
	f.spent = func(c *resources.Call) bool { return f.ops.Info(c.Op).Name == "INCR" }
	a := startAgent(t, f, nil)
	c := dial(t, a.addr)
	c.send(encode([][]string{{"MULTI"}, {"SET", "k", "1"}, {"INCR", "k"}, {"SET", "k", "2"}, {"EXEC"}}))
	if r := c.reply(); word(r) != "-UNAVAILABLE" {
		t.Errorf("got %q", r)
	}
	c.over("the rest of the transaction")
	c = dial(t, a.addr)
	c.want("EXISTS k", ":0\r\n")
}
