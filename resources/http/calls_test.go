package http

import (
	"fmt"
	"github.com/sluice-mesh/sluice/resources/servicetest"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

// A request reaches its server as it is, but for what is between client and agent alone and who asks.
func TestCall(t *testing.T) {
	w := newWorld(t)
	got := make(chan *http.Request, 1)
	addr := newGo(t, func(rw http.ResponseWriter, r *http.Request) {
		got <- r
		rw.Header().Set("X-Yes", "1")
		rw.Header().Set("Keep-Alive", "timeout=5")
		rw.WriteHeader(201)
		_, _ = io.Copy(rw, r.Body)
	})
	f := w.service(&Settings{Routes: []string{"POST /users/*", "/users/*"}, Caller: "X-App"}, nil, addr)
	c := w.dial()
	c.send("POST /users/7?q=%20 HTTP/1.1\nHost: a.b:1\nConnection: X-Mine\nX-Mine: 1\nKeep-Alive: 3\nTE: trailers\nProxy-Authorization: x\nX-Forwarded-For: 10.9.8.7\nContent-Length: 4\n\nbody")
	r, body, err := c.answer("POST")
	if r.StatusCode != 201 || body != "body" || err != nil || r.Header.Get("X-Yes") != "1" || r.Header.Get("Keep-Alive") != "" || r.Close {
		t.Errorf("answer %v %q %v", r, body, err)
	}
	q := <-got
	for name, want := range map[string]string{"X-Mine": "", "Keep-Alive": "", "Te": "", "Proxy-Authorization": "", "Connection": "",
		"X-Forwarded-For": "10.9.8.7, 127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "a.b:1", "X-App": "agent's app"} {
		if v := q.Header.Get(name); v != want {
			t.Errorf("%s is %q, want %q", name, v, want)
		}
	}
	if q.Host != "a.b:1" || q.URL.RequestURI() != "/users/7?q=%20" || q.ContentLength != 4 {
		t.Errorf("the server got %v", q)
	}
	c.send("GET /users/7 HTTP/1.0\nConnection: keep-alive\nX-App: other\n\n")
	if r := c.want(201, ""); r.Header.Get("Connection") != "keep-alive" {
		t.Errorf("the answer to HTTP/1.0 is %v", r)
	}
	if q := <-got; q.Host != "web" || q.Header.Get("X-App") != "other" {
		t.Errorf("the server got %v", q)
	}
	c.send("GET /users/7 HTTP/1.0\n\n")
	c.want(201, "")
	<-got
	c.ended()
	if f.Outcome("POST /users/* ok") != 1 || f.Outcome("GET /users/* ok") != 2 || f.Entered.Load() != 2 {
		t.Errorf("outcomes %v, %d sessions", f.Outcomes(), f.Entered.Load())
	}
}

func TestForwardedAndHost(t *testing.T) {
	for forwarded, want := range map[string]string{forwardReplace: "127.0.0.1|http|x", forwardPass: "1.1.1.1|https|old", forwardAppend: "1.1.1.1, 127.0.0.1|https|old"} {
		w := newWorld(t)
		addr := newGo(t, func(rw http.ResponseWriter, r *http.Request) {
			h := r.Header
			fmt.Fprintf(rw, "%s %s|%s|%s", r.Host, h.Get("X-Forwarded-For"), h.Get("X-Forwarded-Proto"), h.Get("X-Forwarded-Host"))
		})
		w.service(&Settings{Forwarded: forwarded, Host: "inner:80"}, nil, addr)
		c := w.dial()
		c.send("GET / HTTP/1.1\nHost: x\nX-Forwarded-For: 1.1.1.1\nX-Forwarded-Proto: https\nX-Forwarded-Host: old\n\n")
		c.want(200, "inner:80 "+want)
	}
}

// Many clients at once, over few and over new connections, with bodies of all sizes in all framings: each answer is that of its
// request.
func TestManyAtOnce(t *testing.T) {
	w := newWorld(t)
	f := w.service(&Settings{}, nil, newGo(t, echo), newGo(t, echo))
	cl := w.transport()
	var all sync.WaitGroup
	const clients, calls = 24, 60
	for n := range clients {
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(n), 1))
			for k := range calls {
				id := fmt.Sprintf("/%d-%d", n, k)
				var body io.Reader
				want := id
				method := []string{"GET", "POST", "PUT", "HEAD"}[rnd.IntN(4)]
				if method == "POST" || method == "PUT" {
					want = strings.Repeat(id, 1+rnd.IntN([]int{10, 1000, 40000}[rnd.IntN(3)]))
					if body = strings.NewReader(want); rnd.IntN(2) == 0 {
						body = io.MultiReader(body) // of unknown size: chunked
					}
				}
				req, err := http.NewRequest(method, "http://"+w.Addr+id+[]string{"", "?chunked", "?close"}[rnd.IntN(3)], body)
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("X-Id", id)
				req.Close = rnd.IntN(10) == 0
				r, err := cl.Do(req)
				if err != nil {
					t.Errorf("%s %s: %v", method, id, err)
					return
				}
				got, err := io.ReadAll(r.Body)
				r.Body.Close()
				if method == "HEAD" {
					want = ""
				}
				if err != nil || r.Header.Get("X-Id") != id || string(got) != want {
					t.Errorf("%s %s: answer to %q with %d bytes, want %d: %v", method, id, r.Header.Get("X-Id"), len(got), len(want), err)
					return
				}
			}
		})
	}
	all.Wait()
	if f.Begun.Load() != clients*calls || f.Mismatches.Load() != 0 {
		t.Errorf("%d calls, %d mismatches", f.Begun.Load(), f.Mismatches.Load())
	}
}

func TestPipelining(t *testing.T) {
	w := newWorld(t)
	w.service(&Settings{}, nil, newGo(t, echo))
	c := w.dial()
	var all strings.Builder
	for n := range 200 {
		fmt.Fprintf(&all, "GET /%d HTTP/1.1\nHost: a\n\nPOST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n5\n%05d\n0\n\n\n", n, n)
	}
	all.WriteString("GET /last HTTP/1.1\nHost: a\nConnection: close\n\n")
	go c.send(all.String())
	for n := range 200 {
		if _, body, _ := c.answer("GET"); body != fmt.Sprintf("/%d", n) {
			t.Fatalf("answer %d is %q", n, body)
		}
		if _, body, _ := c.answer("GET"); body != fmt.Sprintf("%05d", n) {
			t.Fatalf("answer %d is %q", n, body)
		}
	}
	c.want(200, "/last")
	c.ended()
	// A client that sends no more still gets its answers.
	c = w.dial()
	c.send("GET /a HTTP/1.1\nHost: a\n\nGET /b HTTP/1.1\nHost: a\n\n")
	_ = c.nc.(*net.TCPConn).CloseWrite()
	c.want(200, "/a")
	c.want(200, "/b")
	c.ended()
}

// What is no request gets 400 and the end of the connection, and nothing after it is taken for one.
func TestBadRequests(t *testing.T) {
	w := newWorld(t)
	s := newServer(t, says("HTTP/1.1 200 OK\nContent-Length: 0\n\n"))
	w.service(&Settings{MaxBody: 1 << 20}, nil, s.addr)
	for in, status := range map[string]int{
		"GET / HTTP/1.1\nHost: a\nContent-Length: 4\nTransfer-Encoding: chunked\n\n0\n\nGET /smuggled HTTP/1.1\nHost: a\n\n": 400,
		"GET / HTTP/1.1\nHost: a\nContent-Length: 4\nContent-Length: 5\n\nabcde":                                             400,
		"GET / HTTP/1.1\n\n": 400,
		"GET / HTTP/1.1\nHost: a\nTransfer-Encoding: gzip\n\n":                                             501,
		"GET / HTTP/3.0\nHost: a\n\n":                                                                      505,
		"GET / HTTP/1.1\nHost: a\nA: " + strings.Repeat("a", 70<<10) + "\n\n":                              431,
		"POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\nxyz\nGET /smuggled\n":                     400,
		"POST / HTTP/1.1\nHost: a\nContent-Length: 2000000\n\nabc":                                         413,
		"POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n200000\n" + strings.Repeat("x", 1030<<10): 413,
		"CONNECT elsewhere:443 HTTP/1.1\nHost: elsewhere:443\n\n\x16\x03\x01":                              403,
		"GET http://elsewhere/ HTTP/1.1\nHost: elsewhere\nConnection: close\n\n":                           404,
		"CONNECT web:80 HTTP/1.1\nHost: web\nTransfer-Encoding: chunked\n\n5\n":                            400,
		"\x16\x03\x01\x02\x00": 400,
	} {
		t.Run("", func(t *testing.T) { // those that are refused linger, so not one after another
			t.Parallel()
			c := w.dial()
			c.t = t
			go func() { _, _ = io.WriteString(c.nc, strings.ReplaceAll(in, "\n", "\r\n")) }()
			r, body, err := c.answer("GET")
			if r.StatusCode != status || !strings.HasPrefix(body, "sluice: ") || err != nil {
				t.Errorf("%.80q: %d %q %v, want %d", in, r.StatusCode, body, err, status)
			}
			if status != 403 {
				c.ended()
			}
			c.nc.Close()
		})
	}
	t.Cleanup(func() {
		for _, got := range s.got {
			if strings.Contains(got, "smuggled") {
				t.Errorf("a server got %q", got)
			}
		}
	})
	c := w.dial() // a bare LF is refused at once
	if _, err := io.WriteString(c.nc, "GET / HTTP/1.1\r\nHost: a\n"); err != nil {
		t.Fatal(err)
	}
	c.want(400, "a line ends without CR")
}

// What may be asked again is, elsewhere; nothing else.
func TestWhatIsTriedAgain(t *testing.T) {
	drop := func(net.Conn, *http.Request, int) bool { return false }
	ok := says("HTTP/1.1 200 OK\nContent-Length: 2\n\nok")
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	for _, c := range []struct {
		name, request string
		first         func(net.Conn, *http.Request, int) bool // nil: nobody listens
		status        int
		asked         int // how often the first was asked
		outcome       string
	}{
		{"GET dropped", "GET / HTTP/1.1\nHost: a\n\n", drop, 200, 1, "GET ok"},
		{"POST dropped", "POST / HTTP/1.1\nHost: a\nContent-Length: 1\n\nx", drop, 502, 1, "POST unknown"},
		{"PUT dropped", "PUT /again/1 HTTP/1.1\nHost: a\nContent-Length: 1\n\nx", drop, 200, 1, "PUT ok"},
		{"long PUT dropped", "PUT /again/1 HTTP/1.1\nHost: a\nContent-Length: 70000\n\n" + strings.Repeat("x", 70000), drop, 502, 1, "PUT unknown"},
		{"chunked PUT dropped", "PUT /again/1 HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n1\nx\n0\n\n", drop, 502, 1, "PUT unknown"},
		{"POST refused", "POST / HTTP/1.1\nHost: a\nContent-Length: 1\n\nx", nil, 200, 0, "POST ok"},
		{"chunked POST refused", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n1\nx\n0\n\n", nil, 200, 0, "POST ok"},
		{"GET garbage", "GET / HTTP/1.1\nHost: a\n\n", says("-ERR what?\n"), 200, 1, "GET ok"},
		{"POST garbage", "POST / HTTP/1.1\nHost: a\nContent-Length: 1\n\nx", says("-ERR what?\n"), 502, 1, "POST unknown"},
		{"500 is an answer", "GET / HTTP/1.1\nHost: a\n\n", says("HTTP/1.1 500 No\nContent-Length: 0\n\n"), 500, 1, "GET error"},
		{"503 of the service", "GET / HTTP/1.1\nHost: a\n\n", says("HTTP/1.1 503 No\nContent-Length: 0\n\n"), 503, 1, "GET error"},
		{"503 of an agent", "POST / HTTP/1.1\nHost: a\nContent-Length: 1\n\nx", says("HTTP/1.1 503 No\nSluice-Fault: unavailable\nContent-Length: 0\n\n"), 200, 1, "POST ok"},
		{"404 is no error", "GET / HTTP/1.1\nHost: a\n\n", says("HTTP/1.1 404 No\nContent-Length: 0\n\n"), 404, 1, "GET ok"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, second := newWorld(t), newServer(t, ok)
			addr, asked := dead.Addr().String(), func() int { return 0 }
			if c.first != nil {
				s := newServer(t, c.first)
				addr, asked = s.addr, s.requests
			}
			f := w.service(&Settings{Idempotent: []string{"PUT /again/*"}}, nil, addr, second.addr)
			cl := w.dial()
			go cl.send(c.request)
			cl.want(c.status, "")
			if asked() != c.asked || f.Outcome(c.outcome) != 1 {
				t.Errorf("asked %d times, want %d; outcomes %v, want %s", asked(), c.asked, f.Outcomes(), c.outcome)
			}
			if n := f.Mismatches.Load(); (n == 1) != strings.HasSuffix(c.name, "garbage") {
				t.Errorf("%d mismatches", n)
			}
		})
	}
}

// A part of an answer is never passed off as the whole.
func TestCutAnswers(t *testing.T) {
	w := newWorld(t)
	for _, part := range []string{
		"HTTP/1.1 200 OK\nContent-Length: 10\n\nabc", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nabc",
		"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabc\n", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabc\nzz\n",
	} {
		s := newServer(t, func(nc net.Conn, r *http.Request, n int) bool { says(part)(nc, r, n); return false })
		f := w.Runtime("web", s.addr)
		w.open(map[*servicetest.Runtime]*Settings{f: {Hosts: []string{fmt.Sprintf("h%d", len(w.Opened()))}}})
		c := w.dial()
		c.send(fmt.Sprintf("GET / HTTP/1.1\nHost: h%d\n\n", len(w.Opened())-1))
		if r, body, err := c.answer("GET"); err == nil || r.StatusCode != 200 || body != "abc" {
			t.Errorf("%q: %d %q %v", part, r.StatusCode, body, err)
		}
		c.ended()
		c = w.dial() // HTTP/1.0 has no other end than that of the connection: it is no orderly one
		c.send(fmt.Sprintf("GET / HTTP/1.0\nHost: h%d\n\n", len(w.Opened())-1))
		_ = c.nc.SetReadDeadline(time.Now().Add(10 * time.Second))
		if b, err := io.ReadAll(c.br); err == nil && !strings.Contains(part, "Length") {
			t.Errorf("%q: HTTP/1.0 got all of %q", part, b)
		}
		eventually(t, "the outcome", func() bool { return f.Outcome("GET unknown") == 2 })
		if s.requests() != 2 {
			t.Errorf("%q: asked %d times", part, s.requests())
		}
	}
}

// An answer that ends with the connection is one whose end the client can see.
func TestUntilClose(t *testing.T) {
	w := newWorld(t)
	s := newServer(t, func(nc net.Conn, r *http.Request, n int) bool { says("HTTP/1.1 200 OK\n\nabc")(nc, r, n); return false })
	w.service(&Settings{}, nil, s.addr)
	c := w.dial()
	for range 2 {
		c.send("GET / HTTP/1.1\nHost: a\n\n")
		if r := c.want(200, "abc"); len(r.TransferEncoding) != 1 || r.Close {
			t.Errorf("%v", r)
		}
	}
	c.send("GET / HTTP/1.0\n\n")
	c.want(200, "abc")
	c.ended()
}

// Bytes that nobody asked for never become the answer to the next request.
func TestAnswersTooMany(t *testing.T) {
	w := newWorld(t)
	s := newServer(t, says("HTTP/1.1 200 OK\nContent-Length: 5\n\nrightHTTP/1.1 200 OK\nContent-Length: 5\n\nwrong"))
	f := w.service(&Settings{}, nil, s.addr)
	for range 20 {
		c := w.dial()
		for range 5 {
			c.send("GET / HTTP/1.1\nHost: a\n\n")
			c.want(200, "right")
		}
	}
	if f.Mismatches.Load() != 100 {
		t.Errorf("%d mismatches for 100 answers", f.Mismatches.Load())
	}
	// The same while the connection is free.
	w2 := newWorld(t)
	s2 := newServer(t, func(nc net.Conn, r *http.Request, n int) bool {
		says("HTTP/1.1 200 OK\nContent-Length: 5\n\nright")(nc, r, n)
		time.Sleep(20 * time.Millisecond)
		return says("HTTP/1.1 408 Late\nContent-Length: 5\n\nwrong")(nc, r, n)
	})
	f2 := w2.service(&Settings{}, nil, s2.addr)
	c := w2.dial()
	for n := range 3 {
		c.send("GET / HTTP/1.1\nHost: a\n\n")
		c.want(200, "right")
		eventually(t, "the late bytes", func() bool { return f2.Drops("unasked-answer") == n+1 })
	}
}

func TestTimes(t *testing.T) {
	w := newWorld(t)
	hang := func(nc net.Conn, r *http.Request, _ int) bool {
		if r.URL.Path == "/part" {
			_, _ = io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
		}
		_, _ = io.Copy(io.Discard, nc) // until the agent gives up
		return false
	}
	s := newServer(t, hang)
	f := w.service(&Settings{Stall: resources.Duration(time.Second)}, func(f *servicetest.Runtime) { f.Rules.Timeout = resources.Duration(time.Second) }, s.addr)
	c := w.dial()
	began := time.Now()
	c.send("POST / HTTP/1.1\nHost: a\nContent-Length: 0\n\n")
	if r := c.want(504, "sluice: web: no answer from "+s.addr+" in time"); r.Header.Get("Sluice-Fault") != "timeout" || r.Close {
		t.Errorf("%v", r)
	}
	if took := time.Since(began); took < 990*time.Millisecond || took > 8*time.Second {
		t.Errorf("it took %s", took)
	}
	c.send("GET /part HTTP/1.1\nHost: a\n\n") // the connection goes on, and a stalled answer does not for ever
	if r, body, err := c.answer("GET"); r.StatusCode != 200 || body != "abc" || err == nil {
		t.Errorf("%v %q %v", r, body, err)
	}
	c = w.dial() // a request that stops in the middle
	c.send("POST / HTTP/1.1\nHost: a\nContent-Length: 100000\n\nabc")
	c.ended()
	eventually(t, "two timeouts and a client that is gone", func() bool {
		return f.Outcome("POST timeout") == 1 && f.Outcome("GET timeout") == 1 && f.Outcome("POST canceled") == 1
	})
	eventually(t, "connections", func() bool { return s.open() == 0 })
}

// What a client leaves behind: a server's connection is not used by others, and not kept.
func TestClientLeaves(t *testing.T) {
	w := newWorld(t)
	s := newServer(t, func(nc net.Conn, r *http.Request, _ int) bool { _, _ = io.Copy(io.Discard, nc); return false })
	f := w.service(&Settings{}, nil, s.addr)
	c := w.dial()
	c.send("GET / HTTP/1.1\nHost: a\n\n")
	eventually(t, "the request", func() bool { return s.requests() == 1 })
	_ = c.nc.(*net.TCPConn).SetLinger(0)
	c.nc.Close()
	eventually(t, "the end", func() bool { return s.open() == 0 && f.Outcome("GET canceled") == 1 })
}

func TestBackup(t *testing.T) {
	w := newWorld(t)
	slow := newServer(t, func(nc net.Conn, r *http.Request, n int) bool {
		time.Sleep(2 * time.Second)
		return says("HTTP/1.1 200 OK\nContent-Length: 4\n\nslow")(nc, r, n)
	})
	fast := newServer(t, says("HTTP/1.1 200 OK\nContent-Length: 4\n\nfast"))
	f := w.service(&Settings{}, func(f *servicetest.Runtime) {
		f.BackupAfter.Store(int64(20 * time.Millisecond))
		f.Rules.Timeout = resources.Duration(10 * time.Second)
	}, slow.addr, fast.addr)
	c := w.dial()
	for range 3 {
		c.send("GET / HTTP/1.1\nHost: a\n\n")
		c.want(200, "fast")
	}
	c.send("POST / HTTP/1.1\nHost: a\nContent-Length: 1\n\nx")
	c.want(200, "slow")
	if fast.requests() != 3 || f.Outcome("GET ok") != 3 || f.Outcome("POST ok") != 1 {
		t.Errorf("the other was asked %d times, %v", fast.requests(), f.Outcomes())
	}
}

func TestStops(t *testing.T) {
	w := newWorld(t)
	s := newServer(t, says("HTTP/1.1 200 OK\nContent-Length: 2\n\nok"))
	var stop atomic.Pointer[resources.Stop]
	w.service(&Settings{}, func(f *servicetest.Runtime) {
		f.Hook = func(c *resources.Call) *resources.Stop {
			if p, _ := c.View.Key(0); string(p) == "/stop" && string(c.View.AppendText(make([]byte, 0, 8))) == "GET /sto" {
				return stop.Load()
			}
			return nil
		}
	}, s.addr)
	for code, status := range map[resources.Code]int{resources.Unavailable: 503, resources.Unknown: 502, resources.Timeout: 504, resources.Limited: 429,
		resources.Degraded: 503, resources.BreakerOpen: 503, resources.Denied: 403, resources.TooLarge: 413, resources.Draining: 503} {
		fault := resources.NewFault(code, resources.FromAgent, "web", "a rule")
		stop.Store(&resources.Stop{Fault: fault, Outcome: resources.OutcomeOf(fault)})
		c := w.dial()
		c.send("GET /stop?secret HTTP/1.1\nHost: a\n\n")
		if r := c.want(status, "sluice: web: a rule\n"); r.Header.Get("Sluice-Fault") != code.String() {
			t.Errorf("%v", r.Header)
		}
		c.send("GET / HTTP/1.1\nHost: a\n\n") // the connection goes on
		c.want(200, "ok")
	}
	c := w.dial()
	stop.Store(&resources.Stop{Reply: `{"a":1}`})
	c.send("GET /stop HTTP/1.1\nHost: a\n\n")
	if r := c.want(200, `{"a":1}`); r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%v", r.Header)
	}
	stop.Store(&resources.Stop{Empty: true})
	c.send("GET /stop HTTP/1.1\nHost: a\n\n")
	c.want(204, "")
	stop.Store(&resources.Stop{Fault: resources.NewFault(resources.Denied, resources.FromAgent, "web", "no"), Outcome: resources.Outcome(resources.Denied)})
	c.send("GET /stop HTTP/1.1\nHost: a\nExpect: 100-continue\nContent-Length: 5\n\n") // it need not send the body, and the end is told
	if r := c.want(403, "no"); !r.Close {
		t.Error("after a body that may or may not come the connection goes on")
	}
	c.ended()
	if s.requests() != 9 {
		t.Errorf("the server got %d requests", s.requests())
	}
}

// Services that share an address.
func TestHosts(t *testing.T) {
	w := newWorld(t)
	f := map[*servicetest.Runtime]*Settings{}
	for name, s := range map[string]*Settings{"user": {}, "feed": {Hosts: []string{"feed.local", "*.Feed.local"}}, "rest": {Hosts: []string{"*.local"}}} {
		f[w.Runtime(name, newServer(t, says(fmt.Sprintf("HTTP/1.1 200 OK\nContent-Length: %d\n\n%s", len(name), name))).addr)] = s
	}
	w.open(f)
	c := w.dial()
	for host, want := range map[string]string{"user": "user", "USER:80": "user", "user.": "user", "feed.local": "feed", "a.feed.local": "feed", "feed.local.": "feed", "b.local": "rest"} {
		c.send("GET / HTTP/1.1\nHost: " + host + "\n\n")
		c.want(200, want)
		c.send("GET http://" + host + "/x HTTP/1.1\nHost: other\n\n") // as to a proxy
		c.want(200, want)
	}
	c.send("GET / HTTP/1.1\nHost: nobody\n\n")
	c.want(404, `no resource here serves host "nobody"; there is *.feed.local, *.local, feed.local, user`)
	c.send("GET / HTTP/1.1\nHost: user\n\n")
	c.want(200, "user")
	d := &Driver{}
	spec := func(n string) *resources.Spec { return &resources.Spec{Name: n} }
	for _, x := range []struct {
		a, b *Settings
		ok   bool
	}{{&Settings{}, &Settings{}, true}, {&Settings{Service: "x"}, &Settings{Service: "X"}, false}, {&Settings{Hosts: []string{"b"}}, &Settings{}, false}} {
		if err := d.Apart(resources.Declared{Spec: spec("a"), Settings: x.a}, resources.Declared{Spec: spec("b"), Settings: x.b}); (err == nil) != x.ok {
			t.Errorf("%+v and %+v: %v", x.a, x.b, err)
		}
	}
}

func TestProbe(t *testing.T) {
	var status atomic.Int32
	s := newServer(t, func(nc net.Conn, r *http.Request, n int) bool {
		if r.URL.Path != "/healthz" || r.Host != "web" {
			return false
		}
		return says(fmt.Sprintf("HTTP/1.1 %d X\nContent-Length: 0\n\n", status.Load()))(nc, r, n)
	})
	w := newWorld(t)
	f := w.service(&Settings{Health: "/healthz"}, nil, s.addr)
	for _, r := range w.Opened() {
		p := r.Probe(f.Eps[0])
		for _, n := range []int32{204, 302, 404, 500} {
			status.Store(n)
			if h, err := p.Check(t.Context()); err != nil || h.Ready != (n < 400) {
				t.Errorf("status %d: %+v %v", n, h, err)
			}
		}
		s.stop()
		if h, err := p.Check(t.Context()); err == nil {
			t.Errorf("nobody there: %+v", h)
		}
		p.Close()
	}
}
