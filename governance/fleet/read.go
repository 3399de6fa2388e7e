package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// read takes the agent's frames until the link ends, and says why.
func (l *link) read(r *control.Reader) error {
	for {
		if err := l.conn.SetReadDeadline(l.deadline()); err != nil {
			return err
		}
		t, payload, err := r.Next()
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) || isTimeout(err) {
				return fmt.Errorf("nothing was heard for %v: %w", 3*l.f.o.Heartbeat, err)
			}
			return err
		}
		at := l.f.o.Now()
		l.e.seen.Store(at.UnixNano())
		if err := l.frame(t, payload, at); err != nil {
			l.bye(control.Bye{Why: err.Error(), Retry: int64(5 * l.f.jitter())})
			if l.conn.SetReadDeadline(l.deadline()) == nil {
				_, _ = io.Copy(io.Discard, l.conn) // until the agent closes; see linger
			}
			return &protocolError{err}
		}
		if len(payload) > keepBuffer { // a reader holds on to the space of its largest frame, and there is one for each agent
			r = control.NewReader(l.conn, control.MaxToCenter)
		}
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// deadline of the next frame. After the goodbye the agent has a moment to close.
func (l *link) deadline() time.Time {
	l.mu.Lock()
	leaving := l.leaving != nil
	l.mu.Unlock()
	if leaving {
		return time.Now().Add(time.Second)
	}
	return time.Now().Add(3 * l.f.o.Heartbeat)
}

// frame takes one frame. An error ends the link.
func (l *link) frame(t control.Type, payload []byte, at time.Time) error {
	switch t {
	case control.TypePing:
		c, err := control.DecodeClock(t, payload)
		if err != nil {
			return err
		}
		if l.e.tells(l, ahead(c.Now, at)) {
			l.f.said(l)
		}
		l.post(frameOf(control.TypePong, control.Clock{Now: at.UnixMilli()}))
	case control.TypeReport:
		l.f.o.OnReport(l.a, payload, at)
	case control.TypeResult:
		var m control.Result
		if err := decode(t, payload, &m); err != nil {
			return err
		}
		if l.e.result(l, &m) {
			l.f.said(l)
		}
	case control.TypeState:
		var m control.State
		if err := decode(t, payload, &m); err != nil {
			return err
		}
		if err := l.e.state(l, &m); err != nil {
			return err
		}
		l.f.said(l)
	case control.TypeExport:
		var m control.Export
		if err := decode(t, payload, &m); err != nil {
			return err
		}
		l.call(func() { l.f.o.OnExport(l.a, m.Services) })
	case control.TypeAnswer:
		var m control.Answer
		if err := decode(t, payload, &m); err != nil {
			return err
		}
		l.asks.Answer(m)
	case control.TypeHello:
		return errors.New("a second hello on one link")
	}
	return nil // of a later version
}

func decode(t control.Type, payload []byte, into any) error {
	if err := json.Unmarshal(payload, into); err != nil {
		return fmt.Errorf("%v: %w", t, err)
	}
	return nil
}
