package mysql

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/resources"
)

// upstream is one connection to a server. It belongs to one session at a time, whose goroutine uses it, or to the pool.
type upstream struct {
	wire
	p     *pool
	class *class

	version string     // of the server
	id      uint32     // by which the server can be told to kill it
	caps    mysql.Caps // agreed with the server
	offers  mysql.Caps // what the server can do
	charset byte       // its default collation
	tracked bool       // the server reports what changes in the session
	reading reading    // how it reads statements where no session has changed that

	// What a statement finds when it is executed here.
	vars    *vars
	db      string
	dbStale bool // it was reset: the database is db, but its character set is forgotten
	status  mysql.Status
	untold  bool // the server has changes of the session to tell, with its next OK
	oneShot bool // characteristics of the next transaction are set
	locked  bool // tables are locked
	killed  bool // a KILL was sent: it may still hit what comes next
	dirty   bool // there is state that only a reset removes
	alone   bool // a command of unknown effect was executed: nobody else may have the connection

	stmts map[string]*kept // prepared here, by database and text
	head  *kept            // of the list of kept statements: the newest
	tail  *kept
	drop  []uint32 // statements to close, with the next command

	// What it knows of the statements that were executed here, see diag.go.
	owner     *session // who executed the last one: ROW_COUNT() is his; nil: the agent
	foundOf   *session // whose FOUND_ROWS() is
	warnOf    *session // whose the warnings are
	warned    bool     // there are warnings
	insertID  uint64   // LAST_INSERT_ID(), unless idUnknown
	idUnknown bool
	taint     *session // whose statement failed, which may have changed more than was told; nil: nobody's

	pre       []moved // what was sent before a command and is not answered yet
	idleSince int64
	out       []byte // what is sent before a command
}

// usedBy makes the connection one that s waits for where it runs. It reports false when that is not possible: then s must
// use it aside.
func (u *upstream) usedBy(s *session) bool {
	u.user = s.client.user
	if u.user == nil {
		return true
	}
	d := u.desc.Load()
	if d == nil {
		return false
	}
	if d.Loop() != s.lane.loop && d.Move(s.lane.loop) == nil {
		u.state.Or(canRead) // what came meanwhile
	}
	return true
}

func (u *upstream) ep() *resources.Endpoint { return u.p.ep }

// fresh is how long after its last use a connection is taken without a look whether the server has closed it.
const freshFor = int64(20 * time.Millisecond)

// usable reports whether a connection that was idle can be used: a server that has sent something unasked has closed it
// or is about to.
func (u *upstream) usable() bool {
	if u.desc.Load() == nil && clock.Now()-u.idleSince < freshFor {
		return true
	}
	readable, gone := u.stirred()
	return !readable && !gone
}

// end closes the connection without giving its place back.
func (u *upstream) end() {
	u.close()
	u.p.r.rt.Connections(u.ep(), "leased", -1)
}

// discard closes the connection and gives its place back.
func (u *upstream) discard() {
	u.end()
	u.p.freed()
}

// connect opens a connection of a class and logs in.
func (p *pool) connect(ctx context.Context, c *class, db string) (*upstream, *resources.Fault) {
	nc, fault := p.r.rt.Dial(ctx, p.ep)
	if fault != nil {
		p.doubt()
		return nil, fault
	}
	var err error
	for i, password := range c.login.passwords {
		if i > 0 { // the servers may know the other password still
			if nc, fault = p.r.rt.Dial(ctx, p.ep); fault != nil {
				return nil, fault
			}
		}
		u := &upstream{p: p, class: c, db: db, idleSince: clock.Now()}
		if err = u.login(ctx, nc, c, password, db); err == nil {
			p.r.rt.Connections(p.ep, "leased", 1)
			return u, nil
		}
		u.close()
		var se *mysql.ServerError
		if !errors.As(err, &se) || se.Code != 1045 {
			break
		}
	}
	fault = p.fault(resources.Unavailable, "login failed: "+err.Error())
	var se *mysql.ServerError
	if !errors.As(err, &se) {
		p.doubt()
		return nil, fault
	}
	fault.Source = resources.FromUpstream
	switch se.Code {
	case 1045, 1698, 1251, 1130: // it refuses us: nothing that the client did
		p.r.rt.Report(p.ep, resources.Health{Detail: "login refused: " + string(se.Message)})
	case 1040, 1203, 1226: // it has no room for more connections
		p.r.rt.Report(p.ep, resources.Health{Detail: "no room for connections: " + string(se.Message)})
	case 1053, 1077, 1079: // it shuts down
		p.doubt()
	}
	return nil, fault
}

// login greets the server and brings the connection into the state of a fresh session.
func (u *upstream) login(ctx context.Context, nc net.Conn, c *class, password, db string) error {
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(past) })
	defer stop()
	u.attach(nc)
	config := u.p.r.rt.ClientTLS(u.ep())
	l := mysql.NewClientLogin(mysql.ClientConfig{
		User: c.login.name, Password: password, Database: db, Caps: c.caps | u.p.r.wanted(), Charset: uint16(c.charset),
		TLS: wantTLS(config), Secure: isUnix(nc), AllowPublicKeyRetrieval: u.p.r.set.ClearKey, Rand: rand.Reader,
	})
	for {
		p, seq, err := u.packet(maxHandshake)
		if err != nil {
			return fmt.Errorf("login: %w", withContext(ctx, err))
		}
		out, next, err := l.Step(p, seq)
		if len(out) > 0 {
			if werr := u.write(out); werr != nil {
				return fmt.Errorf("login: %w", withContext(ctx, werr))
			}
		}
		if err != nil {
			return err
		}
		switch next {
		case mysql.LoginTLS:
			t := tls.Client(nc, config)
			if err := t.HandshakeContext(ctx); err != nil {
				return fmt.Errorf("TLS: %w", err)
			}
			u.release()
			u.attach(t)
			if out, _, err = l.Continue(); err != nil {
				return err
			}
			if err := u.write(out); err != nil {
				return fmt.Errorf("login: %w", withContext(ctx, err))
			}
		case mysql.LoginDone:
			g := l.Greeting()
			u.version, u.id, u.charset = g.ServerVersion, g.ConnectionID, g.Charset
			u.caps, u.offers, u.status = l.Caps(), g.Caps, l.OK().Status
			u.release()
			if u.p.r.tunnel() {
				return nil
			}
			return u.track(ctx)
		}
	}
}

// track asks the server to report what changes in the session. A server that cannot is used one session at a time.
func (u *upstream) track(ctx context.Context) error {
	if !u.caps.Has(mysql.ClientSessionTrack) { // it may take the variables all the same
		return nil
	}
	if err := u.begins(); err != nil {
		var se *mysql.ServerError
		if errors.As(err, &se) {
			return nil
		}
		return fmt.Errorf("login: %w", withContext(ctx, err))
	}
	u.tracked = true
	return nil
}

// simple sends a command of the agent's own and reads its OK. It returns a *mysql.ServerError when the server refuses it.
func (u *upstream) simple(cmd mysql.Command, arg string) error {
	u.out = appendCommand(u.out[:0], cmd, arg)
	if err := u.write(u.out); err != nil {
		return err
	}
	return u.okReply()
}

// okReply reads the reply of a command that is answered OK or with an error.
func (u *upstream) okReply() error { return u.okTold(nil) }

// okTold is okReply for one who wants to know what the server reports with its OK.
func (u *upstream) okTold(told func(track []byte)) error {
	p, _, err := u.packet(1 << 20)
	if err != nil {
		return err
	}
	defer u.release()
	if len(p) > 0 && p[0] == 0xff {
		se, err := mysql.ParseERR(p, u.caps)
		if err != nil {
			return err
		}
		u.warnOf, u.warned = nil, true
		return &se
	}
	ok, err := mysql.ParseOK(p, u.caps)
	if ok.Warnings > 0 {
		u.warnOf, u.warned = nil, true
	}
	if told != nil && err == nil {
		told(ok.Track)
	}
	u.status = ok.Status
	return err
}

// appendCommand appends a command of the agent's own.
func appendCommand(dst []byte, cmd mysql.Command, arg string) []byte {
	dst = mysql.AppendHeader(dst, 1+len(arg), 0)
	dst = append(dst, byte(cmd))
	return append(dst, arg...)
}

// withContext names the end of the time that a login had.
func withContext(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("no answer in time")
	}
	return err
}

func wantTLS(c *tls.Config) mysql.ClientTLS {
	if c != nil {
		return mysql.TLSRequire
	}
	return mysql.TLSNone
}

func isUnix(nc net.Conn) bool {
	a := nc.RemoteAddr()
	return a != nil && strings.HasPrefix(a.Network(), "unix")
}
