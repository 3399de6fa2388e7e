//go:build linux

package loop

import (
	"net"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const maxEvents = 256

// poller waits for file descriptors with epoll, level-triggered: a handler need not read everything at once.
type poller struct {
	epfd   int
	wakefd int
	byFD   []*Conn // index: file descriptor
	n      int
	events [maxEvents]unix.EpollEvent
}

func (p *poller) open() error {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	wakefd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(epfd)
		return os.NewSyscallError("eventfd", err)
	}
	p.epfd, p.wakefd = epfd, wakefd
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(wakefd)}
	if err := unix.EpollCtl(epfd, unix.EPOLL_CTL_ADD, wakefd, &ev); err != nil {
		p.close()
		return os.NewSyscallError("epoll_ctl", err)
	}
	return nil
}

func (p *poller) close() {
	_ = unix.Close(p.epfd)
	_ = unix.Close(p.wakefd)
}

func (p *poller) wake() {
	one := [8]byte{1}
	_, _ = unix.Write(p.wakefd, one[:])
}

// poll waits up to ms milliseconds (-1: for ever) and returns the number of events, which Loop.events then reacts to.
func (p *poller) poll(ms int) int {
	var n int
	if ms == 0 {
		// It cannot block, so the scheduler need not be told.
		r, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epfd), uintptr(unsafe.Pointer(&p.events[0])), maxEvents, 0, 0, 0)
		if e == 0 {
			n = int(r)
		}
	} else {
		n, _ = unix.EpollWait(p.epfd, p.events[:], ms)
	}
	p.n = max(n, 0)
	return p.n
}

// events reacts to what poll found. The generation of a Desc is never 0.
func (l *Loop) events() {
	p := &l.poll
	for i := range p.n {
		ev := &p.events[i]
		if int(ev.Fd) == p.wakefd {
			var b [8]byte
			_, _ = unix.Read(p.wakefd, b[:])
			continue
		}
		if ev.Pad != 0 {
			l.descEvent(ev)
			continue
		}
		if c := p.byFD[ev.Fd]; c != nil && c.state&stClosed == 0 {
			l.event(c, ev.Events)
		}
	}
	p.n = 0
}

// adopt duplicates the descriptor of a plain TCP or unix connection; -1 means that nc cannot be polled.
func (p *poller) adopt(nc net.Conn) (int, error) {
	var sc syscall.Conn
	switch t := nc.(type) {
	case *net.TCPConn:
		sc = t
	case *net.UnixConn:
		sc = t
	default:
		return -1, nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	var dupErr error
	err = raw.Control(func(s uintptr) {
		fd, dupErr = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err == nil {
		err = dupErr
	}
	return fd, err
}

// start makes the loop watch the connection.
func (c *Conn) start() error {
	c.state |= stStarted
	if c.net != nil {
		c.net.start(c)
		return nil
	}
	p := &c.loop.poll
	for c.fd >= len(p.byFD) {
		p.byFD = append(p.byFD, make([]*Conn, max(64, len(p.byFD)))...)
	}
	p.byFD[c.fd] = c
	var events uint32
	if c.state&stPaused == 0 {
		c.state |= stReadable
		events = unix.EPOLLIN
	}
	ev := unix.EpollEvent{Events: events, Fd: int32(c.fd)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.epfd, unix.EPOLL_CTL_ADD, c.fd, &ev))
}

// watch brings what epoll watches in line with the connection's state.
func (c *Conn) watch() error {
	if c.net != nil {
		c.net.watch(c)
		return nil
	}
	read := c.state&(stPaused|stEOF) == 0
	write := c.Pending() > 0
	if read == (c.state&stReadable != 0) && write == (c.state&stWriting != 0) {
		return nil
	}
	c.state &^= stReadable | stWriting
	var events uint32
	if read {
		events |= unix.EPOLLIN
		c.state |= stReadable
	}
	if write {
		events |= unix.EPOLLOUT
		c.state |= stWriting
	}
	ev := unix.EpollEvent{Events: events, Fd: int32(c.fd)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(c.loop.poll.epfd, unix.EPOLL_CTL_MOD, c.fd, &ev))
}

func (p *poller) remove(c *Conn) {
	if c.fd < 0 {
		return
	}
	if c.fd < len(p.byFD) && p.byFD[c.fd] == c {
		p.byFD[c.fd] = nil
	}
	if c.state&stAbort != 0 {
		_ = unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	_ = unix.Close(c.fd)
	c.fd = -1
}

const hangup = unix.EPOLLHUP | unix.EPOLLERR

// event reacts to one polled connection.
func (l *Loop) event(c *Conn, events uint32) {
	if events&(unix.EPOLLOUT|hangup) != 0 && c.Pending() > 0 {
		c.flush()
		c.touch()
	}
	if c.state&stClosed != 0 {
		return
	}
	if c.state&(stEOF|stPaused) != 0 {
		// Nothing is asked for, so this is a peer that is gone for good; it would be reported for ever.
		if events&hangup != 0 {
			c.fail(c.socketError())
		}
		return
	}
	if events&(unix.EPOLLIN|hangup) == 0 {
		return
	}
	n, errno := rawRead(c.fd, l.scratch)
	switch {
	case n > 0:
		c.deliver(l.scratch[:n])
	case n == 0:
		c.eof()
	case errno != unix.EAGAIN && errno != unix.EINTR:
		c.fail(os.NewSyscallError("read", errno))
	}
}

// waiting returns how many bytes the system holds for the connection.
func (c *Conn) waiting() int {
	if c.net != nil {
		return 0
	}
	n, err := unix.IoctlGetInt(c.fd, unix.TIOCINQ)
	if err != nil {
		return 0
	}
	return n
}

func (c *Conn) socketError() error {
	v, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil || v == 0 {
		return err
	}
	return os.NewSyscallError("read", syscall.Errno(v))
}

// flush writes what the system takes now.
func (c *Conn) flush() {
	if c.net != nil {
		c.net.flush(c)
		return
	}
	for c.sent < len(c.out) {
		n, errno := rawWrite(c.fd, c.out[c.sent:])
		if n > 0 {
			c.wrote(n)
		}
		switch {
		case errno == unix.EINTR || errno == 0 && n > 0 && c.sent < len(c.out):
			continue
		case errno == unix.EAGAIN || errno == 0:
			return
		}
		c.fail(os.NewSyscallError("write", errno))
		return
	}
}

// The descriptors never block, so the calls need not tell the scheduler that they might. They are sockets: recv and send
// spare what read and write do for files.

func rawRead(fd int, b []byte) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0, 0, 0)
	if e != 0 {
		return -1, e
	}
	return int(n), 0
}

func rawWrite(fd int, b []byte) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
	if e != 0 {
		return -1, e
	}
	return int(n), 0
}
