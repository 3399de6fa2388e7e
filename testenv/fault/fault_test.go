package fault

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo starts a server that sends back what it gets, and half-closes when its client does.
func echo(t *testing.T, addr string) string {
	t.Helper()
	network, address := split(addr)
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	if network == "unix" {
		return addr
	}
	return l.Addr().String()
}

func tcpProxy(t *testing.T) *Proxy {
	t.Helper()
	return Start(t, Options{Target: echo(t, "127.0.0.1:0"), Seed: 1})
}

func dial(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	network, address := split(p.Addr)
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func send(t *testing.T, c net.Conn, b string) {
	t.Helper()
	if _, err := io.WriteString(c, b); err != nil {
		t.Fatal(err)
	}
}

// expect reads exactly want.
func expect(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(c, got)
	if err != nil || string(got) != want {
		t.Fatalf("read %q, %v, want %q", got[:n], err, want)
	}
}

// expectSilence fails if a byte or an end comes within 60 ms.
func expectSilence(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(60 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %d bytes, %v, want silence", n, err)
	}
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
}

func expectReset(t *testing.T, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("read %d bytes, %v, want a reset", n, err)
	}
}

func TestPassesBytesAndEnds(t *testing.T) {
	dir := t.TempDir()
	for name, p := range map[string]*Proxy{
		"tcp":  tcpProxy(t),
		"unix": Start(t, Options{Target: echo(t, "unix:"+filepath.Join(dir, "t")), Listen: "unix:" + filepath.Join(dir, "p")}),
	} {
		c := dial(t, p)
		data := bytes.Repeat([]byte("0123456789abcdef"), 64<<10) // 1 MiB
		go func() {
			_, _ = c.Write(data)
			closeWrite(c)
		}()
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes, %v, want %d", name, len(got), err, len(data))
		}
	}
}

func TestLatency(t *testing.T) {
	p := tcpProxy(t)
	p.Set(Latency(150*time.Millisecond, 10*time.Millisecond))
	c := dial(t, p)
	begin := time.Now()
	send(t, c, "hello")
	expect(t, c, "hello")
	if d := time.Since(begin); d < 300*time.Millisecond {
		t.Errorf("answer after %v, want 300 ms at least", d)
	}
	p.MustHaveFired(t, KindLatency)
	p.Clear()
	best := time.Hour
	for i := 0; i < 20 && best > 290*time.Millisecond; i++ { // a busy machine is slow at times, a delay always
		begin = time.Now()
		send(t, c, "hello")
		expect(t, c, "hello")
		best = min(best, time.Since(begin))
	}
	if best > 290*time.Millisecond {
		t.Errorf("no answer came sooner than %v without latency", best)
	}
}

func TestLatencyDoesNotLimitThroughput(t *testing.T) {
	p := tcpProxy(t)
	p.Set(Latency(200*time.Millisecond, 0).Down())
	c := dial(t, p)
	begin := time.Now()
	const chunks = 50
	for range chunks {
		send(t, c, "x")
		time.Sleep(5 * time.Millisecond) // so that each byte is a chunk of its own
	}
	expect(t, c, strings.Repeat("x", chunks))
	if d := time.Since(begin); d > 9*time.Second { // they come to 10 s
		t.Errorf("%d chunks took %v: the delays add up", chunks, d)
	}
}

func TestBandwidth(t *testing.T) {
	p := tcpProxy(t)
	p.Set(Bandwidth(100 << 10).Up())
	c := dial(t, p)
	data := string(bytes.Repeat([]byte("x"), 20<<10))
	begin := time.Now()
	send(t, c, data)
	expect(t, c, data)
	if d := time.Since(begin); d < 180*time.Millisecond {
		t.Errorf("20 KiB at 100 KiB/s took %v", d)
	}
	p.MustHaveFired(t, KindBandwidth)
}

func TestSlice(t *testing.T) {
	p := tcpProxy(t)
	p.Set(Slice(1, time.Millisecond).Down())
	c := dial(t, p)
	send(t, c, "hello")
	buf := make([]byte, 10)
	if n, err := c.Read(buf); n != 1 || err != nil {
		t.Errorf("first read: %d bytes, %v, want one", n, err)
	}
	expect(t, c, "ello")
	if p.Fired(KindSlice) != 4 {
		t.Errorf("fired %d times, want 4", p.Fired(KindSlice))
	}
}

func TestResetAfter(t *testing.T) {
	p := tcpProxy(t)
	c := dial(t, p)
	send(t, c, "before")
	expect(t, c, "before")
	p.Set(ResetAfter(3).Down())
	send(t, c, "hello")
	expect(t, c, "hel")
	expectReset(t, c)
	if p.Fired(KindReset) != 1 {
		t.Errorf("fired %d times, want 1", p.Fired(KindReset))
	}
	p.Clear()
	c = dial(t, p)
	send(t, c, "again")
	expect(t, c, "again")
}

func TestHalfClose(t *testing.T) {
	p := tcpProxy(t)
	p.Set(HalfCloseAfter(2).Down())
	c := dial(t, p)
	send(t, c, "hello")
	expect(t, c, "he")
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read: %v, want EOF", err)
	}
	send(t, c, "still open") // the other direction is
	p.MustHaveFired(t, KindHalfClose)
}

func TestBlackhole(t *testing.T) {
	p := tcpProxy(t)
	idle := dial(t, p)
	send(t, idle, "a")
	expect(t, idle, "a")
	p.Set(Blackhole().Up())
	c := dial(t, p)
	send(t, c, "hello")
	expectSilence(t, c)
	p.MustHaveFired(t, KindBlackhole)
	p.Clear()
	expectReset(t, c) // its bytes are lost
	send(t, idle, "b")
	expect(t, idle, "b")
}

func TestRefuse(t *testing.T) {
	p := tcpProxy(t)
	open := dial(t, p)
	send(t, open, "a")
	expect(t, open, "a")
	for range 3 {
		p.Set(Refuse())
		if _, err := net.Dial("tcp", p.Addr); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("connect: %v, want refused", err)
		}
		send(t, open, "b")
		expect(t, open, "b")
		p.Clear()
		c := dial(t, p)
		send(t, c, "c")
		expect(t, c, "c")
	}
	if p.Fired(KindRefuse) != 3 {
		t.Errorf("fired %d times, want 3", p.Fired(KindRefuse))
	}
	if p.ResetAll() != 4 {
		t.Error("there were not 4 connections")
	}
	expectReset(t, open)
}

func TestRefuseOnUnixSocket(t *testing.T) {
	dir := t.TempDir()
	p := Start(t, Options{Target: echo(t, "unix:"+filepath.Join(dir, "t")), Listen: "unix:" + filepath.Join(dir, "p")})
	p.Set(Refuse())
	if _, err := net.Dial("unix", filepath.Join(dir, "p")); err == nil {
		t.Fatal("connecting works")
	}
	p.Clear()
	c := dial(t, p)
	send(t, c, "a")
	expect(t, c, "a")
}

func TestCorrupt(t *testing.T) {
	p := tcpProxy(t)
	p.Set(CorruptAt(7).Up())
	c := dial(t, p)
	send(t, c, "hello")
	expect(t, c, "hello")
	send(t, c, "hello")
	expect(t, c, "he\x93lo")
	send(t, c, "hello")
	expect(t, c, "hello")
	if p.Fired(KindCorrupt) != 1 {
		t.Errorf("fired %d times, want 1", p.Fired(KindCorrupt))
	}
}

func TestStall(t *testing.T) {
	p := tcpProxy(t)
	p.Set(StallAfter(2).Down())
	c := dial(t, p)
	send(t, c, "hello")
	expect(t, c, "he")
	expectSilence(t, c)
	p.MustHaveFired(t, KindStall)
	p.Clear()
	expect(t, c, "llo")
}

func TestCloseAfterAccept(t *testing.T) {
	p := tcpProxy(t)
	p.Set(CloseAfterAccept())
	c := dial(t, p)
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read: %v, want EOF", err)
	}
	p.MustHaveFired(t, KindCloseAfterAccept)
}

func TestSourceResetIsPassedOn(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := Start(t, Options{Target: l.Addr().String()})
	c := dial(t, p)
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	s.Close()
	expectReset(t, c)
}

func TestTargetGone(t *testing.T) {
	p := Start(t, Options{Target: "unix:/nonexistent/socket"})
	c := dial(t, p)
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read: %v, want EOF", err)
	}
}

// TestChanceFollowsTheSeed runs the same 64 connections twice: the same seed chooses the same of them.
func TestChanceFollowsTheSeed(t *testing.T) {
	target := echo(t, "127.0.0.1:0")
	pattern := func(seed uint64) string {
		p := Start(t, Options{Target: target, Seed: seed})
		p.Set(ResetAfter(0).Up().Chance(0.5))
		var b []byte
		for range 64 {
			c := dial(t, p)
			send(t, c, "x")
			_, err := c.Read(make([]byte, 1))
			if err == nil {
				b = append(b, '.')
			} else {
				b = append(b, 'R')
			}
		}
		if n := bytes.Count(b, []byte("R")); n != p.Fired(KindReset) || n < 16 || n > 48 {
			t.Errorf("%d of 64 were reset, %d fired", n, p.Fired(KindReset))
		}
		return string(b)
	}
	one := pattern(7)
	if again := pattern(7); one != again {
		t.Errorf("the same seed chose\n%s and\n%s", one, again)
	}
	if other := pattern(8); one == other {
		t.Errorf("two seeds chose the same: %s", one)
	}
}

// TestMustHaveFired reports what did not fire.
func TestMustHaveFired(t *testing.T) {
	p := tcpProxy(t)
	p.Set(Latency(time.Second, 0))
	r := &recorder{TB: t}
	p.MustHaveFired(r, KindLatency)
	if r.errors != 1 {
		t.Errorf("%d errors, want 1", r.errors)
	}
}

type recorder struct {
	testing.TB
	errors int
}

func (r *recorder) Errorf(string, ...any) { r.errors++ }

// TestSetUnderLoad changes the rules while connections come, talk and go: nothing may hang or race.
func TestSetUnderLoad(t *testing.T) {
	p := tcpProxy(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := net.Dial("tcp", p.Addr)
				if err != nil {
					continue
				}
				_ = c.SetDeadline(time.Now().Add(20 * time.Millisecond))
				_, _ = c.Write(make([]byte, 1000))
				_, _ = io.ReadFull(c, make([]byte, 1000))
				c.Close()
			}
		})
	}
	sets := [][]Toxic{{Latency(time.Millisecond, time.Millisecond)}, {Refuse()}, {Blackhole().Down()}, {StallAfter(10)}, {},
		{ResetAfter(100)}, {Slice(10, 0), CorruptAt(50)}, {HalfCloseAfter(10)}, {Bandwidth(10000)}, {CloseAfterAccept()}}
	var missing []Kind
	deadline := time.Now().Add(20 * time.Second)
	for i := 0; i < 100 || len(missing) > 0 && time.Now().Before(deadline); i++ {
		p.Set(sets[i%len(sets)]...)
		time.Sleep(5 * time.Millisecond) // for the load to meet the rules
		missing = missing[:0]
		for k := range numKinds {
			if p.Fired(k) == 0 {
				missing = append(missing, k)
			}
		}
	}
	close(stop)
	wg.Wait()
	p.MustHaveFired(t, missing...)
}
