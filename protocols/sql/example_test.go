package sql_test

import (
	"fmt"

	"github.com/sluice-mesh/sluice/protocols/sql"
)

func ExampleScan() {
	text := []byte("/* sluice: reads=primary */ SELECT id FROM shop.`orders` WHERE state IN ('open', 'paid') FOR UPDATE")
	var st sql.Statement
	sql.Scan(text, 0, &st)

	fmt.Println(st.Verb, st.Kind, st.Flags.Has(sql.LockingRead))
	for _, table := range st.Tables[:st.NTables] {
		fmt.Printf("%s\n", sql.TableName(nil, table.Of(text)))
	}
	for k, v := range sql.Hints(st.Hint.Of(text)) {
		fmt.Printf("%s: %s\n", k, v)
	}
	fmt.Printf("%s\n", sql.AppendDigest(nil, text, 0))
	// Output:
	// SELECT write true
	// shop.orders
	// reads: primary
	// select id from shop.`orders` where state in (?) for update
}
