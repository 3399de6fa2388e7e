package server

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-mesh/sluice/testenv/load/resp"
)

// TestMain runs the tests, or, in the child process of TestChildrenDieWithTheirOwner, starts a server, says which, and
// waits to be killed.
func TestMain(m *testing.M) {
	if os.Getenv("TESTENV_CHILD") == "" {
		goleak.VerifyTestMain(m)
		return
	}
	err := Run(os.Stderr, "owner", func(tb TB) {
		var n *Process
		if os.Getenv("TESTENV_CHILD") == "mariadb" {
			n = Start(tb, MariaDB{}).Primary.Process
		} else {
			n = Start(tb, Redis{}).Primary.Process
		}
		fmt.Println("child", n.PID(), n.Dir)
		<-n.Done()
	})
	fmt.Fprintln(os.Stderr, err)
}

func TestRedisAlone(t *testing.T) {
	r := Start(t, Redis{Unix: true, Password: "s3cret", Users: []string{"app on >pw ~app:* +@all"}, Args: []string{"--maxmemory", "64mb"}})
	n := r.Primary
	n.Do("SET", "k", "v")
	if v := n.Do("GET", "k"); string(v.Str) != "v" {
		t.Errorf("GET gives %v", v)
	}
	if v := n.Do("CONFIG", "GET", "maxmemory"); string(v.Elem[1].Str) != "67108864" {
		t.Errorf("maxmemory is %v", v)
	}
	nc, err := resp.Dial(t.Context(), "unix:"+n.Socket, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	c := resp.NewConn(nc, time.Second)
	if _, err := c.Do("PING"); err == nil || !strings.HasPrefix(err.Error(), "NOAUTH") {
		t.Errorf("PING without login: %v, want NOAUTH", err)
	}
	if err := c.Login("app", "pw"); err != nil {
		t.Error(err)
	}
	if _, err := c.Do("SET", "other", "1"); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
		t.Errorf("SET of a foreign key: %v, want NOPERM", err)
	}
	if u := n.Usage(); u.RSS < 1<<20 {
		t.Errorf("resident memory is %d bytes", u.RSS)
	}
}

func TestRestartKeepsAddressAndFiles(t *testing.T) {
	n := Start(t, Redis{Args: []string{"--appendonly", "yes", "--appendfsync", "always"}}).Primary
	n.Do("SET", "k", "v")
	n.Kill()
	if _, err := n.Query("GET", "k"); err == nil {
		t.Fatal("a killed server answers")
	}
	if n.State() != "signal: killed" {
		t.Errorf("state after Kill is %q", n.State())
	}
	n.Restart()
	if v := n.Do("GET", "k"); string(v.Str) != "v" {
		t.Errorf("after Kill and Restart GET gives %v", v)
	}
	n.Stop()
	if n.State() != "exit status 0" {
		t.Errorf("state after Stop is %q", n.State())
	}
	n.Restart()
	if v := n.Do("GET", "k"); string(v.Str) != "v" {
		t.Errorf("after Stop and Restart GET gives %v", v)
	}
	if !strings.Contains(n.Output(), "Ready to accept connections") {
		t.Error("the log does not say that the server is ready")
	}
}

func TestPauseAndContinue(t *testing.T) {
	n := Start(t, Redis{}).Primary
	nc, err := resp.Dial(t.Context(), n.Addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	n.Pause()
	c := resp.NewConn(nc, 100*time.Millisecond)
	if _, err := c.Do("PING"); err == nil {
		t.Error("a paused server answers")
	}
	n.Continue()
	if err := nc.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if v, err := c.Reader.Next(); err != nil || string(v.Str) != "PONG" {
		t.Errorf("after Continue: %v, %v", v, err)
	}
	n.Pause()
	n.Stop() // must reach a paused process too
}

func TestRedisTLS(t *testing.T) {
	r := Start(t, Redis{TLS: true, Replicas: 1})
	r.Primary.Do("SET", "k", "v")
	nc, err := resp.Dial(t.Context(), r.Primary.Addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := resp.NewConn(nc, 2*time.Second).Do("PING"); err == nil {
		t.Error("the server speaks without TLS")
	}
}

func TestReplicas(t *testing.T) {
	r := Start(t, Redis{Replicas: 2, Password: "pw"})
	r.Primary.Do("SET", "k", "v")
	for _, n := range r.Replicas {
		Wait(t, 5*time.Second, "the write on "+n.Name, func() error {
			v, err := n.Query("GET", "k")
			if err == nil && string(v.Str) != "v" {
				err = resp.Error("GET gives " + v.String())
			}
			return err
		})
		if _, err := n.Query("SET", "k", "w"); err == nil || !strings.HasPrefix(err.Error(), "READONLY") {
			t.Errorf("SET on a replica: %v, want READONLY", err)
		}
	}
}

func TestSentinelFailover(t *testing.T) {
	r := Start(t, Redis{Replicas: 2, Sentinels: 3, Password: "pw"})
	old := r.Primary
	begin := time.Now()
	old.Kill()
	now := r.AwaitFailover(t, old)
	t.Logf("failover to %s after %v", now.Name, time.Since(begin))
	now.Do("SET", "k", "v")
}

func TestCluster(t *testing.T) {
	r := Start(t, Redis{Shards: 3, Replicas: 1})
	s := r.Shards[0]
	// foo lives in slot 12182, which is of the last of three shards.
	if _, err := s.Primary.Query("SET", "foo", "v"); err == nil || err.Error() != "MOVED 12182 "+r.Shards[2].Primary.Addr {
		t.Errorf("SET on another shard: %v", err)
	}
	r.Shards[2].Primary.Do("SET", "foo", "v")
	r.Shards[2].Primary.Kill()
	Wait(t, 15*time.Second, "the replica to take over", func() error { return r.Shards[2].Replicas[0].hasRole("master") })
	r.Shards[2].Primary.Restart()
	r.AwaitCluster(t)
}

func TestTLSCluster(t *testing.T) {
	r := Start(t, Redis{Shards: 3, TLS: true, Password: "pw"})
	r.Shards[2].Primary.Do("SET", "foo", "v")
}

func TestFailureShowsLogAndKills(t *testing.T) {
	var out bytes.Buffer
	var n *RedisNode
	err := Run(&out, "failing", func(tb TB) {
		n = Start(tb, Redis{}).Primary
		tb.Fatalf("wanted %d", 7)
	})
	if err == nil || err.Error() != "wanted 7" {
		t.Errorf("error is %v", err)
	}
	if !strings.Contains(out.String(), "Ready to accept connections") {
		t.Errorf("the log is not shown: %s", out.String())
	}
	if n.Running() || syscall.Kill(n.PID(), 0) == nil {
		t.Error("the server still runs")
	}
}

func TestBadArgumentFailsWithTheLog(t *testing.T) {
	var out bytes.Buffer
	err := Run(&out, "bad", func(tb TB) { Start(tb, Redis{Args: []string{"--no-such-setting", "1"}}) })
	if err == nil || !strings.Contains(err.Error(), "ended before it served") || !strings.Contains(out.String(), "no-such-setting") {
		t.Errorf("error is %v", err)
	}
}

func TestUnexpectedEndFailsTheTest(t *testing.T) {
	var out bytes.Buffer
	err := Run(&out, "crash", func(tb TB) {
		n := Start(tb, Redis{}).Primary
		n.Signal(syscall.SIGKILL)
		<-n.Done()
	})
	if err == nil || !strings.Contains(err.Error(), "ended during the test: signal: killed") {
		t.Errorf("error is %v", err)
	}
}
