package mysql

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/sluice-mesh/sluice/testenv/load"
)

// Protocol is the word for an answer that makes no sense to the client: a malformed packet, a sequence number that does
// not follow. A server that ends an idle connection with an error message causes it too.
const Protocol = "PROTOCOL"

// connection is what the driver's connections can do.
type connection interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.QueryerContext
	driver.ExecerContext
}

// link is one connection to a server, opened anew when it is lost. One goroutine uses it.
type link struct {
	connector driver.Connector
	prepared  bool
	init      []string // statements for each new connection

	conn  connection // nil: not connected
	wire  *wire      // below conn
	stmts map[string]driver.Stmt
	args  []driver.NamedValue
	row   []driver.Value
}

// wire remembers that the time for an answer ran out: the driver does not tell.
type wire struct {
	net.Conn
	expired bool
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	w.expired = w.expired || errors.Is(err, os.ErrDeadlineExceeded)
	return n, err
}

func (w *wire) Write(b []byte) (int, error) {
	n, err := w.Conn.Write(b)
	w.expired = w.expired || errors.Is(err, os.ErrDeadlineExceeded)
	return n, err
}

// newLink prepares a link. conf is not changed.
func newLink(conf *mysql.Config, prepared bool, timeout time.Duration, init []string) (*link, error) {
	l := &link{prepared: prepared, init: init}
	c := conf.Clone()
	c.Timeout, c.ReadTimeout, c.WriteTimeout = timeout, timeout, timeout
	c.Logger = &mysql.NopLogger{} // errors are counted
	c.InterpolateParams = !prepared
	c.CheckConnLiveness, c.ClientFoundRows = false, false
	dial := c.DialFunc
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	c.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		l.wire = &wire{Conn: nc}
		return l.wire, nil
	}
	var err error
	if l.connector, err = mysql.NewConnector(c); err != nil {
		return nil, fmt.Errorf("load/mysql: settings of the connection: %w", err)
	}
	return l, nil
}

// connect opens the connection and prepares its session.
func (l *link) connect(ctx context.Context) error {
	c, err := l.connector.Connect(ctx)
	if err != nil {
		return err
	}
	conn, ok := c.(connection)
	if !ok {
		c.Close()
		return fmt.Errorf("load/mysql: the driver's connection %T has no contexts", c)
	}
	l.conn, l.stmts = conn, map[string]driver.Stmt{}
	for _, s := range l.init {
		if _, err := l.do(s); err != nil {
			l.close()
			return err
		}
	}
	return nil
}

func (l *link) close() {
	if l.conn != nil {
		_ = l.conn.Close() // it says goodbye, which a broken connection does not take
		l.conn = nil
	}
}

// unsent is the error of a statement that the server was not asked to execute.
type unsent struct{ error }

func (u unsent) Unwrap() error { return u.error }

// notSent reports that an error came before anything of the statement was sent.
func notSent(err error) bool {
	var u unsent
	return errors.As(err, &u) || errors.Is(err, driver.ErrBadConn) // the driver uses it for this alone
}

// do executes a statement as text and without arguments.
func (l *link) do(query string) (affected int64, err error) {
	r, err := l.conn.ExecContext(context.Background(), query, nil)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// exec executes a statement with arguments and returns the number of rows that it changed.
func (l *link) exec(query string, args ...driver.Value) (int64, error) {
	var r driver.Result
	var err error
	if l.prepared {
		var s driver.StmtExecContext
		if s, err = prepared[driver.StmtExecContext](l, query); err == nil {
			r, err = s.ExecContext(context.Background(), l.named(args))
		}
	} else {
		r, err = l.conn.ExecContext(context.Background(), query, l.named(args))
	}
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// query executes a statement with arguments and gives each row to f, valid until f returns.
func (l *link) query(f func([]driver.Value), query string, args ...driver.Value) error {
	var rows driver.Rows
	var err error
	if l.prepared {
		var s driver.StmtQueryContext
		if s, err = prepared[driver.StmtQueryContext](l, query); err == nil {
			rows, err = s.QueryContext(context.Background(), l.named(args))
		}
	} else {
		rows, err = l.conn.QueryContext(context.Background(), query, l.named(args))
	}
	if err != nil {
		return err
	}
	n := len(rows.Columns())
	for len(l.row) < n {
		l.row = append(l.row, nil)
	}
	for {
		switch err := rows.Next(l.row[:n]); {
		case err == io.EOF:
			return rows.Close()
		case err != nil:
			_ = rows.Close() // the first error tells more
			return err
		}
		f(l.row[:n])
	}
}

// prepared returns a prepared statement of the connection, preparing it on first use.
func prepared[S any](l *link, query string) (S, error) {
	var none S
	s, ok := l.stmts[query]
	if !ok {
		var err error
		if s, err = l.conn.PrepareContext(context.Background(), query); err != nil {
			return none, unsent{err}
		}
		l.stmts[query] = s
	}
	with, ok := s.(S)
	if !ok {
		return none, unsent{fmt.Errorf("load/mysql: the driver's statement %T has no contexts", s)}
	}
	return with, nil
}

func (l *link) named(args []driver.Value) []driver.NamedValue {
	l.args = l.args[:0]
	for i, v := range args {
		l.args = append(l.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return l.args
}

// numberOf returns the number of an error that a server sent, 0 for other errors.
func numberOf(err error) uint16 {
	var m *mysql.MySQLError
	if errors.As(err, &m) {
		return m.Number
	}
	return 0
}

// word returns what an error on the open connection is counted as.
func (l *link) word(err error) string {
	if n := numberOf(err); n != 0 {
		return strconv.Itoa(int(n))
	}
	var ne net.Error
	switch {
	case l.wire.expired:
		return load.NoReply
	case errors.Is(err, mysql.ErrInvalidConn), errors.Is(err, driver.ErrBadConn), errors.Is(err, io.EOF),
		errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.As(err, &ne):
		return load.Closed
	}
	return Protocol
}

// connectWord is word for an error of connect.
func connectWord(err error) string {
	if n := numberOf(err); n != 0 {
		return strconv.Itoa(int(n))
	}
	return load.Connect
}

// ends are the numbers after which the server closes the connection: shutdown, killed, idle for too long, and those of
// clients, which a proxy may send when it lost the server.
var ends = map[uint16]bool{1053: true, 1077: true, 1079: true, 1927: true, 2006: true, 2013: true, 4031: true}

// broken reports whether the connection is of no more use after an error.
func broken(err error) bool {
	n := numberOf(err)
	return n == 0 || ends[n]
}

// refusals are the numbers that promise that a statement outside of a transaction had no effect.
var refusals = map[uint16]bool{
	1040: true, 1203: true, 1226: true, 1129: true, 1130: true, // no place for the connection
	1044: true, 1045: true, 1142: true, 1143: true, 1227: true, 1698: true, // no right
	1046: true, 1049: true, 1054: true, 1062: true, 1064: true, 1146: true, 1243: true, 1295: true, // no sense
	1290: true, 1836: true, 1792: true, 3100: true, // read-only
	1205: true, 1213: true, // locks
	1047: true, // not ready
}
