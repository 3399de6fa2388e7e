package mysql

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
)

// testTLS is a server certificate for "db.test" and the pool that trusts it.
var testTLS = sync.OnceValues(func() (*tls.Config, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"db.test"}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
})

// loginServer serves one connection: a login, then OK to every command until COM_QUIT.
func loginServer(conn net.Conn, l *ServerLogin, secured func()) error {
	defer conn.Close()
	if _, err := conn.Write(l.Greet(nil)); err != nil {
		return err
	}
	for {
		payload, seq, err := readPacket(conn)
		if err != nil {
			return err
		}
		out, next, err := l.Step(payload, seq)
		switch next {
		case LoginDone:
			out = AppendOK(out, l.Seq(), headOK, &OK{Status: StatusAutocommit}, l.Response().Caps)
		case LoginTLS:
			config, _ := testTLS()
			conn = tls.Server(conn, config)
			secured()
		}
		if len(out) > 0 {
			if _, err := conn.Write(out); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
		if next == LoginDone {
			return serveCommands(conn, l)
		}
	}
}

// serveCommands does COM_CHANGE_USER, and says OK to everything else.
func serveCommands(conn net.Conn, l *ServerLogin) error {
	ok := OK{Status: StatusAutocommit}
	for {
		payload, seq, err := readPacket(conn)
		if err != nil || len(payload) == 0 || Command(payload[0]) == ComQuit {
			return err
		}
		out := AppendOK(nil, seq+1, headOK, &ok, l.Response().Caps)
		if Command(payload[0]) == ComChangeUser {
			var next LoginState
			out, next, err = l.ChangeUser(payload, l.Response().Caps)
			for next == LoginMore {
				if _, err := conn.Write(out); err != nil {
					return err
				}
				if payload, seq, err = readPacket(conn); err != nil {
					return err
				}
				out, next, err = l.Step(payload, seq)
			}
			if next == LoginDone {
				out = AppendOK(out, l.Seq(), headOK, &ok, l.Response().Caps)
			}
		}
		if _, werr := conn.Write(out); werr != nil || err != nil {
			return errors.Join(err, werr)
		}
	}
}

func readPacket(r io.Reader) (payload []byte, seq byte, err error) {
	var header [HeaderLen]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, 0, err
	}
	n, seq := Header(header[:])
	if n > MaxLoginPayload {
		return nil, 0, errors.New("a large packet")
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(r, payload)
	return payload, seq, err
}

// TestDriverLogsIn: the client of github.com/go-sql-driver/mysql, which shares no code with this package, gets in with
// every plugin, and stays out with a wrong password.
func TestDriverLogsIn(t *testing.T) {
	for _, c := range []struct {
		user, defaultPlugin string
		tls, full, rsa      bool
		wantErr             string // of the right password
	}{
		{user: "native"}, {user: "native", tls: true}, {user: "native", defaultPlugin: PluginSHA2},
		{user: "sha2"}, {user: "sha2", defaultPlugin: PluginSHA2}, {user: "sha2", tls: true},
		{user: "sha2", full: true, tls: true}, {user: "sha2", full: true, tls: true, defaultPlugin: PluginSHA2},
		{user: "sha2", full: true, rsa: true}, {user: "sha2", full: true, wantErr: "Error 1045 (28000)"},
		{user: "ed25519"}, {user: "ed25519", tls: true}, {user: "clear", tls: true},
		{user: "clear", wantErr: "Error 3159 (HY000)"}, {user: "odd", wantErr: "Error 1524 (HY000): Plugin 'sha256_password' is not loaded"},
		{user: "nobody", wantErr: "Error 1045 (28000): Access denied for user 'nobody'@'10.1.2.3' (using password: YES)"},
	} {
		for _, password := range []string{"new", "old", "wrong"} {
			p := &pair{}
			s := p.serverConfig()
			s.DefaultPlugin, s.TLS, s.FullAuth = c.defaultPlugin, c.tls, c.full
			if c.rsa {
				s.RSA = testKey()
			}
			l := NewServerLogin(s)
			err := driverLogin(t, l, func() { p.secure = true }, c.user, password, c.tls)
			want := c.wantErr
			if want == "" && password == "wrong" {
				want = "Error 1045 (28000): Access denied for user '" + c.user + "'@'10.1.2.3' (using password: YES)"
			}
			switch {
			case want == "" && err != nil, want != "" && (err == nil || !strings.Contains(err.Error(), want)):
				t.Errorf("%+v, password %q: %v, want %q", c, password, err, want)
			case want == "":
				checkDriverResponse(t, l.Response(), c.user)
			}
		}
	}
}

// driverLogin lets the driver connect to l over a pipe, and ping.
func driverLogin(t *testing.T, l *ServerLogin, secured func(), user, password string, useTLS bool) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var served sync.WaitGroup
	defer served.Wait()
	cfg := driver.NewConfig()
	cfg.User, cfg.Passwd, cfg.DBName, cfg.Net, cfg.Addr = user, password, "shop", "pipe", "db.test"
	cfg.AllowCleartextPasswords, cfg.ConnectionAttributes = true, "program_name:interop"
	cfg.Logger = &driver.NopLogger{}
	if useTLS {
		_, pool := testTLS()
		cfg.TLS = &tls.Config{RootCAs: pool, ServerName: "db.test"}
	}
	cfg.DialFunc = func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		served.Go(func() { _ = loginServer(server, l, secured) })
		return client, nil
	}
	connector, err := driver.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.PingContext(ctx)
}

func checkDriverResponse(t *testing.T, r *Response, user string) {
	t.Helper()
	found := false
	for name, value := range Attributes(r.Attributes) {
		found = found || bytes.Equal(name, []byte("program_name")) && bytes.Equal(value, []byte("interop"))
	}
	if r.User != user || r.Database != "shop" || !found {
		t.Errorf("response %+v", r)
	}
}
