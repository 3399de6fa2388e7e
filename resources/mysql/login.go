package mysql

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/resources"
)

// maxHandshake bounds the packets of a login.
const maxHandshake = 64 << 10

// passedOn are the capabilities of a client that decide what a server sends: connections are made with exactly the
// client's, so that replies need no translation.
const passedOn = mysql.ClientFoundRows | mysql.ClientLongFlag | mysql.ClientNoSchema | mysql.ClientODBC | mysql.ClientLocalFiles |
	mysql.ClientIgnoreSpace | mysql.ClientInteractive | mysql.ClientTransactions | mysql.ClientMultiStatements |
	mysql.ClientMultiResults | mysql.ClientPSMultiResults | mysql.ClientDeprecateEOF | mysql.ClientOptionalResultsetMetadata |
	mysql.ClientQueryAttributes | mysql.ClientLongPassword | mysql.MariaDBCaps

// offered are what clients may choose from, as far as the servers have it.
const offered = passedOn&^mysql.ClientLocalFiles | mysql.ClientProtocol41 | mysql.ClientSecureConnection | mysql.ClientPluginAuth |
	mysql.ClientPluginAuthLenenc | mysql.ClientConnectAttrs | mysql.ClientConnectWithDB | mysql.ClientSessionTrack | mysql.ClientReserved

// wantedCaps is what the agent wants of a server whatever its client can do.
const wantedCaps = mysql.ClientProtocol41 | mysql.ClientSecureConnection | mysql.ClientPluginAuth | mysql.ClientPluginAuthLenenc |
	mysql.ClientSessionTrack | mysql.ClientTransactions

// login greets the client and lets it log in. It returns false when the session ends.
func (s *session) login() bool {
	w := &s.client
	s.enter(phaseLogin)
	w.deadline(time.Now().Add(resources.DefaultHandshakeTimeout))
	scramble, err := mysql.NewScramble(rand.Reader)
	if err != nil {
		return false
	}
	s.salt, s.secure = scramble, isUnix(w.nc)
	info := s.r.server()
	config := s.r.rt.ServerTLS()
	l := mysql.NewServerLogin(s.serverConfig(mysql.Greeting{
		ServerVersion: info.version, ConnectionID: greetingID(s.rs), Caps: info.caps&s.r.offered() | s.r.compressions(),
		Charset: info.charset, Status: mysql.StatusAutocommit, Plugin: s.r.plugin,
	}, config))
	s.out = l.Greet(s.out[:0])
	if w.write(s.out) != nil {
		return false
	}
	if !s.converse(l, config) {
		return false
	}
	s.salt = l.Scramble()
	resp := l.Response()
	s.become(resp)
	w.release()
	w.deadline(time.Time{}) // the client has said what it had to say; what follows has its own bounds
	if !s.enterDB(l.Seq(), resp.Database) {
		return false
	}
	switch {
	case resp.Caps.Has(mysql.ClientCompress):
		s.zip = newCompressed(w.nc, s.r.zlib)
	case resp.Caps.Has(mysql.ClientZstd):
		s.zip = newCompressed(w.nc, s.r.zstd)
	}
	if s.zip != nil {
		w.attach(s.zip)
	}
	return true
}

// serverConfig is what the login of this client needs to know. config is nil where TLS is not offered.
func (s *session) serverConfig(g mysql.Greeting, config *tls.Config) mysql.ServerConfig {
	g.Scramble = s.salt
	return mysql.ServerConfig{
		Greeting: g, Lookup: s.lookup, DefaultPlugin: s.r.plugin, TLS: config != nil,
		RequireSecure: s.r.set.RequireTLS || demandsCertificates(config),
		Secure:        func() bool { return s.secure }, RSA: s.r.key(), FullAuth: s.r.coldSHA2.Load(), Host: s.host, Rand: rand.Reader,
	}
}

// demandsCertificates reports whether clients have to show a certificate, and so have to choose TLS.
func demandsCertificates(config *tls.Config) bool {
	if config == nil {
		return false
	}
	if f := config.GetConfigForClient; f != nil {
		if now, err := f(&tls.ClientHelloInfo{}); err == nil && now != nil {
			config = now
		}
	}
	return config.ClientAuth == tls.RequireAnyClientCert || config.ClientAuth == tls.RequireAndVerifyClientCert
}

// converse plays a login to its end.
func (s *session) converse(l *mysql.ServerLogin, config *tls.Config) bool {
	w := &s.client
	for {
		p, seq, err := w.packet(maxHandshake)
		if err != nil && s.r.draining.Load() {
			s.turnAway()
			return false
		}
		if err != nil {
			s.strange(l, err)
			return false
		}
		out, next, err := l.Step(p, seq)
		if len(out) > 0 && w.write(out) != nil {
			return false
		}
		switch next {
		case mysql.LoginRefused:
			if config == nil && s.r.set.RequireTLS && !s.secure {
				err = fmt.Errorf("%w; settings.require-tls is on, and the resource has no tls: write tls: { cert: FILE, key: FILE }", err)
			}
			s.r.refused(s, err)
			s.linger()
			return false
		case mysql.LoginDone:
			return true
		case mysql.LoginTLS:
			if !s.startTLS(config) {
				return false
			}
		}
	}
}

// startTLS does the TLS handshake. What came behind the request for it is its beginning.
func (s *session) startTLS(config *tls.Config) bool {
	w := &s.client
	t := tls.Server(&replay{Conn: w.nc, first: append([]byte(nil), w.buffered()...)}, config)
	if err := t.Handshake(); err != nil {
		s.r.refused(s, fmt.Errorf("TLS: %w", err))
		return false
	}
	w.r = w.w
	w.release()
	w.attach(t)
	s.secure = true
	return true
}

// strange answers what is no login: a packet too large for one, as the first bytes of another protocol look, is told off as
// a server does it. Nothing is said to who says nothing.
func (s *session) strange(l *mysql.ServerLogin, err error) {
	if !errors.Is(err, errTooLong) {
		s.r.refused(s, fmt.Errorf("no login within %v: %w", resources.DefaultHandshakeTimeout, err))
		return
	}
	n, seq := mysql.Header(s.client.buffered())
	if seq != l.Seq() {
		s.refuse(l.Seq(), 1156, "08S01", "Got packets out of order")
	} else {
		s.refuse(seq+1, 1153, "08S01", "Got a packet bigger than 'max_allowed_packet' bytes")
	}
	s.r.refused(s, fmt.Errorf("a packet of %d bytes, number %d, is no login: another protocol?", n, seq))
	s.linger()
}

// replay is a connection of which some bytes were read already.
type replay struct {
	net.Conn
	first []byte
}

func (c *replay) Read(b []byte) (int, error) {
	if len(c.first) > 0 {
		n := copy(b, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

// NetConn lets the watcher see the socket.
func (c *replay) NetConn() net.Conn { return c.Conn }

// lookup finds a user of the agent.
func (s *session) lookup(user string) (passwords []string, plugin string, found bool) {
	f := s.r.users[user]
	if f == nil {
		return nil, s.r.plugin, false
	}
	return f.passwords, f.plugin, true
}

// become makes the session that of the user who logged in.
func (s *session) become(resp *mysql.Response) {
	s.front = s.r.users[resp.User]
	s.caps = resp.Caps
	s.status = mysql.StatusAutocommit
	s.class = s.r.class(class{login: s.front.upstream, caps: resp.Caps & s.r.passed(), charset: byte(resp.Charset)})
	s.vars, s.db = nil, ""
	old := s.rs.Identity()
	id := &resources.Identity{Caller: old.Caller, User: resp.User, IDC: old.IDC}
	for name, value := range mysql.Attributes(resp.Attributes) {
		if string(name) == "program_name" && len(value) > 0 && len(value) <= 128 {
			id.Caller = string(value)
		}
	}
	s.rs.SetIdentity(id)
}

// enterDB ends a login: a database that the client named must be there, which only a server knows.
func (s *session) enterDB(seq byte, db string) bool {
	if db == "" {
		return s.ok(seq)
	}
	ep, fault := s.r.anywhere()
	if fault == nil {
		var u *upstream
		if u, fault = s.r.pool(ep).take(s); fault == nil {
			if u.db != db {
				err := u.simple(mysql.ComInitDB, db)
				var se *mysql.ServerError
				if errors.As(err, &se) {
					s.refuse(seq, se.Code, string(se.State[:]), string(se.Message))
					s.linger()
					u.p.put(u)
					return false
				}
				if err != nil {
					fault = u.p.fault(resources.Unavailable, "closed the connection")
					u.discard()
				} else {
					u.db, u.dbStale, u.owner = db, false, nil
				}
			}
			if fault == nil {
				s.db = db
				if s.r.tunnel() {
					s.enterTunnel(u)
				} else {
					u.p.put(u)
				}
				return s.okDB(seq)
			}
		}
	}
	if s.refusedDB(seq, fault) {
		return false
	}
	return s.ok(seq)
}

// refusedDB answers a login whose database could not be looked for.
func (s *session) refusedDB(seq byte, f *resources.Fault) bool {
	code, state := native(f, s.r.maria())
	s.refuse(seq, code, state, f.Text)
	return true
}

// changeUser executes COM_CHANGE_USER: the client logs in anew on the same connection.
func (s *session) changeUser() bool {
	return s.local(s.r.ops.commands[s.cmd], func() (ok bool) {
		s.aside(func() { ok = s.loginAgain() })
		return ok
	})
}

func (s *session) loginAgain() bool {
	s.abandon()
	l := mysql.NewServerLogin(s.serverConfig(mysql.Greeting{Caps: s.caps}, nil))
	out, next, err := l.ChangeUser(s.req[mysql.HeaderLen:], s.caps)
	s.done()
	if len(out) > 0 && s.client.write(out) != nil {
		return false
	}
	switch next {
	case mysql.LoginRefused:
		s.r.refused(s, err)
		s.linger()
		return false
	case mysql.LoginMore:
		s.client.deadline(time.Now().Add(resources.DefaultHandshakeTimeout))
		if !s.converse(l, nil) {
			return false
		}
		s.client.deadline(time.Time{})
		s.client.release()
	}
	s.salt = l.Scramble()
	resp := l.Response()
	resp.Caps = s.caps
	if resp.Charset == 0 {
		resp.Charset = uint16(s.class.charset)
	}
	s.become(resp)
	return s.enterDB(l.Seq(), resp.Database)
}

// abandon gives up everything that the session has on servers and what it prepared.
func (s *session) abandon() {
	s.letGo()
	if u := s.up; u != nil {
		s.up = nil
		s.aside(u.recover)
	}
	s.pins, s.last, s.stmts, s.vars, s.preparing = 0, nil, nil, nil, nil
	s.diag = diag{found: s.diag.found, hasFound: s.diag.hasFound} // which servers do not forget either
	s.unsure, s.collation, s.dbStale, s.wasReset = false, false, false, false
	s.setStatus(mysql.StatusAutocommit)
	s.r.rt.Pinned(s.rs, 0)
}

// resetConnection executes COM_RESET_CONNECTION. What the session has on a server is reset there before the client gets
// its OK, so that locks are released and transactions rolled back by then.
func (s *session) resetConnection() bool {
	return s.local(s.r.ops.commands[s.cmd], func() bool {
		s.abandon()
		s.dbStale, s.wasReset = true, true
		return s.ok(1)
	})
}

// setOption executes COM_SET_OPTION: several statements in one command, or not. Connections of another class are used from
// here on, and one that the session keeps becomes one of that class.
func (s *session) setOption() bool {
	if len(s.req) < mysql.HeaderLen+3 {
		return s.malformed()
	}
	k := *s.class
	switch s.req[mysql.HeaderLen+1] {
	case 0:
		k.caps |= mysql.ClientMultiStatements
	case 1:
		k.caps &^= mysql.ClientMultiStatements
	default:
		s.fail(1047, "08S01", "Unknown command")
		return true
	}
	if s.up == nil {
		return s.local(s.r.ops.commands[s.cmd], func() bool {
			s.aside(s.carry)
			s.class = s.r.class(k)
			return s.okEOF()
		})
	}
	was := s.up
	ok := s.govern(s.r.ops.commands[s.cmd])
	if ok && s.up == was && s.call.Fault == nil && !s.serverErr {
		s.class = s.r.class(k)
		was.class = s.class
	}
	return ok
}

// okEOF answers a command whose OK begins as an EOF packet does.
func (s *session) okEOF() bool {
	if s.caps.Has(mysql.ClientDeprecateEOF) {
		s.out = mysql.AppendOK(s.out[:0], 1, 0xfe, &mysql.OK{Status: s.status}, s.caps)
	} else {
		s.out = mysql.AppendEOF(s.out[:0], 1, mysql.EOF{Status: s.status}, s.caps)
	}
	return s.client.write(s.out) == nil
}
