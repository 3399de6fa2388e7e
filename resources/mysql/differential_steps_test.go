package mysql

import (
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/sluice-mesh/sluice/protocols/mysql"
)

// randomStep makes a step of a random client.
func randomStep(r *rand.Rand) step {
	s := step{who: r.IntN(players), cmd: mysql.ComQuery}
	switch n := r.IntN(100); {
	case n < 74:
		s.text = randomStatement(r)
	case n < 79:
		s.cmd, s.slot, s.text = mysql.ComStmtPrepare, r.IntN(3), pick(r, preparable)
		s.slot = slotOf(s.text)
	case n < 90:
		text := pick(r, preparable)
		s.cmd, s.slot = mysql.ComStmtExecute, slotOf(text)
		for i := range strings.Count(text, "?") {
			s.params = append(s.params, []any{nil, r.IntN(5), "x" + strconv.Itoa(i)}[r.IntN(3)])
		}
		s.types = true
		if r.IntN(5) == 0 {
			s.flags = 1 // a cursor
		}
	case n < 92:
		s.cmd, s.slot = mysql.ComStmtFetch, slotOf(pick(r, preparable))
	case n < 93:
		s.cmd, s.slot = mysql.ComStmtReset, slotOf(pick(r, preparable))
	case n < 95:
		s.cmd, s.slot = mysql.ComStmtClose, slotOf(pick(r, preparable))
	case n < 96:
		s.cmd = mysql.ComPing
	case n < 98:
		s.cmd, s.text = mysql.ComInitDB, pick(r, []string{"h", "o d`d", "nosuch", "h"})
	case n < 99:
		s.cmd = mysql.ComResetConnection
	default:
		s.redial = true
	}
	return s
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// preparable are the statements that are prepared, each in a slot of its own.
var preparable = []string{
	"SELECT id, v, n FROM h.t WHERE id > ? ORDER BY id",
	"SELECT ? + 2, ? + 1",
	"SELECT ?, CONCAT(?, '\u00e4'), '\u00e4' = 'A\u0308'", // what it says depends on the character set under which it was prepared
	"SELECT @@warning_count",
	"SELECT ROW_COUNT(), ? + 1",
	"SHOW WARNINGS",
	"INSERT INTO h.t (v, n) VALUES (?, ?)",
	"SELECT LAST_INSERT_ID(), ? + 1",
	"SELECT SQL_CALC_FOUND_ROWS id FROM h.t ORDER BY id LIMIT 1",
	"SELECT FOUND_ROWS()",
	"UPDATE h.t SET n = n + 1 WHERE id < ?",
	"SELECT DATABASE(), @@sql_mode, @@time_zone",
	"CALL h.pmany(@o)",
	"SELECT @a, ? + 1",
	"SELECT COUNT(*), \"id\" FROM t WHERE id < ?",
}

func slotOf(text string) int {
	for i, p := range preparable {
		if p == text {
			return i
		}
	}
	panic("not among preparable: " + text)
}

// statements are what clients do, with how often they do it. # stands for a small number.
var statements = []struct {
	weight int
	texts  []string
}{
	{12, []string{"SELECT 1", "SELECT id, v FROM h.t WHERE id = #", "SELECT COUNT(*) FROM h.t", "SELECT DATABASE()", "SELECT 'a\\'b', \"c\"",
		"SELECT v FROM h.t ORDER BY id LIMIT #"}},
	{10, []string{"INSERT INTO h.t (v, n) VALUES ('new', #)", "INSERT INTO h.u (v) VALUES ('a'), ('b')", "INSERT INTO h.t (id, v) VALUES (100#, 'explicit')",
		"UPDATE h.t SET n = # WHERE id = #", "DELETE FROM h.t WHERE id = 10#", "REPLACE INTO h.t (id, v) VALUES (#, 'replaced')",
		"INSERT IGNORE INTO h.u (v) VALUES ('much too long')", "INSERT INTO h.m (v) VALUES (#)", "INSERT IGNORE INTO h.m (v) VALUES (#)",
		"INSERT INTO h.m (v) VALUES (#) ON DUPLICATE KEY UPDATE id = LAST_INSERT_ID(id)", "INSERT INTO h.t (v) VALUES ('r') RETURNING id, v"}},
	{9, []string{"SELECT LAST_INSERT_ID()", "SELECT LAST_INSERT_ID() AS l, 1", "SELECT @@last_insert_id", "SELECT @@identity", "SELECT LAST_INSERT_ID(#)",
		"INSERT INTO h.t (n) VALUES (LAST_INSERT_ID())", "SET last_insert_id = 7#", "UPDATE h.t SET n = LAST_INSERT_ID(n + #) WHERE id = 1", "SELECT * FROM h.u WHERE id = LAST_INSERT_ID()"}},
	{8, []string{"SHOW WARNINGS", "SHOW ERRORS", "SHOW COUNT(*) WARNINGS", "SELECT @@warning_count", "SELECT @@error_count", "SHOW WARNINGS LIMIT 1", "SELECT ROW_COUNT()", "SELECT ROW_COUNT(), LAST_INSERT_ID()", "SELECT 1/0; SELECT 2",
		"SELECT FOUND_ROWS()", "SELECT 1/0", "SELECT CAST('x' AS SIGNED)", "SELECT * FROM nosuch", "SELEC", "SELECT SQL_CALC_FOUND_ROWS id FROM h.t LIMIT 1",
		"DROP TABLE IF EXISTS h.nosuch", "GET DIAGNOSTICS @d = ROW_COUNT"}},
	{7, []string{"BEGIN", "START TRANSACTION READ ONLY", "START TRANSACTION WITH CONSISTENT SNAPSHOT", "COMMIT", "ROLLBACK", "COMMIT", "ROLLBACK", "SAVEPOINT a", "ROLLBACK TO a", "RELEASE SAVEPOINT a",
		"SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "SET TRANSACTION READ ONLY", "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
		"SET SESSION TRANSACTION READ ONLY", "SET SESSION TRANSACTION READ WRITE", "SET autocommit = 0", "SET autocommit = 1", "SET autocommit = ON", "SET @@tx_isolation = 'READ-COMMITTED'",
		"COMMIT AND CHAIN", "SET completion_type = 1", "SET completion_type = 0"}},
	{3, []string{"XA START 'x'", "XA END 'x'", "XA PREPARE 'x'", "XA COMMIT 'x'", "XA ROLLBACK 'x'", "XA COMMIT 'x' ONE PHASE"}},
	{9, []string{"SET sql_mode = ''", "SET sql_mode = 'ANSI_QUOTES'", "SET sql_mode = 'NO_BACKSLASH_ESCAPES'", "SET sql_mode = 'ANSI'", "SET sql_mode = DEFAULT", "SET time_zone = '+0#:00'", "SET NAMES latin1",
		"SET NAMES utf8mb4 COLLATE utf8mb4_bin", "SET NAMES gbk", "SET CHARACTER SET latin1", "SET NAMES DEFAULT", "SET character_set_results = NULL", "SET sql_safe_updates = #", "SET wait_timeout = 20#", "SET SESSION max_sort_length = 10#",
		"SET @@session.div_precision_increment = #, sql_quote_show_create = 0", "SET lc_time_names = 'de_DE'", "SET group_concat_max_len = 1024#", "SET optimizer_switch = 'mrr=on'", "SET sql_mode = 'bad'", "SET nosuch = 1",
		"SET STATEMENT max_sort_length = 77 FOR SELECT @@max_sort_length", "SET STATEMENT sql_mode = 'ANSI_QUOTES' FOR SELECT 1", "SET max_statement_time = 3#", "SET sql_select_limit = #", "SET sql_select_limit = DEFAULT",
		"SET character_set_database = latin2", "SET collation_connection = latin1_bin", "SET timestamp = 1234567#", "SET timestamp = DEFAULT", "SET ROLE NONE", "SET SESSION enforce_storage_engine = NULL", "SET character_set_client = latin1"}},
	{4, []string{"SELECT @@sql_mode, @@time_zone, @@autocommit, @@max_sort_length", "SELECT @@character_set_client, @@collation_connection, @@character_set_database", "SELECT \"id\" FROM h.t LIMIT 1", "SELECT 'a\\\\' '\\''", "SHOW VARIABLES LIKE 'collation%'",
		"SELECT @@sql_safe_updates, @@tx_isolation, @@tx_read_only, @@sql_select_limit"}},
	{3, []string{"USE h", "USE `o d``d`", "USE nosuch", "CREATE DATABASE IF NOT EXISTS gone", "USE gone", "DROP DATABASE IF EXISTS gone", "CREATE TABLE IF NOT EXISTS here (a VARCHAR(3))", "SHOW CREATE TABLE here", "DROP TABLE IF EXISTS here"}},
	{4, []string{"SET @a = #", "SELECT @a := #", "SELECT # INTO @a", "SELECT @a, @b", "SET @b = 'it''s', @a = NULL", "SELECT @p, @o, @f, @perr"}},
	{2, []string{"CREATE TEMPORARY TABLE tt (a INT)", "INSERT INTO tt VALUES (#)", "SELECT * FROM tt", "DROP TEMPORARY TABLE IF EXISTS tt"}},
	{2, []string{"LOCK TABLES h.t READ", "LOCK TABLES h.t WRITE, h.u READ", "UNLOCK TABLES", "FLUSH TABLES WITH READ LOCK", "UNLOCK TABLES"}},
	{2, []string{"SELECT GET_LOCK('l#', 2)", "SELECT RELEASE_LOCK('l#')", "SELECT RELEASE_ALL_LOCKS()", "SELECT IS_FREE_LOCK('l#')", "DO RELEASE_ALL_LOCKS()"}},
	{2, []string{"HANDLER h.t OPEN", "HANDLER t READ FIRST", "HANDLER t READ NEXT", "HANDLER t CLOSE"}},
	{2, []string{"PREPARE p FROM 'SELECT ? + 1'", "EXECUTE p USING @a", "DEALLOCATE PREPARE p", "EXECUTE IMMEDIATE 'SELECT 5'", "EXECUTE IMMEDIATE 'SET max_sort_length = 99'"}},
	{3, []string{"CALL h.pvar()", "CALL h.ptemp()", "SELECT * FROM pt", "CALL h.pmany(@o)", "CALL h.perr()", "CALL h.pmode()", "SELECT h.fset()", "SELECT h.flock()"}},
	{2, []string{"SELECT NEXTVAL(h.sq)", "SELECT LASTVAL(h.sq)", "SELECT NEXT VALUE FOR h.sq", "SELECT PREVIOUS VALUE FOR h.sq", "SELECT SETVAL(h.sq, 5#)"}},
	{4, []string{"SELECT 1; SELECT 2", "SET @m = 1; SELECT @m", "SELECT 1; SET time_zone = '+05:00'", "INSERT INTO h.t (v) VALUES ('multi'); SELECT LAST_INSERT_ID()", "SELECT 1; SELECT * FROM nosuch; SELECT 3",
		"BEGIN; INSERT INTO h.t (v) VALUES ('m')", "BEGIN; SELECT 1; COMMIT", "SELECT 1; SET max_sort_length = 88; SELECT * FROM nosuch", "SET sql_mode = 'ANSI_QUOTES'; SELECT \"id\" FROM h.t LIMIT 1"}},
	{2, []string{"/*!50701 SELECT 1 */", "/*M!100100 SET time_zone = '+04:00' */", "SELECT /*! 2 */", "/* sluice: primary */ SELECT 3", "DO SLEEP(0)", "SHOW TABLES FROM h", "EXPLAIN SELECT 1", "CREATE TABLE h.c# (a INT)", "DROP TABLE h.c#", "TRUNCATE h.u", "ANALYZE TABLE h.t"}},
}

var weights = func() (sum int) {
	for _, s := range statements {
		sum += s.weight
	}
	return sum
}()

func randomStatement(r *rand.Rand) string {
	n := r.IntN(weights)
	for _, s := range statements {
		if n -= s.weight; n < 0 {
			text := pick(r, s.texts)
			for strings.Contains(text, "#") {
				text = strings.Replace(text, "#", strconv.Itoa(1+r.IntN(4)), 1)
			}
			return text
		}
	}
	panic("weights do not add up")
}
