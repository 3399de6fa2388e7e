package fault

import (
	"fmt"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// portHolder is a TCP socket that is bound and never listens. While it exists the kernel gives its port to nobody
// else as a source port, connecting to it is refused, and, since both sides set SO_REUSEADDR, a listener may still
// open on it.
type portHolder struct {
	addr string
	fd   int
	once sync.Once
}

// holdPort binds addr, or a free port of 127.0.0.1 when addr is empty.
func holdPort(addr string) (*portHolder, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	ap, err := netip.ParseAddrPort(addr)
	if err != nil || !ap.Addr().Is4() {
		return nil, fmt.Errorf("listen address %q is neither IPV4:PORT nor unix:/path", addr)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	h := &portHolder{fd: fd}
	if err := h.bind(ap); err != nil {
		h.close()
		return nil, fmt.Errorf("hold %s: %w", addr, err)
	}
	return h, nil
}

func (h *portHolder) bind(ap netip.AddrPort) error {
	if err := unix.SetsockoptInt(h.fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if err := unix.Bind(h.fd, &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}); err != nil {
		return err
	}
	sa, err := unix.Getsockname(h.fd)
	if err != nil {
		return err
	}
	in, ok := sa.(*unix.SockaddrInet4)
	if !ok {
		return fmt.Errorf("unexpected socket address %T", sa)
	}
	h.addr = (&net.TCPAddr{IP: net.IP(in.Addr[:]), Port: in.Port}).String()
	return nil
}

// close gives the port back; a nil holder has none.
func (h *portHolder) close() {
	if h != nil {
		h.once.Do(func() { unix.Close(h.fd) })
	}
}
