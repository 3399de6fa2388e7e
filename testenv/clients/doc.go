// Package clients runs client libraries for Redis and MySQL, which know nothing of Sluice, through the agent. It has tests
// only.
//
// # Redis
//
// TestGoRedis is a small program that uses go-redis the way applications do, in both profiles; it runs in `make test`.
//
// TestLongGoRedisSuite, in `make test-long`, runs go-redis' own tests: the module that go.mod names is copied to a
// folder of the test, its test binary is built once, and the binary runs against
//
//	redis-server                               direct
//	agent, profile multiplexed, redis-server
//	agent, profile transparent, redis-server
//
// each time with a fresh server. The first run says what the tests are worth here: what fails direct proves nothing
// and is left out. What passes direct must pass through the agent, or be in the table of differences with its reason
// (differences_test.go), which docs/redis-clients.md repeats for readers. An entry that no longer differs is a failure
// too.
//
// # What is left out
//
// Equally for all runs, see filters in suite_long_test.go: tests of topologies that are not one server behind one
// address, tests of commands that came after Redis 7.0 or with modules, and tests that reach no server.
//
// # MySQL
//
// TestMySQLDriverSuite runs go-sql-driver's own tests, built from the module that go.mod names, against MariaDB direct and
// through a pool of four connections at the same time, each with a server of its own; TestLongMySQLDriverSuite does so
// for profile tunnel. What passes direct must pass through the agent, or be in mysqlDifferences with its reason, which
// docs/mysql-clients.md repeats for readers. TestMySQLPrograms compares what programs in PHP and Python print,
// TestMySQLSysbench runs transactions without an error, and TestMySQLInterrupt presses Ctrl-C in the command line client.
//
// # Invariants
//
//   - Nothing of go-redis is changed but the port in its tests: many of them say :6379 whatever they are told, which
//     becomes the port of the run.
//   - A test that fails gets a second attempt, direct and through the agent alike.
package clients
