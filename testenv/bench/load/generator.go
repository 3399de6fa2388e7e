package load

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

type operation uint8

const (
	opMixed operation = iota
	opGet
	opSet
)

// generator drives the clients of one Spec.
type generator struct {
	spec    Spec
	op      operation
	epoll   int
	timer   int // timerfd: when the next request of the open loop is due
	events  []unix.EpollEvent
	clients []*client
	start   time.Time

	ok      int64
	errors  map[string]int
	latency histogram
	now     int64 // the clock's last reading
}

// open connects all clients and writes every key once, so that a GET always finds the value that it must.
func open(spec Spec) (_ *generator, err error) {
	g := &generator{spec: spec, epoll: -1, timer: -1, start: time.Now(), events: make([]unix.EpollEvent, 128)}
	defer func() {
		if err != nil {
			g.close()
		}
	}()
	switch spec.Op {
	case "mixed":
	case "get":
		g.op = opGet
	case "set":
		g.op = opSet
	default:
		return nil, fmt.Errorf("unknown operation %q: use get, set or mixed", spec.Op)
	}
	if spec.Size < 32 || spec.Size > 4096 || spec.Pipeline < 1 || spec.Pipeline > 512 || spec.Clients < 1 {
		return nil, fmt.Errorf("size %d, pipeline %d or clients %d is out of range", spec.Size, spec.Pipeline, spec.Clients)
	}
	if g.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if g.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return nil, fmt.Errorf("timerfd: %w", err)
	}
	if err := unix.EpollCtl(g.epoll, unix.EPOLL_CTL_ADD, g.timer, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: -1}); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	for i := range spec.Clients {
		c := newClient(spec, i)
		g.clients = append(g.clients, c)
		if c.fd, err = dial(spec.Addr); err != nil {
			return nil, err
		}
		if err := unix.EpollCtl(g.epoll, unix.EPOLL_CTL_ADD, c.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}); err != nil {
			return nil, fmt.Errorf("epoll: %w", err)
		}
	}
	return g, g.preload()
}

func (g *generator) preload() error {
	g.reset()
	for i, c := range g.clients {
		for range keysPerClient {
			c.push(opSet, g.clock())
		}
		if err := g.send(i); err != nil {
			return err
		}
	}
	if err := g.drain(); err != nil {
		return fmt.Errorf("write the keys: %w", err)
	}
	if want := int64(len(g.clients) * keysPerClient); g.ok != want {
		return fmt.Errorf("write the keys: %d of %d were answered right, errors %v", g.ok, want, g.errors)
	}
	return nil
}

// dial connects and makes the socket non-blocking, without Nagle's delay.
func dial(addr string) (int, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil || !ap.Addr().Is4() {
		return -1, fmt.Errorf("address %q: use an IPv4 address and a port", addr)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: ap.Addr().As4(), Port: int(ap.Port())}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("connect to %s: %w", addr, err)
	}
	if err := errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1), unix.SetNonblock(fd, true)); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("set up the socket: %w", err)
	}
	return fd, nil
}

func (g *generator) close() {
	for _, c := range g.clients {
		if c.fd >= 0 {
			unix.Close(c.fd)
		}
	}
	for _, fd := range []int{g.timer, g.epoll} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

func (g *generator) clock() int64 { return int64(time.Since(g.start)) }

func (g *generator) reset() {
	g.ok, g.errors = 0, nil
	g.latency.reset()
}

// closedLoop lets every client send a whole pipeline as soon as it has all replies of the last one, until the deadline.
func (g *generator) closedLoop(deadline int64) error {
	fill := func(i int) error {
		c := g.clients[i]
		for range g.spec.Pipeline {
			c.push(g.op, g.now)
		}
		return g.send(i)
	}
	g.now = g.clock()
	for i := range g.clients {
		if err := fill(i); err != nil {
			return err
		}
	}
	for g.now < deadline {
		if err := g.poll(func(i int) error {
			if g.clients[i].inFlight() == 0 && g.now < deadline {
				return fill(i)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return g.drain()
}

// openLoop sends pipelines at a fixed rate whatever the replies do, each on the next client. Latency counts from when a
// request was due, so that a stall shows in every request that had to wait for its end.
func (g *generator) openLoop(start, deadline int64, rate float64) error {
	if rate <= 0 {
		return fmt.Errorf("rate %v is not positive", rate)
	}
	depth := g.spec.Pipeline
	gap := 1e9 / rate * float64(depth)
	none := func(int) error { return nil }
	for n := 0; ; {
		g.now = g.clock()
		due := start + int64(float64(n)*gap)
		for ; due <= g.now && due < deadline; due = start + int64(float64(n)*gap) {
			i := n % len(g.clients)
			c := g.clients[i]
			if c.inFlight()+depth > ringSize {
				return fmt.Errorf("client %d has %d requests unanswered: %v/s is more than it can take", i, c.inFlight(), rate)
			}
			for range depth {
				c.push(g.op, due)
			}
			if err := g.send(i); err != nil {
				return err
			}
			n++
		}
		if due >= deadline {
			return g.drain()
		}
		wait := unix.NsecToTimespec(max(due-g.clock(), 1))
		if err := unix.TimerfdSettime(g.timer, 0, &unix.ItimerSpec{Value: wait}, nil); err != nil {
			return fmt.Errorf("timerfd: %w", err)
		}
		if err := g.poll(none); err != nil {
			return err
		}
	}
}

// drain waits until every request is answered.
func (g *generator) drain() error {
	for {
		busy := 0
		for _, c := range g.clients {
			busy += c.inFlight()
		}
		if busy == 0 {
			return nil
		}
		if err := g.poll(func(int) error { return nil }); err != nil {
			return err
		}
	}
}

// poll waits for events once, verifies what came and calls then for each client that was ready.
func (g *generator) poll(then func(i int) error) error {
	n, err := unix.EpollWait(g.epoll, g.events, int(stall/time.Millisecond))
	switch {
	case errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return fmt.Errorf("epoll: %w", err)
	case n == 0:
		return fmt.Errorf("no reply for %v", stall)
	}
	g.now = g.clock()
	for _, ev := range g.events[:n] {
		if ev.Fd < 0 {
			var ticks [8]byte
			_, _ = unix.Read(g.timer, ticks[:])
			continue
		}
		if err := g.serve(int(ev.Fd), ev.Events, then); err != nil {
			return fmt.Errorf("client %d: %w", ev.Fd, err)
		}
	}
	return nil
}

func (g *generator) serve(i int, ready uint32, then func(i int) error) error {
	c := g.clients[i]
	if ready&unix.EPOLLOUT != 0 {
		if err := g.send(i); err != nil {
			return err
		}
	}
	if ready&^unix.EPOLLOUT != 0 {
		if err := c.receive(); err != nil {
			return err
		}
		g.now = g.clock() // for each client: with many ready at once, the last would seem faster than it is
		if err := c.verify(g.count); err != nil {
			return err
		}
	}
	return then(i)
}

// count books one reply.
func (g *generator) count(p *pending, errText []byte) {
	if errText != nil {
		if g.errors == nil {
			g.errors = make(map[string]int)
		}
		word, _, _ := bytes.Cut(errText, []byte(" "))
		g.errors[string(word)]++
		return
	}
	g.ok++
	g.latency.add(g.now - p.due)
}

// send writes what a client has to say and watches the socket if it does not take all.
func (g *generator) send(i int) error {
	c := g.clients[i]
	left, err := c.flush()
	if err != nil || left == c.watched {
		return err
	}
	c.watched = left
	events := uint32(unix.EPOLLIN)
	if left {
		events |= unix.EPOLLOUT
	}
	if err := unix.EpollCtl(g.epoll, unix.EPOLL_CTL_MOD, c.fd, &unix.EpollEvent{Events: events, Fd: int32(i)}); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}
