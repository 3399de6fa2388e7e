package listen

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// firstInherited is the number of the first descriptor that a service manager passes (sd_listen_fds(3)).
const firstInherited = 3

// Inherited holds the listening sockets that a service manager (systemd) opened for this process. A listener whose
// address equals that of such a socket uses it instead of binding. A nil *Inherited holds none.
type Inherited struct {
	mu  sync.Mutex
	lns map[string]net.Listener // by address as config writes it
}

// FromEnvironment takes the sockets that LISTEN_PID and LISTEN_FDS announce, and clears these variables, so that
// children do not take them for their own. Without them it returns an empty set.
func FromEnvironment() (*Inherited, error) {
	pid, n := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS")
	for _, v := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		os.Unsetenv(v)
	}
	if pid != strconv.Itoa(os.Getpid()) {
		return &Inherited{}, nil
	}
	count, err := strconv.Atoi(n)
	if err != nil || count < 0 {
		return nil, fmt.Errorf("LISTEN_FDS is %q: it must be a number of sockets", n)
	}
	return inherit(firstInherited, count)
}

func inherit(first, count int) (*Inherited, error) {
	in := &Inherited{lns: make(map[string]net.Listener, count)}
	for fd := first; fd < first+count; fd++ {
		syscall.CloseOnExec(fd)
		f := os.NewFile(uintptr(fd), "inherited-"+strconv.Itoa(fd))
		ln, err := net.FileListener(f) // duplicates the descriptor
		f.Close()
		if err != nil {
			in.Close()
			return nil, fmt.Errorf("inherited descriptor %d is not a listening socket: %w", fd, err)
		}
		in.lns[addressOf(ln.Addr())] = ln
	}
	return in, nil
}

// addressOf writes an address as config does.
func addressOf(a net.Addr) string {
	if a.Network() == "unix" {
		return "unix:" + a.String()
	}
	return a.String()
}

// Take returns the socket bound to address and forgets it, or nil.
func (in *Inherited) Take(address string) net.Listener {
	if in == nil {
		return nil
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, a := range spellings(address) {
		if ln, ok := in.lns[a]; ok {
			delete(in.lns, a)
			return ln
		}
	}
	return nil
}

// spellings returns the ways in which the system may write address: a wildcard host has several.
func spellings(address string) []string {
	if host, port, err := net.SplitHostPort(address); err == nil && !strings.HasPrefix(address, "unix:") {
		switch host {
		case "", "::", "0.0.0.0", "*":
			return []string{"[::]:" + port, "0.0.0.0:" + port}
		case "localhost":
			return []string{"127.0.0.1:" + port, "[::1]:" + port}
		}
	}
	return []string{address}
}

// Close closes the sockets that nobody took and returns their addresses, so that the owner can say so.
func (in *Inherited) Close() []string {
	if in == nil {
		return nil
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	var unused []string
	for a, ln := range in.lns {
		ln.Close()
		unused = append(unused, a)
	}
	in.lns = nil
	return unused
}
