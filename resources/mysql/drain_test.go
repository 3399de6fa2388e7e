package mysql

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// drain begins to shut the resource down, as the runtime does. The channel says how that ended.
func (a *agent) drain(t testing.TB, within time.Duration) <-chan error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	t.Cleanup(cancel)
	a.drains.Store(true)
	done := make(chan error, 1)
	go func() { done <- a.res.Shutdown(ctx) }()
	for end := time.Now().Add(10 * time.Second); !a.res.draining.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the resource does not begin to shut down")
		}
	}
	return done
}

func ended(t *testing.T, done <-chan error) {
	t.Helper()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("the resource ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the resource does not end")
	}
}

// dismissed checks that the client is told to leave, and then disconnected.
func (c *client) dismissed(cmd mysql.Command, body []byte) {
	c.t.Helper()
	c.send(cmd, body)
	p, seq, err := c.packet()
	if err != nil {
		c.t.Fatalf("%s: %s is answered with %v, want error 1053", c.name, cmd, err)
	}
	e, err := mysql.ParseERR(p, c.caps)
	if err != nil || e.Code != 1053 || string(e.State[:]) != "08S01" || seq != 1 ||
		!strings.HasPrefix(string(e.Message), "sluice: test: the agent is shutting down") {
		c.t.Errorf("%s: %s is answered with packet %d, %q, %v; want error 1053", c.name, cmd, seq, e.Error(), err)
	}
	c.gone()
}

// gone checks that the client is disconnected, without another word.
func (c *client) gone() {
	c.t.Helper()
	if p, _, err := c.packet(); err != io.EOF {
		c.t.Errorf("%s: got %q, %v; want the end", c.name, p, err)
	}
}

// drainWays are the ways in which clients are served: by a loop, and by a goroutine of their own.
var drainWays = map[string]entry{
	"plain": {}, "TLS": {tls: &tls.Config{InsecureSkipVerify: true}}, "compressed": {caps: clientCaps | mysql.ClientCompress},
}

func eachDrainWay(t *testing.T, test func(t *testing.T, a *agent, enter func() *client)) {
	s := server.Start(t, server.MariaDB{TLS: true})
	s.Primary.Exec("CREATE TABLE test.drained (id INT PRIMARY KEY)")
	for _, profile := range []string{profilePooled, profileTunnel} {
		for way, e := range drainWays {
			t.Run(profile+" "+way, func(t *testing.T) {
				s.Primary.Exec("DELETE FROM test.drained")
				f := newFake(t, s.Primary.Addr)
				f.serverTLS = certificate(t, s)
				set := testSettings(4)
				set.Profile = profile
				e.db = "test"
				a := startAgent(t, f, set)
				test(t, a, func() *client {
					c, err := enter(t, a.addr, e)
					if err != nil {
						t.Fatal(err)
					}
					return c
				})
			})
		}
	}
}

// A transaction that is open when the resource ends goes on to its end, and its COMMIT is answered. The command behind it
// is refused.
func TestDrainEndsTransactions(t *testing.T) {
	eachDrainWay(t, func(t *testing.T, a *agent, enter func() *client) {
		c, silent := enter(), enter()
		c.must("SELECT 1", "BEGIN", "INSERT INTO drained VALUES (1)")
		silent.must("SELECT 1")
		done := a.drain(t, 20*time.Second)
		silent.gone()
		c.must("INSERT INTO drained VALUES (2)", "COMMIT")
		c.dismissed(mysql.ComQuery, []byte("INSERT INTO drained VALUES (3)"))
		ended(t, done)
	})
}

// A client that says nothing behind its transaction is disconnected.
func TestDrainEndsSilentClients(t *testing.T) {
	s := server.Start(t, server.MariaDB{}).Primary
	a := startAgent(t, newFake(t, s.Addr), testSettings(2))
	c := dial(t, a.addr, "test", clientCaps)
	c.must("BEGIN", "SELECT 1")
	done := a.drain(t, 20*time.Second)
	c.must("ROLLBACK")
	c.gone()
	ended(t, done)
}

// A transaction that lasts too long is cut, and the resource ends.
func TestDrainEndsInTime(t *testing.T) {
	s := server.Start(t, server.MariaDB{}).Primary
	a := startAgent(t, newFake(t, s.Addr), testSettings(2))
	c := dial(t, a.addr, "test", clientCaps)
	c.must("BEGIN", "SELECT 1")
	if err := <-a.drain(t, 100*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the resource ended with %v", err)
	}
	c.gone()
}

// A command that is there when the agent has decided to close a silent client's connection is answered: each kind that has
// an answer, a command of which only a part is there, one too long to be gathered, and several at once.
func TestDrainAnswersWhatCrossed(t *testing.T) {
	long := func(n int) []byte { return []byte("SELECT '" + strings.Repeat("x", n) + "'") }
	id := []byte{1, 0, 0, 0}
	s := server.Start(t, server.MariaDB{TLS: true})
	for name, x := range map[string]struct {
		cmd    mysql.Command
		body   []byte
		before mysql.Command // without an answer; 0: none
	}{
		"query": {cmd: mysql.ComQuery, body: []byte("SELECT 1")}, "ping": {cmd: mysql.ComPing}, "BEGIN": {cmd: mysql.ComQuery, body: []byte("BEGIN")},
		"prepare": {cmd: mysql.ComStmtPrepare, body: []byte("SELECT ?")}, "database": {cmd: mysql.ComInitDB, body: []byte("test")},
		"reset": {cmd: mysql.ComResetConnection}, "unknown": {cmd: 0x77}, "statistics": {cmd: mysql.ComStatistics},
		"300 kB": {cmd: mysql.ComQuery, body: long(300 << 10)}, "3 MB": {cmd: mysql.ComQuery, body: long(3 << 20)},
		"behind a CLOSE": {cmd: mysql.ComQuery, body: []byte("SELECT 1"), before: mysql.ComStmtClose},
	} {
		for way, e := range drainWays {
			t.Run(name+" "+way, func(t *testing.T) {
				eachCrossing(t, s, e, func(c *client) {
					if x.before != 0 {
						c.send(x.before, id)
					}
					c.dismissed(x.cmd, x.body)
				})
			})
		}
	}
}

// eachCrossing has a silent client send something that its session does not read before it is woken to leave.
func eachCrossing(t *testing.T, s *server.MariaDBServers, e entry, sends func(c *client)) {
	f := newFake(t, s.Primary.Addr)
	f.serverTLS = certificate(t, s)
	looped := e.tls == nil && !e.caps.Has(mysql.ClientCompress)
	held := &reluctant{waits: make(chan struct{}), woken: make(chan struct{})}
	if !looped {
		f.accepted = func(nc net.Conn) net.Conn {
			held.Conn = nc
			return held
		}
	}
	a := startAgent(t, f, testSettings(2))
	c, err := enter(t, a.addr, e)
	if err != nil {
		t.Fatal(err)
	}
	c.must("SELECT 1")
	a.settled(c)
	session := a.sessionOf(c)
	goOn := make(chan struct{})
	if looped {
		blocked := make(chan struct{})
		session.lane.loop.Post(func() {
			close(blocked)
			<-goOn
		})
		<-blocked
	} else {
		held.hold()
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		sends(c)
	}()
	await(t, "the client's command to be there", func() bool {
		if looped {
			return session.client.desc.Load().Stirred()
		}
		return held.readable()
	})
	done := a.drain(t, 20*time.Second)
	if looped {
		await(t, "the session to be woken", func() bool { return session.client.state.Load()&cutRead != 0 })
	}
	close(goOn)
	<-over
	ended(t, done)
}

func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited 10 s for %s", what)
		}
	}
}

// reluctant is a connection that can be told to give nothing away before its reader is woken by a deadline.
type reluctant struct {
	net.Conn
	mu    sync.Mutex
	holds bool
	waits chan struct{} // closed when the reader waits in here
	woken chan struct{}
}

// hold makes the reader that waits for the connection come back, and wait in here.
func (r *reluctant) hold() {
	r.mu.Lock()
	r.holds = true
	r.mu.Unlock()
	_ = r.Conn.SetReadDeadline(past)
	<-r.waits
}

func (r *reluctant) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.mu.Lock()
	holds := r.holds
	r.mu.Unlock()
	if n > 0 || !holds || !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	close(r.waits)
	<-r.woken
	return 0, os.ErrDeadlineExceeded
}

// SetReadDeadline wakes the reader, the first time.
func (r *reluctant) SetReadDeadline(t time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.holds {
		r.holds = false
		close(r.woken)
	}
	return r.Conn.SetReadDeadline(t)
}

// NetConn lets the session see the socket.
func (r *reluctant) NetConn() net.Conn { return r.Conn }

func (r *reluctant) readable() bool {
	raw, err := r.Conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return true
	}
	fds := [1]unix.PollFd{}
	_ = raw.Control(func(fd uintptr) {
		fds[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
		_, _ = unix.Poll(fds[:], 0)
	})
	return fds[0].Revents != 0
}
