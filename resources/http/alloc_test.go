package http

import (
	"bytes"
	"github.com/sluice-mesh/sluice/resources/servicetest"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
)

const answer1K = "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n"

// canned answers every request that is whole in one read, without reading more of it than its end, as fast as it can.
func canned(t testing.TB) *server {
	text := []byte(answer1K + strings.Repeat("x", 1024))
	end := []byte("\r\n\r\n")
	return newServer(t, func(nc net.Conn, _ *http.Request, _ int) bool {
		var b [16 << 10]byte
		for {
			if _, err := nc.Write(text); err != nil {
				return false
			}
			n := 0
			for n < 4 || !bytes.HasSuffix(b[:n], end) {
				m, err := nc.Read(b[n:])
				if err != nil {
					return false
				}
				n += m
			}
		}
	})
}

// A call that is forwarded allocates nothing.
func TestCallsDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector allocates: only the calls are checked")
	}
	w := newWorld(t)
	f := w.service(&Settings{Routes: []string{"/users/*"}}, func(f *servicetest.Runtime) { f.Quiet = true }, canned(t).addr)
	c := w.dial()
	req := []byte("GET /users/5?a=b HTTP/1.1\r\nHost: a.b\r\nUser-Agent: x\r\nAccept: */*\r\nConnection: keep-alive\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n")
	in := make([]byte, len(answer1K)+1024)
	round := func() {
		if _, err := c.nc.Write(req); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c.nc, in); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		round()
	}
	const calls = 2000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range calls {
		round()
	}
	runtime.ReadMemStats(&after)
	if n := float64(after.Mallocs-before.Mallocs) / calls; n > 0.05 && !raceEnabled {
		t.Errorf("%.3f allocations for a call", n)
	}
	if !bytes.HasPrefix(in, []byte(answer1K)) || f.Begun.Load() != calls+100 {
		t.Errorf("%d calls, answer %q", f.Begun.Load(), in)
	}
}

func BenchmarkCall(b *testing.B) {
	w := newWorld(b)
	w.service(&Settings{}, func(f *servicetest.Runtime) { f.Quiet = true }, canned(b).addr)
	c := w.dial()
	req := []byte("GET / HTTP/1.1\r\nHost: a.b\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n")
	in := make([]byte, len(answer1K)+1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.nc.Write(req); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c.nc, in); err != nil {
			b.Fatal(err)
		}
	}
}
