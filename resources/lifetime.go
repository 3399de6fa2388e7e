package resources

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/internal/loop"
)

// Lifetime is what a service that runs on event loops holds, from when it is opened until nothing of it is left. The driver counts
// its sessions and the connections that it closes; Dial counts those that it opens. Begin comes first, and Shutdown last.
type Lifetime struct {
	Sessions    atomic.Int32
	Connections atomic.Int32 // to servers

	ctx    context.Context // ends with the service
	cancel context.CancelFunc
	dials  sync.WaitGroup
}

// Begin makes it ready.
func (l *Lifetime) Begin() { l.ctx, l.cancel = context.WithCancel(context.Background()) }

// Dial connects to an endpoint, outside of the loop, and calls one of the functions on it: attached with the connection, which
// is counted, or failed. A loop that has ended calls neither.
func (l *Lifetime) Dial(rt Runtime, ep *Endpoint, on *loop.Loop, attached func(*loop.Conn), failed func(*Fault)) {
	l.dials.Go(func() {
		var nc net.Conn
		var fault *Fault
		if nc, fault = rt.Dial(l.ctx, ep); nc == nil {
			on.Post(func() { failed(fault) })
			return
		}
		l.Connections.Add(1)
		if on.Attach(nc, attached) != nil {
			l.Connections.Add(-1)
		}
	})
}

// Part is what of a service lives on one loop. Both functions are called on it.
type Part struct {
	Loop  *loop.Loop
	Drain func() // ends each session as soon as nothing of it is under way
	End   func() // ends what is left at once: sessions, and connections to servers
}

// Shutdown drains all parts, ends them when no session is left or ctx is done, and waits until no dial and no connection is. The
// error says that sessions were left; cut names what was cut.
func (l *Lifetime) Shutdown(ctx context.Context, parts []Part, cut string) error {
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	var err error
	for _, p := range parts {
		p.Loop.Post(p.Drain)
	}
	for err == nil && l.Sessions.Load() > 0 {
		select {
		case <-ctx.Done():
			err = errors.New(cut)
		case <-t.C:
		}
	}
	for _, p := range parts {
		told := make(chan struct{})
		if p.Loop.Post(func() { p.End(); close(told) }) {
			<-told
		}
	}
	l.cancel()
	l.dials.Wait()
	for _, p := range parts {
		for l.Connections.Load() > 0 && p.Loop.Post(p.End) {
			<-t.C
		}
	}
	return err
}

// CloseDoor closes an address that services share (Door.Shutdown): it calls drain again and again, to let go of the clients that can be
// let go of, and cut when ctx is done, until no connection is left. When half of the time is over drain hears that it is late, and is
// to wait no longer for what clients might be about to send. The error, with the text why, says that clients were cut.
func CloseDoor(ctx context.Context, connections *atomic.Int32, drain func(late bool), cut func(), why string) error {
	late := time.Now()
	if end, ok := ctx.Deadline(); ok {
		late = late.Add(time.Until(end) / 2)
	}
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	for connections.Load() > 0 {
		drain(time.Now().After(late))
		select {
		case <-t.C:
			continue
		case <-ctx.Done():
		}
		cut()
		for connections.Load() > 0 {
			<-t.C
		}
		return errors.New(why)
	}
	return nil
}
