package mysql

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// framed is a command as it goes over the wire.
func framed(cmd mysql.Command, body []byte) []byte {
	out, _ := mysql.AppendPacket(nil, 0, append([]byte{byte(cmd)}, body...))
	return out
}

// TestNoAllocations counts what a statement through the agent allocates, client, agent and all, once it has been executed
// a few times.
func TestNoAllocations(t *testing.T) {
	n := server.Start(t, server.MariaDB{}).Primary
	a := startAgent(t, newFake(t, n.Addr), testSettings(4))
	setup := dial(t, a.addr, "test", clientCaps)
	setup.must("CREATE TABLE points (id INT PRIMARY KEY, v VARCHAR(100))", "INSERT INTO points VALUES (1, REPEAT('v', 100))",
		"CREATE TABLE counts (id INT PRIMARY KEY, n INT)", "INSERT INTO counts VALUES (1, 0)")
	prepare := func(c *client, text string, param bool) []byte {
		rep := c.do(mysql.ComStmtPrepare, []byte(text))
		body := binary.LittleEndian.AppendUint32(nil, rep[0].prepared.ID)
		body = append(body, 0, 1, 0, 0, 0)
		if param { // null bitmap, types follow: an unsigned 32-bit 1
			body = append(body, 0, 1, 3, 0, 1, 0, 0, 0)
		}
		return framed(mysql.ComStmtExecute, body)
	}
	for name, request := range map[string]func(*client) []byte{
		"text": func(*client) []byte {
			return framed(mysql.ComQuery, []byte("SELECT v FROM points WHERE id = 1"))
		},
		"prepared": func(c *client) []byte { return prepare(c, "SELECT v FROM points WHERE id = ?", true) },
		"no row":   func(c *client) []byte { return prepare(c, "SELECT v FROM points WHERE id = 2", false) },
		"a write": func(*client) []byte {
			return framed(mysql.ComQuery, []byte("UPDATE counts SET n = n + 1 WHERE id = 1"))
		},
		"ping": func(*client) []byte { return framed(mysql.ComPing, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, a.addr, "test", clientCaps)
			c.t = t
			out := request(c)
			send := func() {
				if _, err := c.nc.Write(out); err != nil {
					t.Fatal(err)
				}
			}
			send()
			want := make([]byte, 64<<10)
			got, err := c.nc.Read(want) // the answer is small: it comes in one piece
			if err != nil {
				t.Fatal(err)
			}
			want = want[:got]
			buf := make([]byte, len(want))
			once := func() {
				send()
				for read := 0; read < len(buf); {
					k, err := c.nc.Read(buf[read:])
					if err != nil {
						t.Fatal(err)
					}
					read += k
				}
			}
			for range 200 {
				once()
			}
			runs := 2000
			if raceEnabled {
				runs = 100 // the detector allocates; the answers are still looked at
			}
			// A stray allocation of the runtime or of a sweep is no allocation of a statement.
			if n := testing.AllocsPerRun(runs, once); n > 0 && !raceEnabled {
				t.Errorf("%v allocations for each statement", n)
			}
			if !bytes.Equal(buf[:mysql.HeaderLen], want[:mysql.HeaderLen]) {
				t.Errorf("the answer was %q at first and is %q", want, buf)
			}
			c.close()
		})
	}
}

// TestSilentSessions counts what many clients that are logged in and silent cost: no stack, no buffer, no connection.
func TestSilentSessions(t *testing.T) {
	n := server.Start(t, server.MariaDB{}).Primary
	a := startAgent(t, newFake(t, n.Addr), testSettings(4))
	dial(t, a.addr, "test", clientCaps).must("SELECT 1")
	const clients = 500
	use := func() (bytes int64, goroutines int) {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapInuse + m.StackInuse), runtime.NumGoroutine()
	}
	before, gBefore := use()
	all := make([]*client, clients)
	for i := range all {
		all[i] = dial(t, a.addr, "test", clientCaps)
		all[i].must("SELECT 1")
	}
	after, g := use()
	for end := time.Now().Add(10 * time.Second); g > gBefore+freeWorkers; after, g = use() {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines for %d silent clients, %d before", g, clients, gBefore)
		}
	}
	// The clients of this test are in the figure: a socket, a reader of 4 KiB and a record each.
	each := (after - before) / clients
	t.Logf("%d bytes for each client and its session", each)
	if each > 16<<10 && !raceEnabled {
		t.Errorf("a silent client and its session take %d bytes", each)
	}
	for i, c := range all {
		if got := c.must("SELECT 7").value(); got != "7" {
			t.Fatalf("client %d got %q", i, got)
		}
	}
	if open := a.open.Load(); open > 4 {
		t.Errorf("%d connections to the server for %d silent clients", open, clients)
	}
}
