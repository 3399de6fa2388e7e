package mysql

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// sleeping sends a statement that takes a minute and waits until the server executes it.
func sleeping(t *testing.T, s *server.MariaDBServer, c *client) {
	t.Helper()
	c.send(mysql.ComQuery, []byte("SELECT SLEEP(60) AS nap"))
	server.Wait(t, 10*time.Second, "the statement to be executed", func() error {
		rows, err := s.Query("SELECT id FROM information_schema.processlist WHERE info LIKE '%AS nap%' AND info NOT LIKE '%processlist%'")
		if err == nil && len(rows) == 0 {
			err = fmt.Errorf("it is not")
		}
		return err
	})
}

// TestKill ends statements and clients by the ids of their greetings, by those of the server, by SQL and by command, in both
// profiles.
func TestKill(t *testing.T) {
	s := server.Start(t, server.MariaDB{}).Primary
	for _, profile := range []string{profilePooled, profileTunnel} {
		set := testSettings(3)
		set.Profile = profile
		set.Users = append(set.Users, User{Name: "other", Password: secret("secret"), Upstream: set.Users[0].Upstream})
		a := startAgent(t, newFake(t, s.Addr), set)
		victim, killer := dial(t, a.addr, "test", clientCaps), dial(t, a.addr, "test", clientCaps)
		other, err := enter(t, a.addr, entry{user: "other"})
		if err != nil {
			t.Fatal(err)
		}
		if victim.id&agentID == 0 || victim.id == killer.id {
			t.Fatalf("clients are greeted with the ids %d and %d", victim.id, killer.id)
		}
		fails := func(c *client, text, want string) {
			t.Helper()
			if e := c.query(text).err(); e == nil || !strings.Contains(e.Error(), want) {
				t.Errorf("%s: %s: %v, want %s", profile, text, e, want)
			}
		}
		interrupted := func(how string) {
			t.Helper()
			r, err := victim.reply(mysql.ComQuery)
			if err != nil {
				t.Fatalf("%s: %s: %v", profile, how, err)
			}
			if e := r.err(); (e == nil || !strings.Contains(e.Error(), "1317")) && r.value() != "1" {
				t.Errorf("%s: %s: the statement ends with %v", profile, how, r)
			}
		}
		fails(killer, fmt.Sprintf("KILL QUERY %d", uint32(agentID|0x7ffffff0)), "ERROR 1094 (HY000): Unknown thread id: 4294967280")
		fails(killer, fmt.Sprintf("KILL QUERY %d", killer.id), "ERROR 1317 (70100)")
		sleeping(t, s, victim)
		fails(other, fmt.Sprintf("KILL %d", victim.id), fmt.Sprintf("ERROR 1095 (HY000): You are not owner of thread %d", victim.id))
		killer.must(fmt.Sprintf("KILL QUERY %d", victim.id))
		interrupted("KILL QUERY")
		victim.must("SELECT 1")

		sleeping(t, s, victim) // by the server's id of the connection that executes it
		rows, err := s.Query("SELECT id FROM information_schema.processlist WHERE info LIKE '%AS nap%' AND info NOT LIKE '%processlist%'")
		if err != nil || len(rows) != 1 {
			t.Fatal(rows, err)
		}
		fails(other, "KILL QUERY "+rows[0]["id"], "ERROR 1095")
		killer.must("KILL QUERY " + rows[0]["id"])
		interrupted("KILL QUERY of the server's id")
		victim.must("SELECT 1")
		if profile == profilePooled { // the connection is nobody's now: who uses it next must not be hit
			fails(killer, "KILL QUERY "+rows[0]["id"], "ERROR 1094")
		}

		sleeping(t, s, victim)
		r := killer.do(mysql.ComProcessKill, binary.LittleEndian.AppendUint32(nil, victim.id))
		if err := r.err(); err != nil {
			t.Errorf("%s: COM_PROCESS_KILL: %v", profile, err)
		}
		interrupted("COM_PROCESS_KILL")
		if _, _, err := victim.packet(); err == nil {
			t.Errorf("%s: a client that was killed goes on", profile)
		}
		fails(killer, fmt.Sprintf("KILL %d", victim.id), "ERROR 1094")

		// A connection that is not the agent's is the server's business.
		direct := dial(t, s.Addr, "test", clientCaps)
		killer.must(fmt.Sprintf("KILL %d", direct.id))
		direct.send(mysql.ComPing, nil)
		if p, _, err := direct.packet(); err == nil && p[0] != 0xff {
			t.Errorf("%s: a client of the server that was killed goes on", profile)
		}
		fails(killer, "KILL 99999999", "ERROR 1094")
		fails(killer, fmt.Sprintf("KILL %d", killer.id), "ERROR 1927 (70100): Connection was killed")
		if _, _, err := killer.packet(); err == nil {
			t.Errorf("%s: a client that killed itself goes on", profile)
		}
	}
}
