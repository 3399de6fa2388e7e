package mysql

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// The differential harness plays random sessions of three clients twice: against a server, and through the agent, where
// they share a pool of one connection, against a server with the same data. Everything that a client can see must be the
// same: rows, definitions, affected rows, insert ids, warnings, status flags, errors, and in the end all session variables.
//
// While a client is pinned the others cannot do anything through a pool of one, so only the pinned one goes on.

// step is one command of one client.
type step struct {
	who    int
	cmd    mysql.Command
	text   string
	slot   int // of prepared statements
	types  bool
	flags  byte
	params []any
	redial bool // the client vanishes, and another one comes

	lost bool // the agent said, when it was played, that what it asks for is forgotten
}

func (s step) String() string {
	lost := ""
	if s.lost {
		lost = "   (forgotten)"
	}
	switch {
	case s.redial:
		return fmt.Sprintf("%d: (vanishes)", s.who)
	case s.cmd == mysql.ComQuery:
		return fmt.Sprintf("%d: %s%s", s.who, s.text, lost)
	}
	return fmt.Sprintf("%d: %s %q slot=%d types=%v flags=%d params=%v%s", s.who, s.cmd, s.text, s.slot, s.types, s.flags, s.params, lost)
}

const players = 3

// capsOf are what the players can do: together they see all that there is.
var capsOf = [players]mysql.Caps{
	clientCaps,
	clientCaps &^ mysql.ClientDeprecateEOF,
	clientCaps | mysql.ClientSessionTrack,
}

// table is one of the two places where the game is played.
type table struct {
	t       testing.TB
	addr    string
	clients [players]*client
	stmts   [players]map[int]uint32
	gone    [players]bool // who has chosen the database that clients drop
}

func newTable(t testing.TB, addr string) *table {
	g := &table{t: t, addr: addr}
	for i := range g.clients {
		g.sit(i)
	}
	return g
}

func (g *table) sit(i int) {
	g.clients[i] = dial(g.t, g.addr, "h", capsOf[i])
	g.clients[i].name = "client " + strconv.Itoa(i)
	g.clients[i].must("SELECT 1") // what FOUND_ROWS() is before that is left over from some other connection, even on a server
	g.stmts[i] = map[int]uint32{}
	g.gone[i] = false
}

// play executes a step and says what the client saw; ok is false when it makes no sense.
func (g *table) play(s step) (seen string, ok bool) {
	c := g.clients[s.who]
	body := []byte(s.text)
	if s.redial {
		c.close()
		g.sit(s.who)
		return "", true
	}
	if strings.HasPrefix(s.text, "DROP DATABASE") && g.drops(s.who) {
		return "", false
	}
	id, have := g.stmts[s.who][s.slot]
	switch s.cmd {
	case mysql.ComStmtPrepare:
		if have {
			return "", false
		}
	case mysql.ComStmtExecute, mysql.ComStmtFetch, mysql.ComStmtReset, mysql.ComStmtClose, mysql.ComStmtSendLongData:
		if !have {
			return "", false
		}
		body = le32(id)
		switch s.cmd {
		case mysql.ComStmtExecute:
			body = execution(id, s.flags, s.types, s.params...)
		case mysql.ComStmtFetch:
			body = append(body, 2, 0, 0, 0)
		case mysql.ComStmtSendLongData:
			body = append(append(body, 0, 0), s.text...)
		case mysql.ComStmtClose:
			delete(g.stmts[s.who], s.slot)
		}
	case mysql.ComResetConnection, mysql.ComChangeUser:
		clear(g.stmts[s.who])
	}
	if s.cmd == mysql.ComChangeUser {
		g.gone[s.who] = false
		return c.changeUser(s.text).String(), true
	}
	rep := c.do(s.cmd, body)
	if rep.err() == nil && (s.cmd == mysql.ComInitDB || strings.HasPrefix(s.text, "USE ")) {
		g.gone[s.who] = s.text == "USE gone"
	}
	if s.cmd == mysql.ComStmtPrepare && rep.err() == nil {
		g.stmts[s.who][s.slot] = rep[0].prepared.ID
	}
	return rep.String(), true
}

// drops reports whether a client would drop the database that another one has chosen: that is not the same through the agent.
func (g *table) drops(who int) bool {
	for i := range g.gone {
		if i != who && g.gone[i] {
			return true
		}
	}
	return false
}

func le32(v uint32) []byte { return []byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)} }

// changeUser logs in anew on the same connection, as the same user.
func (c *client) changeUser(db string) reply {
	c.t.Helper()
	body := append([]byte("app\x00\x00"+db+"\x00"), 45, 0)
	c.send(mysql.ComChangeUser, append(body, "mysql_native_password\x00"...))
	p, seq, err := c.packet()
	if err == nil && p[0] == 0xfe {
		salt := p[len(p)-21 : len(p)-1]
		out, _ := mysql.AppendPacket(nil, seq+1, mysql.ScrambleNative(salt, []byte("secret")))
		if _, err = c.nc.Write(out); err == nil {
			p, _, err = c.packet()
		}
	}
	if err != nil {
		c.t.Fatalf("%s: change user: %v", c.name, err)
	}
	var r result
	if p[0] == 0xff {
		err = c.failed(&r, p)
	} else {
		var ok mysql.OK
		ok, err = mysql.ParseOK(p, c.caps)
		r.ok = clone(ok)
	}
	if err != nil {
		c.t.Fatalf("%s: change user: %v", c.name, err)
	}
	return reply{r}
}

// game plays at both tables.
type game struct {
	t              testing.TB
	direct, pooled *server.MariaDBServer
	agent          *agent
	lost           int      // answers that nobody knew any more
	own            []string // variables in which the servers themselves differ: ports, folders
}

func newGame(t testing.TB, pool int) *game {
	g := &game{t: t, direct: server.Start(t, server.MariaDB{}).Primary, pooled: server.Start(t, server.MariaDB{}).Primary}
	for _, n := range []*server.MariaDBServer{g.direct, g.pooled} {
		n.Exec("SET GLOBAL innodb_lock_wait_timeout = 1", "SET GLOBAL lock_wait_timeout = 1", "SET GLOBAL log_bin_trust_function_creators = 1")
	}
	one, two := variablesOf(dial(t, g.direct.Addr, "", clientCaps)), variablesOf(dial(t, g.pooled.Addr, "", clientCaps))
	for name := range one {
		if one[name] != two[name] {
			g.own = append(g.own, name)
		}
	}
	g.agent = startAgent(t, newFake(t, g.pooled.Addr), testSettings(pool))
	return g
}

// setup makes the data of a round.
var setup = []string{
	"DROP DATABASE IF EXISTS h", "DROP DATABASE IF EXISTS `o d``d`", "DROP DATABASE IF EXISTS gone",
	"CREATE DATABASE h", "CREATE DATABASE `o d``d` CHARACTER SET latin1", "USE h",
	"CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(30), n INT) ENGINE=InnoDB",
	"CREATE TABLE u (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(5)) ENGINE=InnoDB AUTO_INCREMENT=1000",
	"CREATE TABLE m (id INT AUTO_INCREMENT PRIMARY KEY, v INT UNIQUE) ENGINE=MyISAM",
	"INSERT INTO t (v, n) VALUES ('one', 1), ('two', 2), ('three', 3)",
	"CREATE SEQUENCE sq",
	"CREATE PROCEDURE pvar() SET @p = IFNULL(@p, 0) + 1",
	"CREATE PROCEDURE ptemp() BEGIN CREATE OR REPLACE TEMPORARY TABLE pt (a INT); INSERT INTO pt VALUES (4), (5); END",
	"CREATE PROCEDURE pmany(OUT x INT) BEGIN SELECT 1 AS a; SELECT id, v FROM t ORDER BY id LIMIT 2; INSERT INTO u (v) VALUES ('p'); SET x = 9; END",
	"CREATE PROCEDURE perr() BEGIN SELECT 1; SET @perr = 1; SELECT * FROM nosuch; END",
	"CREATE PROCEDURE pmode() SET SESSION sql_safe_updates = 1 - @@sql_safe_updates",
	"CREATE FUNCTION fset() RETURNS INT BEGIN SET @f = IFNULL(@f, 0) + 1; SET SESSION max_sort_length = 64 + @f; RETURN @f; END",
	"CREATE FUNCTION flock() RETURNS INT RETURN GET_LOCK('in function', 1)",
}

// play plays the steps and returns what was different, and the steps that were played. next gives the steps; it is told
// which client is pinned, -1 for none.
func (g *game) play(next func(pinned int) (step, bool)) (different string, played []step) {
	for _, n := range []*server.MariaDBServer{g.direct, g.pooled} {
		n.Exec(setup...)
	}
	d, p := newTable(g.t, g.direct.Addr), newTable(g.t, g.agent.addr)
	defer func() {
		for i := range players {
			d.clients[i].close()
			p.clients[i].close()
		}
	}()
	pinned := -1
	for {
		s, more := next(pinned)
		if !more {
			break
		}
		if pinned >= 0 && s.who != pinned {
			continue
		}
		want, ok := d.play(s)
		if !ok {
			continue
		}
		played = append(played, s)
		got, _ := p.play(s)
		if s.cmd != mysql.ComInitDB && s.cmd != mysql.ComChangeUser && !strings.Contains(s.text, "USE") { // told again, after some errors, without a change
			got, want = schema.ReplaceAllString(got, ""), schema.ReplaceAllString(want, "")
		}
		if strings.Contains(got, forgotten) {
			g.lost++
			played[len(played)-1].lost = true
			for _, c := range []*client{d.clients[s.who], p.clients[s.who]} {
				c.query("SELECT 1 FROM (SELECT 1) x") // behind this both know the same again
			}
		} else if number.ReplaceAllString(got, "#") != number.ReplaceAllString(want, "#") {
			return fmt.Sprintf("%s\n   got %s\n  want %s", s, got, want), played
		}
		pinned = -1
		for i, c := range p.clients {
			if (!s.redial || i != s.who) && g.agent.pins(c) != 0 {
				pinned = i
			}
		}
	}
	for i := range players {
		if pinned >= 0 && i != pinned {
			continue
		}
		got, want := variablesOf(p.clients[i]), variablesOf(d.clients[i])
		for _, name := range g.own {
			delete(got, name)
			delete(want, name)
		}
		if diff := differences(got, want); diff != nil {
			return fmt.Sprintf("variables of client %d: %s", i, strings.Join(diff, "; ")), played
		}
	}
	return "", played
}

var schema = regexp.MustCompile(`\|SESSION_STATE_CHANGED| track schema ="[^"]*"`)

// number is in errors about prepared statements: the server's for the statement, which is not the client's. In a list of
// warnings the length of the text stands before it.
var number = regexp.MustCompile(`(\\x[0-9a-f]{2}|\\?.)The statement \(\d+\)|statement \(\d+\)`)

// forgotten is in the error by which the agent says that what a statement left behind is gone.
const forgotten = "does not know any more"

// replay plays given steps, up to the first difference.
func (g *game) replay(steps []step) (different string, played []step) {
	i := 0
	return g.play(func(int) (step, bool) {
		if i == len(steps) {
			return step{}, false
		}
		i++
		return steps[i-1], true
	})
}

// shrink leaves steps out as long as there is a difference.
func (g *game) shrink(steps []step, diff string) ([]step, string) {
	until := time.Now().Add(20 * time.Second)
	for size := len(steps) / 2; size > 0 && time.Now().Before(until); {
		smaller := false
		for at := 0; at+size <= len(steps) && time.Now().Before(until); {
			try := append(append([]step(nil), steps[:at]...), steps[at+size:]...)
			if d, played := g.replay(try); d != "" {
				steps, diff, smaller = played, d, true
			} else {
				at += size
			}
		}
		if !smaller || size > len(steps) {
			size /= 2
		}
	}
	return steps, diff
}

// mostFound is how many games with a difference are shown before a test ends.
const mostFound = 4

// explore plays that many random games, each of another seed.
func (g *game) explore(seed uint64, length, most int) {
	games, steps, found := 0, 0, 0
	for most = gamesOr(g.t, most); games < most && found < mostFound; seed++ {
		r := rand.New(rand.NewPCG(seed, 1))
		n, stuck := 0, 0
		diff, played := g.play(func(pinned int) (step, bool) {
			if n++; n > length {
				return step{}, false
			}
			s := randomStep(r)
			if pinned >= 0 {
				s.who = pinned
				if stuck++; stuck > 10 { // it must let go
					stuck = 0
					switch r.IntN(3) {
					case 0:
						return step{who: pinned, redial: true}, true
					case 1:
						return step{who: pinned, cmd: mysql.ComChangeUser, text: "h"}, true
					}
					return step{who: pinned, cmd: mysql.ComResetConnection}, true
				}
			} else {
				stuck = 0
			}
			return s, true
		})
		games, steps = games+1, steps+len(played)
		if diff != "" {
			small, diff := g.shrink(played, diff)
			var b strings.Builder
			for _, s := range small {
				fmt.Fprintf(&b, "%s\n", s)
			}
			g.t.Errorf("seed %d (SLUICE_DIFF_SEED=%d plays it again):\n%s%s", seed, seed, b.String(), diff)
			found++
		}
	}
	g.t.Logf("%d games, %d steps, %d of them could not be answered", games, steps, g.lost)
}

// firstSeed is where exploring begins: where SLUICE_DIFF_SEED says, or where the test says.
func firstSeed(t testing.TB, usual uint64) uint64 { return fromEnv(t, "SLUICE_DIFF_SEED", usual) }

// gamesOr is how many games are played: as many as SLUICE_DIFF_GAMES says, or as the test says.
func gamesOr(t testing.TB, usual int) int { return int(fromEnv(t, "SLUICE_DIFF_GAMES", uint64(usual))) }

func fromEnv(t testing.TB, name string, usual uint64) uint64 {
	v := os.Getenv(name)
	if v == "" {
		return usual
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

func TestDifferential(t *testing.T) {
	newGame(t, 1).explore(firstSeed(t, 2000), 40, 40)
}
