package motan

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/protocols/serial"
	"github.com/sluice-mesh/sluice/testenv/load"
	"github.com/sluice-mesh/sluice/testenv/load/counted"
	peers "github.com/sluice-mesh/sluice/testenv/motan"
)

// longest is the longest answer that a client takes.
const longest = 1 << 20

// words are those of package counted for codes of the agent.
var words = map[int]counted.Failure{10001: counted.Unavailable, 10002: counted.Limited, 10003: counted.Timeout, 10023: counted.Unknown, 10025: counted.Draining}

// conn is a connection with any number of calls under way.
type conn struct {
	nc      net.Conn
	service func() string // the next one to call
	timeout time.Duration
	wrong   func(format string, args ...any)
	done    chan struct{} // closed when the reader has ended

	mu      sync.Mutex // guards what follows, and writes
	last    uint64
	waiting map[uint64]chan answer
	given   map[uint64]bool // ids whose callers wait no more
	ended   bool
}

type answer struct {
	value any
	err   error
}

// Dial connects to an agent or a server, to call peers.Service. It is a counted.Dial.
func Dial(ctx context.Context, addr string, timeout time.Duration, wrong func(string, ...any)) (counted.Caller, error) {
	return DialServices(peers.Service)(ctx, addr, timeout, wrong)
}

// DialServices connects, to call several services in turn. All clients of a load take their turns together.
func DialServices(services ...string) counted.Dial {
	turn := new(atomic.Uint64)
	return func(ctx context.Context, addr string, timeout time.Duration, wrong func(string, ...any)) (counted.Caller, error) {
		return dial(ctx, addr, timeout, wrong, func() string { return services[turn.Add(1)%uint64(len(services))] })
	}
}

func dial(ctx context.Context, addr string, timeout time.Duration, wrong func(string, ...any), service func() string) (counted.Caller, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &conn{nc: nc, service: service, timeout: timeout, wrong: wrong, done: make(chan struct{}),
		waiting: map[uint64]chan answer{}, given: map[uint64]bool{}}
	go c.read()
	return c, nil
}

// Close implements counted.Caller: it ends the connection and what is under way.
func (c *conn) Close() {
	_ = c.nc.Close()
	<-c.done
}

// Over implements counted.Caller.
func (c *conn) Over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// Echo implements counted.Caller.
func (c *conn) Echo(text string) (string, error) {
	return value[string](c, "echo", text)
}

// Count implements counted.Caller.
func (c *conn) Count(id string) (int64, error) { return value[int64](c, "count", id, int64(0)) }

// Counted implements counted.Caller.
func (c *conn) Counted(id string) (int64, error) { return value[int64](c, "counted", id) }

// value makes a call that is answered with a value of one type.
func value[T any](c *conn, method string, args ...any) (T, error) {
	got, err := c.call(method, args...)
	v, ok := got.(T)
	if err == nil && !ok {
		c.wrong("%s of %.100v is %.100v, a %T", method, args[0], got, got)
		err = counted.ErrWrong
	}
	return v, err
}

// call makes one call. The error is a counted.Failure, or counted.ErrWrong.
func (c *conn) call(method string, args ...any) (any, error) {
	body, err := serial.Simple{}.Append(nil, args...)
	if err != nil {
		panic(err) // of values that this package makes
	}
	var meta []byte
	for _, p := range [...][2]string{{motan2.KeyService, c.service()}, {motan2.KeyMethod, method}, {motan2.KeyGroup, peers.Group},
		{motan2.KeyVersion, peers.Version}, {motan2.KeyTimeout, strconv.FormatInt(c.timeout.Milliseconds(), 10)}} {
		meta = motan2.AppendPair(meta, p[0], p[1])
	}
	to := make(chan answer, 1)
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return nil, counted.Failure(load.Closed)
	}
	c.last++
	id := c.last
	c.waiting[id] = to
	_ = c.nc.SetWriteDeadline(time.Now().Add(c.timeout))
	_, err = c.nc.Write(motan2.Append(nil, motan2.Head{ID: id, Serialization: byte(serial.IDSimple)}, meta, body))
	c.mu.Unlock()
	if err != nil {
		_ = c.nc.Close() // the reader tells all
	}
	timer := time.NewTimer(c.timeout + time.Second) // the agent's answer comes first
	defer timer.Stop()
	select {
	case a := <-to:
		return a.value, a.err
	case <-timer.C:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case a := <-to:
		return a.value, a.err
	default:
	}
	delete(c.waiting, id)
	c.given[id] = true
	return nil, counted.Failure(load.NoReply)
}

// read hands answers to who waits for them, until the connection ends.
func (c *conn) read() {
	defer close(c.done)
	in := bufio.NewReaderSize(c.nc, 64<<10)
	var f motan2.Frame
	var buf []byte
	for {
		var err error
		if buf, err = frame(in, buf, &f); err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				var bad *motan2.FormatError
				if errors.As(err, &bad) {
					c.wrong("bytes that are no answer: %v", err)
				}
			}
			break
		}
		c.hand(&f)
	}
	_ = c.nc.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	for id, to := range c.waiting {
		to <- answer{err: counted.Failure(load.Closed)}
		delete(c.waiting, id)
	}
}

// frame reads one frame into buf.
func frame(in *bufio.Reader, buf []byte, f *motan2.Frame) ([]byte, error) {
	buf = buf[:0]
	for {
		if ok, err := f.Scan(buf, longest); ok || err != nil {
			return buf, err
		}
		have := len(buf)
		buf = append(buf, make([]byte, max(f.Size-have, 1))...)
		if _, err := io.ReadFull(in, buf[have:]); err != nil {
			return buf, err
		}
	}
}

// hand gives an answer to who waits for it.
func (c *conn) hand(f *motan2.Frame) {
	a := answer{}
	if f.Status != motan2.StatusNormal {
		code, kind := motan2.ParseException(f.Meta.Get(motan2.KeyException))
		word, ok := words[code]
		if !ok {
			word = counted.Failure(strconv.Itoa(code))
		}
		a.err = word
		if kind == motan2.Biz {
			c.wrong("an exception of the service, which threw none: %s", f.Meta.Get(motan2.KeyException))
			a.err = counted.ErrWrong
		}
	} else if a.value, a.err = serial.DecodeOne(serial.Simple{}, f.Body, 0); a.err != nil {
		c.wrong("a value that cannot be read: %v", a.err)
		a.err = counted.ErrWrong
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	to, ok := c.waiting[f.ID]
	switch {
	case ok:
		delete(c.waiting, f.ID)
		to <- a
	case c.given[f.ID]:
		delete(c.given, f.ID)
	default:
		c.wrong("an answer with the id %d, which no call waits for: %v", f.ID, fmt.Sprint(a))
	}
}
