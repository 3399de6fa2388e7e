package mysql

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/protocols/sql"
	"github.com/sluice-mesh/sluice/resources"
)

// session is one client. Its goroutine reads a command, governs and executes it, passes the reply on, and reads the next
// one; nothing else touches what it holds, but for what mu guards while it waits for a command.
type session struct {
	r      *Resource
	rs     *resources.Session
	client wire
	zip    *compressed // the client's connection, if it compresses
	secure bool        // under TLS, or by a unix socket
	salt   [mysql.ScrambleLen]byte
	caps   mysql.Caps
	front  *front
	class  *class
	host   string

	// The session as its client made it, wherever its next statement is executed.
	vars   *vars
	db     string
	status mysql.Status
	stmts  map[uint32]*stmt
	nextID uint32

	up     *upstream // tied to the session by pins; nil: none
	pins   pin       // that last until a reset
	reason *string   // of the newest pin
	told   *string   // of the reasons: what people see
	last   *upstream // where the last statement was executed; it may belong to others by now

	// What the last statements left behind on a connection, see diag.go. Guarded by mu, which the session's goroutine
	// holds while a command is executed.
	mu   sync.Mutex
	held *upstream
	diag diag

	dbStale   bool // the client has reset the session, which forgot the character set of the database
	wasReset  bool // the client has reset the session
	named     bool // it is that of SET NAMES ... COLLATE
	collation bool // of the connection is not known, see askCollation

	unsure  bool   // an error has left open whether a transaction is still there
	instead []byte // what the command is answered with; nil: what a server says
	patch   int64  // stands in the answer, if patched
	patched bool

	// The command being executed.
	call   resources.Call
	cmd    mysql.Command
	req    []byte          // its packets, as the client sent them; valid until the reply is through
	size   int             // of what is buffered of it
	rest   mysql.Request   // follows a command that is too long to be gathered
	frames *mysql.Reframer // makes the frames of what rest follows anew; nil: they stay as they are
	text   []byte          // of a statement
	scan   sql.Statement
	stmt   *stmt
	reply  mysql.Reply
	name   []byte // of a table
	out    []byte
	digest *digest
	start  int64 // when it was read

	placing // where the command may go, and where it was refused

	preparing *stmt // the newest COM_STMT_PREPARE
	over      bool  // the session ends
	dismissed bool  // the client was told to leave
	serverErr bool  // the server answered with an error

	// Where it runs, see worker.go; nil: on a goroutine of its own.
	lane   *lane
	worker *worker // while it executes a command
	reads  int     // since it was resumed

	// For the watcher.
	phase atomic.Uint32
	since atomic.Int64
	ends  atomic.Int64 // when the running command times out; 0: never
	began atomic.Int64 // when the open transaction began; 0: there is none
	busy  atomic.Pointer[upstream]
	kills atomic.Pointer[killing] // of what is executed; nil: none

	parting atomic.Int64 // the session leaves; for so long it waits for a command to refuse (ns); 0: it stays
}

// Phases of a session.
const (
	phaseLogin  uint32 = iota
	phaseIdle          // waits for a command
	phaseRun           // waits for the server
	phaseSend          // waits for the client to take its reply
	phaseFile          // waits for a file of the client's
	phaseStream        // bytes go both ways until somebody hangs up
	phaseClosed
)

func (s *session) enter(phase uint32) {
	s.since.Store(clock.Now())
	s.phase.Store(phase)
}

// serve is the life of a session, up to where a loop goes on with it.
func (s *session) serve() {
	ok := s.login()
	if ok {
		s.loggedIn()
		if s.settleOn() {
			return
		}
	}
	for ok {
		ok = s.oneCommand()
	}
	s.end()
}

// oneCommand reads the next command and executes it. It returns false when the session ends.
func (s *session) oneCommand() bool {
	err := s.next()
	if err != nil && s.crossed(err) {
		err = s.next()
		s.client.deadline(time.Time{})
	}
	if err != nil {
		return false
	}
	s.lock()
	wasOpen := s.began.Load() != 0
	ok := s.command()
	s.mu.Unlock()
	s.enter(phaseIdle)
	if ok {
		s.settleDown(wasOpen)
	} else {
		s.dismiss()
	}
	return ok
}

// errNoCommand is what next returns of a client that was told already what is wrong.
var errNoCommand = errors.New("what the client sent is no command")

// next reads the next command: whole when it is small enough to be gathered, else its beginning.
func (s *session) next() error {
	w := &s.client
	if err := w.need(mysql.HeaderLen, gatherMax); err != nil {
		return err
	}
	n, seq := mysql.Header(w.buffered())
	if seq != 0 || n == 0 {
		s.refuse(1, 1156, "08S01", "Got packets out of order")
		return errNoCommand
	}
	s.rest, s.frames = mysql.Request{}, nil
	whole := mysql.HeaderLen + n
	if whole > gatherMax {
		s.rest.Start(0)
		return s.nextLarge()
	}
	if err := w.need(whole, gatherMax); err != nil {
		return err
	}
	s.req, s.size = w.buffered()[:whole], whole
	s.cmd = mysql.Command(s.req[mysql.HeaderLen])
	return nil
}

// done takes the command out of the client's buffer.
func (s *session) done() {
	s.req, s.text = nil, nil
	s.client.use(s.size)
	s.size = 0
}

// refuse answers with an error of the agent's own.
func (s *session) refuse(seq byte, code uint16, state, text string) {
	s.out = mysql.AppendERR(s.out[:0], seq, code, state, text)
	_ = s.client.write(s.out)
}

// boundary asks whether the session may go on, and lets go of a connection to an endpoint that goes away.
func (s *session) boundary() resources.Move {
	if s.up != nil {
		switch m := s.r.rt.Boundary(s.rs, s.up.ep()); {
		case m == resources.Drain && s.up.status.Has(mysql.StatusInTrans):
			return resources.Stay // at the end of its transaction
		case m == resources.Leave:
			return s.leave()
		default:
			return m
		}
	}
	return s.r.rt.Boundary(s.rs, nil)
}

// setStatus keeps the status flags and what follows from them.
func (s *session) setStatus(st mysql.Status) {
	if (st^s.status)&mysql.StatusInTrans != 0 {
		if st.Has(mysql.StatusInTrans) {
			s.began.Store(clock.Now())
		} else {
			s.began.Store(0)
		}
	}
	s.status = st &^ momentary
}

// momentary are the status flags that say something of one statement only, and not of the session.
const momentary = mysql.StatusNoIndexUsed | mysql.StatusNoGoodIndexUsed | mysql.StatusCursorExists | mysql.StatusLastRowSent |
	mysql.StatusMetadataChanged | mysql.StatusQueryWasSlow | mysql.StatusPSOutParams | mysql.StatusSessionStateChanged

// dialect is how the server reads the session's statements.
func (s *session) dialect() sql.Dialect {
	d := s.r.dialect()
	if s.status.Has(mysql.StatusNoBackslashEscapes) {
		d |= sql.NoBackslashEscapes
	}
	if s.status.Has(mysql.StatusAnsiQuotes) {
		d |= sql.AnsiQuotes
	}
	return d | s.charset()
}

// charset is how the session's character set changes what bytes mean.
func (s *session) charset() sql.Dialect {
	if v, ok := s.vars.get("character_set_client"); ok {
		return sql.CharsetDialect(v)
	}
	if s.class == nil {
		return 0
	}
	return sql.CharsetDialect(charsetOf[s.class.charset])
}

// charsetOf names the character sets of the collations that clients log in with, where they matter for reading SQL.
var charsetOf = func() (t [256]string) {
	for name, ids := range map[string][]byte{
		"big5": {1, 84}, "sjis": {13, 88}, "gbk": {28, 87}, "cp932": {95, 96}, "gb18030": {248, 249, 250}, "gb2312": {24, 86},
		"euckr": {19, 85}, "latin1": {5, 8, 15, 31, 47, 48, 49, 94}, "latin2": {2, 9, 21, 27, 77},
	} {
		for _, id := range ids {
			t[id] = name
		}
	}
	return t
}()

// end closes the session.
func (s *session) end() {
	s.phase.Store(phaseClosed)
	s.lock()
	s.letGo()
	if s.up != nil {
		u := s.up
		s.up = nil
		s.r.work.Go(u.recover)
	}
	s.mu.Unlock()
	s.r.forget(s)
	s.client.close()
	s.r.rt.Closed(s.rs)
}

// Key implements resources.View: the tables of the statement.
func (s *session) Key(i int) ([]byte, bool) {
	if i >= int(s.scan.NTables) {
		return nil, false
	}
	s.name = sql.TableName(s.name[:0], s.scan.Tables[i].Of(s.text))
	return s.name, true
}

// Digest implements resources.View.
func (s *session) Digest() uint64 { return s.scan.Digest }

// AppendText implements resources.View: the statement without its literals.
func (s *session) AppendText(dst []byte) []byte {
	if s.digest != nil {
		return append(dst, s.digest.text[:min(len(s.digest.text), cap(dst)-len(dst))]...)
	}
	name := s.cmd.String()
	return append(dst, name[:min(len(name), cap(dst)-len(dst))]...)
}
