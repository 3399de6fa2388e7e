package http

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sluice-mesh/sluice/testenv/load"
	"github.com/sluice-mesh/sluice/testenv/load/counted"
)

// Idempotent is what settings.idempotent must name, beside GET.
const Idempotent = "POST /echo"

// longQuery is the longest text that is echoed by GET.
const longQuery = 1 << 10

// client has connections that wait for calls, the one that waited longest first: a connection that nobody uses may be closed by
// its other end at any moment.
type client struct {
	addr    string
	timeout time.Duration
	wrong   func(format string, args ...any)

	mu   sync.Mutex // guards idle
	idle []*conn
}

type conn struct {
	net.Conn
	in *bufio.Reader
}

// Dial makes a client of an agent or a server, with its first connection. It is a counted.Dial.
func Dial(ctx context.Context, addr string, timeout time.Duration, wrong func(string, ...any)) (counted.Caller, error) {
	c := &client{addr: addr, timeout: timeout, wrong: wrong}
	first, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	c.put(first)
	return c, nil
}

func (c *client) connect(ctx context.Context) (*conn, error) {
	d := net.Dialer{Timeout: c.timeout}
	nc, err := d.DialContext(ctx, "tcp", c.addr)
	if err != nil {
		return nil, err
	}
	return &conn{nc, bufio.NewReader(nc)}, nil
}

func (c *client) put(one *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = append(c.idle, one)
}

// take returns a connection for one call.
func (c *client) take() (*conn, error) {
	c.mu.Lock()
	if len(c.idle) > 0 {
		defer c.mu.Unlock()
		one := c.idle[0]
		c.idle = c.idle[1:]
		return one, nil
	}
	c.mu.Unlock()
	return c.connect(context.Background())
}

// Over implements counted.Caller: there are always new connections to make.
func (c *client) Over() bool { return false }

// Close implements counted.Caller.
func (c *client) Close() {
	for _, one := range c.idle {
		_ = one.Close()
	}
}

// Echo implements counted.Caller.
func (c *client) Echo(text string) (string, error) {
	if len(text) > longQuery {
		return c.call(http.MethodPost, "/echo", text)
	}
	return c.call(http.MethodGet, "/echo?"+url.QueryEscape(text), "")
}

// Count implements counted.Caller.
func (c *client) Count(id string) (int64, error) {
	return c.number(c.call(http.MethodPost, "/count", id))
}

// Counted implements counted.Caller.
func (c *client) Counted(id string) (int64, error) {
	return c.number(c.call(http.MethodGet, "/counted?"+url.QueryEscape(id), ""))
}

func (c *client) number(text string, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		c.wrong("a number is %.100q", text)
		return 0, counted.ErrWrong
	}
	return n, nil
}

// call makes one call. The error is a counted.Failure, or counted.ErrWrong.
func (c *client) call(method, target, body string) (string, error) {
	r, err := http.NewRequest(method, "http://"+c.addr+target, strings.NewReader(body))
	if err != nil {
		panic(err) // of texts that this package makes
	}
	one, err := c.take()
	if err != nil {
		return "", counted.Failure(load.Connect)
	}
	text, keep, err := one.exchange(r, c.timeout+time.Second) // the agent's answer comes first
	if n := one.in.Buffered(); keep && n > 0 {
		more, _ := one.in.Peek(min(n, 100))
		c.wrong("%d bytes after the answer to %s %.100s: %q", n, method, target, more)
		keep, err = false, counted.ErrWrong
	}
	if keep {
		c.put(one)
	} else {
		_ = one.Close()
	}
	if err != nil {
		return "", c.failure(err)
	}
	return text, nil
}

// exchange sends a request and reads its answer, which is a refusal if it says no. keep: the connection may be used again.
func (c *conn) exchange(r *http.Request, within time.Duration) (text string, keep bool, err error) {
	_ = c.SetDeadline(time.Now().Add(within)) // a connection that is closed says so when it is used
	sent := r.Write(c)
	a, err := http.ReadResponse(c.in, r) // which may have come before all was sent
	if err != nil {
		return "", false, errors.Join(err, sent)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		return "", false, err
	}
	keep = !a.Close && sent == nil
	switch fault := a.Header.Get("Sluice-Fault"); {
	case fault != "":
		err = refusal(fault)
	case a.StatusCode != http.StatusOK:
		err = refusal(strconv.Itoa(a.StatusCode))
	}
	return string(b), keep, err
}

// refusal is an answer that says no, as a word.
type refusal string

func (r refusal) Error() string { return string(r) }

// failure says what became of a call that has no answer. One that is not HTTP is nobody's.
func (c *client) failure(err error) error {
	var no refusal
	var late net.Error
	switch {
	case errors.Is(err, counted.ErrWrong):
		return err
	case errors.As(err, &no):
		return counted.Failure(no)
	case errors.As(err, &late) && late.Timeout():
		return counted.Failure(load.NoReply)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return counted.Failure(load.Closed)
	}
	c.wrong("bytes that are no answer: %v", err)
	return counted.ErrWrong
}
