package mysql

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/resources"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// entry is how a client logs in; what is empty is as for app, whose password is "secret".
type entry struct {
	user, password, db string
	caps               mysql.Caps
	tls                *tls.Config
	noKey              bool // does not ask for an RSA key
}

func secret(text string) resources.Secret {
	s, err := resources.NewSecret(text)
	if err != nil {
		panic(err)
	}
	return s
}

// enter logs in at host:port or unix:/path.
func enter(t testing.TB, addr string, e entry) (*client, error) {
	t.Helper()
	c, _, err := greeted(t, addr, e)
	return c, err
}

// greeted is enter, and returns the scramble of the greeting too.
func greeted(t testing.TB, addr string, e entry) (c *client, scramble [mysql.ScrambleLen]byte, err error) {
	t.Helper()
	network, place := "tcp", addr
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		network, place = "unix", path
	}
	nc, err := net.Dial(network, place)
	if err != nil {
		return nil, scramble, err
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	if e.user == "" {
		e.user = "app"
	}
	switch e.password {
	case "":
		e.password = "secret"
	case "-":
		e.password = ""
	}
	if e.caps == 0 {
		e.caps = clientCaps
	}
	config := mysql.ClientConfig{
		User: e.user, Password: e.password, Database: e.db, Caps: e.caps, Charset: 45, Rand: rand.Reader,
		Secure: network == "unix", AllowPublicKeyRetrieval: !e.noKey,
	}
	if e.tls != nil {
		config.TLS = mysql.TLSRequire
	}
	l := mysql.NewClientLogin(config)
	c = &client{t: t, nc: nc, r: bufio.NewReader(nc)}
	for {
		p, seq, err := c.packet()
		if err != nil {
			return nil, scramble, err
		}
		out, next, err := l.Step(p, seq)
		if err != nil {
			return nil, scramble, err
		}
		if len(out) > 0 {
			if _, err := c.nc.Write(out); err != nil {
				return nil, scramble, err
			}
		}
		switch next {
		case mysql.LoginTLS:
			c.nc = tls.Client(nc, e.tls)
			c.r = bufio.NewReader(c.nc)
			if out, _, err = l.Continue(); err != nil {
				return nil, scramble, err
			}
			if _, err := c.nc.Write(out); err != nil {
				return nil, scramble, err
			}
		case mysql.LoginDone:
			c.caps, c.id = l.Caps(), l.Greeting().ConnectionID
			if c.caps.Has(mysql.ClientCompress) {
				codec, err := mysql.NewZlib(-1)
				if err != nil {
					return nil, scramble, err
				}
				c.nc = &speaker{newCompressed(c.nc, codec)}
				c.r = bufio.NewReader(c.nc)
			}
			return c, l.Greeting().Scramble, nil
		}
	}
}

// speaker is the client's end of a compressed connection: each write is a command.
type speaker struct{ *compressed }

func (s *speaker) Write(b []byte) (int, error) {
	s.turned = false
	s.out.SetSeq(0)
	return s.compressed.Write(b)
}

// TestLoginWays logs in with each plugin in each way that is safe, at an agent that has to use TLS and ed25519 towards its
// server.
func TestLoginWays(t *testing.T) {
	s := server.Start(t, server.MariaDB{RequireTLS: true})
	f := newFake(t, s.Primary.Addr)
	f.clientTLS = s.Primary.TLS
	pair, err := tls.LoadX509KeyPair(s.Certs.ServerCert, s.Certs.ServerKey)
	if err != nil {
		t.Fatal(err)
	}
	f.serverTLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	up := Credential{Name: server.MariaDBEd25519, Password: secret("secret")}
	set := &Settings{Pool: Pool{Max: 2}}
	for _, plugin := range []string{mysql.PluginNative, mysql.PluginSHA2, mysql.PluginClear} {
		set.Users = append(set.Users, User{Name: "u_" + plugin, Password: secret("new"), Previous: secret("old"), Plugin: plugin, Upstream: up})
	}
	a := startAgent(t, f, set)
	way := func(plugin, password string, secure bool, caps mysql.Caps) error {
		e := entry{user: "u_" + plugin, password: password, db: "test", caps: clientCaps | caps}
		if secure {
			e.tls = s.Primary.TLS
		}
		c, err := enter(t, a.addr, e)
		if err != nil {
			return err
		}
		defer c.close()
		if got := c.must("SELECT CONCAT(USER(), ' ', DATABASE())").value(); got != "ed@127.0.0.1 test" {
			return fmt.Errorf("is logged in as %s", got)
		}
		if got := c.must("SHOW STATUS LIKE 'Ssl_version'").all(); !strings.Contains(got, "TLSv1") {
			return fmt.Errorf("the server is spoken to without TLS: %s", got)
		}
		return nil
	}
	for _, caps := range []mysql.Caps{0, mysql.ClientCompress} {
		for _, password := range []string{"new", "old"} {
			for _, plugin := range []string{mysql.PluginNative, mysql.PluginSHA2, mysql.PluginClear} {
				for _, secure := range []bool{false, true} {
					err := way(plugin, password, secure, caps)
					if wrong := plugin == mysql.PluginClear && !secure; wrong != (err != nil) {
						t.Errorf("%s, password %s, TLS %v, %v: %v", plugin, password, secure, caps, err)
					}
				}
			}
		}
	}
	if err := way(mysql.PluginSHA2, "wrong", true, 0); err == nil || !strings.Contains(err.Error(), "ERROR 1045 (28000): Access denied for user") {
		t.Errorf("a wrong password gives %v", err)
	}
}

// TestLoginCertificates asks clients for certificates: who does not choose TLS has none.
func TestLoginCertificates(t *testing.T) {
	s := server.Start(t, server.MariaDB{TLS: true})
	f := newFake(t, s.Primary.Addr)
	pair, err := tls.LoadX509KeyPair(s.Certs.ServerCert, s.Certs.ServerKey)
	if err != nil {
		t.Fatal(err)
	}
	inner := &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: s.Primary.TLS.RootCAs}
	f.serverTLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return inner, nil }}
	a := startAgent(t, f, testSettings(1))
	if c, err := enter(t, a.addr, entry{tls: s.Primary.TLS}); err != nil {
		t.Errorf("with a certificate: %v", err)
	} else {
		c.must("SELECT 1")
	}
	if _, err := enter(t, a.addr, entry{}); err == nil || !strings.Contains(err.Error(), "ERROR 3159") {
		t.Errorf("without TLS: %v", err)
	}
	bare := s.Primary.TLS.Clone()
	bare.Certificates = nil
	if _, err := enter(t, a.addr, entry{tls: bare}); err == nil {
		t.Error("a client without a certificate is logged in")
	}
}

// TestLoginRefusals compares what a client is told with what the server itself would have said.
func TestLoginRefusals(t *testing.T) {
	s := server.Start(t, server.MariaDB{}).Primary
	s.Exec("CREATE USER poor@'%' IDENTIFIED BY 'secret'", "CREATE DATABASE other")
	set := testSettings(2)
	set.Users = append(set.Users, User{Name: "poor", Password: secret("secret"), Upstream: Credential{Password: secret("secret")}})
	a := startAgent(t, newFake(t, s.Addr), set)
	for _, e := range []entry{
		{password: "wrong"}, {password: "-"}, {user: "nobody"}, {user: "nobody", password: "-"}, {user: strings.Repeat("n", 70)},
		{db: "no_such"}, {user: "poor", db: "other"}, {db: strings.Repeat("d", 80)}, {user: "poor", db: "information_schema"},
	} {
		_, want := enter(t, s.Addr, e)
		_, got := enter(t, a.addr, e)
		var w, g *mysql.ServerError
		if want == nil && got == nil {
			continue
		}
		if !errors.As(want, &w) || !errors.As(got, &g) || w.Error() != g.Error() {
			t.Errorf("%+v:\nagent  %v\nserver %v", e, got, want)
		}
	}
}

// TestLoginRotation logs in at servers that know one of two passwords only.
func TestLoginRotation(t *testing.T) {
	s := server.Start(t, server.MariaDB{}).Primary
	set := testSettings(2)
	set.Users[0].Upstream = Credential{Name: "app", Password: secret("newer"), Previous: secret("secret")}
	a := startAgent(t, newFake(t, s.Addr), set)
	dial(t, a.addr, "test", clientCaps).must("SELECT 1")
	s.Exec("SET PASSWORD FOR app@'%' = PASSWORD('newer')")
	c := dial(t, a.addr, "mysql", clientCaps|mysql.ClientFoundRows) // needs a new connection
	c.must("SELECT 1")
}

// TestLoginStrangers sends the agent what is no login.
func TestLoginStrangers(t *testing.T) {
	s := server.Start(t, server.MariaDB{}).Primary
	a := startAgent(t, newFake(t, s.Addr), testSettings(1))
	var all sync.WaitGroup
	defer all.Wait()
	for _, x := range []struct{ name, send, want string }{
		{"HTTP", "GET / HTTP/1.1\r\nHost: db\r\n\r\n", "#08S01Got packets out of order"},
		{"Redis", "*1\r\n$4\r\nPING\r\n", "#08S01Got packets out of order"},
		{"TLS at once", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1", "#08S01"},
		{"too large", "\xff\xff\xff\x01" + strings.Repeat("x", 100<<10), "#08S01Got a packet bigger than 'max_allowed_packet' bytes"},
		{"old client", "\x05\x00\x00\x01\x00\x00\x00\x00\x00", "Client does not support authentication protocol"},
		{"garbage", "\x28\x00\x00\x01" + strings.Repeat("\xff", 40), "#08S01Bad handshake"},
		{"empty", "\x00\x00\x00\x01", "#08S01Bad handshake"},
		{"nothing", "", ""},
		{"half a packet", "\x28\x00\x00\x01\x00\x00", ""},
	} {
		all.Go(func() {
			nc, err := net.Dial("tcp", a.addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer nc.Close()
			_ = nc.SetDeadline(time.Now().Add(resources.DefaultHandshakeTimeout + 20*time.Second))
			began := time.Now()
			_, _ = io.WriteString(nc, x.send)
			got, err := io.ReadAll(nc)
			if err != nil || !strings.HasSuffix(string(got), x.want) && !strings.Contains(string(got), x.want) {
				t.Errorf("%s: the agent answers %q, %v; want %q and the end", x.name, got, err, x.want)
			}
			if took := time.Since(began); x.want != "" && took > 4*time.Second {
				t.Errorf("%s: refused after %v", x.name, took)
			}
		})
	}
}

// unixListener makes the agent serve one client by a unix socket, and returns its address.
func unixListener(t *testing.T, a *agent) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		rs := &resources.Session{ID: a.ids.Add(1) + 1<<20, Resource: "test", Client: "unix"}
		rs.SetIdentity(&resources.Identity{Caller: "test"})
		a.res.Serve(nc, rs)
	})
	t.Cleanup(func() {
		ln.Close()
		serving.Wait()
	})
	return "unix:" + path
}

// TestLoginUnixSockets uses unix sockets on both sides.
func TestLoginUnixSockets(t *testing.T) {
	s := server.Start(t, server.MariaDB{}).Primary
	f := newFake(t, "unix:"+s.Socket)
	set := testSettings(1)
	set.Users[0].Plugin = mysql.PluginClear
	a := startAgent(t, f, set)
	c, err := enter(t, unixListener(t, a), entry{db: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.must("SELECT USER()").value(); got != "app@localhost" {
		t.Errorf("the server sees %s, want app@localhost, as it is a socket", got)
	}
	c.close()
	if _, err := enter(t, a.addr, entry{}); err == nil || !strings.Contains(err.Error(), "3159") && !strings.Contains(err.Error(), "1045") {
		t.Errorf("a password in clear over TCP gives %v", err)
	}
}

// TestChangeUser logs in anew on the same connection, with an answer to the greeting's scramble and by AuthSwitch, over
// plain and compressed connections and in both profiles, and leaves nothing of the session before.
func TestChangeUser(t *testing.T) {
	s := server.Start(t, server.MariaDB{}).Primary
	for _, profile := range []string{profilePooled, profileTunnel} {
		set := testSettings(3)
		set.Profile = profile
		set.Users = append(set.Users, User{Name: "other", Password: secret("word"), Plugin: mysql.PluginSHA2,
			Upstream: Credential{Name: server.MariaDBEd25519, Password: secret("secret")}})
		a := startAgent(t, newFake(t, s.Addr), set)
		for _, caps := range []mysql.Caps{clientCaps, clientCaps &^ mysql.ClientPluginAuth, clientCaps | mysql.ClientCompress} {
			c, scramble, err := greeted(t, a.addr, entry{db: "test", caps: caps})
			if err != nil {
				t.Fatal(err)
			}
			c.must("CREATE TEMPORARY TABLE mine (i INT)", "SET @a = 1", "SET sql_mode = ''", "BEGIN")
			again := func(user, password string, wrong bool) error {
				answer := mysql.ScrambleNative(scramble[:], []byte(password))
				if wrong {
					answer = nil
				}
				resp := mysql.Response{Caps: c.caps, User: user, Auth: answer, Charset: 45, Plugin: mysql.PluginNative}
				return c.becomes(&resp, password, &scramble)
			}
			if err := again("app", "secret", caps.Has(mysql.ClientPluginAuth)); err != nil {
				t.Fatalf("%s: COM_CHANGE_USER: %v", profile, err)
			}
			if got := c.must("SELECT CONCAT_WS(',', @a, DATABASE(), @@in_transaction, @@sql_mode <> '')").value(); got != "0,1" {
				t.Errorf("%s: behind COM_CHANGE_USER the session has %s, want nothing", profile, got)
			}
			if caps.Has(mysql.ClientPluginAuth) {
				if err := again("other", "word", true); err != nil {
					t.Fatalf("%s, %v: COM_CHANGE_USER to another plugin: %v", profile, caps, err)
				}
				if got := c.must("SELECT USER()").value(); got != "ed@127.0.0.1" {
					t.Errorf("%s: behind COM_CHANGE_USER the server sees %s", profile, got)
				}
			}
			if err := again("app", "wrong", false); err == nil || !strings.Contains(err.Error(), "1045") {
				t.Errorf("%s: COM_CHANGE_USER with a wrong password: %v", profile, err)
			}
			if _, _, err := c.packet(); err != io.EOF {
				t.Errorf("%s: behind a refused COM_CHANGE_USER: %v, want the end", profile, err)
			}
		}
	}
}

// becomes sends a COM_CHANGE_USER and answers what the server asks.
func (c *client) becomes(resp *mysql.Response, password string, scramble *[mysql.ScrambleLen]byte) error {
	if _, err := c.nc.Write(resp.AppendChangeUser(nil, c.caps)); err != nil {
		return err
	}
	for {
		p, seq, err := c.packet()
		if err != nil {
			return err
		}
		switch p[0] {
		case 0:
			return nil
		case 0xff:
			e, err := mysql.ParseERR(p, c.caps)
			if err != nil {
				return err
			}
			return &e
		case 1:
			continue
		}
		sw, err := mysql.ParseAuthSwitch(p)
		if err != nil {
			return err
		}
		salt := sw.Data[:mysql.ScrambleLen]
		copy(scramble[:], salt)
		answer := mysql.ScrambleNative(salt, []byte(password))
		if sw.Plugin == mysql.PluginSHA2 {
			answer = mysql.ScrambleSHA2(salt, []byte(password))
		}
		out, _ := mysql.AppendPacket(nil, seq+1, answer)
		if s, ok := c.nc.(*speaker); ok { // not a command: frames are counted on
			s.turned = true
			_, err = s.compressed.Write(out)
		} else {
			_, err = c.nc.Write(out)
		}
		if err != nil {
			return err
		}
	}
}

// TestLoginEnds ends the resource while clients log in.
func TestLoginEnds(t *testing.T) {
	s := server.Start(t, server.MariaDB{}).Primary
	a := startAgent(t, newFake(t, s.Addr), testSettings(1))
	nc, err := net.Dial("tcp", a.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	var b [1]byte
	if _, err := io.ReadFull(nc, b[:]); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := a.res.Shutdown(ctx); err != nil {
		t.Errorf("a client that does not log in keeps the resource from closing: %v", err)
	}
}
