package http

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	peers "github.com/sluice-mesh/sluice/testenv/http"
	"github.com/sluice-mesh/sluice/testenv/load"
	"github.com/sluice-mesh/sluice/testenv/load/counted"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A real server does nothing wrong, and one that was killed is seen.
func TestServer(t *testing.T) {
	s := peers.Serve(t, peers.Server{})
	counted.CheckDial(t.Context(), t, Dial, s, s.Addr)
}

// Whatever an agent could do wrong is found.
func TestDetects(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Length: "
	for what, of := range map[string]struct {
		answer func(n int, want string) string // to the nth request; "" ends the connection
		found  func(*load.Report) int64
	}{
		"another call's answer": {later(), wrong},
		"a shorter answer":      {func(_ int, w string) string { return length(w[:len(w)-1]) }, wrong},
		"two answers":           {func(_ int, w string) string { return length(w) + length(w) }, wrong},
		"bytes that are none":   {func(int, string) string { return "HTTQ/1.1 200 OK\r\n\r\n" }, wrong},
		"chunks that are none":  {func(int, string) string { return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n" }, wrong},
		"a second count":        {func(_ int, w string) string { return length(strings.ReplaceAll(w, "1", "2")) }, func(r *load.Report) int64 { return r.Repeated }},
		"an answer that is cut": {func(_ int, w string) string { return head + fmt.Sprint(len(w)+1) + "\r\n\r\n" + w }, func(r *load.Report) int64 { return r.ErrorCount(load.Closed, load.NoReply) }},
		"no answer":             {func(int, string) string { return "" }, func(r *load.Report) int64 { return r.ErrorCount(load.Closed) }},
		"an error of the server": {func(int, string) string { return "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n" },
			func(r *load.Report) int64 { return r.ErrorCount("500") }},
		"a refusal": {func(int, string) string {
			return "HTTP/1.1 503 No\r\nSluice-Fault: unavailable\r\nContent-Length: 0\r\n\r\n"
		},
			func(r *load.Report) int64 { return r.ErrorCount(counted.Unavailable) }},
	} {
		addr, end := bent(t, of.answer)
		run := counted.Start(t.Context(), counted.Config{Dial: Dial, Address: addr, Clients: 1, Timeout: 100 * time.Millisecond})
		run.Await(t, 6)
		r := run.Stop()
		end()
		if of.found(r) == 0 {
			t.Errorf("%s: %v", what, r)
		}
	}
}

// A write that was refused and executed all the same, and one that was executed twice, are found when servers are asked.
func TestDetectsAtTheEnd(t *testing.T) {
	for what, of := range map[string]struct {
		answer  string
		counted string
		found   func(*load.Report) int64
	}{
		"refused and executed":  {"HTTP/1.1 503 No\r\nSluice-Fault: unavailable\r\nContent-Length: 0\r\n\r\n", "1", wrong},
		"unknown and repeated":  {"HTTP/1.1 502 Oh\r\nSluice-Fault: unknown\r\nContent-Length: 0\r\n\r\n", "2", func(r *load.Report) int64 { return r.Repeated }},
		"acknowledged and lost": {length("1"), "0", func(r *load.Report) int64 { return r.Lost }},
	} {
		addr, end := bent(t, func(_ int, want string) string {
			if want == "asked" {
				return length(of.counted)
			}
			return of.answer
		})
		run := counted.Start(t.Context(), counted.Config{Dial: Dial, Address: addr, Clients: 1, Servers: []string{addr}})
		run.Await(t, 12)
		r := run.Stop()
		end()
		if of.found(r) == 0 {
			t.Errorf("%s: %v", what, r)
		}
	}
}

func wrong(r *load.Report) int64 { return r.Wrong }

func length(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// later answers each request with what the one before should have got, whoever sent that.
func later() func(int, string) string {
	var mu sync.Mutex
	last := "first"
	return func(_ int, want string) string {
		mu.Lock()
		defer mu.Unlock()
		want, last = last, want
		return length(want)
	}
}

// bent is a server that knows what the answer is, and says what answer makes of it. want is "asked" for what was counted.
func bent(t *testing.T, answer func(n int, want string) string) (addr string, end func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer nc.Close()
				in := bufio.NewReader(nc)
				for n := 0; ; n++ {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					body, _ := io.ReadAll(r.Body)
					want := string(body)
					switch r.URL.Path {
					case "/count":
						want = "1"
					case "/counted":
						want = "asked"
					case "/echo":
						if r.Method == http.MethodGet {
							want = strings.ReplaceAll(r.URL.RawQuery, "+", " ")
						}
					}
					text := answer(n, want)
					if _, err := io.WriteString(nc, text); err != nil || text == "" {
						return
					}
				}
			})
		}
	})
	return ln.Addr().String(), func() {
		ln.Close()
		all.Wait()
	}
}
