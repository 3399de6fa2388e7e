package server

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// FreeAddr returns 127.0.0.1 with a TCP port that nobody listens on and that no other process of this test environment
// gets before the test ends, so that a server can go away and come back on it.
func FreeAddr(t TB) string {
	t.Helper()
	return "127.0.0.1:" + strconv.Itoa(freePort(t))
}

// freePort reserves a port. Ports come from below the kernel's range for outgoing connections: one of those could take
// the port while its server is down.
func freePort(t TB) int {
	t.Helper()
	dir := filepath.Join(root(), "ports")
	if _, err := runFolder(); err != nil {
		t.Fatalf("make the run folder: %v", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatalf("make the folder of reserved ports: %v", err)
	}
	const low = 10000
	high := ephemeralLow()
	for range 2000 {
		port := low + rand.IntN(high-low)
		lock, err := lockFile(filepath.Join(dir, strconv.Itoa(port)))
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			lock.Close()
			continue
		}
		l.Close()
		t.Cleanup(func() { lock.Close() })
		return port
	}
	t.Fatalf("no free TCP port between %d and %d", low, high)
	return 0
}

// ephemeralLow returns the first port that the kernel gives to outgoing connections.
func ephemeralLow() int {
	const usual = 32768
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return usual
	}
	if f := strings.Fields(string(b)); len(f) == 2 {
		if n, err := strconv.Atoi(f[0]); err == nil && n >= 12000 {
			return n
		}
	}
	return usual
}

// lockFile opens path and locks it until it is closed or this process ends. It fails when another open file has the
// lock. Children do not keep it: Go opens files close-on-exec.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}
