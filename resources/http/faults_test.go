package http

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Servers lose their connections all the time. No answer is another request's, no write is executed twice, and what fails
// fails in the agent's words.
func TestServersLoseConnections(t *testing.T) {
	var mu sync.Mutex
	executed := map[string]int{}
	var servers []*httptest.Server
	w := newWorld(t)
	var addrs []string
	for range 2 {
		s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.Method == "POST" {
				mu.Lock()
				executed[r.URL.Path]++
				mu.Unlock()
			}
			echo(rw, r)
		}))
		t.Cleanup(s.Close)
		servers, addrs = append(servers, s), append(addrs, s.Listener.Addr().String())
	}
	f := w.service(&Settings{}, nil, addrs...)
	stop := make(chan struct{})
	var cutter, all sync.WaitGroup
	cutter.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(3 * time.Millisecond):
				servers[n%2].CloseClientConnections()
			}
		}
	})
	cl := w.transport()
	var ok, failed, cut atomic.Int64
	for n := range 16 {
		all.Go(func() {
			for k := range 150 {
				path := fmt.Sprintf("/%d-%d", n, k)
				method, want := "GET", path
				var body io.Reader
				if k%2 == 0 {
					method, want = "POST", strings.Repeat(path, 1+k*20)
					body = io.MultiReader(strings.NewReader(want)) // so that the client cannot repeat it either
				}
				req, err := http.NewRequest(method, "http://"+w.Addr+path+[]string{"", "?chunked"}[k%3%2], body)
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("X-Id", path)
				r, err := cl.Do(req)
				if err != nil {
					t.Errorf("%s %s: %v", method, path, err)
					return
				}
				got, err := io.ReadAll(r.Body)
				r.Body.Close()
				switch fault := r.Header.Get("Sluice-Fault"); {
				case fault == "unknown" || fault == "unavailable":
					failed.Add(1)
				case r.StatusCode != 200 || r.Header.Get("X-Id") != path || !strings.HasPrefix(want, string(got)):
					t.Errorf("%s %s: %d, answer to %q, %.100q", method, path, r.StatusCode, r.Header.Get("X-Id"), got)
				case err != nil:
					cut.Add(1)
				case string(got) != want:
					t.Errorf("%s %s: %d bytes of %d pass for all of them", method, path, len(got), len(want))
				default:
					ok.Add(1)
				}
			}
		})
	}
	all.Wait()
	close(stop)
	cutter.Wait()
	for path, n := range executed {
		if n > 1 {
			t.Errorf("POST %s was executed %d times", path, n)
		}
	}
	t.Logf("%d calls succeeded, %d failed, %d were cut", ok.Load(), failed.Load(), cut.Load())
	if ok.Load() < 500 || failed.Load()+cut.Load() == 0 || f.Mismatches.Load() != 0 {
		t.Errorf("%d calls succeeded, %d failed, %d were cut, %d mismatches", ok.Load(), failed.Load(), cut.Load(), f.Mismatches.Load())
	}
}

// TLS towards clients.
func TestTLS(t *testing.T) {
	w := newWorld(t)
	w.service(&Settings{}, nil, newGo(t, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("X-Proto", r.Header.Get("X-Forwarded-Proto"))
		echo(rw, r)
	}))
	certs := httptest.NewUnstartedServer(nil) // for its certificate alone
	certs.StartTLS()
	defer certs.Close()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", certs.TLS)
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
			w.Door.Serve(nc)
		}
	})
	defer accepting.Wait()
	defer ln.Close()
	tr := certs.Client().Transport.(*http.Transport).Clone()
	tr.ForceAttemptHTTP2, tr.TLSClientConfig.NextProtos = false, []string{"http/1.1"}
	defer tr.CloseIdleConnections()
	cl := &http.Client{Transport: tr, Timeout: 10 * time.Second}
	for _, size := range []int{1, 100, 1 << 20} {
		want := strings.Repeat("x", size)
		r, err := cl.Post("https://"+ln.Addr().String()+"/?chunked", "", strings.NewReader(want))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || string(got) != want || r.Header.Get("X-Proto") != "https" {
			t.Errorf("%d bytes: %d came back, %v, %v", size, len(got), err, r.Header)
		}
	}
}
