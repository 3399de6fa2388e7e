package mysql

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/resources"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// mariaCaps are those of a client that knows MariaDB's extensions.
const mariaCaps = clientCaps&^mysql.ClientLongPassword | mysql.ClientSessionTrack | mysql.MariaDBBulk | mysql.MariaDBCacheMetadata |
	mysql.MariaDBExtMetadata | mysql.MariaDBProgress

// frames reads what the server sends until it is silent for a moment, behind at least one packet.
func (c *client) frames() []byte {
	c.t.Helper()
	var all bytes.Buffer
	defer func() { _ = c.nc.SetReadDeadline(time.Now().Add(time.Minute)) }()
	_ = c.nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 64<<10)
	for {
		n, err := c.r.Read(buf)
		all.Write(buf[:n])
		if err != nil {
			return all.Bytes()
		}
		_ = c.nc.SetReadDeadline(time.Now().Add(60 * time.Millisecond))
	}
}

// exchange is what a client sends at once.
type exchange struct {
	name    string
	packets [][]byte // payloads, each a command of its own
	silent  bool     // there is no answer
}

func command(cmd mysql.Command, body ...byte) []byte { return append([]byte{byte(cmd)}, body...) }

func text(cmd mysql.Command, body string) []byte { return command(cmd, []byte(body)...) }

// bulk is a COM_STMT_BULK_EXECUTE of three rows of an INT and a text.
func bulk(id uint32) []byte {
	b := binary.LittleEndian.AppendUint32(command(mysql.ComStmtBulkExecute), id)
	b = append(b, mysql.BulkSendTypes, 0, 8, 0, 253, 0)
	for i := range 3 {
		b = binary.LittleEndian.AppendUint64(append(b, 0), uint64(10+i))
		b = append(b, 0, 2, 'b', '0'+byte(i))
	}
	return b
}

// script is a conversation that a driver of MariaDB may have. The server numbers its statements from first on.
func script(first uint32) []exchange {
	second := first + 1
	on := func(cmd mysql.Command, id uint32, body ...byte) []byte {
		return append(binary.LittleEndian.AppendUint32(command(cmd), id), body...)
	}
	one := func(name string, p []byte) exchange { return exchange{name: name, packets: [][]byte{p}} }
	run := func(id uint32, flags byte, types bool, params ...any) []byte {
		return append(command(mysql.ComStmtExecute), execution(id, flags, types, params...)...)
	}
	part := on(mysql.ComStmtSendLongData, first, 1, 0)
	return []exchange{
		one("create", text(mysql.ComQuery, "CREATE TABLE t (i INT PRIMARY KEY, s VARCHAR(20)) ENGINE=Aria")),
		one("prepare", text(mysql.ComStmtPrepare, "INSERT INTO t VALUES (?, ?)")),
		one("execute", run(first, 0, true, 1, "one")),
		one("execute without types", run(first, 0, false, 2, "two")),
		{"long data", [][]byte{append(bytes.Clone(part), "lo"...), append(bytes.Clone(part), "ng"...),
			run(first, 0, true, 3, long{})}, false},
		one("bulk", bulk(first)),
		{"prepare and execute at once", [][]byte{text(mysql.ComStmtPrepare, "SELECT i, s FROM t WHERE i > ?"),
			run(mysql.LastPrepared, 0, true, 0)}, false},
		one("metadata left out", run(second, 0, false, 1)),
		one("cursor", run(second, mysql.CursorReadOnly, false, 0)),
		one("fetch", on(mysql.ComStmtFetch, second, 2, 0, 0, 0)),
		one("reset", on(mysql.ComStmtReset, second)),
		{"close", [][]byte{on(mysql.ComStmtClose, second)}, true},
		one("closed", run(second, 0, false, 0)),
		one("never prepared", command(mysql.ComStmtReset, 99, 0, 0, 0)),
		one("session state", text(mysql.ComQuery, "SET @@session.session_track_system_variables='*', "+
			"@@session.session_track_state_change=1, time_zone='+01:00', @a=1")),
		one("several", text(mysql.ComQuery, "SELECT 1; SELECT @a; UPDATE t SET s='x'; SELECT nothing")),
		one("one only", command(mysql.ComSetOption, 1, 0)),
		one("several refused", text(mysql.ComQuery, "SELECT 1; SELECT 2")),
		one("several again", command(mysql.ComSetOption, 0, 0)),
		one("warnings", text(mysql.ComQuery, "SELECT 1/0, CAST('x' AS INT)")),
		one("shown", text(mysql.ComQuery, "SHOW WARNINGS")),
		one("use", text(mysql.ComInitDB, "mysql")),
		one("use nothing", text(mysql.ComInitDB, "no_such")),
		one("back", text(mysql.ComQuery, "USE test")),
		one("fields", text(mysql.ComFieldList, "t\x00%")),
		one("transaction", text(mysql.ComQuery, "BEGIN")),
		one("ping", command(mysql.ComPing)),
		one("reset connection", command(mysql.ComResetConnection)),
		one("nothing left", text(mysql.ComQuery, "SELECT @a, @@in_transaction, DATABASE()")),
		one("forgotten", run(first, 0, false, 1, "one")),
		one("daemon", command(mysql.ComDaemon)),
		one("unknown", command(0x7f, 1, 2, 3)),
		one("delayed", command(mysql.ComDelayedInsert)),
		one("create database", text(mysql.ComCreateDB, "d1")),
		one("register", append(command(mysql.ComRegisterSlave, 77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0, 0, 0, 0, 0, 0)),
		{"a burst", [][]byte{text(mysql.ComQuery, "SELECT 1"), command(mysql.ComPing), text(mysql.ComQuery, "SELECT s FROM t"),
			text(mysql.ComQuery, "SELEC")}, false},
		one("still there", text(mysql.ComQuery, "SELECT COUNT(*) FROM t")),
	}
}

// play sends the script and returns what comes back to each exchange, byte for byte but for the numbers of statements. On a busy machine the
// end of an answer may come so late that it stands with the next one.
func play(c *client) []string {
	var out []string
	first := uint32(1)
	for i := range script(first) {
		x := script(first)[i]
		var b []byte
		for _, p := range x.packets {
			b, _ = mysql.AppendPacket(b, 0, p)
		}
		if _, err := c.nc.Write(b); err != nil {
			c.t.Fatalf("%s: %v", x.name, err)
		}
		var got []byte
		if !x.silent {
			got = c.frames()
		}
		if x.packets[0][0] == byte(mysql.ComStmtPrepare) && len(got) > 9 {
			if x.name == "prepare" {
				first = binary.LittleEndian.Uint32(got[5:])
			}
			mysql.PutStmtID(got[mysql.HeaderLen:], binary.LittleEndian.Uint32(got[5:])-first)
		}
		out = append(out, string(got))
	}
	return out
}

// varies is what differs from one conversation to the next: positions in the binary log, and numbers of statements.
var varies = regexp.MustCompile(`0-\d+-\d+|handler \(\d+\)`)

// TestTunnelIsTransparent compares each byte of a conversation with MariaDB's extensions with what the server says direct.
func TestTunnelIsTransparent(t *testing.T) {
	s := server.Start(t, server.MariaDB{Binlog: true}).Primary
	s.Exec("SET gtid_seq_no = 100000", "CREATE TABLE numbered (i INT)") // positions are equally long from here on
	set := testSettings(4)
	set.Profile = profileTunnel
	a := startAgent(t, newFake(t, s.Addr), set)
	for _, caps := range []mysql.Caps{mariaCaps, clientCaps &^ mysql.ClientDeprecateEOF} {
		direct, err := enter(t, s.Addr, entry{db: "test", caps: caps})
		if err != nil {
			t.Fatal(err)
		}
		want := play(direct)
		direct.close()
		s.Exec("DROP DATABASE IF EXISTS d1", "DROP TABLE t")
		through, err := enter(t, a.addr, entry{db: "test", caps: caps})
		if err != nil {
			t.Fatal(err)
		}
		if through.caps != direct.caps {
			t.Errorf("the agent agrees on %v, the server on %v", through.caps, direct.caps)
		}
		got := play(through)
		through.close()
		s.Exec("DROP DATABASE IF EXISTS d1", "DROP TABLE t")
		same := func(got, want string) bool {
			return varies.ReplaceAllString(got, "") == varies.ReplaceAllString(want, "")
		}
		if same(strings.Join(got, ""), strings.Join(want, "")) {
			continue
		}
		for i, x := range script(1) {
			if !same(got[i], want[i]) {
				t.Errorf("caps %v, %s:\nagent  %q\nserver %q", caps, x.name, got[i], want[i])
			}
		}
	}
	a.alone(t)
}

// alone waits until no connection to the server is open: nobody uses one after its client.
func (a *agent) alone(t testing.TB) {
	t.Helper()
	server.Wait(t, 10*time.Second, "the connections of clients that left to be closed", func() error {
		if n := a.res.pool(a.eps[0]).connections(); n != 0 {
			return fmt.Errorf("%d are open", n)
		}
		return nil
	})
}

// dumpFrom is a COM_BINLOG_DUMP that begins with the first log.
func dumpFrom(id byte) []byte {
	return append(command(mysql.ComBinlogDump, 4, 0, 0, 0, 0, 0, id, 0, 0, 0), "binlog.000001"...)
}

// TestBinlogDump streams the binary log, in both profiles: it goes on as the server writes, and ends when the client does.
func TestBinlogDump(t *testing.T) {
	s := server.Start(t, server.MariaDB{Binlog: true}).Primary
	s.Exec("GRANT BINLOG MONITOR, REPLICATION SLAVE ON *.* TO app@'%'", "CREATE TABLE t (s VARCHAR(100))")
	for i, profile := range []string{profilePooled, profileTunnel} {
		set := testSettings(2)
		set.Profile = profile
		a := startAgent(t, newFake(t, s.Addr), set)
		c := dial(t, a.addr, "test", clientCaps)
		c.must("SET @master_binlog_checksum='NONE', @mariadb_slave_capability=4")
		id := byte(201 + i)
		r := c.do(mysql.ComRegisterSlave, append([]byte{id, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0))
		if err := r.err(); err != nil {
			t.Fatal(err)
		}
		lost := dial(t, a.addr, "test", clientCaps)
		if err := lost.do(mysql.ComBinlogDump, []byte("no log of this name")).err(); err == nil || !strings.Contains(err.Error(), "1236") {
			t.Fatalf("%s: a log that is not there gives %v", profile, err)
		}
		if _, _, err := lost.packet(); err != io.EOF { // the server hangs up
			t.Errorf("%s: behind a dump that failed: %v, want the end", profile, err)
		}
		out, _ := mysql.AppendPacket(nil, 0, dumpFrom(id))
		if _, err := c.nc.Write(out); err != nil {
			t.Fatal(err)
		}
		mark := "written later, for " + profile
		first := true
		for found := false; !found; {
			p, _, err := c.packet()
			if err != nil || p[0] != 0 {
				t.Fatalf("%s: the dump: %.100q, %v", profile, p, err)
			}
			if first {
				first = false
				s.Exec("INSERT INTO t VALUES ('" + mark + "')")
			}
			found = bytes.Contains(p, []byte(mark))
		}
		if pins := a.session(c).Pins(); pins&(resources.PinUnknown|resources.PinPaired) == 0 {
			t.Errorf("%s: a client that streams has the pins %v", profile, resources.PinNames(pins))
		}
		c.close()
		a.alone(t)
	}
}

// TestUnknownCommand sends a pooled session what only the server understands: it is passed on, and the session keeps its
// connection, which nobody gets after it.
func TestUnknownCommand(t *testing.T) {
	s := server.Start(t, server.MariaDB{}).Primary
	a := startAgent(t, newFake(t, s.Addr), testSettings(2))
	c := dial(t, a.addr, "test", clientCaps)
	c.must("SELECT 1")
	if e := c.do(0x7f, []byte("?")).err(); e == nil || !strings.Contains(e.Error(), "ERROR 1047 (08S01)") {
		t.Fatalf("the server's answer is %v", e)
	}
	id := c.must("SELECT CONNECTION_ID()").value()
	if pins := a.session(c).Pins(); pins != resources.PinUnknown {
		t.Errorf("its pins are %v", resources.PinNames(pins))
	}
	c.must("SET @a = 1")
	c.do(mysql.ComResetConnection, nil)
	if got := c.must("SELECT CONNECTION_ID()").value(); got == id {
		t.Errorf("the connection %s of an unknown command is still used", id)
	}
	if pins := a.session(c).Pins(); pins != 0 {
		t.Errorf("behind a reset its pins are %v", resources.PinNames(pins))
	}
	c.close()
}

// TestPooledPipelines sends MariaDB's bursts to a pool of one connection that another client uses too.
func TestPooledPipelines(t *testing.T) {
	s := server.Start(t, server.MariaDB{}).Primary
	a := startAgent(t, newFake(t, s.Addr), testSettings(1))
	direct, err := enter(t, s.Addr, entry{db: "test", caps: mariaCaps})
	if err != nil {
		t.Fatal(err)
	}
	direct.must("CREATE TABLE t (i INT, s VARCHAR(10))")
	c, err := enter(t, a.addr, entry{db: "test", caps: mariaCaps})
	if err != nil {
		t.Fatal(err)
	}
	if c.caps.Has(mysql.MariaDBCacheMetadata) {
		t.Error("definitions may be left out on connections that are shared")
	}
	other := dial(t, a.addr, "mysql", clientCaps)
	for round := range 3 {
		other.must("SELECT COUNT(*) FROM user", "SET sort_buffer_size = 123456")
		var b []byte
		b, _ = mysql.AppendPacket(b, 0, text(mysql.ComStmtPrepare, "INSERT INTO t VALUES (?, ?)"))
		b, _ = mysql.AppendPacket(b, 0, bulk(mysql.LastPrepared))
		b, _ = mysql.AppendPacket(b, 0, text(mysql.ComQuery, "SELECT COUNT(*) FROM t"))
		if _, err := c.nc.Write(b); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, cmd := range []mysql.Command{mysql.ComStmtPrepare, mysql.ComPing, mysql.ComQuery} {
			r, err := c.reply(cmd)
			if err != nil || r.err() != nil {
				t.Fatalf("%s: %v %v", cmd, r, err)
			}
			if cmd == mysql.ComQuery {
				got = append(got, r.value())
			} else {
				got = append(got, fmt.Sprint(r[0].ok.AffectedRows))
			}
		}
		if want := fmt.Sprintf("[0 3 %d]", 3*(round+1)); fmt.Sprint(got) != want {
			t.Errorf("round %d: %v, want %s", round, got, want)
		}
	}
}

// TestTunnelSevered ends a client between two commands when its server hangs up.
func TestTunnelSevered(t *testing.T) {
	s := server.Start(t, server.MariaDB{}).Primary
	set := testSettings(2)
	set.Profile = profileTunnel
	a := startAgent(t, newFake(t, s.Addr), set)
	c := dial(t, a.addr, "test", clientCaps)
	c.must("SET wait_timeout = 1")
	if _, _, err := c.packet(); err != io.EOF {
		t.Errorf("a client whose server hung up gets %v, want the end", err)
	}
}
