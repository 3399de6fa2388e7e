package stages

import (
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// late is an address at which nobody accepts connections until it is opened. Its queue is as short as can be and full, so that
// the system drops what asks for a connection; who asks tries again after a second.
type late struct {
	addr   string
	target string
	once   sync.Once
	l      net.Listener
	all    sync.WaitGroup
	mu     sync.Mutex
	conns  []net.Conn
}

func listenLate(t *testing.T, target string) *late {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "late")
	defer f.Close()
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	p := &late{addr: "127.0.0.1:" + strconv.Itoa(sa.(*unix.SockaddrInet4).Port), target: target}
	filler, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	if p.l, err = net.FileListener(f); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		filler.Close()
		p.l.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		p.all.Wait()
	})
	return p
}

// open makes it an address like any other.
func (p *late) open() {
	p.once.Do(func() {
		p.all.Go(func() {
			for {
				c, err := p.l.Accept()
				if err != nil {
					return
				}
				p.all.Go(func() { p.pass(c) })
			}
		})
	})
}

func (p *late) pass(c net.Conn) {
	s, err := net.Dial("tcp", p.target)
	if err != nil {
		c.Close()
		return
	}
	p.mu.Lock()
	p.conns = append(p.conns, c, s)
	p.mu.Unlock()
	over := func() {
		c.Close()
		s.Close()
	}
	p.all.Go(func() {
		_, _ = io.Copy(s, c)
		over()
	})
	_, _ = io.Copy(c, s)
	over()
}
