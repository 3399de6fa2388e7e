package listen

import (
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// While connections may not be accepted, clients wait in the backlog; then they are served. Close does not wait for that.
func TestHold(t *testing.T) {
	var gate atomic.Pointer[chan struct{}]
	hold := func() <-chan struct{} {
		if ch := gate.Load(); ch != nil {
			return *ch
		}
		return nil
	}
	l, err := Open("127.0.0.1:0", Options{Hold: hold})
	if err != nil {
		t.Fatal(err)
	}
	closed := false
	defer func() {
		if !closed {
			l.Close()
		}
	}()
	accepted := make(chan struct{}, 100)
	l.Handle(func(c net.Conn) { c.Close(); accepted <- struct{}{} }, nil)
	l.Start()
	dial := func() {
		t.Helper()
		c, err := net.DialTimeout("tcp", l.Addr().String(), 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	await := func(what string) {
		t.Helper()
		select {
		case <-accepted:
		case <-time.After(5 * time.Second):
			t.Fatalf("%s was not accepted", what)
		}
	}
	dial()
	await("the first connection")
	ch := make(chan struct{})
	gate.Store(&ch)
	const n = 4
	for range n {
		dial() // the kernel takes them
	}
	early := 0 // the loop may have been waiting for the first one already
	for quiet := time.After(100 * time.Millisecond); quiet != nil; {
		select {
		case <-accepted:
			early++
		case <-quiet:
			quiet = nil
		}
	}
	if early > 1 {
		t.Errorf("%d connections were accepted while none may be", early)
	}
	gate.Store(nil)
	close(ch)
	for range n - early {
		await("a connection that had to wait")
	}
	again := make(chan struct{})
	gate.Store(&again)
	dial()
	dial()
	closed = true
	l.Close() // ends although nobody opens the gate
}
