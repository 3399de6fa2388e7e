//go:build long

package clients

import "testing"

// TestLongMySQLDriverSuite runs the tests of go-sql-driver/mysql through profile tunnel.
func TestLongMySQLDriverSuite(t *testing.T) { mysqlSuites(t, "tunnel") }
