package mysql

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/resources"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// TestManySessionsOnLoops lets many clients on two loops share few connections: each checks that it gets its own answers,
// while others leave in the middle of theirs, wait in line, run out of time, or read slowly.
func TestManySessionsOnLoops(t *testing.T) {
	n := server.Start(t, server.MariaDB{}).Primary
	set := testSettings(6)
	f := newFake(t, n.Addr)
	f.policy.Timeout = resources.Duration(3 * time.Second)
	f.begin = func(c *resources.Call) *resources.Stop {
		if c.Start%17 == 0 {
			c.Delay = int64(time.Millisecond)
		}
		return nil
	}
	a := startAgent(t, f, set)
	dial(t, a.addr, "test", clientCaps).must("CREATE TABLE sums (id INT PRIMARY KEY, n INT)", "INSERT INTO sums VALUES (1, 0)")
	var clients sync.WaitGroup
	var mu sync.Mutex
	added := 0
	end := time.Now().Add(2 * time.Second)
	for i := range 40 {
		clients.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			for time.Now().Before(end) {
				c, err := tryDial(t, a.addr, "test", clientCaps)
				if err != nil {
					t.Errorf("log in: %v", err)
					return
				}
				for range 1 + r.IntN(20) {
					if !oneStep(t, c, r, &mu, &added) {
						break
					}
				}
				c.close()
			}
		})
	}
	clients.Wait()
	if got, want := dial(t, a.addr, "test", clientCaps).must("SELECT n FROM sums").value(), fmt.Sprint(added); got != want {
		t.Errorf("the sum is %s, and %s was acknowledged", got, want)
	}
}

// oneStep executes something and checks the answer. It returns false when the client is to leave.
func oneStep(t *testing.T, c *client, r *rand.Rand, mu *sync.Mutex, added *int) bool {
	ask := func(text string) (string, bool) {
		c.send(mysql.ComQuery, []byte(text))
		rep, err := c.reply(mysql.ComQuery)
		if err == nil {
			err = rep.err()
		}
		if err != nil {
			t.Errorf("%.80s: %v", text, err)
			return "", false
		}
		return rep.value(), true
	}
	token := r.Uint64()
	switch k := r.IntN(20); {
	case k < 12:
		got, ok := ask(fmt.Sprintf("SELECT %d", token))
		if ok && got != fmt.Sprint(token) {
			t.Errorf("got %s, want %d", got, token)
		}
		return ok
	case k < 14: // a transaction that ties a connection for some round trips
		mu.Lock()
		defer mu.Unlock()
		for _, text := range []string{"BEGIN", "UPDATE sums SET n = n + 1", "COMMIT"} {
			if _, ok := ask(text); !ok {
				return false
			}
		}
		*added++
		return true
	case k < 16: // larger than a buffer, and than a socket takes at once
		size := 1 + r.IntN(600<<10)
		got, ok := ask(fmt.Sprintf("SELECT CONCAT(REPEAT('x', %d), '%d')", size, token))
		if ok && (len(got) != size+len(fmt.Sprint(token)) || !strings.HasSuffix(got, fmt.Sprint(token))) {
			t.Errorf("got %d bytes, want %d", len(got), size)
		}
		return ok
	case k < 17: // a state that has to be carried along
		if _, ok := ask(fmt.Sprintf("SET @@SESSION.lock_wait_timeout = %d", 1+token%1000)); !ok {
			return false
		}
		got, ok := ask("SELECT @@SESSION.lock_wait_timeout")
		if ok && got != fmt.Sprint(1+token%1000) {
			t.Errorf("lock_wait_timeout is %s, want %d", got, 1+token%1000)
		}
		return ok
	case k < 18: // leaves while the server works
		c.send(mysql.ComQuery, []byte("SELECT SLEEP(0.02)"))
		return false
	case k < 19: // leaves with bytes of its answer unread
		c.send(mysql.ComQuery, []byte("SELECT REPEAT('y', 2000000)"))
		var b [1]byte
		_, _ = c.nc.Read(b[:])
		return false
	default: // two commands at once
		both := append(framed(mysql.ComQuery, []byte("SELECT 1")), framed(mysql.ComQuery, fmt.Append(nil, "SELECT ", token))...)
		if _, err := c.nc.Write(both); err != nil {
			t.Error(err)
			return false
		}
		for _, want := range []string{"1", fmt.Sprint(token)} {
			rep, err := c.reply(mysql.ComQuery)
			if err != nil || rep.value() != want {
				t.Errorf("got %v, %v, want %s", rep, err, want)
				return false
			}
		}
		return true
	}
}

// TestSlowClientStopsItsServer reads nothing of a large result: the agent takes no more of it than its buffers hold, and
// another client on the same loops is served meanwhile.
func TestSlowClientStopsItsServer(t *testing.T) {
	n := server.Start(t, server.MariaDB{}).Primary
	a := startAgent(t, newFake(t, n.Addr), testSettings(4))
	slow, other := dial(t, a.addr, "test", clientCaps), dial(t, a.addr, "test", clientCaps)
	_ = slow.nc.(*net.TCPConn).SetReadBuffer(64 << 10)
	const rows, size = 64, 1 << 20
	slow.send(mysql.ComQuery, []byte(fmt.Sprintf("SELECT REPEAT('z', %d) FROM seq_1_to_%d", size, rows)))
	for range 200 {
		if got := other.must("SELECT 5").value(); got != "5" {
			t.Fatalf("got %s", got)
		}
	}
	rep, err := slow.reply(mysql.ComQuery)
	if err != nil || len(rep) != 1 || len(rep[0].rows) != rows {
		t.Fatalf("the slow client got %v", err)
	}
	for i, row := range rep[0].rows {
		if len(row) < size {
			t.Errorf("row %d has %d bytes", i, len(row))
		}
	}
}

// TestCutWhileWaiting ends sessions that wait on a loop: for a command, and for their server.
func TestCutWhileWaiting(t *testing.T) {
	n := server.Start(t, server.MariaDB{}).Primary
	f := newFake(t, n.Addr)
	a := startAgent(t, f, testSettings(4))
	idle, busy, killer := dial(t, a.addr, "test", clientCaps), dial(t, a.addr, "test", clientCaps), dial(t, a.addr, "test", clientCaps)
	idle.must("SELECT 1")
	busy.send(mysql.ComQuery, []byte("SELECT SLEEP(30)"))
	for end := time.Now().Add(5 * time.Second); ; { // the statement is executed
		if killer.must("SELECT COUNT(*) FROM information_schema.processlist WHERE info = 'SELECT SLEEP(30)'").value() == "1" {
			break
		}
		if time.Now().After(end) {
			t.Fatal("SELECT SLEEP does not run")
		}
	}
	killer.must(fmt.Sprintf("KILL QUERY %d", busy.id))
	if rep, err := busy.reply(mysql.ComQuery); err != nil || rep.err() == nil && rep.value() != "1" {
		t.Errorf("the killed statement was answered %v, %v", rep, err)
	}
	if got := busy.must("SELECT 3").value(); got != "3" {
		t.Errorf("behind the killed statement: %s", got)
	}
	killer.must(fmt.Sprintf("KILL %d", idle.id))
	if _, _, err := idle.packet(); err == nil {
		t.Error("a client that was killed is still there")
	}
}

// TestConnectionsThatNoLoopWatches mixes connections of all kinds: the session is on a loop and its server's connection is
// not, as with TLS.
func TestConnectionsThatNoLoopWatches(t *testing.T) {
	n := server.Start(t, server.MariaDB{}).Primary
	f := newFake(t, n.Addr)
	var dials atomic.Int64
	f.dialed = func(nc net.Conn) net.Conn {
		if dials.Add(1)%2 == 0 {
			return nc
		}
		return struct{ net.Conn }{nc}
	}
	a := startAgent(t, f, testSettings(4))
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			c := dial(t, a.addr, "test", clientCaps)
			for k := range 40 {
				want := fmt.Sprint(i*1000 + k)
				if got := c.must("SELECT " + want).value(); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			}
			if got := len(c.must("SELECT REPEAT('w', 500000)").value()); got != 500000 {
				t.Errorf("got %d bytes", got)
			}
		})
	}
	clients.Wait()
}
