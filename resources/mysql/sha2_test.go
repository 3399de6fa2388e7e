package mysql

import (
	"bytes"
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"net"
	"sync"
	"testing"

	driver "github.com/go-sql-driver/mysql"

	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// overheard is what passed over the connections of a driver.
type overheard struct {
	mu       sync.Mutex
	up, down []byte
}

type overheardConn struct {
	net.Conn
	o *overheard
}

func (c *overheardConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.o.mu.Lock()
	defer c.o.mu.Unlock()
	c.o.down = append(c.o.down, b[:n]...)
	return n, err
}

func (c *overheardConn) Write(b []byte) (int, error) {
	c.o.mu.Lock()
	c.o.up = append(c.o.up, b...)
	c.o.mu.Unlock()
	return c.Conn.Write(b)
}

// driverLogin logs in with go-sql-driver, executes a statement, and returns what passed.
func driverLogin(t *testing.T, addr, password string, secure *tls.Config) (*overheard, error) {
	t.Helper()
	o := &overheard{}
	c := driver.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr, c.DBName, c.TLS = "app", password, "tcp", addr, "test", secure
	c.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &overheardConn{Conn: nc, o: o}, nil
	}
	connector, err := driver.NewConnector(c)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	var user string
	err = db.QueryRowContext(t.Context(), "SELECT USER()").Scan(&user)
	if err == nil && user != "app@127.0.0.1" {
		t.Errorf("the server sees %s", user)
	}
	return o, err
}

// certificate is the TLS of an agent that shows its clients the certificate of a server.
func certificate(t *testing.T, s *server.MariaDBServers) *tls.Config {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(s.Certs.ServerCert, s.Certs.ServerKey)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}}
}

// Packets of the full form of caching_sha2_password.
var (
	sendPassword = []byte{2, 0, 0, 2, 1, 4} // "send the password itself"
	isRight      = []byte{2, 0, 0, 2, 1, 3} // "the scramble is right": the short form
	askKey       = []byte{1, 0, 0, 3, 2}    // "send the key"
)

// TestDriverSHA2 logs in with go-sql-driver by caching_sha2_password: by scramble, which is enough as the agent knows the
// passwords, and in the full form, which servers ask for at a user's first login, encrypted with the agent's key or under
// TLS.
func TestDriverSHA2(t *testing.T) {
	s := server.Start(t, server.MariaDB{TLS: true})
	f := newFake(t, s.Primary.Addr)
	f.serverTLS = certificate(t, s)
	set := testSettings(2)
	set.Users[0].Plugin = mysql.PluginSHA2
	a := startAgent(t, f, set)
	for _, cold := range []bool{true, false, true} {
		a.res.coldSHA2.Store(cold)
		o, err := driverLogin(t, a.addr, "secret", nil)
		if err != nil {
			t.Errorf("full %v, without TLS: %v", cold, err)
		}
		if bytes.Contains(o.down, sendPassword) != cold || bytes.Contains(o.down, isRight) == cold ||
			bytes.Contains(o.up, askKey) != cold || bytes.Contains(o.down, []byte("BEGIN PUBLIC KEY")) != cold {
			t.Errorf("full %v, without TLS: the client sent %q and got %q", cold, o.up, o.down)
		}
		if o, err = driverLogin(t, a.addr, "secret", s.Primary.TLS); err != nil {
			t.Errorf("full %v, TLS: %v", cold, err)
		}
		for _, secure := range []*tls.Config{nil, s.Primary.TLS} {
			more, err := driverLogin(t, a.addr, "wrong", secure)
			var e *driver.MySQLError
			if !errors.As(err, &e) || e.Number != 1045 {
				t.Errorf("full %v, TLS %v, a wrong password: %v", cold, secure != nil, err)
			}
			if secure == nil && !bytes.Contains(more.up, askKey) {
				t.Error("a wrong scramble does not lead to the full form")
			}
			o.up = append(o.up, more.up...)
		}
		if bytes.Contains(o.up, []byte("secret")) || bytes.Contains(o.up, []byte("wrong")) {
			t.Error("a password can be overheard")
		}
	}
}

// TestRequireTLS refuses clients without TLS, in the words of servers, before they prove anything; unix sockets are safe.
func TestRequireTLS(t *testing.T) {
	s := server.Start(t, server.MariaDB{TLS: true})
	f := newFake(t, s.Primary.Addr)
	f.serverTLS = certificate(t, s)
	set := testSettings(2)
	set.RequireTLS = true
	a := startAgent(t, f, set)
	for _, password := range []string{"secret", "wrong"} {
		_, err := driverLogin(t, a.addr, password, nil)
		var e *driver.MySQLError
		if !errors.As(err, &e) || e.Number != 3159 || string(e.SQLState[:]) != "HY000" ||
			e.Message != "Connections using insecure transport are prohibited while --require_secure_transport=ON." {
			t.Errorf("without TLS: %v", err)
		}
	}
	if _, err := driverLogin(t, a.addr, "secret", s.Primary.TLS); err != nil {
		t.Errorf("TLS: %v", err)
	}
	c, err := enter(t, a.addr, entry{tls: s.Primary.TLS})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.must("SELECT 1").value(); got != "1" {
		t.Errorf("TLS: %s", got)
	}
	if c, err = enter(t, unixListener(t, a), entry{}); err != nil {
		t.Fatalf("a unix socket: %v", err)
	}
	c.must("SELECT 1")
}
