package mysql

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// TestTypesFollowTheirStatement executes statements without the types of their parameters, which an earlier execution has
// told, on a connection that has forgotten them.
func TestTypesFollowTheirStatement(t *testing.T) {
	s := server.Start(t, server.MariaDB{}).Primary
	a := startAgent(t, newFake(t, s.Addr), testSettings(1))
	c, err := enter(t, a.addr, entry{db: "test", caps: mariaCaps})
	if err != nil {
		t.Fatal(err)
	}
	other := dial(t, a.addr, "mysql", clientCaps)
	c.must("CREATE TABLE t (i INT, s VARCHAR(10))")
	id := c.prepare("INSERT INTO t VALUES (?, ?)")
	silent := func() []byte { // a bulk without types
		b := bulk(id)[1:]
		binary.LittleEndian.PutUint16(b[4:], 0)
		return append(b[:6:6], b[10:]...)
	}
	run := func(what string, cmd mysql.Command, body []byte, want uint64) {
		t.Helper()
		other.must("SET sort_buffer_size = 123456", "SELECT 1")
		rep := c.do(cmd, body)
		if err := rep.err(); err != nil || rep[0].ok.AffectedRows != want {
			t.Errorf("%s: %s", what, rep)
		}
	}
	run("execute with types", mysql.ComStmtExecute, execution(id, 0, true, 9, "b9"), 1)
	run("bulk without types", mysql.ComStmtBulkExecute, silent(), 3)
	run("execute without types", mysql.ComStmtExecute, execution(id, 0, false, 8, "b8"), 1)
	run("bulk with types", mysql.ComStmtBulkExecute, bulk(id)[1:], 3)
	run("bulk without types, again", mysql.ComStmtBulkExecute, silent(), 3)
	const want = "8|b8\n9|b9\n10|b0\n10|b0\n10|b0\n11|b1\n11|b1\n11|b1\n12|b2\n12|b2\n12|b2"
	if got := c.must("SELECT i, s FROM t ORDER BY i").all(); got != want {
		t.Errorf("the table has\n%s\nwant\n%s", got, want)
	}
}

// TestTypesFollowALargeExecution executes without types what takes several frames, on a connection that has forgotten them: each
// frame is made anew.
func TestTypesFollowALargeExecution(t *testing.T) {
	s := server.Start(t, server.MariaDB{Args: []string{"--max-allowed-packet=64M"}}).Primary
	a := startAgent(t, newFake(t, s.Addr), testSettings(1))
	other := dial(t, a.addr, "mysql", clientCaps)
	fills := func(size int) string { // a first value with which the whole command is so long
		n := size - len("c") - len(execution(0, 0, false, "", "abc")) + 1
		if n -= 4; n >= 1<<24 { // the length in front of it has 4 bytes, or 9
			n -= 5
		}
		text := strings.Repeat("what a frame ends with. ", n/24+1)[:n]
		if is := 1 + len(execution(0, 0, false, text, "abc")); is != size {
			t.Fatalf("%d bytes, want %d", is, size)
		}
		return text
	}
	for caps, sizes := range map[mysql.Caps][]int{
		clientCaps:                        {mysql.MaxPayload, mysql.MaxPayload + 1, 20 << 20, 2*mysql.MaxPayload + 77},
		clientCaps | mysql.ClientCompress: {mysql.MaxPayload + 1}, // which costs a second each
	} {
		enters := func() (*client, uint32) {
			c, err := enter(t, a.addr, entry{db: "test", caps: caps})
			if err != nil {
				t.Fatal(err)
			}
			id := c.prepare("SELECT MD5(?), LEFT(?, 3)")
			c.execute(id, true, "first", "abc")
			return c, id
		}
		c, id := enters()
		for _, size := range sizes {
			text := fills(size)
			other.must("SET sort_buffer_size = 123456", "SELECT 1")
			r := c.execute(id, false, text, "abc")
			if err := r.err(); err != nil || !bytes.Contains(r[0].rows[0], fmt.Appendf(nil, "%x", md5.Sum([]byte(text)))) {
				t.Errorf("an execution of %d bytes: %v", size, r)
			}
		}
		c.must("SELECT 1")
		// What needs a frame more than the client sent would have a reply that the client does not expect.
		text := fills(mysql.MaxPayload - 1)
		other.must("SET sort_buffer_size = 123456", "SELECT 1")
		if err := c.execute(id, false, text, "abc").err(); err == nil || !strings.Contains(err.Error(), "more frames") {
			t.Errorf("an execution that just fits one frame: %v", err)
		}
		c.close()
		c, id = enters()
		if err := c.execute(id, false, text, "abc").err(); err != nil {
			t.Errorf("where the types are known, it is answered %v", err)
		}
		c.close()
	}
}
