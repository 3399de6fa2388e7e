package gateway

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/protocols/serial"
	"github.com/sluice-mesh/sluice/resources"
)

// peer is the other end of a gateway's pipes: it answers each request by what do returns, or not at all.
type peer struct {
	do func(client net.Addr, f *motan2.Frame) []byte

	mu    sync.Mutex
	open  int
	pipes int
}

func (p *peer) serve(nc net.Conn) {
	p.count(1)
	go func() {
		defer p.count(-1)
		defer nc.Close()
		in := bufio.NewReader(nc)
		for {
			f, err := readFrame(in)
			if err != nil {
				return
			}
			if b := p.do(nc.RemoteAddr(), f); b != nil {
				if _, err := nc.Write(b); err != nil {
					return
				}
			}
		}
	}()
}

func (p *peer) count(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open += n
	p.pipes += max(n, 0)
}

func (p *peer) pipesNow() (open, all int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open, p.pipes
}

// echo answers with the service, the method and the client's host.
func echo(client net.Addr, f *motan2.Frame) []byte {
	c := f.Meta.Call()
	host, _, _ := net.SplitHostPort(client.String())
	body, _ := serial.Simple{}.Append(nil, string(c.Service)+"."+string(c.Method)+" for "+host)
	return motan2.Append(nil, motan2.Head{ID: f.ID, Type: motan2.TypeResponse, Serialization: f.Serialization}, nil, body)
}

// start serves HTTP at an address until the test ends.
func start(t *testing.T, p *peer) (*HTTP, string) {
	h, err := NewHTTP(HTTPOptions{Resource: "r", Service: "a.B", Serialization: "simple", MaxBody: 1 << 20, Idle: time.Minute}, Dial(p.serve), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			h.Serve(nc)
		}
	})
	t.Cleanup(func() {
		ln.Close()
		accepting.Wait()
		now, cancel := context.WithCancel(context.Background())
		cancel()
		_ = h.Shutdown(now)
		wait(t, "all pipes to be closed", func() bool { open, _ := p.pipesNow(); return open == 0 })
	})
	return h, "http://" + ln.Addr().String()
}

func wait(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func client(t *testing.T) *http.Client {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func get(t *testing.T, c *http.Client, url string) (int, string, http.Header) {
	t.Helper()
	r, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, strings.TrimSpace(string(b)), r.Header
}

// A client's requests share a pipe, which shows the client's address and ends with its connection.
func TestAClientHasAPipe(t *testing.T) {
	p := &peer{do: echo}
	_, url := start(t, p)
	c := client(t)
	for range 3 {
		if status, text, _ := get(t, c, url+"/m"); status != 200 || text != `"a.B.m for 127.0.0.1"` {
			t.Errorf("%d %s", status, text)
		}
	}
	if open, all := p.pipesNow(); open != 1 || all != 1 {
		t.Errorf("%d pipes of %d are open", open, all)
	}
	c.CloseIdleConnections()
	wait(t, "the pipe to be closed", func() bool { open, _ := p.pipesNow(); return open == 0 })
}

// A pipe on which an answer comes to no request is not used again, and its client gets no answer that is another's.
func TestAnswersToNoRequest(t *testing.T) {
	wrong := true
	p := &peer{do: func(client net.Addr, f *motan2.Frame) []byte {
		if wrong {
			f.ID++
			wrong = false
		}
		return echo(client, f)
	}}
	_, url := start(t, p)
	c := client(t)
	if status, text, head := get(t, c, url+"/m"); status != 502 || head.Get("Sluice-Fault") != "unknown" {
		t.Errorf("%d %s", status, text)
	}
	if status, text, _ := get(t, c, url+"/m"); status != 200 {
		t.Errorf("%d %s", status, text)
	}
	if _, all := p.pipesNow(); all != 2 {
		t.Errorf("%d pipes", all)
	}
}

// A client that leaves takes its call with it.
func TestAClientThatLeavesCancels(t *testing.T) {
	asked := make(chan struct{})
	p := &peer{do: func(net.Addr, *motan2.Frame) []byte { close(asked); return nil }}
	_, url := start(t, p)
	ctx, leave := context.WithCancel(t.Context())
	go func() { <-asked; leave() }()
	r, err := http.NewRequestWithContext(ctx, "POST", url+"/m", strings.NewReader("[]"))
	if err != nil {
		t.Fatal(err)
	}
	if a, err := client(t).Do(r); err == nil {
		a.Body.Close()
		t.Errorf("an answer: %d", a.StatusCode)
	}
	wait(t, "the call to be canceled", func() bool { open, all := p.pipesNow(); return open == 0 && all == 1 })
}

// Shutdown waits for a call that is under way, whose answer says that the connection ends.
func TestShutdownWaitsForAnswers(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	p := &peer{do: func(client net.Addr, f *motan2.Frame) []byte {
		close(asked)
		<-answer
		return echo(client, f)
	}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	h, err := NewHTTP(HTTPOptions{Resource: "r", Service: "a.B", Serialization: "simple", MaxBody: 1 << 20, Idle: time.Minute}, Dial(p.serve), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		nc, err := ln.Accept()
		if err == nil {
			h.Serve(nc)
		}
		<-asked
		go func() { time.Sleep(50 * time.Millisecond); close(answer) }()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		ended <- h.Shutdown(ctx)
	}()
	if status, text, _ := get(t, client(t), "http://"+ln.Addr().String()+"/m"); status != 200 {
		t.Errorf("%d %s", status, text)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := h.Shutdown(context.Background()); err != nil {
		t.Errorf("a second time: %v", err)
	}
	wait(t, "the pipe to be closed", func() bool { open, _ := p.pipesNow(); return open == 0 })
}

// A visit that ends takes its calls and its pipes with it.
func TestAVisitEnds(t *testing.T) {
	reached := make(chan struct{}, 1)
	p := &peer{}
	serve := func(nc net.Conn) {
		p.count(1)
		go func() {
			defer p.count(-1)
			defer nc.Close()
			if _, err := nc.Read(make([]byte, 1)); err == nil {
				reached <- struct{}{}
			}
			_, _ = io.Copy(io.Discard, nc)
		}()
	}
	var calls sync.WaitGroup
	for _, guest := range []*resources.Guest{NewHTTPGuest(GuestOptions{Resource: "r", Authority: "a", Calls: &calls}, Dial(serve)), NewGRPCGuest(GuestOptions{Resource: "r", Authority: "a", Calls: &calls}, Dial(serve))} {
		v := guest.Enter(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1})
		answers := make(chan []byte, 1)
		v.Ask(motan2.Append(nil, motan2.Head{ID: 1, Serialization: byte(serial.IDSimple)}, motan2.Meta("M_p\na\nM_m\nb"), nil), func(b []byte) { answers <- b })
		<-reached
		v.Close()
		calls.Wait()
		var f motan2.Frame
		if ok, err := f.Scan(<-answers, maxFrame); !ok || err != nil || f.Status != motan2.StatusException {
			t.Errorf("%+v %v", f, err)
		}
		wait(t, "the pipe to be closed", func() bool { open, _ := p.pipesNow(); return open == 0 })
	}
}
