package mysql

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// ownVariables are the session variables that a client of the agent sees otherwise than one of the server, and why.
var ownVariables = map[string]string{
	"session_track_system_variables": "the agent asks for all of them",
	"session_track_state_change":     "the agent asks for it",
	"session_track_transaction_info": "the agent asks for it",
	"pseudo_thread_id":               "the number of the connection",
	"timestamp":                      "the time",
	"rand_seed1":                     "RAND() changes it, and every connection begins elsewhere",
	"rand_seed2":                     "likewise",
	"last_gtid":                      "the newest write's of the connection",
}

// variablesOf returns what SHOW SESSION VARIABLES tells a client, without ownVariables.
func variablesOf(c *client) map[string]string {
	c.t.Helper()
	out := map[string]string{}
	rep := c.query("SHOW SESSION VARIABLES")
	if err := rep.err(); err != nil {
		return map[string]string{"error": err.Error()}
	}
	for _, row := range rep[0].rows {
		if f := fields(row, 2); ownVariables[f[0]] == "" {
			out[f[0]] = f[1]
		}
	}
	return out
}

// differences lists what two sets of variables do not have in common.
func differences(got, want map[string]string) (out []string) {
	for name, w := range want {
		if g, ok := got[name]; !ok || g != w {
			out = append(out, fmt.Sprintf("%s is %q, want %q", name, g, w))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			out = append(out, name+" is there")
		}
	}
	slices.Sort(out)
	return out
}

// special are values for variables whose type does not say what they may be.
var special = map[string][]string{
	"character_set_client": {"latin1", "gbk"}, "character_set_connection": {"latin1"}, "character_set_results": {"latin1", "NULL"},
	"character_set_server": {"latin2"}, "character_set_database": {"latin2"}, "character_set_filesystem": {"utf8mb4"},
	"collation_connection": {"latin1_bin", "utf8mb4_bin"}, "collation_server": {"latin1_bin"}, "collation_database": {"latin1_bin"},
	"lc_messages": {"'de_DE'"}, "lc_time_names": {"'de_DE'"}, "time_zone": {"'+02:00'", "'-11:30'", "'SYSTEM'"},
	"system_versioning_asof": {"'2020-01-01 00:00:00'", "ALL"}, "default_storage_engine": {"MyISAM"}, "storage_engine": {"MyISAM"},
	"enforce_storage_engine": {"InnoDB", "NULL"}, "default_tmp_storage_engine": {"MyISAM", "NULL"},
	"default_master_connection": {"'a b'"}, "innodb_tmpdir": {"'/tmp'"}, "innodb_ft_user_stopword_table": {"NULL", "''"},
	"timestamp": {"1000000000", "1000000000.25"}, "insert_id": {"77"}, "last_insert_id": {"99"}, "identity": {"99"}, "gtid_seq_no": {"1000000"},
	"wsrep_gtid_seq_no": {"7"}, "pseudo_thread_id": {"12345"}, "session_track_system_variables": {"'*'", "'autocommit'", "''"},
	"optimizer_switch": {"'index_merge=off,mrr=on'"}, "optimizer_trace": {"'enabled=on'"},
	"sql_mode":           {"''", "'ANSI_QUOTES'", "'NO_BACKSLASH_ESCAPES'", "'ANSI'", "'ORACLE'", "'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'"},
	"max_statement_time": {"7", "0.25"}, "long_query_time": {"0.000001", "1234.5"},
	"gtid_domain_id": {"5"}, "server_id": {"4711"}, "debug_no_thread_alarm": nil,
}

// values returns what to set a variable to.
func values(name, typ, now, low, high, block, enum string) []string {
	if v, ok := special[name]; ok {
		return v
	}
	switch typ {
	case "BOOLEAN":
		if now == "ON" {
			return []string{"OFF"}
		}
		return []string{"ON"}
	case "ENUM", "SET":
		var out []string
		for _, v := range strings.Split(enum, ",") {
			if v != now {
				out = append(out, "'"+v+"'")
			}
		}
		if typ == "SET" {
			return append([]string{"'" + enum + "'", "''"}, out[:min(1, len(out))]...)
		}
		return out[:min(3, len(out))]
	case "DOUBLE":
		return []string{"1.5", high}
	}
	return []string{low, high, now + "+" + block}
}

// TestVariables sets every session variable that can be set to other values, lets another client use the connection, and
// compares all session variables with those of a client of the server that did the same.
func TestVariables(t *testing.T) {
	n := server.Start(t, server.MariaDB{Binlog: true}).Primary
	n.Exec("GRANT ALL ON *.* TO app@'%'")
	a := startAgent(t, newFake(t, n.Addr), testSettings(1))
	other := dial(t, a.addr, "test", clientCaps)
	list := dial(t, n.Addr, "test", clientCaps).must(`SELECT LOWER(VARIABLE_NAME), VARIABLE_TYPE, SESSION_VALUE, NUMERIC_MIN_VALUE,
		NUMERIC_MAX_VALUE, NUMERIC_BLOCK_SIZE, ENUM_VALUE_LIST FROM information_schema.SYSTEM_VARIABLES
		WHERE VARIABLE_SCOPE LIKE 'SESSION%' AND READ_ONLY = 'NO' ORDER BY 1`)
	set, moved := 0, 0
	for _, row := range list[0].rows {
		f := fields(row, 7)
		for _, v := range values(f[0], f[1], f[2], f[3], f[4], f[5], f[6]) {
			assignment := "SET SESSION " + f[0] + " = " + v
			c, d := dial(t, a.addr, "test", clientCaps), dial(t, n.Addr, "test", clientCaps)
			got, want := c.query(assignment), d.query(assignment)
			if g, w := got.String(), want.String(); g != w {
				t.Errorf("%s\n got %s\nwant %s", assignment, g, w)
			}
			if want.err() == nil {
				set++
				if p := a.pins(c); p == 0 {
					moved++
					other.name = "after " + assignment
					other.must("DO 1", "SET @@sql_safe_updates = 1", "SET @@sql_safe_updates = 0")
				} else {
					t.Logf("%s pins %v", assignment, p)
				}
			}
			if diff := differences(variablesOf(c), variablesOf(d)); diff != nil {
				t.Errorf("after %s: %s", assignment, strings.Join(diff, "; "))
			}
			c.close()
			d.close()
		}
	}
	t.Logf("%d assignments, %d of them moved", set, moved)
	if diff := differences(variablesOf(other), variablesOf(dial(t, n.Addr, "test", clientCaps))); diff != nil {
		t.Errorf("of the other client: %s", strings.Join(diff, "; "))
	}
	if set < 250 || moved < 200 {
		t.Errorf("%d values could be set and %d were carried over: want at least 250 and 200", set, moved)
	}
}
