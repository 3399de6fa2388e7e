package graphite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mesh/sluice/metrics"
)

// server is the far end of connections that live in a synctest bubble.
type server struct {
	mu    sync.Mutex
	away  bool
	dials int
	last  net.Conn
	bytes.Buffer
}

func (s *server) dial(ctx context.Context, network, address string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dials++
	if s.away {
		return nil, errors.New("connection refused")
	}
	near, far := net.Pipe()
	s.last = far
	go func() {
		defer far.Close()
		b := make([]byte, 4096)
		for {
			n, err := far.Read(b)
			s.mu.Lock()
			s.Write(b[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return near, nil
}

// set makes the server go away, which cuts its connection, or come back.
func (s *server) set(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
	if away && s.last != nil {
		s.last.Close()
	}
}

// drain returns the lines that contain what, and forgets all.
func (s *server) drain(what string) (found []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range strings.Lines(s.String()) {
		if strings.Contains(line, what) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	s.Reset()
	return found
}

func open(t *testing.T, reg *metrics.Registry, srv *server, o Options) *Sink {
	t.Helper()
	o.Address, o.Dial, o.Host = "carbon:2003", srv.dial, "h"
	s, err := Open(reg, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestIntervalsEndAtMultiples(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(3 * time.Second) // the bubble starts at a multiple
		reg, srv := newRegistry(), &server{}
		s := open(t, reg, srv, Options{})
		c := reg.Resource("feed", "redis").Cell("yf", "GET", "read")
		start := time.Now().Truncate(10 * time.Second).Unix()
		for i := range int64(3) {
			for range i + 1 {
				c.Done(0, 1e6, false, 1, 1)
			}
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if got := srv.drain("total_count"); len(got) != 1 || !strings.HasSuffix(got[0], fmt.Sprintf(" %d %d", i+1, start+10*(i+1))) {
				t.Fatalf("interval %d: %q", i, got)
			}
		}
		c.Done(0, 1e6, false, 1, 1)
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := srv.drain("total_count"); len(got) != 1 || !strings.HasSuffix(got[0], fmt.Sprintf(" 1 %d", start+40)) {
			t.Fatalf("last interval: %q", got)
		}
		if n := reg.Dropped("graphite").Load(); n != 0 || srv.dials != 1 {
			t.Fatalf("%d lines dropped, %d connections", n, srv.dials)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatalf("second Close: %v", err)
		}
	})
}

func TestLinesWaitWhileTheServerIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, srv := newRegistry(), &server{}
		s := open(t, reg, srv, Options{})
		c := reg.Resource("feed", "redis").Cell("yf", "GET", "read")
		c.Done(0, 1e6, false, 1, 1)
		time.Sleep(15 * time.Second)
		srv.set(true)
		for range 30 { // five minutes
			c.Done(0, 1e6, false, 1, 1)
			time.Sleep(10 * time.Second)
		}
		// Pauses double up to 30 s and are jittered: some 12 attempts and not 300.
		srv.mu.Lock()
		dials := srv.dials
		srv.mu.Unlock()
		if dials < 8 || dials > 30 {
			t.Errorf("%d attempts to connect in five minutes", dials)
		}
		srv.set(false)
		time.Sleep(40 * time.Second)
		synctest.Wait()
		got := srv.drain("total_count 1 ")
		if len(got) != 31 {
			t.Errorf("%d of 31 intervals arrived: %q", len(got), got)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := reg.Dropped("graphite").Load(); n != 0 {
			t.Errorf("%d lines dropped", n)
		}
	})
}

func TestFullBufferDropsTheOldestAndCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, srv := newRegistry(), &server{away: true}
		time.Sleep(500 * time.Millisecond) // calls are made amid intervals, whatever the jitter
		s := open(t, reg, srv, Options{Buffer: 4 * tcpBatch, Every: time.Second})
		var cells []*metrics.Cell
		for i := range 100 {
			cells = append(cells, reg.Resource("feed", "redis").Cell("yf", fmt.Sprint("OP", i), "read"))
		}
		sent := int64(0)
		for range 60 {
			for _, c := range cells {
				c.Done(0, 1e6, false, 1, 1)
				sent += 9
			}
			time.Sleep(time.Second)
		}
		end := time.Now().Unix() + 1
		srv.set(false)
		time.Sleep(40 * time.Second)
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		lines := srv.drain("")
		newest := false
		for _, l := range lines {
			newest = newest || strings.HasSuffix(l, fmt.Sprintf("total_count 1 %d", end-1)) // of the last calls
		}
		// The interval after the last call has 3 zero counts for each operation.
		if dropped := reg.Dropped("graphite").Load(); dropped == 0 || dropped+int64(len(lines)) != sent+300 {
			t.Errorf("%d lines dropped and %d arrived, of %d", dropped, len(lines), sent+300)
		}
		if !newest {
			t.Error("the newest interval is not among those that were kept")
		}
	})
}

func TestCloseGivesUpOnAServerThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, srv := newRegistry(), &server{away: true}
		s := open(t, reg, srv, Options{})
		reg.Resource("feed", "redis").Cell("yf", "GET", "read").Done(0, 1e6, false, 1, 1)
		time.Sleep(time.Minute)
		reg.Resource("feed", "redis").Cell("yf", "GET", "read").Done(0, 1e6, false, 1, 1)
		start := time.Now()
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("Close took %v", took)
		}
		if n := reg.Dropped("graphite").Load(); n != 9+3+9 {
			t.Errorf("%d lines counted as dropped, want 21", n)
		}
	})
}

func TestCloseCutsAServerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := newRegistry()
		near, far := net.Pipe()
		defer far.Close()
		s, err := Open(reg, Options{Address: "a:1", Host: "h", Dial: func(context.Context, string, string) (net.Conn, error) { return near, nil }})
		if err != nil {
			t.Fatal(err)
		}
		reg.Resource("feed", "redis").Cell("yf", "GET", "read").Done(0, 1e6, false, 1, 1)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		start := time.Now()
		if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "graphite a:1") {
			t.Errorf("Close: %v", err)
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("Close took %v", took)
		}
		if n := reg.Dropped("graphite").Load(); n != 9 {
			t.Errorf("%d lines counted as dropped, want 9", n)
		}
	})
}

// exported names what a service beside the agent is called, so that each operation has one row.
func exported(resource, group string) Name { return Name{ServerAgent, group, resource} }

func TestDatagramsAreNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, srv := newRegistry(), &server{away: true}
		s := open(t, reg, srv, Options{Dialect: Statsd, Name: exported})
		reg.Resource("feed", "redis").Cell("yf", "GET", "read").Done(0, 1e6, false, 1, 1)
		time.Sleep(15 * time.Second)
		synctest.Wait()
		n := reg.Dropped("graphite").Load()
		srv.mu.Lock()
		dials := srv.dials
		srv.mu.Unlock()
		if n != 13 || dials < 1 || dials > 2 {
			t.Errorf("%d of 13 lines counted as dropped after %d attempts", n, dials)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestStatsdGoesByDatagrams(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	reg := newRegistry()
	s, err := Open(reg, Options{Address: pc.LocalAddr().String(), Dialect: Statsd, Host: "h", Every: time.Hour, Name: exported})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		reg.Resource("feed", "redis").Cell("yf", fmt.Sprint("OP", i), "read").Done(0, 1e6, false, 1, 1)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := pc.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	lines, packets := 0, 0
	for b := make([]byte, 65536); lines < 94; packets++ {
		n, _, err := pc.ReadFrom(b)
		if err != nil {
			t.Fatalf("after %d lines: %v", lines, err)
		}
		if n > udpBatch || b[n-1] != '\n' {
			t.Fatalf("datagram of %d bytes", n)
		}
		lines += bytes.Count(b[:n], []byte("\n"))
	}
	if lines != 94 || packets < 3 {
		t.Errorf("%d lines in %d datagrams", lines, packets)
	}
}
