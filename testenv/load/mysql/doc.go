// Package mysql drives MySQL and MariaDB, directly or through the agent, with statements whose every result can be
// checked: what package load is for Redis.
//
//	r, err := mysql.Run(ctx, mysql.Config{Server: m.Config("app", "secret", "test"), Clients: 20, Duration: 3 * time.Second})
//	r.Check(t, 500)                                  // no error of any kind, 500 good results a second at least
//	r.Check(t, 100, "1290", load.Closed, load.Connect) // these may occur
//
//	b, err := mysql.StartBank(ctx, mysql.BankConfig{Server: agent, Verify: direct, Duration: time.Minute})
//	... faults ...
//	r := b.Stop()
//	r.Check(t, db, 50, "1213", load.Closed)
//
// # Rows
//
// [Run] writes and reads rows of the table load_rows. Every key belongs to one client, so that client knows what its row
// may hold; every value says where it belongs:
//
//	key|client|sequence|CRC-32C|padding
//
// A read must give the newest acknowledged value, or one whose write ended without an answer. A write that was refused
// must never be seen. A key with a write of unknown outcome is written no more, and read once more at the end. The
// number of affected rows is checked too. [Mix].Session sets a variable of the session and reads it back, which only
// works if both reach the same session.
//
//	Wrong      another key's value, a broken CRC, a refused write, a wrong number of rows, another session's variable
//	Lost       an acknowledged write that is gone, or an older value than the acknowledged one
//
// # Bank
//
// [StartBank] moves money between accounts, each transfer a transaction with a row in a ledger. Its [Book] has the
// outcome of each transfer: acknowledged, refused (an error before COMMIT was sent), or unknown (an error after).
// [BankReport.Audit] compares it with the tables, in one snapshot:
//
//	Lost       an acknowledged transfer that is not in the ledger
//	Repeated   a transfer that is there more than once
//	Wrong      a refused transfer that is there, one that nobody sent, a balance that is not what the ledger makes it
//
// # Errors
//
// They are counted by their number, as a word ("1290"), and by words of package load for what no server said: CONNECT
// (no connection), CLOSED (lost with a statement in flight), NOREPLY (no answer in time); PROTOCOL is an answer that the
// client cannot read. A number that promises that a write was not executed is a refusal; every other leaves it unknown.
//
// # Load
//
// Each client is a goroutine with one connection, on which it has one statement in flight. Loops are closed or open, and
// connections are opened again, as package load does. Clients use the driver without database/sql: no pool, no retries.
//
// # Invariants
//
// Clients share nothing but the atomic counters and the list of violations of their crew, whose mutex is never held
// during I/O. Start returns the only owner of the goroutines; Stop and Wait wait for all of them.
package mysql
