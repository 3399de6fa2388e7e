package listen

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv("LISTEN_TEST_CHILD") == "files" {
		childWithoutFiles()
		return
	}
	goleak.VerifyTestMain(m)
}

// greet answers each connection with one line and closes it.
func greet(c net.Conn) {
	io.WriteString(c, "hello\n")
	c.Close()
}

func open(t *testing.T, address string, o Options) *Listener {
	t.Helper()
	l, err := Open(address, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func line(t *testing.T, network, address string) string {
	t.Helper()
	c, err := net.DialTimeout(network, address, 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	s, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return s
}

func TestHandlerIsReplacedWhileItAccepts(t *testing.T) {
	l := open(t, "127.0.0.1:0", Options{})
	l.Handle(greet, nil)
	l.Start()
	if got := line(t, "tcp", l.Addr().String()); got != "hello\n" {
		t.Fatalf("got %q", got)
	}
	l.Handle(func(c net.Conn) { io.WriteString(c, "new\n"); c.Close() }, nil)
	if got := line(t, "tcp", l.Addr().String()); got != "new\n" {
		t.Fatalf("after the change: got %q", got)
	}
	l.Close()
	if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Fatal("a closed listener still accepts")
	}
}

func TestAddressInUseSaysSo(t *testing.T) {
	l := open(t, "127.0.0.1:0", Options{})
	_, err := Open(l.Addr().String(), Options{})
	if err == nil || !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Fatalf("error %v", err)
	}
}

func TestUnixSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s.sock")

	// A crash leaves the file behind.
	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	stale.Close()

	l := open(t, "unix:"+path, Options{Mode: 0o600})
	l.Handle(greet, nil)
	l.Start()
	if got := line(t, "unix", path); got != "hello\n" {
		t.Fatalf("got %q", got)
	}
	if st, _ := os.Stat(path); st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", st.Mode().Perm())
	}
	if _, err := Open("unix:"+path, Options{}); !errors.Is(err, errLive) {
		t.Errorf("a second listener: %v, want %v", err, errLive)
	}
	l.Close()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("Close left the socket: %v", err)
	}
}

func TestUnixSocketOfASuccessorStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	l := open(t, "unix:"+path, Options{})
	os.Remove(path)
	next := open(t, "unix:"+path, Options{})
	next.Handle(greet, nil)
	next.Start()
	l.Close()
	if got := line(t, "unix", path); got != "hello\n" {
		t.Fatalf("the successor's socket is gone: %q", got)
	}
}

func TestUnixPathThatIsNoSocketIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	os.WriteFile(path, []byte("x"), 0o600)
	if _, err := Open("unix:"+path, Options{}); err == nil || !strings.Contains(err.Error(), "regular file") {
		t.Fatalf("error %v", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal("the file was removed")
	}
	long := "unix:/" + strings.Repeat("a", 120)
	if _, err := Open(long, Options{}); err == nil || !strings.Contains(err.Error(), "107") {
		t.Fatalf("error %v", err)
	}
}

// failing is a listener whose accept fails with err until it is closed or heals.
type failing struct {
	net.Listener
	err     error
	healthy atomic.Bool
	calls   atomic.Int64
}

func (f *failing) Accept() (net.Conn, error) {
	f.calls.Add(1)
	if !f.healthy.Load() {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", f.err)}
	}
	return f.Listener.Accept()
}

func TestAcceptErrorsDoNotSpin(t *testing.T) {
	for _, injected := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.EPERM} {
		t.Run(injected.Error(), func(t *testing.T) {
			t.Parallel()
			inner, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var logged lockedBuilder
			f := &failing{Listener: inner, err: injected}
			l := newListener("test", f, func() {}, Options{Rate: DefaultRate, Log: slog.New(slog.NewTextHandler(&logged, nil))})
			l.Handle(greet, nil)
			l.Start()
			defer l.Close()

			// 5+10+20+40+80+160 ms: six waits take 315 ms. A loop that spins makes thousands of calls in that time.
			start := time.Now()
			for f.calls.Load() < 6 {
				if time.Since(start) > 5*time.Second {
					t.Fatal("the loop gave up")
				}
				time.Sleep(time.Millisecond)
			}
			if took := time.Since(start); took < 140*time.Millisecond {
				t.Errorf("six calls of accept in %v: no back-off", took)
			}
			if n := strings.Count(logged.String(), "cannot accept"); n != 1 {
				t.Errorf("%d log lines, want 1:\n%s", n, logged.String())
			}
			f.healthy.Store(true)
			if got := line(t, "tcp", inner.Addr().String()); got != "hello\n" {
				t.Fatalf("after the fault: %q", got)
			}
		})
	}
}

type lockedBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuilder) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuilder) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestOutOfFilesShedsAndRecovers runs childWithoutFiles, which has 40 descriptors, and opens more connections than that.
func TestOutOfFilesShedsAndRecovers(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LISTEN_TEST_CHILD=files")
	stdin, _ := cmd.StdinPipe()
	stdout, _ := cmd.StdoutPipe()
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer stdin.Close()
	out := bufio.NewReader(stdout)
	address, err := out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address = strings.TrimSpace(address)

	var conns []net.Conn
	refused := 0
	for i := range 120 {
		c, err := net.DialTimeout("tcp", address, 5*time.Second)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		conns = append(conns, c)
	}
	for _, c := range conns {
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := bufio.NewReader(c).ReadString('\n'); err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				t.Fatal("a client hangs in the backlog")
			}
			refused++
		}
	}
	if refused == 0 || refused > 115 {
		t.Fatalf("%d of 120 were shed: want some, and the others served", refused)
	}
	for _, c := range conns {
		c.Close()
	}
	fmt.Fprintln(stdin, "release") // the child closes what it holds
	released, _ := out.ReadString('\n')
	if !strings.HasPrefix(released, "released") {
		t.Fatalf("child says %q", released)
	}
	// One round of shedding may still be under way; after it, everybody is served.
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(io.LimitReader(c, 6))
		c.Close()
		if string(got) == "hello\n" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody is served after the fault")
		}
	}
}

// childWithoutFiles greets and holds connections with a limit of 40 descriptors.
func childWithoutFiles() {
	limit := syscall.Rlimit{Cur: 40, Max: 40}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		panic(err)
	}
	l, err := Open("127.0.0.1:0", Options{})
	if err != nil {
		panic(err)
	}
	var mu sync.Mutex
	var held []net.Conn
	l.Handle(func(c net.Conn) {
		io.WriteString(c, "hello\n")
		mu.Lock()
		held = append(held, c)
		mu.Unlock()
	}, nil)
	l.Start()
	fmt.Println(l.Addr())
	in := bufio.NewReader(os.Stdin)
	in.ReadString('\n')
	mu.Lock()
	for _, c := range held {
		c.Close()
	}
	mu.Unlock()
	fmt.Println("released")
	in.ReadString('\n') // until the parent goes
	l.Close()
}

func TestBucketBoundsTheRate(t *testing.T) {
	b := newBucket(100)
	now := time.Unix(1000, 0)
	for i := range 100 {
		if w := b.take(now); w > 0 {
			t.Fatalf("token %d of the first second waits %v", i, w)
		}
	}
	if w := b.take(now); w != 10*time.Millisecond {
		t.Fatalf("token 101 waits %v, want 10ms", w)
	}
	if w := b.take(now.Add(time.Second)); w > 0 {
		t.Fatalf("a second later it waits %v", w)
	}
}

func TestInheritedSocketIsUsed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	in, err := inherit(fd, 1)
	if err != nil {
		t.Fatal(err)
	}
	l := open(t, address, Options{Inherited: in}) // binding it again would fail: the socket is open
	l.Handle(greet, nil)
	l.Start()
	if got := line(t, "tcp", address); got != "hello\n" {
		t.Fatalf("got %q", got)
	}
	if left := in.Close(); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestEnvironmentOfAnotherProcessIsIgnored(t *testing.T) {
	t.Setenv("LISTEN_PID", "1")
	t.Setenv("LISTEN_FDS", "3")
	in, err := FromEnvironment()
	if err != nil || in.Take("127.0.0.1:1") != nil {
		t.Fatalf("took a socket of another process: %v", err)
	}
	if os.Getenv("LISTEN_FDS") != "" {
		t.Error("LISTEN_FDS is left for children")
	}
}
