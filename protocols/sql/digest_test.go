package sql

import (
	"strings"
	"testing"
)

func TestAppendDigest(t *testing.T) {
	for _, c := range []struct {
		d          Dialect
		text, want string
	}{
		{0, "", ""},
		{0, " ; /* c */ ;", ""},
		{0, "SELECT c FROM sbtest1 WHERE id=50042", "select c from sbtest1 where id = ?"},
		{0, "SELECT  *,T.*\nFROM `T` , Db.T ;", "select *, t.* from `t`, db.t"},
		{0, "select -1, a - 1, a -1, (-1), - - 1, -a, a = -.5, a and +1", "select ?, a - ?, a - ?, (?), ?, - a, a = ?, a and ?"},
		{0, "select N'a', _utf8'b', _utf8 x'4D', -_utf8'1', _foo 'x', x'41', 0x41, null, true", "select ?, ?, ?, ?, _foo ?, ?, ?, null, true"},
		{0, "select a in(1), b IN (1,2 , 'c'), c in (1, a, a, 2, 3)", "select a in (?), b in (?), c in (?, a, a, ?)"},
		{0, "select a in (null, 1, true, default, -5)", "select a in (?)"},
		{0, "select (a,b) in ((1,2),(3,NULL))", "select (a, b) in ((?))"},
		{0, "select a in (select b, 1, 1 from t where c in (1,2))", "select a in (select b, ?, ? from t where c in (?))"},
		{0, "select f(1, 2), g(), a limit 1, 2", "select f(?, ?), g(), a limit ?, ?"},
		{0, "insert into t (a,b) values (1,2),(3,4)", "insert into t(a, b) values (?)"},
		{0, "insert t value (1,now(),2,3),(4,NOW(),5,6),(7,8,9,10)", "insert t value (?, now(), ?), (?)"},
		{0, "insert t values (1, (select x from y)), (2, 3)", "insert t values (?, (select x from y)), (?)"},
		{0, "insert t values (1) on duplicate key update a = values(a), b = values(b)", "insert t values (?) on duplicate key update a = values (a), b = values (b)"},
		{0, "values row(1,2), row(3,4) order by 1", "values row (?) order by ?"},
		{0, "SELECT @A, @'a', @\"a b\", @@Session . Sql_Mode, @@`x`, @", "select @a, @a, @`a b`, @@session.sql_mode, @@x, @``"},
		{0, "select `A``b`, `c d`.`e`", "select `a``b`, `c d`.`e`"},
		{0, "select \"a\"", "select ?"},
		{AnsiQuotes, "select \"a\", \"b`c\", \"d\"\"e\"", "select `a`, `b``c`, `d\"e`"},
		{0, "select /*!40001 SQL_NO_CACHE */ 1 /*M!100100 + 1*/ /*!x*/", "select /*!40001 sql_no_cache */ ? /*M!100100 + ? */ /*! x */"},
		{0, "select /*+ MAX_EXECUTION_TIME(1) */ 1 -- c", "select ?"},
		{0, "BEGIN;;UPDATE t SET a=1; COMMIT;", "begin; update t set a = ?; commit"},
		{0, "select a<=b, a< =b, 5--5, a->>'$.x', !a", "select a <= b, a < = b, ? - ?, a ->> ?, ! a"},
		{0, "select 'unterminated", "select ?"},
		{0, "select 1 \x01 2", "select ? \\ ?"},
		{0, "select É, é", "select É, é"},
		{TrailByte, "select \x95A, \x95a, AB", "select \x95A, \x95a, ab"},
	} {
		if got := digest(c.text, c.d); got != c.want {
			t.Errorf("%q:\n%s, want\n%s", c.text, got, c.want)
		}
	}
}

// TestDigestGolden: rules and statistics name digests, so that they may not change from one version to the next.
func TestDigestGolden(t *testing.T) {
	for text, want := range map[string]uint64{
		"SELECT 1":                             0xe8af1223fcd11fee,
		"SELECT c FROM sbtest1 WHERE id=50042": 0x5b8b73aaf0f8aa19,
		"insert into `orders_archive` (a) values (1, now()), (2, now())": 0xe246182bbef75136,
		"SELECT @a, @@global.max_connections, x'41' FROM a.b":            0x4340922c0c9c4d21,
	} {
		if got := scan(text, 0).Digest; got != want {
			t.Errorf("%q: %#x, want %#x", text, got, want)
		}
	}
}

// TestDigestSpreads: many short statements that differ in little have different hashes.
func TestDigestSpreads(t *testing.T) {
	seen := map[uint64]string{}
	alphabet := "abcdefghijklmnopqrstuvwxyz_0123456789"
	for _, form := range []string{"select x# from t", "select a from `x#`", "select @x# + a", "call longer_name_x#()"} {
		for i := range alphabet {
			for j := range alphabet {
				for k := range alphabet {
					name := string([]byte{alphabet[i], alphabet[j], alphabet[k]})
					text := strings.Replace(form, "#", name, 1)
					h := scan(text, 0).Digest
					if other, ok := seen[h]; ok {
						t.Fatalf("%q and %q: %x", text, other, h)
					}
					seen[h] = text
				}
			}
		}
	}
}

func TestDigestCap(t *testing.T) {
	long := "select " + strings.Repeat("column_name, ", 500)
	a, b := long+"x", long+"y"
	if x, y := digest(a, 0), digest(b, 0); x != y || len(x) > MaxDigestText || len(x) < MaxDigestText-20 || !strings.HasSuffix(x, "name") && !strings.HasSuffix(x, ",") {
		t.Errorf("%d bytes: ... %s", len(x), x[len(x)-20:])
	}
	if scan(a, 0).Digest == scan(b, 0).Digest {
		t.Error("the hash ends with the text")
	}
	// What does not fit and is left out afterwards leaves no trace.
	row := "(" + strings.Repeat("now(), 1, ", 110) + "2)"
	if got, want := digest("insert t values "+row+","+row+" on x", 0), digest("insert t values "+row+" on x", 0); got != want {
		t.Errorf("%s\n%s", got, want)
	}
	if got := string(AppendDigest([]byte("prefix "), []byte(long), 0)); got != "prefix "+digest(long, 0) {
		t.Errorf("behind a prefix: %d bytes", len(got))
	}
}

func TestAllocs(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector allocates")
		return
	}
	dst := make([]byte, 0, MaxDigestText)
	name := make([]byte, 0, 100)
	for _, text := range [][]byte{
		benchPoint, benchInsert, benchJoin, []byte("/* sluice: a=b, c=d */ select `a``b`, @'x''y' from `q``r`.t where f = \"x\" in (1,2,null)"),
		[]byte("SET @@session.autocommit=1, session_track_schema=0; KILL 5; SELECT `last_insert_id`() /*! for update */"),
		[]byte("select * from `a_very_long_database_name_indeed`.`a_very_long_table_name_indeed`, `a_very_long_table_name_indeed`, 'x"),
	} {
		for _, d := range []Dialect{0, AnsiQuotes, TrailByte, SingleByte} {
			if a := testing.AllocsPerRun(50, func() {
				var st Statement
				Scan(text, d, &st)
				for _, s := range st.Tables[:st.NTables] {
					name = TableName(name[:0], s.Of(text))
				}
				for k, v := range Hints(st.Hint.Of(text)) {
					if len(k)+len(v) > 100 {
						return
					}
				}
				dst = AppendDigest(dst[:0], text, d)
			}); a != 0 {
				t.Errorf("%.60q: %v allocations", text, a)
			}
		}
	}
}
