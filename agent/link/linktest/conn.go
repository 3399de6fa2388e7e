package linktest

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// Frame is one frame that an agent sent.
type Frame struct {
	Type    control.Type
	Payload []byte
}

// Conn is a link as the centre sees it. Pings are answered by themselves, unless Mute.
type Conn struct {
	Agent string // of the certificate
	Hello control.Hello
	Mute  atomic.Bool
	Ended chan struct{} // closed when the link ended

	tcp     net.Conn
	in      *control.Reader
	frames  chan Frame
	pings   atomic.Int64
	writing sync.Mutex
}

// serve greets the agent and reads until the link ends.
func (c *Conn) serve(center *Center, stopped <-chan struct{}) {
	defer close(c.Ended)
	t, payload, err := c.in.Next()
	if err != nil || t != control.TypeHello || control.Decode(t, payload, &c.Hello) != nil {
		return
	}
	err = c.Send(control.TypeWelcome, &control.Welcome{Protocol: control.Version, Center: center.Name, Cluster: center.Cluster,
		Heartbeat: center.Heartbeat.Nanoseconds(), Report: center.Report.Nanoseconds(), Now: center.clock()})
	if err != nil {
		return
	}
	center.links <- c
	for {
		t, payload, err := c.in.Next()
		if err != nil {
			return
		}
		if t == control.TypePing {
			c.pings.Add(1)
			if c.Mute.Load() {
				continue
			}
			var pong any // empty, of a version without clocks
			if now := center.clock(); now != 0 {
				pong = control.Clock{Now: now}
			}
			if c.Send(control.TypePong, pong) != nil {
				return
			}
			continue
		}
		select {
		case c.frames <- Frame{t, append([]byte(nil), payload...)}:
		case <-stopped:
			return
		}
	}
}

// Pings returns how many came.
func (c *Conn) Pings() int { return int(c.pings.Load()) }

// Close cuts the link.
func (c *Conn) Close() { c.tcp.Close() }

// Send sends a message; nil is an empty payload.
func (c *Conn) Send(t control.Type, message any) error {
	frame := control.AppendFrame(nil, t, nil)
	if message != nil {
		var err error
		if frame, err = control.AppendMessage(nil, t, message, control.MaxToAgent); err != nil {
			return err
		}
	}
	return c.SendRaw(frame)
}

// SendRaw sends bytes.
func (c *Conn) SendRaw(b []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	_, err := c.tcp.Write(b)
	return err
}

// Next returns the next frame of a type, and drops those of others before it.
func (c *Conn) Next(want control.Type, within time.Duration) ([]byte, error) {
	t := time.NewTimer(within)
	defer t.Stop()
	for {
		select {
		case f := <-c.frames:
			if f.Type == want {
				return f.Payload, nil
			}
			continue
		default:
		}
		select {
		case f := <-c.frames:
			if f.Type == want {
				return f.Payload, nil
			}
		case <-c.Ended:
			if len(c.frames) == 0 {
				return nil, fmt.Errorf("the link ended while waiting for %s", want)
			}
		case <-t.C:
			return nil, fmt.Errorf("no %s within %s", want, within)
		}
	}
}

// Receive is Next for a message.
func (c *Conn) Receive(want control.Type, into any, within time.Duration) error {
	payload, err := c.Next(want, within)
	if err != nil {
		return err
	}
	return control.Decode(want, payload, into)
}

// Update sends an Update and returns its Result.
func (c *Conn) Update(u *control.Update, within time.Duration) (control.Result, error) {
	var r control.Result
	if err := c.Send(control.TypeUpdate, u); err != nil {
		return r, err
	}
	err := c.Receive(control.TypeResult, &r, within)
	if err == nil && r.Revision != u.Revision {
		err = fmt.Errorf("the result is of revision %d and not of %d", r.Revision, u.Revision)
	}
	return r, err
}
