package mysql

import (
	"context"
	"fmt"
	"time"

	"github.com/go-sql-driver/mysql"
)

// Config describes a load of rows. Only Server and one of Duration and Requests are required.
type Config struct {
	Server *mysql.Config // address, TLS, user, database; time-outs, logger and the way of passing arguments are set here

	Clients  int           // connections; default 10
	Rate     float64       // statements per second of all clients together; 0: closed loop
	Duration time.Duration // how long statements are started; 0: until Requests
	Requests int64         // how many statements are started by all clients together; 0: until Duration

	Mix       Mix
	Keys      int           // of each client; default 16
	ValueSize int           // bytes of a value; default 128, at most 15 MiB; longer if its header does not fit (about 60)
	Prepared  bool          // prepared statements instead of text
	Each      int           // statements after which a client connects anew, as short-lived scripts do; 0: never
	Init      []string      // statements for each new connection: "SET NAMES utf8mb4"
	Seed      uint64        // of all random choices
	Timeout   time.Duration // for connecting and for an answer; default 5 s

	// StaleReads allows reads to give older acknowledged values of their key, as replicas do.
	StaleReads bool
	// Refused are further error numbers that promise that a write was not executed.
	Refused []uint16

	// Verify is where the table is made and where the final check reads; default Server. Usually the primary itself.
	Verify *mysql.Config
	// VerifyTimeout bounds the final check, including waiting for the server to come back; default 10 s. Negative: no
	// final check.
	VerifyTimeout time.Duration
}

// Mix is the share of each statement, as weights. The zero Mix is 6 Select, 3 Write, 1 Range.
type Mix struct {
	Select  int // one row by its key
	Write   int // of one row: INSERT ... ON DUPLICATE KEY UPDATE
	Range   int // all rows of the client
	Session int // SET of a variable of the session, or SELECT of it
}

// maxValue keeps a quoted value below the 16 MiB of a MEDIUMBLOB and of the usual max_allowed_packet.
const maxValue = 15 << 20

func (c Config) withDefaults() (Config, error) {
	if c.Mix == (Mix{}) {
		c.Mix = Mix{Select: 6, Write: 3, Range: 1}
	}
	if c.Keys == 0 {
		c.Keys = 16
	}
	if c.ValueSize == 0 {
		c.ValueSize = 128
	}
	if c.VerifyTimeout == 0 {
		c.VerifyTimeout = 10 * time.Second
	}
	if c.Verify == nil {
		c.Verify = c.Server
	}
	switch {
	case c.Server == nil:
		return c, fmt.Errorf("load/mysql: Server is not set")
	case c.Keys < 1 || c.ValueSize < 1 || c.ValueSize > maxValue:
		return c, fmt.Errorf("load/mysql: %d keys with values of %d bytes: want at least 1 and up to %d", c.Keys, c.ValueSize, maxValue)
	}
	return c, nil
}

// createRows is the table of all loads of rows.
const createRows = "CREATE TABLE IF NOT EXISTS load_rows (k VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY, " +
	"v MEDIUMBLOB NOT NULL) ENGINE=InnoDB"

// Setup makes the table of Run in the database of server, if it is not there. Start does it too; tests with replicas do it
// before, and wait until the replicas have it.
func Setup(ctx context.Context, server *mysql.Config) error {
	return execute(ctx, server, createRows)
}

// execute sends statements on a connection of their own.
func execute(ctx context.Context, server *mysql.Config, statements ...string) error {
	l, err := newLink(server, false, 30*time.Second, nil)
	if err != nil {
		return err
	}
	if err := l.connect(ctx); err != nil {
		return fmt.Errorf("load/mysql: connect to %s: %w", server.Addr, err)
	}
	defer l.close()
	for _, s := range statements {
		if _, err := l.do(s); err != nil {
			return fmt.Errorf("load/mysql: %.100s: %w", s, err)
		}
	}
	return nil
}
