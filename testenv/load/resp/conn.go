package resp

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// AppendCommand appends the RESP array of bulk strings that is the command args.
func AppendCommand(dst []byte, args ...string) []byte {
	dst = AppendHead(dst, '*', len(args))
	for _, a := range args {
		dst = AppendHead(dst, '$', len(a))
		dst = append(dst, a...)
		dst = append(dst, '\r', '\n')
	}
	return dst
}

// AppendHead appends a type byte, a length and CRLF.
func AppendHead(dst []byte, kind byte, n int) []byte {
	dst = append(dst, kind)
	dst = strconv.AppendInt(dst, int64(n), 10)
	return append(dst, '\r', '\n')
}

// AppendBulk appends one bulk string.
func AppendBulk(dst, b []byte) []byte {
	dst = AppendHead(dst, '$', len(b))
	dst = append(dst, b...)
	return append(dst, '\r', '\n')
}

// SplitAddress splits "unix:/path" and "host:port" into network and address for package net.
func SplitAddress(addr string) (network, address string) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return "unix", path
	}
	return "tcp", addr
}

// Dial opens a TCP or unix connection ("unix:/path"), with TLS if conf is not nil.
func Dial(ctx context.Context, addr string, conf *tls.Config) (net.Conn, error) {
	network, address := SplitAddress(addr)
	if conf != nil {
		d := tls.Dialer{Config: conf}
		return d.DialContext(ctx, network, address)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

// Conn is one connection for commands sent one at a time. It is not safe for concurrent use.
type Conn struct {
	net.Conn
	Reader  *Reader
	timeout time.Duration
	out     []byte
}

// NewConn makes a Conn of an open connection; timeout bounds each Do.
func NewConn(c net.Conn, timeout time.Duration) *Conn {
	return &Conn{Conn: c, Reader: NewReader(c), timeout: timeout}
}

// Do sends one command and returns its reply, valid until the next Do. An error reply is returned as an [Error].
func (c *Conn) Do(args ...string) (Value, error) {
	if err := c.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return Value{}, err
	}
	c.out = AppendCommand(c.out[:0], args...)
	if _, err := c.Write(c.out); err != nil {
		return Value{}, fmt.Errorf("%s: %w", args[0], err)
	}
	v, err := c.Reader.Next()
	if err != nil {
		return Value{}, fmt.Errorf("%s: %w", args[0], err)
	}
	if v.IsError() {
		return v, Error(v.Str)
	}
	return v, nil
}

// Login authenticates when a password is given; user may be empty.
func (c *Conn) Login(user, password string) error {
	var err error
	switch {
	case password == "":
		return nil
	case user == "":
		_, err = c.Do("AUTH", password)
	default:
		_, err = c.Do("AUTH", user, password)
	}
	return err
}

// Error is an error reply of the server.
type Error string

func (e Error) Error() string { return string(e) }
