package mysql

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// eight is as much of a MySQL 8 server as logins and single queries need: what MariaDB does not have is tested on it.
type eight struct {
	t      testing.TB
	addr   string
	config mysql.ServerConfig
	tls    *tls.Config

	mu       sync.Mutex
	commands [][]byte   // what clients sent, but for the agent's own
	conns    []net.Conn // that are logged in
}

// startEight lets change, if it is not nil, change how clients log in.
func startEight(t testing.TB, change func(*eight)) *eight {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e := &eight{t: t, config: mysql.ServerConfig{
		DefaultPlugin: mysql.PluginSHA2, RSA: key, Host: "127.0.0.1", Rand: rand.Reader,
		Lookup: func(user string) ([]string, string, bool) { return []string{"secret"}, mysql.PluginSHA2, user == "app" },
		Greeting: mysql.Greeting{ServerVersion: "8.4.3", Charset: 255, Status: mysql.StatusAutocommit, Plugin: mysql.PluginSHA2,
			Caps: clientCaps | mysql.ClientSessionTrack | mysql.ClientQueryAttributes | mysql.ClientConnectWithDB | mysql.ClientConnectAttrs |
				mysql.ClientZstd | mysql.ClientOptionalResultsetMetadata},
	}}
	if change != nil {
		change(e)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e.addr = ln.Addr().String()
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer nc.Close()
				e.serve(nc)
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		serving.Wait()
	})
	return e
}

func (e *eight) serve(nc net.Conn) {
	config := e.config
	secure := false
	var err error
	if config.Greeting.Scramble, err = mysql.NewScramble(rand.Reader); err != nil {
		e.t.Error(err)
		return
	}
	config.TLS, config.Secure = e.tls != nil, func() bool { return secure }
	l := mysql.NewServerLogin(config)
	c := &client{t: e.t, nc: nc, r: bufio.NewReader(nc)}
	_, _ = nc.Write(l.Greet(nil))
	for done := false; !done; {
		p, seq, err := c.packet()
		if err != nil {
			return
		}
		out, next, _ := l.Step(p, seq)
		_, _ = c.nc.Write(out)
		switch next {
		case mysql.LoginRefused:
			return
		case mysql.LoginTLS:
			first, _ := c.r.Peek(c.r.Buffered())
			c.nc, secure = tls.Server(&replay{Conn: nc, first: first}, e.tls), true
			c.r = bufio.NewReader(c.nc)
		case mysql.LoginDone:
			done = true
		}
	}
	caps := l.Response().Caps
	ok := func(seq byte) []byte {
		return mysql.AppendOK(nil, seq, 0, &mysql.OK{Status: mysql.StatusAutocommit}, caps)
	}
	_, _ = c.nc.Write(ok(l.Seq()))
	e.mu.Lock()
	e.conns = append(e.conns, c.nc)
	e.mu.Unlock()
	for {
		p, _, err := c.packet()
		if err != nil || mysql.Command(p[0]) == mysql.ComQuit {
			return
		}
		_, _ = c.nc.Write(e.answer(p, caps, ok))
	}
}

// answer answers a command: read_only is 0 and the only variable, SHOW shows nothing, and other SELECTs give one row with their
// own text.
func (e *eight) answer(p []byte, caps mysql.Caps, ok func(byte) []byte) []byte {
	if mysql.Command(p[0]) != mysql.ComQuery {
		return ok(1)
	}
	_, text, err := mysql.ParseQuery(p, caps)
	if err != nil {
		return mysql.AppendERR(nil, 1, 1835, "HY000", err.Error())
	}
	q := string(text)
	switch {
	case q == "SELECT @@global.read_only":
		return e.row("0", caps)
	case strings.HasPrefix(q, "SELECT @@"):
		return mysql.AppendERR(nil, 1, 1193, "HY000", "Unknown system variable")
	case strings.HasPrefix(q, "SELECT"):
		e.mu.Lock()
		e.commands = append(e.commands, bytes.Clone(p))
		e.mu.Unlock()
		return e.row(q, caps)
	case strings.HasPrefix(q, "SHOW"):
		return (&session{caps: caps, cmd: mysql.ComQuery}).appendRows(nil, "v")
	case strings.HasPrefix(q, "BEGIN"):
		return mysql.AppendOK(nil, 1, 0, &mysql.OK{Status: mysql.StatusAutocommit | mysql.StatusInTrans}, caps)
	}
	return ok(1)
}

// row is a result of one value.
func (e *eight) row(value string, caps mysql.Caps) []byte {
	s := &session{caps: caps, status: mysql.StatusAutocommit, cmd: mysql.ComQuery}
	return s.appendRows(nil, "v", value)
}

// newest returns the newest connection that is logged in.
func (e *eight) newest() net.Conn {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.conns[len(e.conns)-1]
}

// TestMySQL8Logins logs in at MySQL 8 in all its ways.
func TestMySQL8Logins(t *testing.T) {
	certs := server.NewCerts(t)
	pair, err := tls.LoadX509KeyPair(certs.ServerCert, certs.ServerKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name     string
		full     bool // the server has not cached the password
		tls      bool
		retrieve bool
		plugin   string // of the account, if not the server's default
		fails    string
	}{
		{name: "cached"},
		{name: "full, by the server's RSA key", full: true, retrieve: true},
		{name: "full, key not to be asked for", full: true, fails: "use TLS"},
		{name: "full, over TLS", full: true, tls: true},
		{name: "switched to native", plugin: mysql.PluginNative},
		{name: "switched to clear, over TLS", plugin: mysql.PluginClear, tls: true},
		{name: "switched to clear", plugin: mysql.PluginClear, fails: "insecure transport"},
		{name: "switched to ed25519", plugin: mysql.PluginEd25519},
	} {
		t.Run(x.name, func(t *testing.T) {
			e := startEight(t, func(e *eight) {
				e.config.FullAuth = x.full
				if x.tls {
					e.tls = &tls.Config{Certificates: []tls.Certificate{pair}}
				}
				if x.plugin != "" {
					e.config.Lookup = func(user string) ([]string, string, bool) { return []string{"secret"}, x.plugin, user == "app" }
				}
			})
			f := newFake(t, e.addr)
			if x.tls {
				f.clientTLS = certs.Client()
			}
			set := testSettings(2)
			set.ClearKey = x.retrieve
			if x.fails != "" {
				if err := set.fill(); err != nil {
					t.Fatal(err)
				}
				res, err := (&Driver{}).Open(set, f)
				if err != nil {
					t.Fatal(err)
				}
				defer f.loops.Stop()
				defer res.Shutdown(t.Context())
				p := res.Probe(f.eps[0])
				defer p.Close()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				if h, err := p.Check(ctx); (err == nil || !strings.Contains(err.Error(), x.fails)) && !strings.Contains(h.Detail, x.fails) {
					t.Errorf("the check says %+v, %v; want %q", h, err, x.fails)
				}
				return
			}
			a := startAgent(t, f, set)
			c := dial(t, a.addr, "test", clientCaps)
			if got := c.must("SELECT 'x'").value(); got != "SELECT 'x'" {
				t.Errorf("got %q", got)
			}
		})
	}
}

// TestMySQL8QueryAttributes passes attributes on as they are, and only to who agreed on them.
func TestMySQL8QueryAttributes(t *testing.T) {
	e := startEight(t, nil)
	a := startAgent(t, newFake(t, e.addr), testSettings(2))
	c := dial(t, a.addr, "test", clientCaps|mysql.ClientQueryAttributes)
	if !c.caps.Has(mysql.ClientQueryAttributes) || c.caps.Has(mysql.ClientZstd) {
		t.Fatalf("agreed on %v", c.caps)
	}
	// One attribute "trace" = "abc", text: count, sets, NULL bitmap, types follow, type, name, value.
	body := append([]byte{1, 1, 0, 1, 0xfe, 0, 5}, "trace\x03abcSELECT 'with'"...)
	if got := c.do(mysql.ComQuery, body).value(); got != "SELECT 'with'" {
		t.Errorf("got %q", got)
	}
	plain := dial(t, a.addr, "test", clientCaps)
	if got := plain.must("SELECT 'without'").value(); got != "SELECT 'without'" {
		t.Errorf("got %q", got)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if want := append([]byte{byte(mysql.ComQuery)}, body...); len(e.commands) != 2 || !bytes.Equal(e.commands[0], want) {
		t.Errorf("the server got %q, want %q first", e.commands, want)
	}
}

// TestMySQL8Unsolicited lets the server say, unasked, that it has closed a connection that was idle for too long.
func TestMySQL8Unsolicited(t *testing.T) {
	e := startEight(t, nil)
	a := startAgent(t, newFake(t, e.addr), testSettings(2))
	c := dial(t, a.addr, "test", clientCaps)
	c.must("SELECT 1")
	bye := mysql.AppendERR(nil, 0, 4031, "HY000", "The client was disconnected by the server because of inactivity.")
	expire := func() {
		nc := e.newest()
		_, _ = nc.Write(bye)
		_ = nc.Close()
	}
	expire()
	server.Wait(t, 10*time.Second, "the agent to be told", func() error {
		for _, u := range a.res.pool(a.eps[0]).idleOnes() {
			if r, gone := u.stirred(); !r && !gone {
				return errors.New("it was not")
			}
		}
		return nil
	})
	time.Sleep(time.Duration(freshFor)) // until a connection is looked at before it is used
	if got := c.must("SELECT 2").value(); got != "SELECT 2" {
		t.Errorf("got %q", got)
	}
	c.must("BEGIN")
	expire()
	var got error
	for range 100 { // it may be disconnected before it asks
		c.send(mysql.ComQuery, []byte("SELECT 3"))
		r, err := c.reply(mysql.ComQuery)
		if err == nil {
			err = r.err()
		}
		if got = err; got != nil {
			break
		}
	}
	if got == nil || strings.Contains(got.Error(), "SELECT") {
		t.Errorf("a transaction whose server hung up goes on: %v", got)
	}
	var e1158 *mysql.ServerError
	if errors.As(got, &e1158) && e1158.Code != 1158 {
		t.Errorf("a transaction whose server hung up ends with %v", got)
	}
}

// idleOnes returns the connections that nobody uses.
func (p *pool) idleOnes() (all []*upstream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, list := range p.idle {
		all = append(all, list...)
	}
	return all
}
