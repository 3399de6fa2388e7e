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

// TestStops ends calls in filters: the client gets the filter's answer in Redis's form, and transactions end as they do
// when a server refused one of their requests.
func TestStops(t *testing.T) {
	s := server.Start(t, server.Redis{})
	f := newFake(t, s.Primary.Addr)
	limited := &resources.Stop{Fault: resources.NewFault(resources.Limited, resources.FromAgent, "test", "limit 1")}
	empty := &resources.Stop{Empty: true, Outcome: resources.Outcome(resources.Degraded)}
	stops := map[string]*resources.Stop{
		"INCR": limited, "SUBSCRIBE": limited, "BLPOP": limited, "SELECT": limited, "CLIENT|ID": limited, "APPEND": limited,
		"GET": empty, "MGET": empty, "HGETALL": empty, "SMEMBERS": empty, "SCAN": empty, "TTL": empty, "TYPE": empty, "STRLEN": empty,
		"ECHO": {Reply: "text"}, "LLEN": {Reply: ":7"}, "LRANGE": {Reply: `*1\r\n$1\r\na\r\n`}, "DECR": empty,
	}
	f.begin = func(c *resources.Call) *resources.Stop { return stops[f.ops.Info(c.Op).Name] }
	a := startAgent(t, f, nil)
	c := dial(t, a.addr)
	const no = "-LIMITED sluice: test: limit 1\r\n"
	const aborted = "-EXECABORT Transaction discarded because of previous errors.\r\n"
	for _, row := range [][2]string{
		{"INCR n", no}, {"SUBSCRIBE ch", no}, {"BLPOP q 0", no}, {"SELECT 1", no}, {"CLIENT ID", no},
		{"GET k", "$-1\r\n"}, {"MGET a b", "*2\r\n$-1\r\n$-1\r\n"}, {"HGETALL h", "*0\r\n"}, {"SMEMBERS s", "*0\r\n"},
		{"SCAN 0", "*2\r\n$1\r\n0\r\n*0\r\n"}, {"TTL k", ":-2\r\n"}, {"TYPE k", "+none\r\n"}, {"STRLEN k", ":0\r\n"},
		{"ECHO x", "$4\r\ntext\r\n"}, {"LLEN l", ":7\r\n"}, {"LRANGE l 0 1", "*1\r\n$1\r\na\r\n"},
		{"DECR n", "-DEGRADED sluice: test: DECR is degraded and only reads have an empty answer\r\n"},
		{"MULTI", ok}, {"SET k 1", "+QUEUED\r\n"}, {"INCR n", no}, {"SET k 2", "+QUEUED\r\n"}, {"EXEC", aborted}, {"EXISTS k", ":0\r\n"},
		{"MULTI", ok}, {"INCR n", no}, {"DISCARD", ok},
		{"WATCH k", ok}, {"INCR n", no}, {"MULTI", ok}, {"SET k 1", "+QUEUED\r\n"}, {"EXEC", "*1\r\n+OK\r\n"},
		{"HELLO 2", ""}, {"PING", "+PONG\r\n"},
	} {
		if got := c.say(row[0]); row[1] != "" && got != row[1] {
			t.Fatalf("%s is answered %q, want %q", row[0], got, row[1])
		}
		if p := a.session(c).Pins(); p != 0 && (row[0] == "EXEC" || row[0] == "DISCARD") {
			t.Fatalf("pins are %v after %s", resources.PinNames(p), row[0])
		}
	}
	c.send(encode([][]string{{"MULTI"}, {"SET", "k", "5"}, {"INCR", "n"}, {"EXEC"}})) // in one piece
	if got, want := strings.Join(c.replies(4), ""), ok+"+QUEUED\r\n"+no+aborted; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	c.want("EXISTS n", ":0\r\n")
	c.say("HELLO 3")
	c.want("GET k", "_\r\n")
	c.want("HGETALL h", "%0\r\n")
	c.want("SMEMBERS s", "~0\r\n")
	// A large request that was refused before it was whole ends the connection: nobody knows where the next begins.
	c.send(resp.AppendCommand(nil, "APPEND", "k", big(300<<10, 1))[:100<<10])
	if got := c.rest(); got != no {
		t.Errorf("got %q", got)
	}
}

// TestDelays holds every call for a while, as fault injection does: answers stay the same and in order.
func TestDelays(t *testing.T) {
	for _, profile := range []string{profileMultiplexed, profileTransparent} {
		t.Run(profile, func(t *testing.T) {
			direct := server.Start(t, server.Redis{})
			s := server.Start(t, server.Redis{})
			f := newFake(t, s.Primary.Addr)
			f.policy.Timeout = resources.Duration(patience)
			const delay = 5 * time.Millisecond
			f.begin = func(c *resources.Call) *resources.Stop { c.Delay = int64(delay); return nil }
			w := &world{direct.Primary, s.Primary, startAgent(t, f, &Settings{Profile: profile})}
			p := w.pair(t)
			p.what = "delayed"
			var cmds [][]string
			for _, line := range []string{
				"SET k 1", "GET k", "INCR k", "MULTI", "INCR k", "GET k", "EXEC", "WATCH k", "MULTI", "SET k 5", "EXEC", "SELECT 2", "SET k two",
				"SELECT 0", "GET k", "HELLO 3", "HGETALL nosuch", "HELLO 2", "CLIENT SETNAME me", "CLIENT GETNAME", "BLPOP nolist 0.01",
				"RPUSH l a", "BLPOP l 0", "NOSUCH x", "SET", "WAIT 0 0", "AUTH nobody x", "XREAD BLOCK 1 STREAMS nosuch $", "SCAN 0 COUNT 1000 TYPE nosuch",
				"MULTI", "NOSUCH", "EXEC", "SUBSCRIBE ch", "UNSUBSCRIBE ch", "GET k", "READONLY", "RESET", "GET k",
			} {
				cmds = append(cmds, strings.Fields(line))
			}
			cmds = append(cmds, []string{"SET", "big", big(200<<10, 1)}, []string{"GET", "big"}, []string{"PING"})
			began := time.Now()
			p.batch(cmds, encode(cmds), nil)
			if took := time.Since(began); took < 10*delay {
				t.Errorf("%d requests of %v took %v", len(cmds), delay, took)
			}
			for _, c := range cmds { // and one by one
				p.batch([][]string{c}, encode([][]string{c}), nil)
			}
		})
	}
}

// TestDelaysOfParts is the same for a resource of several servers.
func TestDelaysOfParts(t *testing.T) {
	a, _ := hashedAgent(t, &Settings{}, func(f *fakeRuntime) {
		f.begin = func(c *resources.Call) *resources.Stop { c.Delay = int64(time.Millisecond); return nil }
	})
	c := dial(t, a.addr)
	testSplit(t, c)
	testPlaces(t, c)
	c.want("FLUSHALL", ok)
	c.want("DBSIZE", ":0\r\n")
	c.want("SCAN 0 COUNT 1000", "*2\r\n$16\r\n4503599627370496\r\n*0\r\n")
}

// TestClientSendsNoMore closes the client's sending side behind its requests: they are answered.
func TestClientSendsNoMore(t *testing.T) {
	for _, profile := range []string{profileMultiplexed, profileTransparent} {
		s := server.Start(t, server.Redis{})
		a := startAgent(t, newFake(t, s.Primary.Addr), &Settings{Profile: profile})
		c := dial(t, a.addr)
		c.send([]byte("SET k 1\r\nWATCH k\r\nMULTI\r\nINCR k\r\nEXEC\r\nSELECT 1\r\nGET k\r\nSET k"))
		if err := c.nc.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, want := c.rest(), ok+ok+ok+"+QUEUED\r\n*1\r\n:2\r\n"+ok+"$-1\r\n"; got != want {
			t.Errorf("%s: got %q, want %q", profile, got, want)
		}
	}
}
