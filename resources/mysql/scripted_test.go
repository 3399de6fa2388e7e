package mysql

import (
	"bufio"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/resources"
)

// scripted is a server that says what a test wants: for what MariaDB does not, MySQL and Galera above all. Any user may log
// in with the password "secret".
type scripted struct {
	t       *testing.T
	addr    string
	version string

	mu      sync.Mutex
	answers map[string]answer // by the beginning of a statement; the longest counts. Others are answered OK
	asked   []string
}

// answer is a table whose first row has the names of columns, or an error, or an OK with a position.
type answer struct {
	rows [][]string
	err  string // "1227 Access denied"
	gtid string
}

// column is a table of one value.
func column(name, value string) answer { return answer{rows: [][]string{{name}, {value}}} }

func startScripted(t *testing.T, version string) *scripted {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &scripted{t: t, addr: ln.Addr().String(), version: version, answers: map[string]answer{}}
	var serving sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	serving.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, nc)
			mu.Unlock()
			serving.Go(func() {
				defer nc.Close()
				if err := s.serve(nc); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
					t.Logf("scripted server: %v", err)
				}
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for _, nc := range open {
			nc.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
	return s
}

// say sets an answer.
func (s *scripted) say(statement string, a answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[statement] = a
}

// saw returns the statements that begin so.
func (s *scripted) saw(prefix string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.asked), func(q string) bool { return !strings.HasPrefix(q, prefix) })
}

func (s *scripted) serve(nc net.Conn) error {
	r := bufio.NewReader(nc)
	packet := func() ([]byte, byte, error) {
		var head [mysql.HeaderLen]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return nil, 0, err
		}
		n, seq := mysql.Header(head[:])
		p := make([]byte, n)
		_, err := io.ReadFull(r, p)
		return p, seq, err
	}
	scramble, err := mysql.NewScramble(rand.Reader)
	if err != nil {
		return err
	}
	l := mysql.NewServerLogin(mysql.ServerConfig{
		Greeting: mysql.Greeting{ServerVersion: s.version, ConnectionID: 1, Caps: clientCaps | mysql.ClientSessionTrack | mysql.ClientConnectWithDB,
			Charset: 45, Status: mysql.StatusAutocommit, Scramble: scramble},
		Lookup: func(string) ([]string, string, bool) { return []string{"secret"}, mysql.PluginNative, true },
		Rand:   rand.Reader,
	})
	if _, err := nc.Write(l.Greet(nil)); err != nil {
		return err
	}
	for {
		p, seq, err := packet()
		if err != nil {
			return err
		}
		out, next, err := l.Step(p, seq)
		if len(out) > 0 {
			if _, err := nc.Write(out); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
		if next == mysql.LoginDone {
			break
		}
	}
	caps := l.Response().Caps
	if _, err := nc.Write(mysql.AppendOK(nil, l.Seq(), 0, &mysql.OK{Status: mysql.StatusAutocommit}, caps)); err != nil {
		return err
	}
	for {
		p, _, err := packet()
		if err != nil || mysql.Command(p[0]) == mysql.ComQuit {
			return err
		}
		if _, err := nc.Write(s.reply(mysql.Command(p[0]), string(p[1:]), caps)); err != nil {
			return err
		}
	}
}

// reply makes the answer to a command.
func (s *scripted) reply(cmd mysql.Command, text string, caps mysql.Caps) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var a answer
	best := -1
	if cmd == mysql.ComQuery {
		s.asked = append(s.asked, text)
		for statement, x := range s.answers {
			if strings.HasPrefix(text, statement) && len(statement) > best {
				a, best = x, len(statement)
			}
		}
	}
	ok := &mysql.OK{Status: mysql.StatusAutocommit}
	switch {
	case a.err != "":
		number, message, _ := strings.Cut(a.err, " ")
		code := uint16(0)
		for _, c := range number {
			code = code*10 + uint16(c-'0')
		}
		return mysql.AppendERR(nil, 1, code, "HY000", message)
	case a.rows == nil:
		if a.gtid != "" {
			ok.Status |= mysql.StatusSessionStateChanged
			ok.Track = mysql.AppendTrack(nil, mysql.TrackGTIDs, nil, []byte(a.gtid))
		}
		return mysql.AppendOK(nil, 1, 0, ok, caps)
	}
	var out []byte
	seq := byte(0)
	packet := func(p []byte) {
		seq++
		out = append(mysql.AppendHeader(out, len(p), seq), p...)
	}
	eof := !caps.Has(mysql.ClientDeprecateEOF)
	packet([]byte{byte(len(a.rows[0]))})
	for _, name := range a.rows[0] {
		p := mysql.AppendLenencString(nil, "def")
		for _, x := range []string{"", "", "", name, name} {
			p = mysql.AppendLenencString(p, x)
		}
		packet(append(p, 0x0c, 45, 0, 0, 1, 0, 0, 0xfd, 0, 0, 0, 0, 0))
	}
	if eof {
		seq++
		out = mysql.AppendEOF(out, seq, mysql.EOF{Status: ok.Status}, caps)
	}
	for _, row := range a.rows[1:] {
		var p []byte
		for _, v := range row {
			if v == "NULL" {
				p = append(p, 0xfb)
				continue
			}
			p = mysql.AppendLenencString(p, v)
		}
		packet(p)
	}
	seq++
	if eof {
		return mysql.AppendEOF(out, seq, mysql.EOF{Status: ok.Status}, caps)
	}
	return mysql.AppendOK(out, seq, 0xfe, ok, caps)
}

// variables makes a server know global variables and no others.
func (s *scripted) variables(values ...string) {
	s.say("SELECT @@global.", answer{err: "1193 Unknown system variable"})
	var names, row []string
	for i := 0; i < len(values); i += 2 {
		s.say("SELECT @@global."+values[i], column("@@global."+values[i], values[i+1]))
		names, row = append(names, "@@global."+values[i]), append(row, values[i+1])
	}
	s.say("SELECT "+strings.Join(names, ","), answer{rows: [][]string{names, row}})
}

// TestProbesOfMySQL: what MySQL 8, older ones and Galera say of themselves, and what becomes of it.
func TestProbesOfMySQL(t *testing.T) {
	replica := func(io, sql, behind string) answer {
		return answer{rows: [][]string{{"Replica_IO_State", "Replica_IO_Running", "Replica_SQL_Running", "Seconds_Behind_Source"}, {"", io, sql, behind}}}
	}
	none := answer{rows: [][]string{{"Replica_IO_State"}}}
	status := func(state, cluster, ready string) answer {
		return answer{rows: [][]string{{"Variable_name", "Value"}, {"wsrep_local_state", state}, {"wsrep_cluster_status", cluster}, {"wsrep_ready", ready}}}
	}
	for name, c := range map[string]struct {
		variables []string
		script    map[string]answer
		want      resources.Health
	}{
		"primary": {[]string{"read_only", "0", "super_read_only", "0", "log_bin", "1"}, map[string]answer{"SHOW REPLICA STATUS": none},
			resources.Health{Ready: true, Role: resources.RolePrimary}},
		"super read only": {[]string{"read_only", "0", "super_read_only", "1"}, map[string]answer{"SHOW REPLICA STATUS": replica("Yes", "Yes", "4")},
			resources.Health{Ready: true, Role: resources.RoleReplica, Lag: 4 * time.Second}},
		"innodb read only": {[]string{"read_only", "0", "innodb_read_only", "ON"}, map[string]answer{"SHOW REPLICA STATUS": none},
			resources.Health{Ready: true, Role: resources.RoleReplica, Detail: "it follows no primary"}},
		"late": {[]string{"read_only", "1"}, map[string]answer{"SHOW REPLICA STATUS": replica("Yes", "Yes", "40")},
			resources.Health{Ready: true, Role: resources.RoleReplica, Lag: 40 * time.Second, Stale: true,
				Detail: "it is 40s behind its primary (settings.max-lag is 10s)"}},
		"stopped": {[]string{"read_only", "1"}, map[string]answer{"SHOW REPLICA STATUS": replica("Yes", "No", "NULL")},
			resources.Health{Ready: true, Role: resources.RoleReplica, Stale: true, Detail: "replication is stopped: it does not apply what it receives"}},
		"cut off": {[]string{"read_only", "1"}, map[string]answer{"SHOW REPLICA STATUS": replica("Connecting", "Yes", "NULL")},
			resources.Health{Ready: true, Role: resources.RoleReplica,
				Detail: "replication is interrupted: it gets nothing from its primary (connecting)"}},
		"before 8.0.22": {[]string{"read_only", "1"}, map[string]answer{"SHOW REPLICA STATUS": {err: "1064 You have an error in your SQL syntax"},
			"SHOW SLAVE STATUS": {rows: [][]string{{"Slave_IO_Running", "Slave_SQL_Running", "Seconds_Behind_Master"}, {"Yes", "Yes", "2"}}}},
			resources.Health{Ready: true, Role: resources.RoleReplica, Lag: 2 * time.Second}},
		"two sources": {[]string{"read_only", "1"}, map[string]answer{"SHOW REPLICA STATUS": {rows: [][]string{
			{"Replica_IO_Running", "Replica_SQL_Running", "Seconds_Behind_Source"}, {"Yes", "Yes", "1"}, {"Yes", "Yes", "6"}, {"Yes", "Yes", "3"}}}},
			resources.Health{Ready: true, Role: resources.RoleReplica, Lag: 6 * time.Second}},
		"takes writes and follows": {[]string{"read_only", "0"}, map[string]answer{"SHOW REPLICA STATUS": replica("Yes", "Yes", "0")},
			resources.Health{Ready: true,
				Detail: "it follows another server and takes writes all the same: set read_only=1, or its role in the configuration"}},
		"denied": {[]string{"read_only", "1"}, map[string]answer{"SHOW REPLICA STATUS": {err: "1227 Access denied"}},
			resources.Health{Ready: true, Role: resources.RoleReplica,
				Detail: "how far it is behind is not known: GRANT REPLICATION CLIENT ON *.* TO app (settings.probe)"}},
		"knows nothing": {nil, map[string]answer{"SELECT 1": column("1", "1")}, resources.Health{Ready: true}},
		"galera": {[]string{"read_only", "0", "wsrep_on", "1"}, map[string]answer{"SHOW GLOBAL STATUS": status("4", "Primary", "ON")},
			resources.Health{Ready: true}},
		"galera donor": {[]string{"read_only", "0", "wsrep_on", "1"}, map[string]answer{"SHOW GLOBAL STATUS": status("2", "Primary", "ON")},
			resources.Health{Ready: true, Role: resources.RoleReplica, Stale: true, Detail: "it is a donor or desynchronised: wsrep_local_state is 2"}},
		"galera joiner": {[]string{"read_only", "0", "wsrep_on", "1"}, map[string]answer{"SHOW GLOBAL STATUS": status("1", "Primary", "ON")},
			resources.Health{Detail: "it is not synchronised: wsrep_local_state is 1"}},
		"galera cut off": {[]string{"read_only", "0", "wsrep_on", "1"}, map[string]answer{"SHOW GLOBAL STATUS": status("4", "non-Primary", "ON")},
			resources.Health{Detail: "it is cut off from the cluster: wsrep_cluster_status is non-Primary"}},
		"galera not ready": {[]string{"read_only", "0", "wsrep_on", "1"}, map[string]answer{"SHOW GLOBAL STATUS": status("0", "Disconnected", "OFF")},
			resources.Health{Detail: "wsrep_ready is OFF"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := startScripted(t, "8.4.2")
			s.variables(c.variables...)
			for statement, a := range c.script {
				s.say(statement, a)
			}
			set := testSettings(2)
			set.MaxLag = resources.Duration(10 * time.Second)
			a := startAgent(t, newFake(t, s.addr), set)
			p := a.res.Probe(a.eps[0])
			defer p.Close()
			h, err := p.Check(t.Context())
			if c.want.Ready {
				c.want.Version = "8.4.2"
			}
			h.Version = c.want.Version
			if err != nil || h != c.want {
				t.Errorf("%+v, %v\nwant %+v", h, err, c.want)
			}
		})
	}
}

// TestCausalReadsOfMySQL: a write's GTID comes with its OK, a replica is asked to wait for it, and asked once.
func TestCausalReadsOfMySQL(t *testing.T) {
	primary, replica := startScripted(t, "8.4.2"), startScripted(t, "8.4.2")
	primary.variables("read_only", "0", "log_bin", "1", "gtid_mode", "ON", "gtid_executed", uuid+":1-6")
	primary.say("INSERT", answer{gtid: uuid + ":7"})
	replica.variables("read_only", "1", "log_bin", "1", "gtid_mode", "ON", "gtid_executed", uuid+":1-6")
	replica.say("SELECT n", column("n", "here"))
	primary.say("SELECT n", column("n", "there"))
	replica.say("SELECT WAIT_FOR_EXECUTED_GTID_SET", column("x", "0"))
	f := newFake(t, primary.addr, replica.addr)
	f.eps[1].SetRole(resources.RoleReplica)
	f.begin = func(c *resources.Call) *resources.Stop {
		if c.Class == resources.ClassRead {
			c.Attempt = 1 // which the fake sends to the second endpoint
		}
		return nil
	}
	set := testSettings(4)
	set.Causal = causalSession
	a := startAgent(t, f, set)
	p := a.res.Probe(f.eps[1])
	if _, err := p.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.Close()
	c := dial(t, a.addr, "", clientCaps)
	read := func(want string) {
		t.Helper()
		if got := c.query("SELECT n").String(); !strings.Contains(got, want) {
			t.Errorf("read %s, want %q", got, want)
		}
	}
	read("here")
	if n := len(primary.saw("SET @@SESSION.session_track_system_variables='*',@@SESSION.session_track_state_change=ON," +
		"@@SESSION.session_track_transaction_info='CHARACTERISTICS',@@SESSION.session_track_gtids=OWN_GTID")); n == 0 {
		t.Error("the server was not asked for GTIDs")
	}
	if n := len(replica.saw("SELECT WAIT")); n != 0 {
		t.Errorf("%d waits before the first write", n)
	}
	c.must("INSERT INTO t VALUES (1)")
	for range 3 {
		read("here")
	}
	if got := replica.saw("SELECT WAIT"); len(got) != 1 || got[0] != "SELECT WAIT_FOR_EXECUTED_GTID_SET('"+uuid+":7',1.000)" {
		t.Errorf("the replica was asked %q", got)
	}
}
