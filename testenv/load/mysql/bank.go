package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/sluice-mesh/sluice/testenv/load"
)

// BankConfig describes a load of transfers. Only Server and one of Duration and Transfers are required.
type BankConfig struct {
	Server *mysql.Config // address, TLS, user, database; time-outs, logger and the way of passing arguments are set here
	Verify *mysql.Config // where the tables are made; default Server. Usually the primary itself

	Clients   int           // connections; default 10
	Rate      float64       // transfers per second of all clients together; 0: closed loop
	Duration  time.Duration // how long transfers are started; 0: until Transfers
	Transfers int64         // how many are started by all clients together; 0: until Duration

	Accounts  int           // default 100
	Balance   int64         // of each account at the start; default 1000
	Prefix    string        // of the tables' names; default "bank"; letters, digits and _
	Prepared  bool          // prepared statements instead of text
	Each      int           // transfers after which a client connects anew; 0: never
	Init      []string      // statements for each new connection: "SET innodb_lock_wait_timeout = 2"
	Begin     string        // default "BEGIN"; "SET autocommit = 0" works too
	Reads     bool          // read the account that was changed within the transaction, which must show the change
	Rollbacks float64       // share of transfers that end with ROLLBACK and must not be seen: 0.1
	Deadlocks bool          // lock accounts in any order, which makes deadlocks (1213)
	Seed      uint64        // of all random choices
	Timeout   time.Duration // for connecting and for an answer; default 5 s
}

func (c BankConfig) withDefaults() (BankConfig, error) {
	if c.Accounts == 0 {
		c.Accounts = 100
	}
	if c.Balance == 0 {
		c.Balance = 1000
	}
	if c.Prefix == "" {
		c.Prefix = "bank"
	}
	if c.Begin == "" {
		c.Begin = "BEGIN"
	}
	if c.Verify == nil {
		c.Verify = c.Server
	}
	const letters = "abcdefghijklmnopqrstuvwxyz_0123456789"
	switch {
	case c.Server == nil:
		return c, fmt.Errorf("load/mysql: Server is not set")
	case c.Accounts < 2:
		return c, fmt.Errorf("load/mysql: a bank with %d accounts: want 2 at least", c.Accounts)
	case strings.Trim(c.Prefix, letters) != "":
		return c, fmt.Errorf("load/mysql: the tables' prefix is %q: want letters, digits and _", c.Prefix)
	}
	return c, nil
}

// setup makes the tables anew and opens the accounts.
func (c BankConfig) setup(ctx context.Context) error {
	open := []string{
		"DROP TABLE IF EXISTS " + c.Prefix + "_accounts, " + c.Prefix + "_ledger",
		"CREATE TABLE " + c.Prefix + "_accounts (id INT PRIMARY KEY, balance BIGINT NOT NULL) ENGINE=InnoDB",
		// Its own key alone is unique: a transfer that is executed twice must be able to show.
		"CREATE TABLE " + c.Prefix + "_ledger (n BIGINT AUTO_INCREMENT PRIMARY KEY, client INT NOT NULL, seq BIGINT NOT NULL, " +
			"src INT NOT NULL, dst INT NOT NULL, amount BIGINT NOT NULL) ENGINE=InnoDB",
	}
	for from := 0; from < c.Accounts; from += 1000 {
		var b strings.Builder
		for id := from; id < min(from+1000, c.Accounts); id++ {
			fmt.Fprintf(&b, ",(%d,%d)", id, c.Balance)
		}
		open = append(open, "INSERT INTO "+c.Prefix+"_accounts VALUES "+b.String()[1:])
	}
	return execute(ctx, c.Verify, open...)
}

// Bank is a load of transfers that runs.
type Bank struct {
	*crew
	conf    BankConfig
	clients []*teller
	done    chan struct{}
	result  *BankReport // valid after done
}

// BankReport is the outcome of a load of transfers. Its OK counts those that were acknowledged. Wrong are answers that
// cannot be, such as an account that does not exist; what Audit finds is not in it.
type BankReport struct {
	load.Report
	Book *Book
}

// StartBank makes the tables anew, with the names PREFIX_accounts and PREFIX_ledger, and starts the transfers. Canceling
// ctx ends them as Stop does.
func StartBank(ctx context.Context, c BankConfig) (*Bank, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	p := pace{clients: c.Clients, rate: c.Rate, duration: c.Duration, requests: c.Transfers, timeout: c.Timeout, seed: c.Seed}
	if err := p.check(); err != nil {
		return nil, err
	}
	if err := c.setup(ctx); err != nil {
		return nil, err
	}
	b := &Bank{crew: newCrew(ctx, p), conf: c, done: make(chan struct{})}
	for i := range b.crew.clients {
		l, err := newLink(c.Server, c.Prepared, b.timeout, c.Init)
		if err != nil {
			b.stop()
			return nil, err
		}
		b.clients = append(b.clients, newTeller(b, i, l))
	}
	go b.run()
	return b, nil
}

// Counts returns the acknowledged transfers and the errors so far.
func (b *Bank) Counts() load.Count { return b.counts() }

// Stop starts no further transfers, awaits those in flight, and returns the report.
func (b *Bank) Stop() *BankReport {
	b.stop()
	return b.Wait()
}

// Wait waits for the end of the load.
func (b *Bank) Wait() *BankReport {
	<-b.done
	return b.result
}

func (b *Bank) run() {
	defer close(b.done)
	defer b.stop()
	b.begin = time.Now()
	together(b.clients, func(t *teller) { t.run(t.transfer) })
	workers := make([]*worker, len(b.clients))
	book := &Book{Accounts: b.conf.Accounts, Balance: b.conf.Balance, prefix: b.conf.Prefix}
	for i, t := range b.clients {
		workers[i] = t.worker
		book.Transfers = append(book.Transfers, t.transfers)
	}
	b.result = &BankReport{Report: b.report(workers, time.Since(b.begin)), Book: book}
}

// Check fails the test unless the books agree with the tables that db shows, at least floor transfers a second were
// acknowledged, and errors have only the words of allow; "*" allows all.
func (r *BankReport) Check(t load.TB, db *sql.DB, floor float64, allow ...string) {
	t.Helper()
	r.Report.Check(t, floor, allow...)
	a, err := r.Book.Audit(context.Background(), db)
	if err != nil {
		t.Errorf("load: the books cannot be checked: %v", err)
		return
	}
	t.Logf("%v", a)
	if err := a.Err(); err != nil {
		t.Errorf("load: unsound books: %v", err)
	}
}

// teller is a client of the bank.
type teller struct {
	*worker
	conf      *BankConfig
	transfers []Transfer // by sequence

	add, look, note string // statements
}

func newTeller(b *Bank, number int, l *link) *teller {
	t := &teller{worker: newWorker(b.crew, number, l), conf: &b.conf}
	t.each = b.conf.Each
	t.add = "UPDATE " + b.conf.Prefix + "_accounts SET balance = balance + ? WHERE id = ?"
	t.look = "SELECT balance FROM " + b.conf.Prefix + "_accounts WHERE id = ?"
	t.note = "INSERT INTO " + b.conf.Prefix + "_ledger (client, seq, src, dst, amount) VALUES (?, ?, ?, ?, ?)"
	return t
}

// transfer moves money once and writes down how that ended.
func (t *teller) transfer() bool {
	src, dst := t.rnd.IntN(t.conf.Accounts), t.rnd.IntN(t.conf.Accounts-1)
	if dst >= src {
		dst++
	}
	amount := 1 + t.rnd.Int64N(20)
	if !t.conf.Deadlocks && src > dst {
		src, dst, amount = dst, src, -amount
	}
	seq := int64(len(t.transfers))
	t.transfers = append(t.transfers, Transfer{Src: src, Dst: dst, Amount: amount, Outcome: Refused})
	at := &t.transfers[seq]
	ok, err := t.move(at, seq)
	if err != nil {
		t.fail(err)
	}
	if err != nil || !ok {
		t.rollback()
		return false
	}
	if t.conf.Rollbacks > 0 && t.rnd.Float64() < t.conf.Rollbacks {
		t.rollback()
		return false
	}
	_, err = t.do("COMMIT")
	switch {
	case err == nil:
		at.Outcome = Acknowledged
		return true
	case !notSent(err):
		at.Outcome = Unknown
	}
	t.fail(err)
	t.close() // what became of the transaction is not to be mixed with the next one
	return false
}

// rollback ends a transaction that is not to be, with its connection if need be.
func (t *teller) rollback() {
	if t.conn == nil {
		return
	}
	if _, err := t.do("ROLLBACK"); err != nil {
		t.fail(err)
		t.close()
	}
}

// move does all of a transfer but its end. ok is false when an answer cannot be.
func (t *teller) move(at *Transfer, seq int64) (ok bool, err error) {
	if _, err := t.do(t.conf.Begin); err != nil {
		return false, err
	}
	if ok, err = t.change(at.Src, -at.Amount); err != nil || !ok {
		return ok, err
	}
	if ok, err = t.change(at.Dst, at.Amount); err != nil || !ok {
		return ok, err
	}
	n, err := t.exec(t.note, int64(t.number), seq, int64(at.Src), int64(at.Dst), at.Amount)
	if err != nil {
		return false, err
	}
	return t.expect(n == 1, "%q changed %d rows, want 1", t.note, n), nil
}

// change adds to the balance of an account.
func (t *teller) change(id int, amount int64) (ok bool, err error) {
	var before, after int64
	if t.conf.Reads {
		if before, err = t.balance(id, " FOR UPDATE"); err != nil {
			return false, err
		}
	}
	n, err := t.exec(t.add, amount, int64(id))
	if err != nil {
		return false, err
	}
	if !t.expect(n == 1, "account %d: %q changed %d rows, want 1", id, t.add, n) {
		return false, nil
	}
	if t.conf.Reads {
		if after, err = t.balance(id, ""); err != nil {
			return false, err
		}
		return t.expect(after == before+amount, "account %d: %d in the transaction that added %d to %d", id, after, amount, before), nil
	}
	return true, nil
}

func (t *teller) balance(id int, lock string) (balance int64, err error) {
	rows := 0
	err = t.query(func(row []driver.Value) {
		rows++
		if _, e := fmt.Sscan(string(bytesOf(row[0])), &balance); e != nil {
			t.expect(false, "account %d: a balance of %v: %v", id, row[0], e)
		}
	}, t.look+lock, int64(id))
	if err == nil {
		t.expect(rows == 1, "account %d: %q gives %d rows, want 1", id, t.look+lock, rows)
	}
	return balance, err
}

// expect notes an answer that cannot be.
func (t *teller) expect(ok bool, format string, args ...any) bool {
	if !ok {
		t.wrong++
		t.crew.violation(fmt.Sprintf("wrong: client %d: ", t.number)+format, args...)
	}
	return ok
}
