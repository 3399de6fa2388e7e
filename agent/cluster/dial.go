package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

// checkAddress says what is wrong with an address.
func checkAddress(a string) error {
	if path, ok := strings.CutPrefix(a, "unix:"); ok {
		if path == "" {
			return errors.New("endpoint unix: has no path: write unix:/path")
		}
		return nil
	}
	host, port, err := net.SplitHostPort(a)
	if err != nil || host == "" || port == "" {
		return fmt.Errorf("endpoint %q is no address: write host:port or unix:/path", a)
	}
	return nil
}

// dialer holds the caps on new connections to one member: a rate, kept as the time at which the next one is due, and a
// number that may be unfinished at once.
type dialer struct {
	mu    sync.Mutex
	due   int64         // when a connection is due if all before it went at the full rate
	open  int           // unfinished
	freed chan struct{} // closed and replaced when one finishes while others wait; nil: nobody waits

	failedAt int64         // when connecting last failed
	why      error         // nil: it worked since then
	broken   chan struct{} // closed and replaced when connecting fails; nil: nobody asked for it
}

// failureHolds is how long a failure to connect speaks for those who come after it, in ns.
const failureHolds = int64(50 * time.Millisecond)

// failure returns what is closed when connecting fails next, and why it failed a moment before now, nil when it did not.
func (d *dialer) failure(now int64) (next <-chan struct{}, why error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken == nil {
		d.broken = make(chan struct{})
	}
	if d.why != nil && now-d.failedAt < failureHolds {
		why = d.why
	}
	return d.broken, why
}

// failed tells those who wait for their turn, and those who come soon, why connecting failed.
func (d *dialer) failed(now int64, why string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failedAt, d.why = now, errors.New(why)
	if d.broken != nil {
		close(d.broken)
		d.broken = nil
	}
}

func (d *dialer) worked() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.why = nil
}

// reserve takes the next turn of the rate and returns how long it is until then, in ns. A tenth of a second's worth
// may go at once.
func (d *dialer) reserve(now int64, rate float64) int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	gap := int64(1e9 / rate)
	burst := max(1, int64(rate/10))
	if earliest := now - (burst-1)*gap; d.due == 0 || d.due < earliest {
		d.due = earliest
	}
	wait := d.due - now
	d.due += gap
	return wait
}

// enter waits for a place among the unfinished ones.
func (d *dialer) enter(ctx context.Context, limit func() int) error {
	for {
		d.mu.Lock()
		if d.open < limit() {
			d.open++
			d.mu.Unlock()
			return nil
		}
		if d.freed == nil {
			d.freed = make(chan struct{})
		}
		freed := d.freed
		d.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-freed:
		}
	}
}

func (d *dialer) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open--
	if d.freed != nil {
		close(d.freed)
		d.freed = nil
	}
}

// Dial opens a connection to an endpoint: it waits for its turn under the caps, resolves, connects, and does the TLS
// handshake unless the driver does. The whole, but for the handshake, must end within the connect timeout, and all of it within ctx. A
// failure that is not the caller's doing counts against the endpoint, and speaks for those who wait for their turn and
// who come right after it, so that calls to a server that is gone do not queue. An endpoint that is no member, such as
// a sentinel that a topology asks, has neither caps nor health.
func (c *Cluster) Dial(ctx context.Context, ep *resources.Endpoint) (net.Conn, *resources.Fault) {
	m := Of(ep)
	if checks := ctx.Value(ofProbe{}) != nil && m != nil; ep.Gone() && !checks {
		return nil, c.fault(ep, "it is no longer part of the resource")
	}
	c.mu.Lock()
	timeout, caps, secure := c.policy.ConnectTimeout.D(), c.policy.Dials, c.tls
	c.mu.Unlock()

	connect, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if m != nil {
		if err := m.turn(connect, c.now(), caps); err != nil {
			return nil, c.fault(ep, err.Error())
		}
		defer m.dial.leave()
	}
	conn, err := c.connect(connect, ep.Address)
	if m != nil && ctx.Err() == nil {
		c.noteListener(ctx, m, err)
	}
	if err == nil && secure != nil && !c.negotiates {
		conn, err = handshake(ctx, conn, secure.forAddress(ep.Address))
	}
	if err == nil {
		if m != nil {
			m.dial.worked()
		}
		return conn, nil
	}
	why := plainError(err)
	if errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
		why = "no connection within " + timeout.String()
	}
	if m != nil && (ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded)) {
		m.dial.failed(c.now(), why)
		m.fail(c.now())
	}
	return nil, c.fault(ep, why)
}

// ClientTLS returns the TLS configuration for an endpoint; nil when there is none.
func (c *Cluster) ClientTLS(ep *resources.Endpoint) *tls.Config {
	c.mu.Lock()
	secure := c.tls
	c.mu.Unlock()
	if secure == nil {
		return nil
	}
	return secure.forAddress(ep.Address)
}

func (c *Cluster) fault(ep *resources.Endpoint, what string) *resources.Fault {
	return resources.NewFault(resources.Unavailable, resources.FromUpstream, c.resource, "cannot connect to "+ep.Address+": "+what)
}

var errNoTurn = errors.New("no turn to connect within the connect timeout (policy.dials)")

// turn waits until a new connection may be begun; the error says why it may not. Those who give up waiting have still
// used up their turn, so that a crowd that comes again and again does not go faster than one that waits.
func (m *Member) turn(ctx context.Context, now int64, caps resources.DialPolicy) error {
	broken, err := m.dial.failure(now)
	if err != nil {
		return err
	}
	if wait := m.dial.reserve(now, max(float64(caps.Rate), 1)); wait > 0 {
		if at, ok := ctx.Deadline(); ok && time.Until(at) < time.Duration(wait) {
			return errNoTurn
		}
		t := time.NewTimer(time.Duration(wait))
		defer t.Stop()
		select {
		case <-ctx.Done():
			return errNoTurn
		case <-broken:
			if _, err := m.dial.failure(now); err != nil {
				return err
			}
			// It works again already. What is left of the turn's wait is not worth another timer.
		case <-t.C:
		}
	}
	if m.dial.enter(ctx, func() int { return max(1, caps.Concurrent) }) != nil {
		return errNoTurn
	}
	return nil
}

// connect opens the plain connection, trying a host's addresses in turn.
func (c *Cluster) connect(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return d.DialContext(ctx, "unix", path)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	ips, err := c.resolver.resolve(ctx, host, c.now())
	if err != nil {
		return nil, err
	}
	if len(ips) == 1 {
		// The kernel sends a SYN that was lost again after a second (RFC 6298), which is all the time there is by default:
		// one lost packet would be a server that cannot be reached. A second attempt sends its own.
		ips = []string{ips[0], ips[0]}
	}
	for i, ip := range ips {
		if i > 0 && ip == ips[i-1] && !isTimeout(err) {
			break // it has answered
		}
		// Each address but the last gets a part of the time that is left, so that a dead one does not use up all of
		// it.
		try, cancel := ctx, context.CancelFunc(func() {})
		if at, ok := ctx.Deadline(); ok && i < len(ips)-1 {
			try, cancel = context.WithTimeout(ctx, time.Until(at)/time.Duration(len(ips)-i))
		}
		var conn net.Conn
		conn, err = d.DialContext(try, "tcp", net.JoinHostPort(ip, port))
		cancel()
		if err == nil {
			return conn, nil
		}
	}
	c.resolver.doubt(host)
	return nil, err
}

func handshake(ctx context.Context, conn net.Conn, conf *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, resources.DefaultHandshakeTimeout)
	defer cancel()
	secure := tls.Client(conn, conf)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return secure, nil
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// plainError is the part of a network error that is not known already.
func plainError(err error) string {
	var no syscall.Errno
	if errors.As(err, &no) {
		return no.Error()
	}
	return strings.ReplaceAll(err.Error(), "\n", " ")
}
