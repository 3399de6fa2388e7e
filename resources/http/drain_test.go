package http

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// An address goes away under load without one call that fails: clients are told, and connect elsewhere.
func TestDrain(t *testing.T) {
	addr := newGo(t, func(w http.ResponseWriter, r *http.Request) { time.Sleep(2 * time.Millisecond); echo(w, r) })
	old, next := newWorld(t), newWorld(t)
	old.service(&Settings{}, nil, addr)
	next.service(&Settings{}, nil, addr)
	var at atomic.Pointer[string]
	at.Store(&old.Addr)
	stop := make(chan struct{})
	var calls atomic.Int64
	var all sync.WaitGroup
	for n := range 8 {
		cl := old.transport()
		all.Go(func() {
			for k := 0; ; k++ {
				select {
				case <-stop:
					return
				default:
				}
				path := fmt.Sprintf("/%d-%d", n, k)
				r, err := cl.Post("http://"+*at.Load()+path, "", nil)
				if err != nil {
					t.Errorf("%s: %v", path, err)
					return
				}
				body, err := io.ReadAll(r.Body)
				r.Body.Close()
				if err != nil || string(body) != path {
					t.Errorf("%s: %q %v", path, body, err)
				}
				calls.Add(1)
			}
		})
	}
	eventually(t, "load", func() bool { return calls.Load() > 100 })
	at.Store(&next.Addr)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := old.Door.Shutdown(ctx); err != nil {
		t.Errorf("the door: %v", err)
	}
	before := calls.Load()
	eventually(t, "load elsewhere", func() bool { return calls.Load() > before+100 })
	close(stop)
	all.Wait()
}

// While the door closes, a busy connection is told so with its answer.
func TestDrainSaysClose(t *testing.T) {
	w := newWorld(t)
	asked, hold := make(chan struct{}), make(chan struct{})
	w.service(&Settings{}, nil, newGo(t, func(w http.ResponseWriter, r *http.Request) { close(asked); <-hold; echo(w, r) }))
	c := w.dial()
	c.send("GET /x HTTP/1.1\nHost: a\n\n")
	<-asked
	done := make(chan error, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	go func() { done <- w.Door.Shutdown(ctx) }()
	time.AfterFunc(100*time.Millisecond, func() { close(hold) })
	if r := c.want(200, "/x"); !r.Close {
		t.Error("the answer does not say that the connection ends")
	}
	c.ended()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
