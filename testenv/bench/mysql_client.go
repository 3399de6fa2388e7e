package main

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/sluice-mesh/sluice/protocols/mysql"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// mysqlClient is a client that adds as little as possible to what is measured: it sends a command that is ready and
// compares the reply with the first one.
type mysqlClient struct {
	nc    net.Conn
	caps  mysql.Caps
	order []byte // the command
	want  []byte // its reply
	got   []byte
}

const benchCaps = mysql.ClientLongPassword | mysql.ClientLongFlag | mysql.ClientProtocol41 | mysql.ClientTransactions |
	mysql.ClientSecureConnection | mysql.ClientPluginAuth | mysql.ClientPluginAuthLenenc | mysql.ClientConnectWithDB |
	mysql.ClientDeprecateEOF

func dialMySQL(t *target) (*mysqlClient, error) {
	nc, err := net.DialTimeout("tcp", t.addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	c := &mysqlClient{nc: nc}
	if err := c.login(); err != nil {
		c.close()
		return nil, fmt.Errorf("log in at %s: %w", t.name, err)
	}
	return c, nil
}

func (c *mysqlClient) close() { _ = c.nc.Close() }

func (c *mysqlClient) login() error {
	if err := c.nc.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	l := mysql.NewClientLogin(mysql.ClientConfig{
		User: server.MariaDBUser, Password: server.MariaDBPassword, Database: server.MariaDBDatabase, Caps: benchCaps, Charset: 45,
		Rand: rand.Reader,
	})
	for {
		p, seq, err := c.packet()
		if err != nil {
			return err
		}
		out, next, err := l.Step(p, seq)
		if err != nil {
			return err
		}
		if len(out) > 0 {
			if _, err := c.nc.Write(out); err != nil {
				return err
			}
		}
		if next == mysql.LoginDone {
			c.caps = l.Caps()
			return c.nc.SetDeadline(time.Time{})
		}
	}
}

// packet reads one packet of a login.
func (c *mysqlClient) packet() ([]byte, byte, error) {
	var h [mysql.HeaderLen]byte
	if _, err := io.ReadFull(c.nc, h[:]); err != nil {
		return nil, 0, err
	}
	n, seq := mysql.Header(h[:])
	p := make([]byte, n)
	_, err := io.ReadFull(c.nc, p)
	return p, seq, err
}

func command(cmd mysql.Command, body []byte) []byte {
	out, _ := mysql.AppendPacket(nil, 0, append([]byte{byte(cmd)}, body...))
	return out
}

// reply reads a reply to its end and appends it to dst.
func (c *mysqlClient) reply(cmd mysql.Command, dst []byte) ([]byte, error) {
	var r mysql.Reply
	r.Start(cmd, c.caps)
	buf := make([]byte, 0, 16<<10)
	for {
		n, step, err := r.Next(buf)
		if err != nil {
			return nil, err
		}
		if step == mysql.NeedMore {
			more := make([]byte, 16<<10)
			k, err := c.nc.Read(more)
			if err != nil {
				return nil, err
			}
			buf = append(buf, more[:k]...)
			continue
		}
		if step == mysql.Terminal && buf[mysql.HeaderLen] == 0xff {
			se, err := mysql.ParseERR(buf[mysql.HeaderLen:n], c.caps)
			return nil, errors.Join(err, &se)
		}
		dst = append(dst, buf[:n]...)
		buf = buf[n:]
		if r.Done() {
			return dst, nil
		}
	}
}

// ready makes the client's command a point select and executes it once.
func (c *mysqlClient) ready(prepared bool) error {
	cmd := mysql.ComQuery
	c.order = command(cmd, []byte("SELECT c FROM sbtest1 WHERE id=5000"))
	if prepared {
		if _, err := c.nc.Write(command(mysql.ComStmtPrepare, []byte("SELECT c FROM sbtest1 WHERE id=?"))); err != nil {
			return err
		}
		p, err := c.reply(mysql.ComStmtPrepare, nil)
		if err != nil {
			return err
		}
		ok, err := mysql.ParsePrepareOK(p[mysql.HeaderLen:], c.caps)
		if err != nil {
			return err
		}
		cmd = mysql.ComStmtExecute
		body := append(binary.LittleEndian.AppendUint32(nil, ok.ID), 0, 1, 0, 0, 0)
		body = append(body, 0, 1, 3, 0) // no NULL, the types follow: one 32-bit integer
		c.order = command(cmd, binary.LittleEndian.AppendUint32(body, 5000))
	}
	if _, err := c.nc.Write(c.order); err != nil {
		return err
	}
	var err error
	if c.want, err = c.reply(cmd, nil); err != nil {
		return err
	}
	c.got = make([]byte, len(c.want))
	return nil
}

var errOtherReply = errors.New("the same query had another reply")

// once executes the command and checks the reply.
func (c *mysqlClient) once() error {
	if _, err := c.nc.Write(c.order); err != nil {
		return err
	}
	if _, err := io.ReadFull(c.nc, c.got); err != nil {
		return err
	}
	if !bytes.Equal(c.got, c.want) {
		return errOtherReply
	}
	return nil
}
