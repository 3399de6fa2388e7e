package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"

	sluicesql "github.com/sluice-mesh/sluice/protocols/sql"
)

var mysqlKind = kind{
	name:     "mysql",
	resource: "orders-db",
	port:     3307,
	settings: "{ users: [{ name: shop, password: '${env:SHOP_PASSWORD}', upstream: { name: root } }] }",
	env:      "SHOP_PASSWORD=demo",
	dsn:      func(addr string) string { return "shop:demo@tcp(" + addr + ")/" + shop },
	start:    startMySQL,
	web:      callMySQL,
	batch:    readMySQL,
	try: func(r string) []hint {
		return []hint{
			{"sluice", "switch " + r + " tc=100 --for 1m --why 'only web-1 moves'", "all statements of this agent move to tc, transactions at their end"},
			{"sluice", fmt.Sprintf("degrade %s --match digest=%s --for 1m --why 'the report is too slow'", r, digestOf(reportQuery)), "one statement, by its shape: REPORT is refused, other SELECTs go on"},
			{"sluice", "limit " + r + " 20/s --match table=orders --match class=write --for 1m", "more than 20 writes a second to one table are refused"},
			{"sluice", "fault " + r + " --delay 50ms --percent 10 --match op=INSERT --for 1m", "one INSERT in ten takes 50 ms longer: look at p99"},
			{"sluice", "fault " + r + " --error '1213 40001 Deadlock found when trying to get lock' --percent 10 --match op=INSERT --for 1m", "what would the application do about deadlocks?"},
			{"sluice", "get operations " + r, "statements that come often are operations of their own, named by verb and digest"},
			{"sluice", "get sessions " + r, "who is connected; paired: its connection is its own, as this server does not report what a session changes"},
			{"sluice", "observe " + r + " --match op=SELECT", "statements as they happen, without their literals"},
		}
	},
}

// digestOf is the digest that the agent gives a statement.
func digestOf(text string) string {
	var st sluicesql.Statement
	sluicesql.Scan([]byte(text), 0, &st)
	return fmt.Sprintf("%016x", st.Digest)
}

// Statements of the application.
const (
	placeQuery  = "SELECT name FROM place"
	orderQuery  = "SELECT customer, cents, state FROM orders WHERE id = ?"
	reportQuery = "SELECT COUNT(*), SUM(cents) FROM orders WHERE customer = ?"
	newOrder    = "INSERT INTO orders (customer, cents, state) VALUES (?, ?, 'new')"
	payOrders   = "UPDATE orders SET state = 'paid' WHERE customer = ? AND state = 'new'"
	archive     = "DELETE FROM orders WHERE state = 'paid' AND id > ?"
)

// callMySQL is an ordinary application on database/sql: it only knows the agent's address.
func callMySQL(ctx context.Context, _ *stage, addr, application string, s *stats) {
	const readers = 3
	db, err := openShop(addr, application, readers+1)
	if err != nil {
		s.call("connect", func() error { return err })
		return
	}
	defer db.Close()
	find := prepare(ctx, db, s)
	if find == nil {
		return
	}
	defer find.Close()
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() { inTurns(ctx, func(n int) { readOrders(ctx, db, find, s, n) }) })
	}
	wg.Go(func() { inTurns(ctx, func(n int) { writeOrders(ctx, db, s, n) }) })
	wg.Wait()
}

// openShop opens the database as an application does.
func openShop(addr, application string, connections int) (*sql.DB, error) {
	config := mysql.NewConfig()
	config.User, config.Passwd, config.Net, config.Addr, config.DBName = "shop", "demo", "tcp", addr, shop
	config.ConnectionAttributes = "program_name:" + application
	config.Timeout, config.ReadTimeout = time.Second, 3*time.Second
	config.InterpolateParams = true // what is not prepared takes one round trip
	config.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// readMySQL is an application that makes a report for one customer after the other.
func readMySQL(ctx context.Context, _ *stage, addr, application string, s *stats) {
	db, err := openShop(addr, application, 1)
	if err != nil {
		s.call("connect", func() error { return err })
		return
	}
	defer db.Close()
	inTurns(ctx, func(n int) {
		s.call("SELECT", func() error { return askPlace(ctx, db, s) })
		if n%5 == 0 {
			s.call("REPORT", func() error { return report(ctx, db, n/5%customers) })
		}
	})
}

// askPlace finds out which group answers.
func askPlace(ctx context.Context, db *sql.DB, s *stats) error {
	var group string
	err := db.QueryRowContext(ctx, placeQuery).Scan(&group)
	if err == nil {
		s.answered(group)
	}
	return err
}

func report(ctx context.Context, db *sql.DB, customer int) error {
	var count, cents int
	return db.QueryRowContext(ctx, reportQuery, customer).Scan(&count, &cents)
}

// inTurns calls round at a steady pace until ctx is done.
func inTurns(ctx context.Context, round func(n int)) {
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
			round(n)
		}
	}
}

// prepare prepares the statement that most requests use. It tries until it could; nil: ctx is done.
func prepare(ctx context.Context, db *sql.DB, s *stats) *sql.Stmt {
	for {
		var st *sql.Stmt
		s.call("PREPARED", func() (err error) {
			st, err = db.PrepareContext(ctx, orderQuery)
			return err
		})
		if st != nil {
			return st
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// readOrders does what a customer's look at an order does, and now and then a report.
func readOrders(ctx context.Context, db *sql.DB, find *sql.Stmt, s *stats, n int) {
	s.call("SELECT", func() error { return askPlace(ctx, db, s) })
	s.call("PREPARED", func() error {
		var customer, cents int
		var state string
		return find.QueryRowContext(ctx, 1+rand.IntN(keptOrders)).Scan(&customer, &cents, &state)
	})
	if n%10 == 0 {
		s.call("REPORT", func() error { return report(ctx, db, rand.IntN(customers)) })
	}
}

// writeOrders takes an order; now and then a customer pays and what is paid goes to the archive.
func writeOrders(ctx context.Context, db *sql.DB, s *stats, n int) {
	customer := rand.IntN(customers)
	if n%4 == 0 {
		s.call("TXN", func() error { return pay(ctx, db, customer) })
		return
	}
	s.call("INSERT", func() error {
		_, err := db.ExecContext(ctx, newOrder, customer, 100+rand.IntN(9900))
		return err
	})
}

// pay is a transaction.
func pay(ctx context.Context, db *sql.DB, customer int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, payOrders, customer)
	if err == nil {
		_, err = tx.ExecContext(ctx, archive, keptOrders)
	}
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
