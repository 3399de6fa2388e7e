package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// Outcome is how a transfer ended for its client.
type Outcome uint8

// Outcomes.
const (
	Refused      Outcome = iota // an error or a ROLLBACK before COMMIT was sent: it must not be there
	Acknowledged                // COMMIT was answered with OK: it must be there once
	Unknown                     // COMMIT was sent and not answered with OK: it may be there once
)

// String returns the outcome as a word.
func (o Outcome) String() string {
	switch o {
	case Refused:
		return "refused"
	case Acknowledged:
		return "acknowledged"
	case Unknown:
		return "unknown"
	}
	return "outcome(" + fmt.Sprint(uint8(o)) + ")"
}

// Transfer is one transfer as its client knows it.
type Transfer struct {
	Src, Dst int   // accounts, from 0
	Amount   int64 // may be negative
	Outcome  Outcome
}

// Book has all transfers of a bank.
type Book struct {
	Accounts  int
	Balance   int64        // of each account at the start
	Transfers [][]Transfer // by client and sequence

	prefix string
}

// Count returns the number of transfers with an outcome.
func (b *Book) Count(o Outcome) int64 {
	var n int64
	for _, client := range b.Transfers {
		for i := range client {
			if client[i].Outcome == o {
				n++
			}
		}
	}
	return n
}

// Audit is the comparison of a book with the tables of one server.
type Audit struct {
	Rows       int64    // of the ledger
	Applied    int64    // transfers of unknown outcome that are there
	Lost       int64    // acknowledged transfers that are not there
	Repeated   int64    // rows too many
	Wrong      int64    // refused, invented or changed transfers, and accounts that do not agree with the ledger
	Sum, Want  int64    // of all balances
	Violations []string // the first 20, in words

	unknown int64
}

// Err returns what is wrong, nil if nothing is.
func (a *Audit) Err() error {
	if a.Lost+a.Repeated+a.Wrong == 0 && a.Sum == a.Want {
		return nil
	}
	return errors.New(a.String() + "\n" + strings.Join(a.Violations, "\n"))
}

// String is a summary of one line.
func (a *Audit) String() string {
	return fmt.Sprintf("audit: %d rows, %d of %d unknown transfers are there, lost %d repeated %d wrong %d, all accounts have %d of %d",
		a.Rows, a.Applied, a.unknown, a.Lost, a.Repeated, a.Wrong, a.Sum, a.Want)
}

func (a *Audit) note(count *int64, format string, args ...any) {
	*count++
	if len(a.Violations) < 20 {
		a.Violations = append(a.Violations, fmt.Sprintf(format, args...))
	}
}

// Audit compares the book with the tables that db shows, in one snapshot. An error means that they could not be read.
func (b *Book) Audit(ctx context.Context, db *sql.DB) (*Audit, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for _, s := range []string{"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "START TRANSACTION WITH CONSISTENT SNAPSHOT"} {
		if _, err := c.ExecContext(ctx, s); err != nil {
			return nil, fmt.Errorf("%s: %w", s, err)
		}
	}
	defer func() { _, _ = c.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") }() // nothing was changed
	a := &Audit{Want: int64(b.Accounts) * b.Balance, unknown: b.Count(Unknown)}
	should, err := b.auditLedger(ctx, c, a)
	if err != nil {
		return nil, err
	}
	return a, b.auditAccounts(ctx, c, a, should)
}

// auditLedger compares the transfers and returns the balances that the ledger makes.
func (b *Book) auditLedger(ctx context.Context, c *sql.Conn, a *Audit) (should []int64, err error) {
	should = make([]int64, b.Accounts)
	for i := range should {
		should[i] = b.Balance
	}
	there := make([][]bool, len(b.Transfers))
	for i, client := range b.Transfers {
		there[i] = make([]bool, len(client))
	}
	rows, err := c.QueryContext(ctx, "SELECT client, seq, src, dst, amount FROM "+b.prefix+"_ledger ORDER BY n")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var client, seq, src, dst, amount int64
		if err := rows.Scan(&client, &seq, &src, &dst, &amount); err != nil {
			return nil, err
		}
		a.Rows++
		if src < 0 || src >= int64(b.Accounts) || dst < 0 || dst >= int64(b.Accounts) ||
			client < 0 || client >= int64(len(there)) || seq < 0 || seq >= int64(len(there[client])) {
			a.note(&a.Wrong, "wrong: nobody sent transfer %d of client %d, from %d to %d", seq, client, src, dst)
			continue
		}
		should[src] -= amount
		should[dst] += amount
		b.auditRow(a, &there[client][seq], client, seq, Transfer{Src: int(src), Dst: int(dst), Amount: amount})
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for client := range there {
		for seq, yes := range there[client] {
			if !yes && b.Transfers[client][seq].Outcome == Acknowledged {
				a.note(&a.Lost, "lost: transfer %d of client %d was acknowledged", seq, client)
			}
		}
	}
	return should, nil
}

// auditRow judges one row of the ledger. there says whether its transfer had one before.
func (b *Book) auditRow(a *Audit, there *bool, client, seq int64, got Transfer) {
	sent := b.Transfers[client][seq]
	got.Outcome = sent.Outcome
	if got != sent {
		a.note(&a.Wrong, "wrong: transfer %d of client %d is %+v, sent was %+v", seq, client, got, sent)
	}
	if *there {
		a.note(&a.Repeated, "repeated: transfer %d of client %d (%v) is there again", seq, client, sent.Outcome)
		return
	}
	*there = true
	switch sent.Outcome {
	case Refused:
		a.note(&a.Wrong, "wrong: transfer %d of client %d was refused and is there", seq, client)
	case Unknown:
		a.Applied++
	case Acknowledged:
	}
}

// auditAccounts compares the balances with those that the ledger makes.
func (b *Book) auditAccounts(ctx context.Context, c *sql.Conn, a *Audit, should []int64) error {
	rows, err := c.QueryContext(ctx, "SELECT id, balance FROM "+b.prefix+"_accounts")
	if err != nil {
		return err
	}
	defer rows.Close()
	count := 0
	for rows.Next() {
		var id, balance int64
		if err := rows.Scan(&id, &balance); err != nil {
			return err
		}
		a.Sum += balance
		if count++; id < 0 || id >= int64(b.Accounts) {
			a.note(&a.Wrong, "wrong: there is an account %d", id)
		} else if balance != should[id] {
			a.note(&a.Wrong, "wrong: account %d has %d, the ledger makes that %d", id, balance, should[id])
		}
	}
	if count != b.Accounts {
		a.note(&a.Wrong, "wrong: %d accounts, want %d", count, b.Accounts)
	}
	return rows.Err()
}
