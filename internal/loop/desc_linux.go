//go:build linux

package loop

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// EAGAIN is what Read and Write return when they would have to wait.
const EAGAIN = unix.EAGAIN

const descEvents = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET

func (d *Desc) watchOn(l *Loop) error {
	l.descs.set(d.fd, d)
	d.on.Store(l)
	return d.control(l, unix.EPOLL_CTL_ADD, descEvents)
}

// control tells epoll what to watch for. The generation tells this descriptor's events from those of another one that had
// its number before, which may be in the loop's hands already.
func (d *Desc) control(l *Loop, op int, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(d.fd), Pad: d.gen}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.poll.epfd, op, d.fd, &ev))
}

func (l *Loop) unwatch(d *Desc) { _ = d.control(l, unix.EPOLL_CTL_DEL, 0) }

// AwaitWrite asks to be told when the descriptor takes bytes again, after a Write that returned EAGAIN.
func (d *Desc) AwaitWrite() error {
	return d.control(d.on.Load(), unix.EPOLL_CTL_MOD, descEvents|unix.EPOLLOUT)
}

// Read reads what is there: 0 and no error at the end of the stream.
func (d *Desc) Read(b []byte) (int, error) {
	for {
		n, errno := rawRead(d.fd, b)
		switch errno {
		case 0:
			return n, nil
		case unix.EAGAIN:
			return 0, EAGAIN
		case unix.EINTR:
			continue
		}
		return 0, os.NewSyscallError("read", errno)
	}
}

// Write writes what the system takes now.
func (d *Desc) Write(b []byte) (int, error) {
	for {
		n, errno := rawWrite(d.fd, b)
		switch errno {
		case 0:
			return n, nil
		case unix.EAGAIN:
			return 0, EAGAIN
		case unix.EINTR:
			continue
		}
		return 0, os.NewSyscallError("write", errno)
	}
}

// Stirred reports whether there is something to read, be it the end. It does not touch what is there.
func (d *Desc) Stirred() bool {
	fds := [1]unix.PollFd{{Fd: int32(d.fd), Events: unix.POLLIN | unix.POLLRDHUP}}
	for {
		n, err := unix.Poll(fds[:], 0)
		if err != unix.EINTR {
			return n != 0 || err != nil
		}
	}
}

// Close closes the connection. OnReady may still run once, with what was on its way.
func (d *Desc) Close() {
	l := d.on.Swap(nil)
	if l == nil {
		return
	}
	l.descs.clear(d.fd, d)
	_ = unix.Close(d.fd)
}

// Disown gives the connection back as what it was before Own.
func (d *Desc) Disown() (net.Conn, error) {
	if l := d.on.Swap(nil); l != nil {
		l.descs.clear(d.fd, d)
		l.unwatch(d)
	}
	f := os.NewFile(uintptr(d.fd), "socket")
	defer func() { _ = f.Close() }()
	return net.FileConn(f)
}

// descEvent passes an event on to the descriptor's owner.
func (l *Loop) descEvent(ev *unix.EpollEvent) {
	d := l.descs.get(ev.Fd)
	if d == nil || d.gen != ev.Pad {
		return
	}
	var r Ready
	if ev.Events&unix.EPOLLIN != 0 {
		r |= Readable
	}
	if ev.Events&unix.EPOLLOUT != 0 {
		r |= Writable
	}
	if ev.Events&(unix.EPOLLRDHUP|hangup) != 0 {
		r |= Readable | Hangup
	}
	if ev.Events&hangup != 0 {
		r |= Writable
	}
	d.h.OnReady(l, r)
}
