package mysql

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/mysql"
)

// clientCaps are those of an ordinary client that wants to see everything.
const clientCaps = mysql.ClientLongPassword | mysql.ClientLongFlag | mysql.ClientProtocol41 | mysql.ClientTransactions |
	mysql.ClientSecureConnection | mysql.ClientPluginAuth | mysql.ClientPluginAuthLenenc | mysql.ClientMultiStatements |
	mysql.ClientMultiResults | mysql.ClientPSMultiResults | mysql.ClientDeprecateEOF | mysql.ClientReserved

// client is a client that shows everything that a server sends: status flags, warnings, definitions, rows as bytes.
type client struct {
	t    testing.TB
	name string
	nc   net.Conn
	r    *bufio.Reader
	caps mysql.Caps
	id   uint32
}

// result is one of the results of a reply.
type result struct {
	cols     [][]byte // definitions
	rows     [][]byte
	hasRows  bool
	ok       mysql.OK
	err      *mysql.ServerError
	prepared *mysql.PrepareOK
	text     string // of COM_STATISTICS
}

type reply []result

// dial logs in as app.
func dial(t testing.TB, addr, db string, caps mysql.Caps) *client {
	t.Helper()
	c, err := tryDial(t, addr, db, caps)
	if err != nil {
		t.Fatalf("log in at %s: %v", addr, err)
	}
	return c
}

func tryDial(t testing.TB, addr, db string, caps mysql.Caps) (*client, error) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	_ = nc.SetDeadline(time.Now().Add(2 * time.Minute))
	c := &client{t: t, nc: nc, r: bufio.NewReader(nc)}
	t.Cleanup(func() { _ = nc.Close() })
	l := mysql.NewClientLogin(mysql.ClientConfig{User: "app", Password: "secret", Database: db, Caps: caps, Charset: 45, Rand: rand.Reader})
	for {
		p, seq, err := c.packet()
		if err != nil {
			return nil, err
		}
		out, next, err := l.Step(p, seq)
		if err != nil {
			return nil, err
		}
		if len(out) > 0 {
			if _, err := nc.Write(out); err != nil {
				return nil, err
			}
		}
		if next == mysql.LoginDone {
			c.caps, c.id = l.Caps(), l.Greeting().ConnectionID
			return c, nil
		}
	}
}

func (c *client) close() { _ = c.nc.Close() }

// packet reads one packet, of any number of frames.
func (c *client) packet() (payload []byte, seq byte, err error) {
	for {
		var h [mysql.HeaderLen]byte
		if _, err := io.ReadFull(c.r, h[:]); err != nil {
			return nil, 0, err
		}
		n, s := mysql.Header(h[:])
		at := len(payload)
		payload = append(payload, make([]byte, n)...)
		if _, err := io.ReadFull(c.r, payload[at:]); err != nil {
			return nil, 0, err
		}
		if seq = s; n < mysql.MaxPayload {
			return payload, seq, nil
		}
	}
}

// send sends a command.
func (c *client) send(cmd mysql.Command, body []byte) {
	c.t.Helper()
	out, _ := mysql.AppendPacket(nil, 0, append([]byte{byte(cmd)}, body...))
	if _, err := c.nc.Write(out); err != nil {
		c.t.Fatalf("%s: send %s: %v", c.name, cmd, err)
	}
}

// do executes a command and returns its reply.
func (c *client) do(cmd mysql.Command, body []byte) reply {
	c.t.Helper()
	c.send(cmd, body)
	rep, err := c.reply(cmd)
	if err != nil {
		return reply{{err: &mysql.ServerError{Message: []byte("the connection broke: " + err.Error())}}}
	}
	return rep
}

func (c *client) query(text string) reply {
	c.t.Helper()
	return c.do(mysql.ComQuery, []byte(text))
}

// reply reads what belongs to one command.
func (c *client) reply(cmd mysql.Command) (reply, error) {
	var out reply
	for {
		r, err := c.result(cmd)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
		if r.err != nil || !r.ok.Status.Has(mysql.StatusMoreResults) {
			return out, nil
		}
	}
}

func (c *client) result(cmd mysql.Command) (r result, err error) {
	if cmd.NoReply() {
		return r, nil
	}
	p, _, err := c.packet()
	if err != nil {
		return r, err
	}
	if p[0] == 0xff {
		return r, c.failed(&r, p)
	}
	switch cmd {
	case mysql.ComStatistics:
		r.text = string(p)
		return r, nil
	case mysql.ComStmtPrepare:
		return r, c.definitions(&r, p)
	case mysql.ComStmtFetch, mysql.ComFieldList:
		return r, c.rows(&r, p)
	case mysql.ComQuery, mysql.ComStmtExecute, mysql.ComProcessInfo:
		if p[0] == 0 {
			break
		}
		n, _ := mysql.LenencInt(p)
		for range n {
			def, _, err := c.packet()
			if err != nil {
				return r, err
			}
			r.cols = append(r.cols, def)
		}
		r.hasRows = true
		if !c.caps.Has(mysql.ClientDeprecateEOF) {
			if p, _, err = c.packet(); err != nil {
				return r, err
			}
			e, err := mysql.ParseEOF(p, c.caps)
			if r.ok = (mysql.OK{Status: e.Status, Warnings: e.Warnings}); err != nil || e.Status.Has(mysql.StatusCursorExists) {
				return r, err
			}
		}
		if p, _, err = c.packet(); err != nil {
			return r, err
		}
		return r, c.rows(&r, p)
	}
	ok, err := mysql.ParseOK(p, c.caps)
	r.ok = clone(ok)
	return r, err
}

func clone(ok mysql.OK) mysql.OK {
	ok.Info, ok.Track = bytes.Clone(ok.Info), bytes.Clone(ok.Track)
	return ok
}

func (c *client) failed(r *result, p []byte) error {
	e, err := mysql.ParseERR(p, c.caps)
	r.err = e.Clone()
	return err
}

// rows reads rows, the first of which is p, and their end.
func (c *client) rows(r *result, p []byte) error {
	for {
		switch {
		case p[0] == 0xff:
			return c.failed(r, p)
		case p[0] == 0xfe && len(p) < mysql.MaxPayload && (c.caps.Has(mysql.ClientDeprecateEOF) || len(p) < 9):
			ok, err := mysql.ParseOK(p, c.caps)
			r.ok = clone(ok)
			return err
		}
		r.rows = append(r.rows, p)
		var err error
		if p, _, err = c.packet(); err != nil {
			return err
		}
	}
}

// definitions reads what comes behind a COM_STMT_PREPARE_OK.
func (c *client) definitions(r *result, p []byte) error {
	ok, err := mysql.ParsePrepareOK(p, c.caps)
	if err != nil {
		return err
	}
	r.prepared = &ok
	for _, n := range []int{int(ok.Params), int(ok.Columns)} {
		if n == 0 {
			continue
		}
		for range n {
			def, _, err := c.packet()
			if err != nil {
				return err
			}
			r.cols = append(r.cols, def)
		}
		if !c.caps.Has(mysql.ClientDeprecateEOF) {
			if _, _, err := c.packet(); err != nil {
				return err
			}
		}
	}
	return nil
}

// prepare prepares a statement and returns its number.
func (c *client) prepare(text string) uint32 {
	c.t.Helper()
	r := c.do(mysql.ComStmtPrepare, []byte(text))[0]
	if r.err != nil {
		c.t.Fatalf("%s: prepare %s: %v", c.name, text, r.err)
	}
	return r.prepared.ID
}

// execution makes the body of a COM_STMT_EXECUTE with parameters that are text, or nil for NULL. The types are sent when
// types is set; flags ask for a cursor.
func execution(id uint32, flags byte, types bool, params ...any) []byte {
	b := binary.LittleEndian.AppendUint32(nil, id)
	b = append(b, flags, 1, 0, 0, 0)
	if len(params) == 0 {
		return b
	}
	null := make([]byte, (len(params)+7)/8)
	var tb, vb []byte
	for i, p := range params {
		switch v := p.(type) {
		case nil:
			null[i/8] |= 1 << (i % 8)
			tb = append(tb, 253, 0)
		case int:
			tb = append(tb, 8, 0)
			vb = binary.LittleEndian.AppendUint64(vb, uint64(v))
		case string:
			tb = append(tb, 253, 0)
			vb = mysql.AppendLenencString(vb, v)
		case long: // was sent before
			tb = append(tb, 252, 0)
		}
	}
	b = append(b, null...)
	if types {
		b = append(append(b, 1), tb...)
	} else {
		b = append(b, 0)
	}
	return append(b, vb...)
}

// long stands for a parameter that COM_STMT_SEND_LONG_DATA sent.
type long struct{}

func (c *client) execute(id uint32, types bool, params ...any) reply {
	c.t.Helper()
	return c.do(mysql.ComStmtExecute, execution(id, 0, types, params...))
}

// must executes statements that must succeed and returns the last one's reply.
func (c *client) must(texts ...string) reply {
	c.t.Helper()
	var r reply
	for _, text := range texts {
		r = c.query(text)
		if e := r.err(); e != nil {
			c.t.Fatalf("%s: %s: %v", c.name, text, e)
		}
	}
	return r
}

// value returns the first column of the first row of the last result; "NULL" for NULL, "-" where there is no row.
func (r reply) value() string {
	last := r[len(r)-1]
	switch {
	case last.err != nil:
		return last.err.Error()
	case len(last.rows) == 0:
		return "-"
	}
	return strings.Join(fields(last.rows[0], 1), "|")
}

// all returns the rows of the last result, columns joined by '|', rows by a line end.
func (r reply) all() string {
	last := r[len(r)-1]
	if last.err != nil {
		return last.err.Error()
	}
	var rows []string
	for _, row := range last.rows {
		rows = append(rows, strings.Join(fields(row, len(last.cols)), "|"))
	}
	return strings.Join(rows, "\n")
}

func fields(row []byte, n int) (out []string) {
	for range n {
		if row[0] == 0xfb {
			out, row = append(out, "NULL"), row[1:]
			continue
		}
		v, size := mysql.LenencString(row)
		out, row = append(out, string(v)), row[size:]
	}
	return out
}

// err returns the error that ended the reply.
func (r reply) err() error {
	if e := r[len(r)-1].err; e != nil {
		return e
	}
	return nil
}

// untracked is the flag that means nothing where no session state comes with it: servers set it in the EOF packets of
// clients that did not ask for that, too.
func (r reply) untracked() mysql.Status {
	for _, x := range r {
		if len(x.ok.Track) > 0 {
			return 0
		}
	}
	return mysql.StatusSessionStateChanged
}

// String shows all that a client can see.
func (r reply) String() string {
	var b strings.Builder
	for i, x := range r {
		if i > 0 {
			b.WriteString(" ; ")
		}
		switch {
		case x.err != nil:
			for _, row := range x.rows {
				fmt.Fprintf(&b, "row %q ", row)
			}
			fmt.Fprintf(&b, "ERR %d %s %s", x.err.Code, x.err.State[:], x.err.Message)
			continue
		case x.text != "":
			b.WriteString("text")
			continue
		case x.prepared != nil:
			fmt.Fprintf(&b, "prepared params=%d columns=%d warnings=%d defs=%q", x.prepared.Params, x.prepared.Columns, x.prepared.Warnings, x.cols)
			continue
		case x.hasRows:
			fmt.Fprintf(&b, "cols %q ", x.cols)
		}
		for _, row := range x.rows {
			fmt.Fprintf(&b, "row %q ", row)
		}
		fmt.Fprintf(&b, "OK affected=%d insert=%d status=%s warnings=%d info=%q", x.ok.AffectedRows, x.ok.InsertID, x.ok.Status&^r.untracked(), x.ok.Warnings, x.ok.Info)
		if len(x.ok.Track) > 0 {
			var records []string // in whatever order the server has them
			for tr := mysql.Track(x.ok.Track); tr.Next(); {
				records = append(records, fmt.Sprintf(" track %s %s=%q", tr.Kind, tr.Name, tr.Value))
			}
			slices.Sort(records)
			b.WriteString(strings.Join(records, ""))
		}
	}
	return b.String()
}
