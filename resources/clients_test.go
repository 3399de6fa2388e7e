package resources_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

// ends is a runtime that counts sessions that ended.
type ends struct {
	resources.Runtime
	closed atomic.Int32
}

func (e *ends) Closed(*resources.Session) { e.closed.Add(1) }

// A drain leaves clients that are waited for at once and answers the others first; one that takes too long is cut.
func TestClientsDrain(t *testing.T) {
	rt, clients := &ends{}, &resources.Clients{}
	began, answer := make(chan string, 3), make(chan struct{})
	dial := func() net.Conn {
		mine, theirs := net.Pipe()
		t.Cleanup(func() { mine.Close() })
		_ = mine.SetDeadline(time.Now().Add(time.Minute))
		go clients.Serve(rt, theirs, &resources.Session{}, func(c *resources.Client) {
			for in := bufio.NewScanner(c); c.Wait() && in.Scan(); {
				c.Busy()
				began <- in.Text()
				select {
				case <-answer:
				case <-c.Context.Done():
					return
				}
				fmt.Fprintln(c, in.Text())
			}
		})
		return mine
	}
	idle, busy, stuck := dial(), dial(), dial()
	fmt.Fprintln(idle, "a")
	<-began
	answer <- struct{}{}
	if line, err := bufio.NewReader(idle).ReadString('\n'); line != "a\n" {
		t.Fatal(line, err)
	}
	fmt.Fprintln(busy, "b")
	<-began
	ctx, cut := context.WithCancel(t.Context())
	down := make(chan error, 1)
	go func() { down <- clients.Shutdown(ctx) }()
	if _, err := idle.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the client that was waited for: %v", err)
	}
	answer <- struct{}{}
	if line, err := io.ReadAll(busy); string(line) != "b\n" || err != nil {
		t.Errorf("the client with a request: %q, %v", line, err)
	}
	if _, err := stuck.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the client that said nothing: %v", err)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
	if _, err := dial().Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a client that came late: %v", err)
	}

	clients = &resources.Clients{}
	stuck = dial()
	fmt.Fprintln(stuck, "c")
	<-began
	cut()
	if err := clients.Shutdown(ctx); !errors.Is(err, context.Canceled) || err.Error() != "clients cut: 1: context canceled" {
		t.Errorf("a client that was cut: %v", err)
	}
	for rt.closed.Load() != 5 { // what the test's own time limit bounds
		time.Sleep(time.Millisecond)
	}
}
