package redis

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// A drain that begins when requests have come that nobody looked at yet, or half of one, answers them before it ends the session. Sessions
// of which nothing has come end when they fall silent.
func TestDrainAnswersWhatHasCome(t *testing.T) {
	s := server.Start(t, server.Redis{}).Primary
	for name, c := range map[string]struct{ before, told, during, after, want string }{
		"nothing":           {},
		"a request":         {during: "GET a\r\n", want: "$-1\r\n"},
		"several":           {during: "SET a 1\r\nGET a\r\nDEL a\r\n", want: "+OK\r\n$1\r\n1\r\n:1\r\n"},
		"half of one":       {before: "*2\r\n$3\r\nGET", after: "\r\n$1\r\na\r\n", want: "$-1\r\n"},
		"an empty line":     {during: "\r\n"},
		"behind a reply":    {before: "GET a\r\n", told: "$-1\r\n", during: "GET a\r\n", want: "$-1\r\n"},
		"a transaction":     {before: "MULTI\r\nGET a\r\n", told: "+OK\r\n+QUEUED\r\n", after: "EXEC\r\n", want: "*1\r\n$-1\r\n"},
		"a last word, QUIT": {during: "QUIT\r\n", want: "+OK\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, s.Addr)
			a := startAgent(t, f, nil)
			client, err := net.Dial("tcp", a.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			_ = client.SetDeadline(time.Now().Add(20 * time.Second))
			write := func(s string) {
				t.Helper()
				if _, err := io.WriteString(client, s); err != nil {
					t.Error(err)
				}
			}
			write("PING\r\n" + c.before)
			told := make([]byte, len("+PONG\r\n"+c.told))
			if _, err := io.ReadFull(client, told); err != nil || string(told) != "+PONG\r\n"+c.told {
				t.Fatalf("%q, %v", told, err)
			}
			if c.before != "" && c.told == "" {
				server.Wait(t, 10*time.Second, "half of a request to come", func() error { return halfCame(a) })
			}
			f.drain.Store(true)
			began := make(chan struct{})
			for _, sh := range a.res.shards {
				sh.loop.Post(func() {
					if sh.sessions != nil {
						write(c.during) // the loop stands still: it is in the system's hands when the drain looks
						sh.drain()
						close(began)
					}
				})
			}
			<-began
			over := make(chan error, 1)
			go func() { over <- a.res.Shutdown(context.Background()) }()
			write(c.after)
			got, err := io.ReadAll(client)
			if err != nil || string(got) != c.want {
				t.Errorf("the client got %q, %v, want %q and the end", got, err, c.want)
			}
			if err := <-over; err != nil {
				t.Error(err)
			}
		})
	}
}

// halfCame says whether a session has begun a request that is not whole.
func halfCame(a *agent) error {
	found := make(chan bool, len(a.res.shards))
	for _, sh := range a.res.shards {
		sh.loop.Post(func() { found <- sh.sessions != nil && sh.sessions.partial > 0 })
	}
	for range a.res.shards {
		if <-found {
			return nil
		}
	}
	return errors.New("no session has one")
}
