package sql

import (
	"fmt"
	"strings"
	"testing"
)

// scanCase is one statement and what Scan has to say of it.
type scanCase struct {
	text  string
	verb  Verb
	kind  Kind
	flags Flags
}

func runScan(t *testing.T, d Dialect, cases []scanCase) {
	t.Helper()
	for _, c := range cases {
		var st Statement
		Scan([]byte(c.text), d, &st)
		if st.Verb != c.verb || st.Kind != c.kind || st.Flags != c.flags {
			t.Errorf("%q: %v %v %v, want %v %v %v", c.text, st.Verb, st.Kind, flagNames(st.Flags), c.verb, c.kind, flagNames(c.flags))
		}
	}
}

// flagNames lists the bits that are set.
func flagNames(f Flags) string {
	var b strings.Builder
	for i := range 64 {
		if f>>i&1 != 0 {
			fmt.Fprintf(&b, " 1<<%d", i)
		}
	}
	return "[" + b.String() + " ]"
}

const xc = ExecutableComment

var readCases = []scanCase{
	{"SELECT 1", VerbSelect, Read, 0},
	{"select\t1", VerbSelect, Read, 0},
	{"SeLeCt*from t", VerbSelect, Read, 0},
	{"\n\r\f\v SELECT 1 ;", VerbSelect, Read, 0},
	{";SELECT 1;;", VerbSelect, Read, 0},
	{"SELECT 1;-- end", VerbSelect, Read, 0},
	{"(SELECT 1)", VerbSelect, Read, 0},
	{"((SELECT 1)) UNION ALL (SELECT 2)", VerbSelect, Read, 0},
	{"-- c\nSELECT 1", VerbSelect, Read, 0},
	{"# c\nSELECT 1", VerbSelect, Read, 0},
	{"/* c */SELECT/**/1", VerbSelect, Read, 0},
	{"/* /* */SELECT 1", VerbSelect, Read, 0},
	{"/*/ DELETE FROM t */SELECT 1", VerbSelect, Read, 0},
	{"SELECT /*+ MAX_EXECUTION_TIME(10) */ 1", VerbSelect, Read, 0},
	{"SELECT 5--5", VerbSelect, Read, 0},
	{"SELECT 1 --", VerbSelect, Read, 0},
	{"SELECT 1 --\t FOR UPDATE", VerbSelect, Read, 0},
	{"SELECT 1 --\x01 FOR UPDATE", VerbSelect, Read, 0},
	{"SELECT 1 # FOR UPDATE", VerbSelect, Read, 0},
	{"SELECT 'FOR UPDATE'", VerbSelect, Read, 0},
	{"SELECT ' -- ', \"/* \", '# ' FROM t", VerbSelect, Read, 0},
	{"SELECT 'it''s', 'a\\'b', \"a\"\"b\", \"a\\\"b\"", VerbSelect, Read, 0},
	{"SELECT '\\\\'", VerbSelect, Read, 0},
	{"SELECT `a``b; DROP` FROM `for update`", VerbSelect, Read, 0},
	{"SELECT t.for, t.update FROM t", VerbSelect, Read, 0},
	{"SELECT t . into FROM t", VerbSelect, Read, 0},
	{"SELECT count AS status, 1 AS begin FROM t", VerbSelect, Read, 0},
	{"SELECT N'x', n'y', _utf8'z', _latin1 x'41', X'4D', b'01', B'1', 0x1F, 0b11, 1e5, 1.5E-3, .5, 1., 1e+3", VerbSelect, Read, 0},
	{"SELECT 1a, 0x, 0b2, 0X1F, 5_e FROM t", VerbSelect, Read, 0},
	{"SELECT * FROM 1for WHERE x=1e5", VerbSelect, Read, 0},
	{"SELECT ? FROM t WHERE a=? LIMIT ?,?", VerbSelect, Read, 0},
	{"SELECT get_lock FROM t", VerbSelect, Read, 0},
	{"SELECT x.get_lock('a', 1)", VerbSelect, Read, 0},
	{"SELECT a->'$.x', a->>'$.y', a<=>b, a<>b, a!=b, a||b, a&&b, a<<1, a>>1, ~a, a^b, !a FROM t", VerbSelect, Read, 0},
	{"SELECT SUBSTRING(a FROM 2 FOR 3), EXTRACT(YEAR FROM d), TRIM(LEADING 'x' FROM y) FROM t", VerbSelect, Read, 0},
	{"SELECT REPLACE(a, 'b', 'c'), INSERT('a', 1, 2, 'b') FROM t", VerbSelect, Read, 0},
	{"SELECT * FROM t FOR SYSTEM_TIME AS OF NOW()", VerbSelect, Read, 0},
	{"SELECT * FROM t USE INDEX FOR JOIN (i)", VerbSelect, Read, 0},
	{"SELECT next value FROM t", VerbSelect, Read, 0},
	{"SELECT SLEEP(1), BENCHMARK(1, 2)", VerbSelect, Read, 0},
	{"SELECT {d '2020-01-01'}", VerbSelect, Read, 0},
	{"SELECT é, 名前 FROM 表", VerbSelect, Read, 0},
	{"SELECT 'x\x00y'", VerbSelect, Read, 0},
	{"SELECT \\N", VerbSelect, Read, 0},
	{"SELECT password FROM users WHERE password = 'x'", VerbSelect, Read, 0},
	{"WITH a AS (SELECT 1) SELECT * FROM a", VerbSelect, Read, 0},
	{"WITH RECURSIVE a (n) AS (SELECT 1 UNION SELECT n+1 FROM a), b AS (SELECT 2) SELECT * FROM a, b", VerbSelect, Read, 0},
	{"WITH a AS (SELECT 1) (SELECT * FROM a)", VerbSelect, Read, 0},
	{"(WITH a AS (SELECT 1) SELECT * FROM a)", VerbSelect, Read, 0},
	{"VALUES ROW(1,2), ROW(3,4)", VerbValues, Read, 0},
	{"TABLE t ORDER BY a LIMIT 1", VerbTable, Read, 0},
	{"DO 1+1", VerbDo, Read, 0},
	{"DO SLEEP(1)", VerbDo, Read, 0},
	{"SHOW TABLES", VerbShow, Read, 0},
	{"SHOW FULL PROCESSLIST", VerbShow, Read, 0},
	{"SHOW CREATE TABLE t", VerbShow, Read, 0},
	{"show variables like 'a%'", VerbShow, Read, 0},
	{"SHOW WARNINGS", VerbShow, Read, ReadsWarnings},
	{"SHOW ERRORS LIMIT 1", VerbShow, Read, ReadsWarnings},
	{"SHOW COUNT(*) WARNINGS", VerbShow, Read, ReadsWarnings},
	{"SHOW COUNT(*) ERRORS", VerbShow, Read, ReadsWarnings},
	{"EXPLAIN SELECT 1", VerbExplain, Read, 0},
	{"EXPLAIN DELETE FROM t", VerbExplain, Read, 0},
	{"EXPLAIN FORMAT=JSON UPDATE t SET a=1", VerbExplain, Read, 0},
	{"EXPLAIN SELECT 1 FOR UPDATE", VerbExplain, Read, LockingRead},
	{"EXPLAIN FOR CONNECTION 5", VerbExplain, Read, 0},
	{"DESCRIBE t", VerbDescribe, Read, 0},
	{"DESC t a", VerbDescribe, Read, 0},
	{"DESC INSERT INTO t VALUES (1)", VerbDescribe, Read, 0},
	{"EXPLAIN ANALYZE SELECT 1", VerbExplain, Read, 0},
	{"EXPLAIN ANALYZE FORMAT=TREE (SELECT 1)", VerbExplain, Read, 0},
	{"ANALYZE FORMAT=JSON SELECT 1", VerbAnalyze, Read, 0},
	{"CHECKSUM TABLE t", VerbChecksum, Read, 0},
	{"HELP 'x'", VerbHelp, Read, 0},
	{"SELECT @@version_comment LIMIT 1", VerbSelect, Read, 0},
	{"SELECT @@session.autocommit, @@global.x", VerbSelect, Read, 0},
	{"SELECT @a", VerbSelect, Read, UserVar},
	{"SELECT @'a b', @\"c\", @`d`, @a.b$c", VerbSelect, Read, UserVar},
	{"SELECT@a", VerbSelect, Read, UserVar},
	{"SELECT @a = 1", VerbSelect, Read, UserVar},
	{"SELECT @a := 1", VerbSelect, Read, UserVar | AssignsVar},
	{"SELECT @a:=@a+1 FROM t", VerbSelect, Read, UserVar | AssignsVar},
	{"SELECT a INTO @x FROM t", VerbSelect, Read, UserVar | AssignsVar},
	{"SELECT LAST_INSERT_ID()", VerbSelect, Read, ReadsInsertID},
	{"SELECT last_insert_id ( /* c */ )", VerbSelect, Read, ReadsInsertID},
	{"SELECT LAST_INSERT_ID(5)", VerbSelect, Read, SetsInsertID},
	{"SELECT LAST_INSERT_ID(a+1), LAST_INSERT_ID()", VerbSelect, Read, SetsInsertID | ReadsInsertID},
	{"SELECT `last_insert_id`()", VerbSelect, Read, ReadsInsertID},
	{"SELECT @@identity", VerbSelect, Read, ReadsInsertID},
	{"SELECT @@last_insert_id", VerbSelect, Read, ReadsInsertID},
	{"SELECT @@session.last_insert_id", VerbSelect, Read, ReadsInsertID},
	{"SELECT @@SESSION . `last_insert_id`", VerbSelect, Read, ReadsInsertID},
	{"SELECT @@`identity`", VerbSelect, Read, ReadsInsertID},
	{"SELECT last_insert_id FROM t", VerbSelect, Read, 0},
	{"SELECT SQL_CALC_FOUND_ROWS * FROM t LIMIT 1", VerbSelect, Read, CalcFoundRows},
	{"SELECT FOUND_ROWS()", VerbSelect, Read, ReadsFoundRows},
	{"SELECT ROW_COUNT()", VerbSelect, Read, ReadsRowCount},
	{"SELECT @@warning_count, @@error_count", VerbSelect, Read, ReadsWarnings},
	{"SELECT CONNECTION_ID()", VerbSelect, Read, ConnectionID},
	{"SELECT @@pseudo_thread_id", VerbSelect, Read, ConnectionID},
	{"SELECT PASSWORD('x')", VerbSelect, Read, Secret},
	{"SELECT 1; SELECT 2", VerbSelect, Read, Multi},
	{"SELECT 1;;;SHOW TABLES;", VerbSelect, Read, Multi},
	{"SELECT ';'; -- done\n ", VerbSelect, Read, 0},
	{"SELECT /*!40001 SQL_NO_CACHE */ * FROM t", VerbSelect, Read, xc},
	{"SELECT /*! STRAIGHT_JOIN HIGH_PRIORITY */ * FROM t", VerbSelect, Read, xc},
	{"SELECT /*!*/ /*!50000*/ /*M!*/ 1", VerbSelect, Read, xc},
	{"SELECT * FROM t ORDER BY `x` DESC, y LIMIT 1", VerbSelect, Read, 0},
	{"SELECT a FROM t LOCK", VerbSelect, Read, 0},
}

var writeCases = []scanCase{
	{"INSERT INTO t VALUES (1)", VerbInsert, Write, 0},
	{"insert t set a=1 on duplicate key update a=values(a)", VerbInsert, Write, 0},
	{"REPLACE t VALUES (1)", VerbReplace, Write, 0},
	{"UPDATE t SET a=1", VerbUpdate, Write, 0},
	{"DELETE FROM t", VerbDelete, Write, 0},
	{"DELETE a, b FROM a JOIN b", VerbDelete, Write, 0},
	{"INSERT INTO t VALUES (1) RETURNING id", VerbInsert, Write, Returning},
	{"DELETE FROM t RETURNING *", VerbDelete, Write, Returning},
	{"REPLACE INTO t VALUES (1) RETURNING a", VerbReplace, Write, Returning},
	{"INSERT INTO t SELECT JSON_VALUE(x, '$.a' RETURNING UNSIGNED) FROM y", VerbInsert, Write, 0},
	{"INSERT INTO t VALUES (LAST_INSERT_ID())", VerbInsert, Write, ReadsInsertID},
	{"UPDATE s SET id=LAST_INSERT_ID(id+1)", VerbUpdate, Write, SetsInsertID},
	{"WITH a AS (SELECT 1) DELETE FROM t USING t JOIN a", VerbDelete, Write, 0},
	{"WITH a AS (SELECT 1), b AS (SELECT 2) UPDATE t SET x=1", VerbUpdate, Write, 0},
	{"EXPLAIN ANALYZE DELETE FROM t", VerbExplain, Write, 0},
	{"EXPLAIN ANALYZE WITH a AS (SELECT 1) DELETE FROM t", VerbExplain, Write, 0},
	{"EXPLAIN ANALYZE SELECT 1 FOR UPDATE", VerbExplain, Write, LockingRead},
	{"ANALYZE UPDATE t SET a=1", VerbAnalyze, Write, 0},
	{"ANALYZE FORMAT=JSON DELETE FROM t", VerbAnalyze, Write, 0},
	{"ANALYZE TABLE t", VerbAnalyze, Write, 0},
	{"ANALYZE NO_WRITE_TO_BINLOG TABLE t", VerbAnalyze, Write, 0},
	{"OPTIMIZE TABLE t", VerbOptimize, Write, 0},
	{"CHECK TABLE t", VerbCheck, Write, 0},
	{"REPAIR TABLE t", VerbRepair, Write, 0},
	{"SELECT 1 FOR UPDATE", VerbSelect, Write, LockingRead},
	{"SELECT 1 FOR /* c */ SHARE NOWAIT", VerbSelect, Write, LockingRead},
	{"SELECT * FROM (SELECT 1 FOR UPDATE) x", VerbSelect, Write, LockingRead},
	{"SELECT 1 LOCK IN SHARE MODE", VerbSelect, Write, LockingRead},
	{"WITH a AS (SELECT 1) SELECT * FROM a FOR UPDATE", VerbSelect, Write, LockingRead},
	{"(SELECT 1) UNION (SELECT 2 FOR UPDATE)", VerbSelect, Write, LockingRead},
	{"SELECT 1 INTO OUTFILE '/x'", VerbSelect, Write, IntoFile},
	{"SELECT a FROM t INTO DUMPFILE '/x'", VerbSelect, Write, IntoFile},
	{"TABLE t INTO OUTFILE 'x'", VerbTable, Write, IntoFile},
	{"SELECT GET_LOCK('a', 1)", VerbSelect, Write, UserLock},
	{"SELECT `GET_LOCK`('a', 1)", VerbSelect, Write, UserLock},
	{"SELECT get_lock/**/(/**/'a', 1)", VerbSelect, Write, UserLock},
	{"SELECT IS_FREE_LOCK('a'), IS_USED_LOCK('b')", VerbSelect, Write, UserLock},
	{"DO GET_LOCK('a', 1)", VerbDo, Write, UserLock},
	{"DO RELEASE_LOCK('a')", VerbDo, Write, UserLock},
	{"SELECT RELEASE_ALL_LOCKS()", VerbSelect, Write, UserLock | ReleasesLocks},
	{"DO release_all_locks();", VerbDo, Write, UserLock | ReleasesLocks},
	{"SELECT RELEASE_ALL_LOCKS(), 1", VerbSelect, Write, UserLock},
	{"SELECT RELEASE_ALL_LOCKS(); SELECT 1", VerbSelect, Write, UserLock | Multi},
	{"SELECT 1; SELECT RELEASE_ALL_LOCKS()", VerbSelect, Write, UserLock | Multi},
	{"SELECT NEXTVAL(s)", VerbSelect, Write, Sequence},
	{"SELECT NEXT VALUE FOR s", VerbSelect, Write, Sequence},
	{"SELECT PREVIOUS VALUE FOR s", VerbSelect, Write, Sequence},
	{"SELECT SETVAL(s, 5), LASTVAL(s)", VerbSelect, Write, Sequence},
	{"SELECT s.nextval FROM dual", VerbSelect, Write, Sequence},
	{"CALL p()", VerbCall, Write, Call},
	{"CALL p(@a)", VerbCall, Write, Call | UserVar | AssignsVar},
	{"LOAD DATA INFILE 'x' INTO TABLE t", VerbLoad, Write, 0},
	{"LOAD DATA LOCAL INFILE 'x' INTO TABLE t", VerbLoad, Write, LoadLocal},
	{"LOAD DATA CONCURRENT LOCAL INFILE 'x' INTO TABLE t (local)", VerbLoad, Write, LoadLocal},
	{"LOAD XML LOCAL INFILE 'x' INTO TABLE t", VerbLoad, Write, LoadLocal},
	{"LOAD DATA INFILE 'x' INTO TABLE t (@v) SET a=@v", VerbLoad, Write, UserVar | AssignsVar},
	{"CREATE TABLE t (a INT)", VerbCreate, Write, 0},
	{"CREATE TEMPORARY TABLE t (a INT)", VerbCreate, Write, TempTable},
	{"CREATE OR REPLACE TEMPORARY TABLE t SELECT 1", VerbCreate, Write, TempTable},
	{"DROP TEMPORARY TABLE IF EXISTS t", VerbDrop, Write, TempTable},
	{"DROP TABLE t", VerbDrop, Write, 0},
	{"ALTER TABLE t ADD x INT", VerbAlter, Write, 0},
	{"TRUNCATE t", VerbTruncate, Write, 0},
	{"RENAME TABLE a TO b", VerbRename, Write, 0},
	{"CREATE DEFINER=`root`@`localhost` VIEW v AS SELECT 1", VerbCreate, Write, 0},
	{"CREATE DEFINER='root'@'%' VIEW v AS SELECT 1", VerbCreate, Write, 0},
	{"CREATE USER u IDENTIFIED BY 'p'", VerbCreate, Write, Secret},
	{"ALTER USER u IDENTIFIED WITH x AS 'p'", VerbAlter, Write, Secret},
	{"CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (USER 'u', PASSWORD 'p')", VerbCreate, Write, Secret},
	{"LOCK TABLES t WRITE", VerbLock, Write, TableLock},
	{"BINLOG 'x'", VerbBinlog, Write, 0},
	{"EXECUTE s USING @a", VerbExecute, Write, TextPrepare | UserVar},
	{"EXECUTE IMMEDIATE 'SELECT 1'", VerbExecute, Write, TextPrepare},
	{"BEGIN NOT ATOMIC SELECT 1; END", VerbBegin, Write, Compound | Multi},
	{"BEGIN INSERT INTO t VALUES (1); END", VerbBegin, Write, Compound | Multi},
	{"lbl: BEGIN NOT ATOMIC SELECT 1; END", VerbBegin, Write, Compound | Multi},
	{"SET STATEMENT max_statement_time=1 FOR DELETE FROM t", VerbDelete, Write, 0},
	{"SET STATEMENT a=SUBSTRING('x' FROM 1 FOR 2), b=2 FOR INSERT INTO t VALUES (1)", VerbInsert, Write, 0},
	{"SET @a = NEXTVAL(s)", VerbSet, Write, AssignsVar | UserVar | Sequence},
	{"SELECT 1; DELETE FROM t", VerbSelect, Write, Multi},
	{"DELETE FROM t; what is this", VerbDelete, Write, Multi},
	{"SET @a=1; INSERT INTO t VALUES (@a)", VerbSet, Write, Multi | UserVar | AssignsVar},
	{"BEGIN; UPDATE t SET a=1; COMMIT", VerbBegin, Write, Multi},
	{"/*!50000 DELETE FROM t */", VerbDelete, Write, xc},
	{"/*M!100100 INSERT INTO t VALUES (1)*/", VerbInsert, Write, xc},
	{"/*!99999 DELETE FROM t */", VerbDelete, Write, xc},
	{"/*!40101 SET NAMES utf8 */", VerbSet, Write, xc},
	{"SELECT 1 /*!50000 FOR UPDATE */", VerbSelect, Write, xc | LockingRead},
	{"SELECT 1 /*! INTO OUTFILE 'x' */", VerbSelect, Write, xc | IntoFile},
	{"SELECT 1 /*!50000 + 1 */", VerbSelect, Write, xc},
	{"SELECT /*!40001 SQL_CALC_FOUND_ROWS */ 1", VerbSelect, Write, xc | CalcFoundRows},
	{"/*!DELETE*/ FROM t", VerbDelete, Write, xc},
	{"SELECT 1/*! ;DELETE FROM t*/", VerbSelect, Write, xc | Multi},
}

var otherCases = []scanCase{
	{"", VerbOther, Unknown, 0},
	{" ; ", VerbOther, Unknown, 0},
	{"/* c */", VerbOther, Unknown, 0},
	{"FOO bar", VerbOther, Unknown, 0},
	{"selectx 1", VerbOther, Unknown, 0},
	{"`select` 1", VerbOther, Unknown, 0},
	{"1 + 1", VerbOther, Unknown, 0},
	{"1 SELECT 2", VerbOther, Unknown, 0},
	{"- SELECT 2", VerbOther, Unknown, 0},
	{"{call p()}", VerbOther, Unknown, 0},
	{"SET STATEMENT a=1 FOR 1 SELECT 1", VerbSet, Unknown, 0},
	{"SELECT 1; FOO", VerbSelect, Unknown, Multi},
	{"WITH a AS (SELECT 1)", VerbOther, Unknown, 0},
	{"EXPLAIN ANALYZE x", VerbExplain, Unknown, 0},
	{"IF 1 THEN SELECT 1; END IF", VerbOther, Unknown, Compound | Multi},
	{"lbl: SELECT 1", VerbSelect, Unknown, Compound},
	{"SELECT 'a", VerbSelect, Unknown, Broken},
	{"SELECT 'a\\'", VerbSelect, Unknown, Broken},
	{"DELETE FROM t WHERE a='", VerbDelete, Unknown, Broken},
	{"SELECT `a", VerbSelect, Unknown, Broken},
	{"SELECT \"a", VerbSelect, Unknown, Broken},
	{"SELECT 1 /* c", VerbSelect, Unknown, Broken},
	{"SELECT 1 /*! c", VerbSelect, Unknown, Broken | xc},
	{"SELECT 1 \x00; DELETE FROM t", VerbSelect, Unknown, Broken | Multi},
	{"SELECT 1 \\ 2", VerbSelect, Unknown, Broken},
	{"SELECT x'4g'", VerbSelect, Unknown, Broken},
	{"SELECT b'2'", VerbSelect, Unknown, Broken},
	{"SELECT 1.e(2)", VerbSelect, Unknown, Broken},
	{"SELECT a INTO\xa0OUTFILE 'x'", VerbSelect, Unknown, Broken},
	{"SELECT 1 /*! /* c */ */", VerbSelect, Unknown, Broken | xc},
	{"SELECT 1 /*! -- */\n+1 */", VerbSelect, Unknown, Broken | xc},
	{"SELECT 1 /*! '*/' */", VerbSelect, Unknown, Broken | xc},
	{"BEGIN", VerbBegin, Txn, 0},
	{"BEGIN WORK", VerbBegin, Txn, 0},
	{"START TRANSACTION", VerbBegin, Txn, 0},
	{"START TRANSACTION WITH CONSISTENT SNAPSHOT, READ WRITE", VerbBegin, Txn, 0},
	{"START TRANSACTION READ ONLY", VerbBegin, Txn, ReadOnlyTxn},
	{"COMMIT AND CHAIN", VerbCommit, Txn, 0},
	{"ROLLBACK TO SAVEPOINT a", VerbRollback, Txn, 0},
	{"SAVEPOINT a", VerbSavepoint, Txn, 0},
	{"RELEASE SAVEPOINT a", VerbRelease, Txn, 0},
	{"XA START 'x'", VerbXA, Txn, 0},
	{"SET TRANSACTION READ ONLY", VerbSet, Txn, NextTxn},
	{"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", VerbSet, Txn, 0},
	{"SET GLOBAL TRANSACTION READ ONLY", VerbSet, Admin, SetGlobal},
	{"SET NAMES utf8mb4", VerbSet, Session, 0},
	{"SET autocommit=0", VerbSet, Session, SetAutocommit},
	{"SET @@session.autocommit = 1", VerbSet, Session, SetAutocommit},
	{"SET sql_mode='', SESSION AutoCommit := 0", VerbSet, Session, SetAutocommit},
	{"SET a = @@autocommit", VerbSet, Session, 0},
	{"SET @a = 1, @b := 2", VerbSet, Session, UserVar | AssignsVar},
	{"SET a = @b", VerbSet, Session, UserVar},
	{"SET GLOBAL max_connections=5", VerbSet, Admin, SetGlobal},
	{"SET @@global.max_connections=5", VerbSet, Admin, SetGlobal},
	{"SET a=1, PERSIST b=2", VerbSet, Admin, SetGlobal},
	{"SET PERSIST_ONLY b=2", VerbSet, Admin, SetGlobal},
	{"SET a = @@global.b", VerbSet, Session, 0},
	{"SET session_track_gtids=OWN_GTID", VerbSet, Session, SetTracker},
	{"SET @@SESSION.session_track_schema = 0", VerbSet, Session, SetTracker},
	{"SET x = @@session_track_schema", VerbSet, Session, 0},
	{"SET sql_log_bin=0", VerbSet, Session, SetLogBin},
	{"SET SESSION gtid_next='x'", VerbSet, Session, SetLogBin},
	{"SET pseudo_thread_id=5", VerbSet, Session, SetLogBin},
	{"SET insert_id=5", VerbSet, Session, SetsInsertID},
	{"SET @@last_insert_id=5", VerbSet, Session, SetsInsertID},
	{"SET @@session.identity=5", VerbSet, Session, SetsInsertID},
	{"SET a=@@last_insert_id", VerbSet, Session, ReadsInsertID},
	{"SET ROLE r", VerbSet, Session, SetRole},
	{"SET SESSION AUTHORIZATION u", VerbSet, Session, SetRole},
	{"SET DEFAULT ROLE r TO u", VerbSet, Admin, 0},
	{"SET PASSWORD = 'x'", VerbSet, Admin, Secret},
	{"SET PASSWORD FOR u = PASSWORD('x')", VerbSet, Admin, Secret},
	{"SET STATEMENT max_statement_time=1 FOR SELECT 1", VerbSelect, Read, 0},
	{"SET STATEMENT sql_log_bin=0 FOR SELECT 1 FOR UPDATE", VerbSelect, Write, SetLogBin | LockingRead},
	{"USE db", VerbUse, Session, 0},
	{"PREPARE s FROM 'SELECT 1'", VerbPrepare, Session, TextPrepare},
	{"DEALLOCATE PREPARE s", VerbDeallocate, Session, TextPrepare},
	{"DROP PREPARE s", VerbDrop, Session, TextPrepare},
	{"GET DIAGNOSTICS @a = NUMBER", VerbGet, Session, ReadsWarnings | UserVar | AssignsVar},
	{"GET DIAGNOSTICS @a = NUMBER, @b = row_count", VerbGet, Session, ReadsWarnings | ReadsRowCount | UserVar | AssignsVar},
	{"HANDLER t OPEN", VerbHandler, Session, Handler},
	{"UNLOCK TABLES", VerbUnlock, Session, 0},
	{"FLUSH PRIVILEGES", VerbFlush, Admin, 0},
	{"FLUSH TABLES WITH READ LOCK", VerbFlush, Admin, GlobalReadLock},
	{"FLUSH LOCAL TABLES a, b FOR EXPORT", VerbFlush, Admin, GlobalReadLock},
	{"BACKUP STAGE START", VerbBackup, Admin, GlobalReadLock},
	{"GRANT SELECT, UPDATE ON *.* TO u@localhost IDENTIFIED BY 'p'", VerbGrant, Admin, Secret | UserVar},
	{"REVOKE ALL ON *.* FROM 'u'@'%'", VerbRevoke, Admin, 0},
	{"CHANGE MASTER TO MASTER_PASSWORD='x'", VerbChange, Admin, Secret},
	{"CHANGE REPLICATION SOURCE TO SOURCE_PASSWORD='x'", VerbChange, Admin, Secret},
	{"START SLAVE", VerbStart, Admin, 0},
	{"START REPLICA USER='u' PASSWORD='p'", VerbStart, Admin, Secret},
	{"STOP REPLICA", VerbStop, Admin, 0},
	{"RESET MASTER", VerbReset, Admin, 0},
	{"PURGE BINARY LOGS TO 'x'", VerbPurge, Admin, 0},
	{"SHUTDOWN", VerbShutdown, Admin, 0},
	{"INSTALL PLUGIN x SONAME 'y'", VerbInstall, Admin, 0},
	{"KILL 5", VerbKill, Admin, Kill},
	{"KILL QUERY 5", VerbKill, Admin, Kill | KillQuery},
	{"KILL HARD CONNECTION 5;", VerbKill, Admin, Kill},
	{"KILL QUERY ID 5", VerbKill, Admin, Kill | KillQuery | KillOther},
	{"KILL USER u", VerbKill, Admin, Kill | KillOther},
	{"KILL CONNECTION_ID()", VerbKill, Admin, Kill | KillOther | ConnectionID},
	{"KILL 5+1", VerbKill, Admin, Kill | KillOther},
	{"KILL @a", VerbKill, Admin, Kill | KillOther | UserVar},
	{"KILL ?", VerbKill, Admin, Kill | KillOther},
	{"KILL 99999999999999999999", VerbKill, Admin, Kill | KillOther},
	{"KILL 1; KILL 2", VerbKill, Admin, Kill | KillOther | Multi},
}

func TestScan(t *testing.T) {
	runScan(t, 0, readCases)
	runScan(t, 0, writeCases)
	runScan(t, 0, otherCases)
	runScan(t, 0, []scanCase{ // parentheses that do not match
		{") SELECT 2", VerbOther, Unknown, 0},
		{"SELECT 2) FOR UPDATE", VerbSelect, Write, LockingRead},
		{"((SELECT 2 FOR UPDATE", VerbSelect, Write, LockingRead},
	})
}

func TestScanDialects(t *testing.T) {
	runScan(t, AnsiQuotes, []scanCase{
		{`SELECT "GET_LOCK"('a', 1)`, VerbSelect, Write, UserLock},
		{`SELECT "a\" FROM t FOR UPDATE -- "`, VerbSelect, Write, LockingRead},
		{`SELECT "a""b", 'c\' FOR UPDATE'`, VerbSelect, Read, 0},
	})
	runScan(t, 0, []scanCase{
		{`SELECT "GET_LOCK"('a', 1)`, VerbSelect, Read, 0},
		{`SELECT "a\" FROM t FOR UPDATE -- "`, VerbSelect, Read, 0},
	})
	runScan(t, NoBackslashEscapes, []scanCase{
		{`SELECT 'a\' FOR UPDATE -- '`, VerbSelect, Write, LockingRead},
		{`SELECT "\"`, VerbSelect, Read, 0},
	})
	// In gbk 0x95 0x5C is one character, in UTF-8 the backslash stands for itself.
	runScan(t, TrailByte, []scanCase{
		{"SELECT '\x95\\' FOR UPDATE -- '", VerbSelect, Write, LockingRead},
		{"SELECT `\x95` FROM t` FROM x", VerbSelect, Read, 0},
		{"SELECT \x95\\a FROM t", VerbSelect, Read, 0},
		{"SELECT '\\\x95\\' FOR UPDATE -- '", VerbSelect, Write, LockingRead},
	})
	runScan(t, 0, []scanCase{{"SELECT '\x95\\' FOR UPDATE -- '", VerbSelect, Read, 0}})
	// 0xB1 is a character of its own in sjis, and half of one in gbk and big5.
	runScan(t, TrailByte|SJIS, []scanCase{{"SELECT '\xb1\\' FOR UPDATE -- '", VerbSelect, Read, 0}})
	runScan(t, TrailByte|Big5, []scanCase{{"SELECT '\xb1\\' FOR UPDATE -- '", VerbSelect, Write, LockingRead}})
	runScan(t, SingleByte, []scanCase{
		{"SELECT 1 INTO\xa0OUTFILE 'x'", VerbSelect, Write, IntoFile},
		{"SELECT a \xc3\xa0INTO OUTFILE 'x'", VerbSelect, Write, IntoFile},
		{"SELECT 1 --\xa0FOR UPDATE", VerbSelect, Read, 0},
		{"SELECT caf\xe9 FROM t", VerbSelect, Read, 0},
	})
}

func TestKillID(t *testing.T) {
	for text, want := range map[string]uint64{
		"KILL 5": 5, "kill query 18446744073709551615": 1<<64 - 1, "KILL CONNECTION 0": 0, "KILL QUERY ID 5": 0,
		"KILL 1; KILL 2": 0, "SELECT 1; KILL 7": 7, "KILL 1e3": 0, "KILL 18446744073709551616": 0,
	} {
		var st Statement
		if Scan([]byte(text), 0, &st); st.KillID != want {
			t.Errorf("%q: id %d, want %d", text, st.KillID, want)
		}
	}
}

func TestFirst(t *testing.T) {
	for text, want := range map[string]string{
		"SELECT 1": "SELECT 1", "SELECT 1;": "SELECT 1", "SELECT ';' ; DELETE": "SELECT ';' ", "": "", "a;b;c": "a",
	} {
		var st Statement
		if Scan([]byte(text), 0, &st); string(st.First.Of([]byte(text))) != want {
			t.Errorf("%q: %q, want %q", text, st.First.Of([]byte(text)), want)
		}
	}
}

func TestTables(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"SELECT 1", ""},
		{"SELECT * FROM t", "t"},
		{"SELECT * FROM `a b` . `c``d` AS x", "a b.c`d"},
		{"SELECT * FROM db.t x, u AS y JOIN v ON x.a=v.a LEFT JOIN (w, z) USING (id)", "db.t u v w z"},
		{"SELECT * FROM a, a, b", "a b"},
		{"SELECT EXTRACT(YEAR FROM d), TRIM(BOTH 'x' FROM y) FROM t", "t"},
		{"SELECT (SELECT 1 FROM x WHERE f(a, b)), c FROM y WHERE EXISTS (SELECT * FROM z)", "x y z"},
		{"SELECT * FROM t FORCE INDEX (a, b), u", "t u"},
		{"SELECT * FROM a STRAIGHT_JOIN b", "a b"},
		{"SELECT * FROM t WHERE a IN (1, b) ORDER BY c, d LIMIT 1, 2", "t"},
		{"SELECT * FROM t ORDER BY 1 DESC, b", "t"},
		{"SELECT * FROM a FOR UPDATE OF a, b", "a"},
		{"SELECT * FROM JSON_TABLE('[]', '$' COLUMNS (a INT PATH '$')) j, t", "t"},
		{"SELECT 1 FROM DUAL", ""},
		{"SELECT 1 INTO @x FROM t", "t"},
		{"SELECT * FROM status", "status"},
		{"SELECT * FROM t PARTITION (p0, p1) AS q, r", "t r"},
		{"TABLE t", "t"},
		{"WITH c AS (SELECT * FROM t) SELECT * FROM c, d", "t c d"},
		{"(SELECT a FROM t) UNION (SELECT b FROM u) ORDER BY c, d", "t u"},
		{"INSERT INTO t (a, b) VALUES (1, 2)", "t"},
		{"INSERT LOW_PRIORITY IGNORE t VALUES (1)", "t"},
		{"INSERT INTO db.t SELECT * FROM u, v", "db.t u v"},
		{"INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a=1, b=2", "t"},
		{"REPLACE INTO t SET a=1", "t"},
		{"SELECT REPLACE(a, b, c), INSERT(a, 1, 2, d) FROM t", "t"},
		{"UPDATE t, u SET a=1, b=2", "t u"},
		{"UPDATE LOW_PRIORITY IGNORE t SET a=1", "t"},
		{"DELETE FROM t WHERE a=1", "t"},
		{"DELETE FROM a USING a JOIN b USING (id)", "a b"},
		{"CREATE TABLE IF NOT EXISTS t (a INT, b INT)", "t"},
		{"CREATE TABLE t LIKE u", "t u"},
		{"CREATE UNIQUE INDEX i ON t (a, b)", "t"},
		{"ALTER TABLE t ADD a INT, DROP b", "t"},
		{"DROP TABLE IF EXISTS a, b", "a b"},
		{"TRUNCATE t", "t"},
		{"TRUNCATE TABLE t", "t"},
		{"RENAME TABLE a TO b, c TO d", "a b c d"},
		{"LOCK TABLES a READ, b AS c WRITE", "a b"},
		{"LOAD DATA INFILE 'x' INTO TABLE t FIELDS TERMINATED BY ',' (a, b)", "t"},
		{"SHOW TABLES FROM db", ""},
		{"SHOW COLUMNS FROM t FROM db", "t"},
		{"SHOW INDEX IN t", "t"},
		{"SHOW CREATE TABLE t", "t"},
		{"DESCRIBE t", "t"},
		{"EXPLAIN FORMAT=JSON SELECT * FROM t", "t"},
		{"HANDLER t OPEN", "t"},
		{"CREATE VIEW v AS SELECT * FROM t", "v t"},
		{"SELECT * FROM a,b,c,d,e,f,g,h,i,j", "a b c d e f g h"},
		{"DELETE FROM a; UPDATE b SET c=1", "a b"},
	} {
		var st Statement
		text := []byte(c.text)
		Scan(text, 0, &st)
		var got []byte
		for i, s := range st.Tables[:st.NTables] {
			if i > 0 {
				got = append(got, ' ')
			}
			got = TableName(got, s.Of(text))
		}
		if string(got) != c.want {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
}

func TestHint(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"/* sluice: reads=primary */ SELECT 1", "reads=primary"},
		{"/*sluice:a=b*/SELECT 1", "a=b"},
		{"/* x */ -- y\n/*\tsluice: \n a=b\n*/ ((SELECT 1))", "a=b"},
		{"SELECT /* sluice: a=b */ 1", "a=b"},
		{"( /* sluice: a=b */ SELECT 1)", "a=b"},
		{"/* sluice: a */ SELECT /* sluice: b */ 1", "a"},
		{"SELECT /* x */ /* sluice: b */ 1", "b"},
		{"SELECT 1 /* sluice: a=b */", ""},
		{"SELECT c /* sluice: a=b */ FROM t", ""},
		{"SELECT 1; /* sluice: a=b */ SELECT 2", ""},
		{"/* Sluice: a=b */ SELECT 1", ""},
		{"/*! sluice: a=b */ SELECT 1", ""},
		{"-- sluice: a=b\nSELECT 1", ""},
		{"SELECT '/* sluice: a=b */'", ""},
	} {
		var st Statement
		if Scan([]byte(c.text), 0, &st); string(st.Hint.Of([]byte(c.text))) != c.want {
			t.Errorf("%q: %q, want %q", c.text, st.Hint.Of([]byte(c.text)), c.want)
		}
	}
}

func TestHints(t *testing.T) {
	for body, want := range map[string]string{
		"reads=primary, timeout=2s":       "[reads=primary][timeout=2s]",
		"sluice: reads=primary,timeout=2": "[reads=primary][timeout=2]",
		" a b=,, =c d=e=f ":               "[a][b=][=c][d=e=f]",
		"":                                "",
		", ,":                             "",
	} {
		got := ""
		for k, v := range Hints([]byte(body)) {
			got += "[" + string(k)
			if v != nil {
				got += "=" + string(v)
			}
			got += "]"
		}
		if got != want {
			t.Errorf("%q: %s, want %s", body, got, want)
		}
	}
	for k := range Hints([]byte("a b")) {
		if string(k) != "a" {
			t.Errorf("went on to %q", k)
		}
		break
	}
}
