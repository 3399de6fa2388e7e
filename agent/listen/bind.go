package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// maxUnixPath is the longest path that a unix socket address holds on Linux (sun_path, with its final 0).
const maxUnixPath = 107

// bind opens the socket of an address, or takes it from the inherited ones. The second result removes what the socket
// left in the file system.
func bind(address string, o *Options) (net.Listener, func(), error) {
	if ln := o.Inherited.Take(address); ln != nil {
		return ln, func() {}, nil
	}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return bindUnix(address, path, o)
	}
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, nil, errInUse(address, syscall.EADDRINUSE)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("listen on %s: %w", address, explained(err))
	}
	return ln, func() {}, nil
}

// explained is what the system said about an address that was named already, with what it means.
func explained(err error) error {
	var no syscall.Errno
	switch {
	case !errors.As(err, &no):
		return err
	case no == syscall.EADDRNOTAVAIL:
		return fmt.Errorf("%w (no interface of this machine has it)", no)
	case no == syscall.EACCES:
		return fmt.Errorf("%w (ports below 1024 need CAP_NET_BIND_SERVICE, or sockets handed over by systemd)", no)
	}
	return no
}

func bindUnix(address, path string, o *Options) (net.Listener, func(), error) {
	if len(path) > maxUnixPath {
		return nil, nil, fmt.Errorf("listen on %s: the path has %d bytes, a unix socket's may have %d", address, len(path), maxUnixPath)
	}
	if err := removeStale(address, path); err != nil {
		return nil, nil, err
	}
	ln, err := net.Listen("unix", path)
	var no syscall.Errno
	switch dir := filepath.Dir(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, fmt.Errorf("listen on %s: there is no folder %s: %w", address, dir, syscall.ENOENT)
	case errors.Is(err, fs.ErrPermission):
		return nil, nil, fmt.Errorf("listen on %s: may not write to the folder %s: %w", address, dir, syscall.EACCES)
	case errors.As(err, &no):
		return nil, nil, fmt.Errorf("listen on %s: %w", address, no)
	case err != nil:
		return nil, nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	if o.Mode != 0 {
		if err := os.Chmod(path, fs.FileMode(o.Mode)); err != nil {
			ln.Close()
			return nil, nil, fmt.Errorf("listen on %s: %w", address, err)
		}
	}
	made, err := os.Stat(path)
	if err != nil {
		ln.Close()
		return nil, nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return ln, func() { removeOwn(path, made) }, nil
}

// removeStale removes the file of a socket that nobody listens on any more, as a crash leaves it.
func removeStale(address, path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listen on %s: %w", address, err)
	}
	if st.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("listen on %s: the path is a %s, not a socket: choose another path or remove it", address, kindOf(st.Mode()))
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
		return errInUse(address, errLive)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("listen on %s: cannot tell whether the socket is in use: %w", address, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("listen on %s: remove the stale socket: %w", address, err)
	}
	return nil
}

// removeOwn removes path if it is still the socket that was made: a successor may have put its own there.
func removeOwn(path string, made fs.FileInfo) {
	now, err := os.Stat(path)
	if err == nil && os.SameFile(made, now) {
		os.Remove(path)
	}
}

func kindOf(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "directory"
	case m.IsRegular():
		return "regular file"
	}
	return "special file"
}

// Bind opens address for a server that accepts by itself, as Open does for a Listener. Closing it removes what Open's
// Close would.
func Bind(address string, o Options) (net.Listener, error) {
	ln, remove, err := bind(address, &o)
	if err != nil {
		return nil, err
	}
	return &plain{ln, remove}, nil
}

type plain struct {
	net.Listener
	remove func()
}

func (p *plain) Close() error {
	p.remove()
	return p.Listener.Close()
}
