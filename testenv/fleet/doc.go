// Package fleet has simulated agents for the tests of the centre and for its bench: hundreds or thousands of real control
// links in one process, over TLS or any other connection, without data planes behind them.
//
// An [Agent] says hello, keeps what it is sent, answers every update, pings, and resumes from what it has when it connects
// again, as a real one does. What it refuses and how slow it is are fields. [Authority] makes the certificates, and a [Gate]
// is the part of the centre's server that authenticates a link and answers 101.
//
//	agents := ...                            Gate -> the centre's fleet
//	for each: go a.Keep(ctx)    -- TLS -->   serve(ctx, conn, name of the certificate)
//
// Nothing here waits without a deadline or outlives its context.
package fleet
