package load

import (
	"net"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/testenv/load/resp"
)

// canned is a connection that answers every request of a batch with the same reply.
type canned struct {
	net.Conn
	reply string
	owed  int
}

func (c *canned) SetDeadline(time.Time) error { return nil }

func (c *canned) Write(p []byte) (int, error) {
	c.owed = 8
	return len(p), nil
}

func (c *canned) Read(p []byte) (int, error) {
	n := 0
	for ; c.owed > 0; c.owed-- {
		n += copy(p[n:], c.reply)
	}
	return n, nil
}

func TestRequestsAllocateNothing(t *testing.T) {
	for name, c := range map[string]struct {
		mix   Mix
		reply string
	}{"GET": {Mix{Get: 1}, "$-1\r\n"}, "SET": {Mix{Set: 1}, "+OK\r\n"}, "DEL": {Mix{Del: 1}, ":0\r\n"}} {
		conf, err := Config{Address: "x", Duration: time.Hour, Pipeline: 8, Mix: c.mix}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		r := &Runner{conf: conf, id: "x", begin: time.Now(), ctx: t.Context()}
		cl := newClient(r, 1)
		cl.conn = &canned{reply: c.reply}
		cl.reader = resp.NewReader(cl.conn)
		now := time.Now()
		if n := testing.AllocsPerRun(100, func() {
			for range 8 {
				cl.add(cl.choose(), now)
			}
			cl.exchange(true)
		}); n != 0 {
			t.Errorf("%s: %v allocations per batch, want 0", name, n)
		}
		if cl.ok != 8*101 || r.violations != nil {
			t.Errorf("%s: %d ok, %q", name, cl.ok, r.violations)
		}
	}
}
