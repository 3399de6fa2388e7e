package redis

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// secureAgent takes TLS from clients and speaks TLS with its server.
func secureAgent(t *testing.T, set *Settings) (*agent, *server.RedisServers) {
	t.Helper()
	s := server.Start(t, server.Redis{TLS: true})
	f := newFake(t, s.Primary.Addr)
	f.tls = s.Certs.Client()
	cert, err := tls.LoadX509KeyPair(s.Certs.ServerCert, s.Certs.ServerKey)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	return startAgentOn(t, f, set, ln), s
}

// TestTLS compares with the server over TLS on all sides.
func TestTLS(t *testing.T) {
	for _, profile := range []string{profileMultiplexed, profileTransparent} {
		t.Run(profile, func(t *testing.T) {
			a, s := secureAgent(t, &Settings{Profile: profile})
			seed := uint64(len(profile))
			g := &grammar{rng: rand.New(rand.NewPCG(seed, 1))}
			direct, behind := dialTLS(t, s.Primary.Addr, s.Certs.Client()), dialTLS(t, a.addr, s.Certs.Client())
			for i := range 20 {
				// One server only: what the one wrote, the other reads.
				direct.want(fmt.Sprintf("SET k%d %d", i, i), ok)
				behind.want(fmt.Sprintf("GET k%d", i), fmt.Sprintf("$%d\r\n%d\r\n", len(fmt.Sprint(i)), i))
			}
			for _, n := range []int{0, 16<<10 - 1, 16 << 10, 64<<10 + 1, 1 << 20, 3 << 20} {
				v := big(n, byte(n))
				cmds := [][]string{{"SET", "big", v}, {"GET", "big"}, {"ECHO", v}, {"STRLEN", "big"}}
				behind.sendLater(encode(cmds), g.rng)
				want := []string{ok, fmt.Sprintf("$%d\r\n%s\r\n", n, v), fmt.Sprintf("$%d\r\n%s\r\n", n, v), fmt.Sprintf(":%d\r\n", n)}
				for j, r := range behind.replies(len(cmds)) {
					if r != want[j] {
						t.Fatalf("%d bytes: %s is answered %s", n, cmds[j][0], show(r))
					}
				}
				behind.join()
			}
			behind.want("WATCH k", ok)
			behind.want("MULTI", ok)
			behind.want("INCR n", "+QUEUED\r\n")
			behind.want("EXEC", "*1\r\n:1\r\n")
			behind.want("SUBSCRIBE ch", "*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n")
			direct.want("PUBLISH ch hello", ":1\r\n")
			if r := behind.reply(); !strings.HasSuffix(r, "hello\r\n") {
				t.Errorf("got %q", r)
			}
			behind.want("QUIT", ok)
			behind.rest()
		})
	}
}

// TestUnixSockets uses sockets of the file system on both sides.
func TestUnixSockets(t *testing.T) {
	s := server.Start(t, server.Redis{Unix: true})
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "a"))
	if err != nil {
		t.Fatal(err)
	}
	a := startAgentOn(t, newFake(t, "unix:"+s.Primary.Socket), nil, ln)
	c := dial(t, a.addr)
	c.want("SET k v", ok)
	c.want("GET k", "$1\r\nv\r\n")
	c.want("BLPOP nolist 0.01", "*-1\r\n")
	v := big(1<<20, 3)
	if r := c.do("SET", "big", v); r != ok {
		t.Fatalf("got %q", r)
	}
	if r := c.do("GET", "big"); r != fmt.Sprintf("$%d\r\n%s\r\n", len(v), v) {
		t.Fatalf("got %s", show(r))
	}
	c.want("QUIT", ok)
	c.rest()
}
