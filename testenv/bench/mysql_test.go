package main

import (
	"errors"
	"slices"
	"testing"

	"github.com/sluice-mesh/sluice/testenv/server"
)

func TestPartsOfOneKind(t *testing.T) {
	for only, want := range map[string][]string{
		"mysql": mysqlParts, "redis": redisParts, "mysql-idle,micro": {"mysql-idle", "micro"}, "": parts,
	} {
		o, err := parseFlags([]string{"-only", only})
		if err != nil || !slices.Equal(o.only, want) {
			t.Errorf("-only %q gives %v, %v", only, o.only, err)
		}
	}
}

// TestMySQLClient measures a real server, so that the figures of the client are those of a client that works.
func TestMySQLClient(t *testing.T) {
	db := server.Start(t, server.MariaDB{}).Primary
	db.Exec("CREATE TABLE test.sbtest1 (id INT PRIMARY KEY, c CHAR(120))", "INSERT INTO test.sbtest1 VALUES (5000, 'c')")
	x := &target{name: "direct", addr: db.Addr}
	for _, prepared := range []bool{false, true} {
		c, err := dialMySQL(x)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		if err := c.ready(prepared); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := c.once(); err != nil {
				t.Fatal(err)
			}
		}
		db.Exec("UPDATE test.sbtest1 SET c = 'd'")
		if err := c.once(); !errors.Is(err, errOtherReply) {
			t.Errorf("another value was answered, and once says %v", err)
		}
		db.Exec("UPDATE test.sbtest1 SET c = 'c'")
	}
	rows, err := latencies([]*target{x, x}, 2, dialReady)
	if err != nil || len(rows) != 2 || rows[0].P50 <= 0 || rows[0].Added.Value != 0 {
		t.Errorf("%+v, %v", rows, err)
	}
}
