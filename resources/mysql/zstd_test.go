package mysql

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/protocols/mysql"
)

// A client of MySQL 8 that compresses with zstd. Servers of MariaDB do not offer it, and so the agent in front of them does
// not either; the server here is scripted.
func TestZstdClient(t *testing.T) {
	srv := startScripted(t, "8.0.36")
	long := strings.Repeat("sluice ", 5000)
	srv.say("SELECT long", column("long", long))
	srv.variables("read_only", "0")
	srv.say("SHOW REPLICA STATUS", answer{rows: [][]string{{"Replica_IO_State"}}})
	a := startAgent(t, newFake(t, srv.addr), testSettings(2))

	nc, err := net.Dial("tcp", a.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	packet := func() ([]byte, byte) {
		head := make([]byte, mysql.HeaderLen)
		if _, err := io.ReadFull(nc, head); err != nil {
			t.Fatal(err)
		}
		n, seq := mysql.Header(head)
		p := make([]byte, n)
		if _, err := io.ReadFull(nc, p); err != nil {
			t.Fatal(err)
		}
		return p, seq
	}
	l := mysql.NewClientLogin(mysql.ClientConfig{
		User: "app", Password: "secret", Caps: mysql.ClientZstd | mysql.ClientDeprecateEOF, ZstdLevel: 3, Rand: rand.Reader,
	})
	for next := mysql.LoginMore; next != mysql.LoginDone; {
		p, seq := packet()
		var out []byte
		if out, next, err = l.Step(p, seq); err != nil {
			t.Fatal(err)
		}
		if _, err := nc.Write(out); err != nil {
			t.Fatal(err)
		}
	}
	if !l.Caps().Has(mysql.ClientZstd) {
		t.Fatalf("zstd is not offered: %s", l.Caps())
	}

	codec := newZstd()
	out, in := mysql.NewDeflater(codec), mysql.NewInflater(codec)
	defer in.Close()
	query := "SELECT long -- " + strings.Repeat("x", 200)
	frame, err := out.Append(nil, appendCommand(nil, mysql.ComQuery, query))
	if err != nil {
		t.Fatal(err)
	}
	srv.say(query, column("long", long))
	if _, err := nc.Write(frame); err != nil {
		t.Fatal(err)
	}
	var plain, raw []byte
	buf := make([]byte, 4096)
	received := 0
	for !bytes.Contains(plain, []byte(long)) {
		n, err := nc.Read(buf)
		if err != nil {
			t.Fatalf("%v behind %d bytes", err, len(plain))
		}
		received += n
		raw = append(raw, buf[:n]...)
		for {
			had := len(plain)
			var used int
			if plain, used, err = in.Feed(plain, raw); err != nil {
				t.Fatal(err)
			}
			raw = raw[used:]
			if used == 0 && len(plain) == had {
				break
			}
		}
	}
	if received > len(long)/4 {
		t.Errorf("%d bytes came for a value of %d: nothing was compressed", received, len(long))
	}
}
