package redis

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/protocols/resp"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// TestNoAllocations counts what a request through the agent allocates, client, agent and all, once buffers have grown.
func TestNoAllocations(t *testing.T) {
	s := server.Start(t, server.Redis{})
	s.Primary.Do("SET", "k", strings.Repeat("v", 100))
	s.Primary.Do("HSET", "h", "f", "v")
	for name, c := range map[string]struct {
		request [][]string
		reply   string
	}{
		"GET":          {[][]string{{"GET", "k"}}, "$100\r\n" + strings.Repeat("v", 100) + "\r\n"},
		"SET":          {[][]string{{"SET", "s", "v"}}, "+OK\r\n"},
		"HGET":         {[][]string{{"HGET", "h", "f"}}, "$1\r\nv\r\n"},
		"a miss":       {[][]string{{"GET", "nosuch"}}, "$-1\r\n"},
		"an error":     {[][]string{{"INCR", "k"}}, "-ERR value is not an integer or out of range\r\n"},
		"EXISTS":       {[][]string{{"EXISTS", "k", "h"}}, ":2\r\n"},
		"an array":     {[][]string{{"MGET", "k", "nosuch"}}, "*2\r\n$100\r\n" + strings.Repeat("v", 100) + "\r\n$-1\r\n"},
		"a pipeline":   {[][]string{{"GET", "h2"}, {"SET", "s", "v"}, {"PING"}}, "$-1\r\n+OK\r\n+PONG\r\n"},
		"transactions": {[][]string{{"MULTI"}, {"SET", "s", "v"}, {"EXEC"}}, "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			a := startAgent(t, newFake(t, s.Primary.Addr), nil)
			a.quiet.Store(true)
			nc, err := net.Dial("tcp", a.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = nc.Close() }()
			var request []byte
			for _, r := range c.request {
				request = resp.AppendCommand(request, r...)
			}
			buf := make([]byte, len(c.reply))
			once := func() {
				if _, err := nc.Write(request); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(nc, buf); err != nil {
					t.Fatal(err)
				}
				if string(buf) != c.reply {
					t.Fatalf("got %q", buf)
				}
			}
			for range 200 {
				once()
			}
			// A stray allocation of the runtime or of a sweep is no allocation of a request.
			runs := 2000
			if raceEnabled {
				runs = 100 // the detector allocates; the answers are still looked at
			}
			if n := testing.AllocsPerRun(runs, once); n > 0 && !raceEnabled {
				t.Errorf("%v allocations for each request", n)
			}
		})
	}
}
