package server

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/go-sql-driver/mysql"
)

// Row is one row of a result: text by column name. NULL is "".
type Row map[string]string

// Open returns a pool of connections over TCP that is closed with the test. Connections that are taken from it must be
// given back.
func (n *MariaDBServer) Open(user, password, database string) *sql.DB {
	n.t.Helper()
	c, err := mysql.NewConnector(n.Config(user, password, database))
	if err != nil {
		n.t.Fatalf("%s: %v", n.Name, err)
	}
	db := sql.OpenDB(c)
	n.t.Cleanup(func() { db.Close() })
	return db
}

// Query sends one statement as root, over the socket and on a connection of its own, and returns its rows. The error of
// a statement that is refused is a *mysql.MySQLError.
func (n *MariaDBServer) Query(statement string, args ...any) ([]Row, error) {
	var rows []Row
	err := n.asRoot(func(ctx context.Context, c *sql.Conn) error {
		r, err := c.QueryContext(ctx, statement, args...)
		if err != nil {
			return err
		}
		defer r.Close()
		rows, err = readRows(r)
		return err
	})
	return rows, err
}

// Exec sends statements as root, one after the other on one connection over the socket, to the database "test". It fails
// the test when one is refused.
func (n *MariaDBServer) Exec(statements ...string) {
	n.t.Helper()
	if err := n.tryExec(statements...); err != nil {
		n.t.Fatalf("%s: %v", n.Name, err)
	}
}

func (n *MariaDBServer) tryExec(statements ...string) error {
	return n.asRoot(func(ctx context.Context, c *sql.Conn) error {
		for _, s := range statements {
			if _, err := c.ExecContext(ctx, s); err != nil {
				return fmt.Errorf("%.200s: %w", s, err)
			}
		}
		return nil
	})
}

// Value returns the first column of the only row of a statement: Value("SELECT @@global.read_only") is "0". It fails
// the test unless there is exactly one row of one column.
func (n *MariaDBServer) Value(statement string, args ...any) string {
	n.t.Helper()
	rows, err := n.Query(statement, args...)
	if err != nil {
		n.t.Fatalf("%s: %s: %v", n.Name, statement, err)
	}
	if len(rows) != 1 || len(rows[0]) != 1 {
		n.t.Fatalf("%s: %s: gives %v, want one row of one column", n.Name, statement, rows)
	}
	for _, v := range rows[0] {
		return v
	}
	return ""
}

// Status returns a status variable of the server: Status("Threads_connected"). "" if there is none of that name.
func (n *MariaDBServer) Status(name string) string {
	n.t.Helper()
	rows, err := n.Query("SHOW GLOBAL STATUS WHERE Variable_name = '" + name + "'")
	if err != nil {
		n.t.Fatalf("%s: status %s: %v", n.Name, name, err)
	}
	if len(rows) == 0 {
		return ""
	}
	return rows[0]["Value"]
}

// asRoot calls f with a connection of root's. It is closed afterwards, so that it does not count among those of a test.
func (n *MariaDBServer) asRoot(f func(context.Context, *sql.Conn) error) error {
	conf := n.Config("root", "", "")
	conf.Net, conf.Addr, conf.TLS = "unix", n.Socket, nil
	connector, err := mysql.NewConnector(conf)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	c, err := db.Conn(ctx)
	for errorNumber(err) == tooManyConnections && ctx.Err() == nil { // one that was refused may still hold the place of root
		time.Sleep(time.Millisecond)
		c, err = db.Conn(ctx)
	}
	if err != nil {
		return err
	}
	defer c.Close()
	// A test may have dropped the database, which must not keep root from working.
	if _, err := c.ExecContext(ctx, "USE "+MariaDBDatabase); err != nil && errorNumber(err) != unknownDatabase {
		return err
	}
	return f(ctx, c)
}

// Numbers of errors that root meets.
const (
	tooManyConnections = 1040
	unknownDatabase    = 1049
)

// errorNumber returns the number of the error that a server answered, 0 for other errors and for none.
func errorNumber(err error) uint16 {
	var refused *mysql.MySQLError
	if errors.As(err, &refused) {
		return refused.Number
	}
	return 0
}

// readRows reads all rows of a result.
func readRows(r *sql.Rows) ([]Row, error) {
	names, err := r.Columns()
	if err != nil {
		return nil, err
	}
	var all []Row
	values, places := make([]sql.NullString, len(names)), make([]any, len(names))
	for i := range values {
		places[i] = &values[i]
	}
	for r.Next() {
		if err := r.Scan(places...); err != nil {
			return nil, err
		}
		row := Row{}
		for i, name := range names {
			row[name] = values[i].String
		}
		all = append(all, row)
	}
	return all, r.Err()
}
