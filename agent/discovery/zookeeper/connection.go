package zookeeper

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/internal/clock"
)

// Pauses between attempts to connect. The library adds a second each time that all servers were tried, so that a server that
// comes back is found within 3 s.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 2 * time.Second
)

// dialer makes the library's connections.
type dialer struct {
	ctx     context.Context // ends with the source
	session time.Duration
	failed  func(server string, err error)

	mu      sync.Mutex
	pause   time.Duration // guarded by mu: before the next attempt, at most
	current *conn         // guarded by mu: the last one that was made
}

// dial is a zk.Dialer. The library calls it from one goroutine, again as soon as it failed: so the pauses are here. The first
// one comes before anything failed, lest all agents run to a server that was restarted at the same moment.
func (d *dialer) dial(network, address string, timeout time.Duration) (net.Conn, error) {
	d.mu.Lock()
	pause := max(d.pause, firstPause)
	d.pause = min(2*pause, longestPause)
	d.mu.Unlock()
	if !clock.Sleep(d.ctx, rand.N(pause)) {
		return nil, d.ctx.Err()
	}
	n := net.Dialer{Timeout: timeout}
	c, err := n.DialContext(d.ctx, network, address)
	if err != nil {
		d.failed(address, err)
		return nil, err
	}
	stop := context.AfterFunc(d.ctx, func() { _ = c.Close() })
	made := &conn{Conn: c, handshake: d.session, failed: func(err error) { d.failed(address, err) }, stop: stop}
	d.mu.Lock()
	d.current = made
	d.mu.Unlock()
	return made, nil
}

// succeeded makes the next pauses short again.
func (d *dialer) succeeded() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pause = 0
}

// watchesFirst has what is written wait until the library has sent the watches of the connection before.
func (d *dialer) watchesFirst() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current != nil {
		d.current.hold()
	}
}

// conn is a connection with the deadlines that the library lacks: it gives a server ten times as long to answer its handshake
// as to answer anything else, and then waits for the rest of that answer for ever. Its reader and its writer use it at once.
//
// And it keeps an order. When a connection is made again, the library tells the server which watches it had, and up to which
// change it has seen everything; the server then tells what they missed. But a request that has waited for the connection may
// be sent before that, and its answer moves what counts as seen: a change would be missed for good. So requests are held here
// until that message has been written.
type conn struct {
	net.Conn
	handshake time.Duration
	failed    func(error)
	stop      func() bool // the connection need not be closed with the source any more
	shaken    bool        // the handshake's deadline was set; only the reader knows it

	mu    sync.Mutex
	since time.Time // guarded by mu: of holding; zero: not
	held  [][]byte  // guarded by mu
}

const (
	opSetWatches = 101             // in bytes 8 to 12 of a request, after its length and its number
	longestHold  = 2 * time.Second // should the library have no watches after all, which it then does not say
)

func (c *conn) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since = time.Now()
}

// Write sends a request; the library writes each of them whole.
func (c *conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.since.IsZero() {
		return c.Conn.Write(b)
	}
	watches := len(b) >= 12 && binary.BigEndian.Uint32(b[8:]) == opSetWatches
	if !watches && time.Since(c.since) < longestHold {
		c.held = append(c.held, bytes.Clone(b))
		return len(b), nil
	}
	all := append(c.held, b)
	if watches {
		all = append([][]byte{b}, c.held...)
	}
	c.since, c.held = time.Time{}, nil
	for _, one := range all {
		if _, err := c.Conn.Write(one); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// SetReadDeadline keeps each deadline until the next one, which the library sets before each answer that it waits for.
func (c *conn) SetReadDeadline(t time.Time) error {
	if t.IsZero() {
		return nil
	}
	if soonest := time.Now().Add(c.handshake); !c.shaken && t.After(soonest) {
		t = soonest
	}
	c.shaken = true
	return c.Conn.SetReadDeadline(t)
}

// Close closes the connection.
func (c *conn) Close() error {
	c.stop()
	return c.Conn.Close()
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		c.failed(err)
	}
	return n, err
}

// hosts gives the library its servers in turn, as they are written: they are looked up for each attempt.
type hosts struct {
	mu      sync.Mutex
	servers []string
	next    int
	failed  int // attempts since the last success
}

// Init is the method of zk.HostProvider.
func (h *hosts) Init(servers []string) error {
	h.servers = servers
	return nil
}

// Len is the method of zk.HostProvider.
func (h *hosts) Len() int { return len(h.servers) }

// Next is the method of zk.HostProvider.
func (h *hosts) Next() (server string, retryStart bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	server = h.servers[h.next%len(h.servers)]
	h.next++
	retryStart = h.failed > 0 && h.failed%len(h.servers) == 0
	h.failed++
	return server, retryStart
}

// Connected is the method of zk.HostProvider.
func (h *hosts) Connected() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed = 0
}

// quiet takes what the library logs: it says nothing that the source does not say itself.
type quiet struct{ log *slog.Logger }

// Printf is the method of zk.Logger.
func (q quiet) Printf(format string, args ...any) {
	q.log.Debug("ZooKeeper client: " + fmt.Sprintf(format, args...))
}
