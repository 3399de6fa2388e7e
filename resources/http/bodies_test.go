package http

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestContinue(t *testing.T) {
	w := newWorld(t)
	w.service(&Settings{}, nil, newGo(t, echo))
	body := bytes.Repeat([]byte("0123456789"), 20000)
	for _, size := range []int{10, len(body)} {
		req, err := http.NewRequest("POST", "http://"+w.Addr+"/", bytes.NewReader(body[:size]))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Expect", "100-continue")
		began := time.Now()
		r, err := w.transport().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || !bytes.Equal(got, body[:size]) || time.Since(began) > 4*time.Second {
			t.Errorf("%d bytes of %d after %s: %v", len(got), size, time.Since(began), err)
		}
	}
}

// Connections that leave HTTP: the client has the server to itself, to the end of either.
func TestTunnels(t *testing.T) {
	w := newWorld(t)
	s := newServer(t, func(nc net.Conn, r *http.Request, _ int) bool {
		if r.Header.Get("Connection") == "Upgrade" && r.Header.Get("Upgrade") == "websocket" {
			_, _ = io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Key: 1\r\n\r\n")
			_, _ = io.Copy(nc, nc)
			return false
		}
		return says("HTTP/1.1 200 OK\nContent-Length: 5\n\nplain")(nc, r, 0)
	})
	f := w.service(&Settings{}, nil, s.addr)
	c := w.dial()
	c.send("GET /ws HTTP/1.1\nHost: a\nConnection: keep-alive, Upgrade\nUpgrade: websocket\n\nearly")
	_ = c.nc.SetDeadline(time.Now().Add(10 * time.Second))
	r, err := http.ReadResponse(c.br, nil)
	if err != nil || r.StatusCode != 101 || r.Header.Get("Upgrade") != "websocket" || r.Header.Get("X-Key") != "1" {
		t.Fatal(r, err)
	}
	if f.PinnedSessions.Load() != 1 || f.Outcome("GET ok") != 1 {
		t.Errorf("%d pinned, %v", f.PinnedSessions.Load(), f.Outcomes())
	}
	big := "early" + strings.Repeat("x", 1<<20)
	go func() { _, _ = io.WriteString(c.nc, big[5:]) }()
	got := make([]byte, len(big))
	if _, err := io.ReadFull(c.br, got); err != nil || string(got) != big {
		t.Fatalf("%d bytes came back as they were: %v, %v", len(got), string(got) == big, err)
	}
	c.nc.Close()
	eventually(t, "the end", func() bool { return s.open() == 0 && f.PinnedSessions.Load() == 0 })

	c = w.dial() // h2c is not passed on, so that no requests get by
	c.send("GET / HTTP/1.1\nHost: a\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: x\n\n")
	c.want(200, "plain")
	c.send("CONNECT web:80 HTTP/1.1\nHost: web:80\n\n")
	if r, err := http.ReadResponse(c.br, &http.Request{Method: "CONNECT"}); err != nil || r.StatusCode != 200 {
		t.Fatal(r, err)
	}
	c.send("GET / HTTP/1.1\nHost: a\n\n")
	c.want(200, "plain")
	s.cut()
	c.ended()
	// A server that changes protocols without being asked.
	bad := newWorld(t)
	bad.service(&Settings{}, nil, newServer(t, says("HTTP/1.1 101 Switching Protocols\nUpgrade: x\nConnection: Upgrade\n\n")).addr)
	c = bad.dial()
	c.send("POST / HTTP/1.1\nHost: a\nContent-Length: 0\n\n")
	c.want(502, "changes to another protocol")
}

// Neither side is read faster than the other takes it.
func TestBackpressure(t *testing.T) {
	w := newWorld(t)
	const size = 64 << 20
	hold := make(chan struct{})
	s := newServer(t, func(nc net.Conn, r *http.Request, _ int) bool {
		if r.Method == "POST" {
			<-hold
			n, _ := io.Copy(io.Discard, r.Body)
			return says(fmt.Sprintf("HTTP/1.1 200 OK\nContent-Length: 8\n\n%08d", n))(nc, r, 0)
		}
		_, _ = io.WriteString(nc, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size))
		var b [64 << 10]byte
		for n := 0; n < size; n += len(b) {
			if _, err := nc.Write(b[:]); err != nil {
				return false
			}
		}
		return true
	})
	w.service(&Settings{}, nil, s.addr)
	c := w.dial()
	sent := make(chan int, 1)
	go func() {
		_, _ = fmt.Fprintf(c.nc, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", size)
		var b [64 << 10]byte
		_ = c.nc.SetWriteDeadline(time.Now().Add(time.Second))
		n := 0
		for n < size {
			m, err := c.nc.Write(b[:min(len(b), size-n)])
			if n += m; err != nil {
				break
			}
		}
		sent <- n
		_ = c.nc.SetWriteDeadline(time.Time{})
		for n < size {
			m, err := c.nc.Write(b[:min(len(b), size-n)])
			if n += m; err != nil {
				return
			}
		}
	}()
	if n := <-sent; n > size/2 {
		t.Errorf("the agent took %d bytes that nobody read", n)
	}
	close(hold)
	c.want(200, fmt.Sprint(size))
	c.send("GET / HTTP/1.1\nHost: a\n\n")
	time.Sleep(300 * time.Millisecond) // what is sent meanwhile fills the buffers and no more
	r, body, err := c.answer("GET")
	if err != nil || r.StatusCode != 200 || len(body) != size {
		t.Errorf("%v, %d bytes, %v", r, len(body), err)
	}
}
