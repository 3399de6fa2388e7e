package cluster

import (
	"context"
	"net"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-mesh/sluice/resources"
)

// The first packet of a connection is lost. The kernel repeats it after a second, which is all the time there is; the agent is
// connected well before.
func TestLostSYN(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil { // packets that find it full are dropped
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := "127.0.0.1:" + strconv.Itoa(name.(*unix.SockaddrInet4).Port)
	var full []net.Conn
	defer func() {
		for _, c := range full {
			c.Close()
		}
	}()
	for {
		c, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err != nil {
			break
		}
		if full = append(full, c); len(full) > 100 {
			t.Fatal("connections are not dropped")
		}
	}
	c, ep := dialRig(t, address, func(s *resources.Spec) { s.Policy.ConnectTimeout = resources.Duration(time.Second) }, nil)
	room := time.AfterFunc(200*time.Millisecond, func() {
		for {
			conn, _, err := unix.Accept(fd)
			if err != nil {
				return
			}
			unix.Close(conn)
		}
	})
	defer room.Stop()
	defer unix.Shutdown(fd, unix.SHUT_RDWR) // ends Accept
	conn, fault := c.Dial(context.Background(), ep)
	if fault != nil {
		t.Fatal(fault)
	}
	conn.Close()
}
