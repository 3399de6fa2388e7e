package mysql

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/resources"
	"github.com/sluice-mesh/sluice/testenv/fault"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// TestLargePackets sends statements and receives rows around the sizes where packets are split, in both profiles, compressed
// and not.
func TestLargePackets(t *testing.T) {
	s := server.Start(t, server.MariaDB{Args: []string{"--max-allowed-packet=64M"}}).Primary
	const classic = clientCaps &^ mysql.ClientDeprecateEOF
	for _, profile := range []string{profilePooled, profileTunnel} {
		set := testSettings(2)
		set.Profile = profile
		a := startAgent(t, newFake(t, s.Addr), set)
		runs := map[mysql.Caps][]int{clientCaps: {1<<24 - 1, 1 << 24, 1<<24 + 1, 40 << 20}, classic | mysql.ClientCompress: {1<<24 + 5}}
		if profile == profileTunnel {
			runs = map[mysql.Caps][]int{classic: {1 << 24}}
		}
		for caps, sizes := range runs {
			c, err := enter(t, a.addr, entry{db: "test", caps: caps})
			if err != nil {
				t.Fatal(err)
			}
			for _, size := range sizes {
				const before, behind = "SELECT LENGTH('", "') AS n"
				value := strings.Repeat("x", size-1-len(before)-len(behind))
				if got, want := c.must(before+value+behind).value(), fmt.Sprint(len(value)); got != want {
					t.Errorf("%s: a statement of %d bytes arrives with %s bytes of text, want %s", profile, size, got, want)
				}
				n := size - 4 // the length in front of a value has 4 bytes, or 9
				if n >= 1<<24 {
					n = size - 9
				}
				row := c.must(fmt.Sprintf("SELECT REPEAT('y', %d)", n))[0].rows[0]
				if len(row) != len(mysql.AppendLenencInt(nil, uint64(n)))+n || !bytes.HasSuffix(row, []byte("yyy")) {
					t.Errorf("%s: a row of %d bytes arrives with %d", profile, size, len(row))
				}
			}
			c.must("SELECT 1")
			c.close()
		}
	}
}

// TestLongDataIsLarge sends a parameter of 20 MiB in one packet.
func TestLongDataIsLarge(t *testing.T) {
	s := server.Start(t, server.MariaDB{Args: []string{"--max-allowed-packet=64M"}}).Primary
	for _, profile := range []string{profilePooled, profileTunnel} {
		set := testSettings(1)
		set.Profile = profile
		a := startAgent(t, newFake(t, s.Addr), set)
		c := dial(t, a.addr, "test", clientCaps)
		const size = 20 << 20
		id := c.prepare("SELECT LENGTH(?), LEFT(?, 3)")
		for i := range 2 {
			body := binary.LittleEndian.AppendUint32(nil, id)
			body = append(body, byte(i), 0)
			c.send(mysql.ComStmtSendLongData, append(body, bytes.Repeat([]byte("abc"), size/3)...))
		}
		r := c.execute(id, true, long{}, long{})
		if err := r.err(); err != nil {
			t.Fatalf("%s: %v", profile, err)
		}
		if row := r[0].rows[0]; !bytes.Contains(row, []byte("abc")) || !bytes.Contains(row, binary.LittleEndian.AppendUint32(nil, size/3*3)) {
			t.Errorf("%s: the server got %x", profile, row)
		}
		// An execution of a megabyte and more that does not say its types again, as it did elsewhere.
		big := strings.Repeat("z", 3<<20)
		id = c.prepare("SELECT LENGTH(?), 1")
		c.execute(id, true, "first")
		if profile == profilePooled {
			c.do(mysql.ComPing, nil)
		}
		r = c.execute(id, false, big)
		if err := r.err(); err != nil || !bytes.Contains(r[0].rows[0], binary.LittleEndian.AppendUint32(nil, 3<<20)) {
			t.Errorf("%s: a large execution without types: %v", profile, r)
		}
	}
}

// TestLargePrepare prepares statements that are longer than is looked at as a whole, and executes them while other clients
// use the pool's only other connection.
func TestLargePrepare(t *testing.T) {
	s := server.Start(t, server.MariaDB{Args: []string{"--max-allowed-packet=64M"}}).Primary
	for _, profile := range []string{profilePooled, profileTunnel} {
		set := testSettings(2)
		set.Profile = profile
		a := startAgent(t, newFake(t, s.Addr), set)
		c, other := dial(t, a.addr, "test", clientCaps), dial(t, a.addr, "test", clientCaps)
		var ids []uint32
		for i := range 3 {
			ids = append(ids, c.prepare(fmt.Sprintf("SELECT LENGTH('%s') + %d + ?", strings.Repeat("x", 3<<20), i)))
		}
		other.must("SET sql_mode = ''", "SELECT 1")
		for i, id := range ids {
			r := c.execute(id, true, 1)
			if err := r.err(); err != nil || !bytes.Contains(r[0].rows[0], binary.LittleEndian.AppendUint32(nil, uint32(3<<20+i+1))) {
				t.Errorf("%s: statement %d: %v", profile, i, r)
			}
		}
		c.must("SELECT 1")
	}
}

// TestServerLostInALargeRead loses the server in the middle of a command that only reads. It might be repeated elsewhere, were
// its beginning still there.
func TestServerLostInALargeRead(t *testing.T) {
	s := server.Start(t, server.MariaDB{Args: []string{"--max-allowed-packet=64M"}}).Primary
	proxy := fault.Start(t, fault.Options{Target: s.Addr})
	a := startAgent(t, newFake(t, proxy.Addr), testSettings(2))
	c := dial(t, a.addr, "test", clientCaps)
	id := c.prepare("SELECT LENGTH(?)")
	c.execute(id, true, "first")
	send, _ := mysql.AppendPacket(nil, 0, append(command(mysql.ComStmtExecute), execution(id, 0, true, strings.Repeat("x", 30<<20))...))
	if _, err := c.nc.Write(send[:20<<20]); err != nil {
		t.Fatal(err)
	}
	if proxy.ResetAll() == 0 {
		t.Fatal("there was nothing to reset")
	}
	_, _ = c.nc.Write(send[20<<20:]) // the agent may have hung up
	if r, err := c.reply(mysql.ComStmtExecute); err == nil && (r.err() == nil || !strings.Contains(r.err().Error(), "1158")) {
		t.Errorf("half a command is answered %v", r)
	}
	c.close()
	dial(t, a.addr, "test", clientCaps).must("SELECT 1")
}

// TestMaxPacket sends more than is allowed, in one frame and in several: it is refused as a server does it, and takes no
// memory.
func TestMaxPacket(t *testing.T) {
	s := server.Start(t, server.MariaDB{}).Primary
	set := testSettings(2)
	set.MaxPacket = resources.Size(20 << 20)
	a := startAgent(t, newFake(t, s.Addr), set)
	huge := append([]byte{byte(mysql.ComQuery)}, "SELECT '"...)
	huge = append(huge, bytes.Repeat([]byte("x"), 60<<20)...)
	send, _ := mysql.AppendPacket(nil, 0, huge)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 3 {
		c := dial(t, a.addr, "test", clientCaps)
		c.must("SELECT 1")
		if _, err := c.nc.Write(send); err != nil {
			t.Fatalf("the agent hung up before the client had heard why: %v", err)
		}
		p, _, err := c.packet()
		if err != nil || !strings.Contains(string(p), "#08S01sluice: test: Got a packet bigger than 'max_allowed_packet' bytes: at most 20MiB") {
			t.Errorf("a command of 60 MiB is answered %.200q, %v", p, err)
		}
		if _, _, err := c.packet(); err != io.EOF {
			t.Errorf("behind it comes %v, want the end", err)
		}
		c.close()
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 24<<20 {
		t.Errorf("refusing three commands of 60 MiB took %d KiB of memory", took>>10)
	}
}

// file answers a request for a file with pieces of it, and returns the name that was asked for.
func (c *client) file(pieces ...string) string {
	c.t.Helper()
	p, seq, err := c.packet()
	if err != nil || p[0] != 0xfb {
		c.t.Fatalf("want to be asked for a file: %.200q, %v", p, err)
	}
	var out []byte
	for _, piece := range append(pieces, "") {
		seq++
		out, seq = mysql.AppendPacket(out, seq, []byte(piece))
		seq--
	}
	if s, ok := c.nc.(*speaker); ok {
		_, err = s.compressed.Write(out)
	} else {
		_, err = c.nc.Write(out)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return string(p[1:])
}

// TestLocalInfile loads files of the client, if that is allowed, and none of the agent's in any case.
func TestLocalInfile(t *testing.T) {
	s := server.Start(t, server.MariaDB{Args: []string{"--local-infile=1"}}).Primary
	s.Exec("CREATE TABLE t (i INT PRIMARY KEY, s VARCHAR(100))")
	const load = "LOAD DATA LOCAL INFILE '/etc/hostname' INTO TABLE t FIELDS TERMINATED BY ','"
	for _, profile := range []string{profilePooled, profileTunnel} {
		set := testSettings(2)
		set.Profile = profile
		never := startAgent(t, newFake(t, s.Addr), set)
		c := dial(t, never.addr, "test", clientCaps|mysql.ClientLocalFiles)
		if c.caps.Has(mysql.ClientLocalFiles) {
			t.Error("files are offered to be taken where that is switched off")
		}
		if e := c.query(load).err(); e == nil || !strings.Contains(e.Error(), "local-infile") {
			t.Errorf("%s: LOAD DATA LOCAL that is switched off: %v", profile, e)
		}
		c.must("SELECT 1")
		set = testSettings(2)
		set.Profile, set.LocalInfile = profile, true
		a := startAgent(t, newFake(t, s.Addr), set)
		for _, caps := range []mysql.Caps{0, mysql.ClientCompress} {
			c, err := enter(t, a.addr, entry{db: "test", caps: clientCaps | mysql.ClientLocalFiles | caps})
			if err != nil {
				t.Fatal(err)
			}
			c.must("TRUNCATE t")
			var rows strings.Builder
			for i := range 50000 {
				fmt.Fprintf(&rows, "%d,row of the client's own file\n", i)
			}
			half := rows.Len() / 2
			c.send(mysql.ComQuery, []byte(load+"; "+load+"; SELECT COUNT(*), MAX(s) FROM t"))
			for i := range 2 {
				if name := c.file(rows.String()[:half], rows.String()[half:]); name != "/etc/hostname" {
					t.Errorf("%s: asked for %q", profile, name)
				}
				r, err := c.result(mysql.ComQuery)
				if err != nil || r.err != nil || r.ok.AffectedRows != uint64(50000*(1-i)) {
					t.Fatalf("%s: the result of file %d: %v %v %d", profile, i, err, r.err, r.ok.AffectedRows)
				}
			}
			r, err := c.reply(mysql.ComQuery)
			if err != nil || r.all() != "50000|row of the client's own file" {
				t.Errorf("%s: %s %v", profile, r.all(), err)
			}
			c.send(mysql.ComQuery, []byte(load))
			c.file() // an empty file
			if r, err := c.reply(mysql.ComQuery); err != nil || r.err() != nil || r[0].ok.AffectedRows != 0 {
				t.Errorf("%s: an empty file: %v %v", profile, r, err)
			}
			c.must("SELECT 1")
			c.close()
		}
	}
}
