package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/governance/question"
	"github.com/sluice-mesh/sluice/protocols/control"
)

// link is one connection of an agent: a reader, which is Serve's goroutine, and a writer.
type link struct {
	f     *Fleet
	e     *entry
	a     *Agent
	conn  net.Conn
	full  bool          // the first update holds all. Read by the writer alone, as is first
	first bool          // no update was sent yet
	knows bool          // the agent has a state of this cluster, which a Full update would replace
	wake  chan struct{} // something for the writer
	done  chan struct{} // closed when the link ends
	asks  *question.Book

	mu      sync.Mutex
	out     [][]byte // small frames that wait
	leaving []byte   // the goodbye, which is the last frame
	closed  bool
	why     error // it was cut
	exiled  bool  // another process took its place
}

// Serve runs the link of one agent until it ends, and closes conn. Name is the one that the agent's certificate bears. The
// error says why the link ended; nil after a goodbye.
func (f *Fleet) Serve(ctx context.Context, conn net.Conn, name string) error {
	defer conn.Close()
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		if conn.SetReadDeadline(time.Now().Add(2*time.Second)) == nil {
			_, _, _ = control.NewReader(conn, control.MaxToCenter).Next() // it talks first
		}
		return f.refuse(conn, control.Bye{Why: ErrClosed.Error(), Retry: int64(f.jitter())}, ErrClosed)
	}
	f.done.Add(1)
	f.mu.Unlock()
	defer f.done.Done()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()

	r := control.NewReader(conn, control.MaxToCenter)
	hello, err := f.hello(conn, r)
	if err != nil {
		return fmt.Errorf("agent %s: %w", name, err)
	}
	a, err := agentOf(hello, name, f.o.Now())
	if err != nil {
		return f.refuse(conn, control.Bye{Why: err.Error(), Fatal: true}, fmt.Errorf("agent %s: %w", name, err))
	}
	if f.starting.Add(1) > int64(f.o.Admit) || f.queued.Load() > maxQueued {
		f.starting.Add(-1)
		return f.refuse(conn, control.Bye{Why: "the centre is busy with other agents", Retry: int64(f.jitter())}, fmt.Errorf("agent %s: told to come back: %w", name, ErrBusy))
	}
	l := &link{f: f, a: a, conn: conn, first: true, wake: make(chan struct{}, 1), done: make(chan struct{})}
	l.asks = question.NewBook("agent "+name, maxAsks, func(id uint64) { l.post(frameOf(control.TypeCancel, control.Cancel{ID: id})) })
	if bye := f.attach(l, hello.Have); bye != nil {
		f.starting.Add(-1)
		return f.refuse(conn, *bye, fmt.Errorf("agent %s: %s", name, bye.Why))
	}
	var writer sync.WaitGroup
	writer.Go(l.write)
	f.said(l)
	err = l.read(r)
	l.cut(err)
	writer.Wait()
	f.detach(l)
	return l.ended(err)
}

// hello reads the first frame.
func (f *Fleet) hello(conn net.Conn, r *control.Reader) (*control.Hello, error) {
	if err := conn.SetDeadline(time.Now().Add(f.o.HelloWait)); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(f.life, func() { conn.Close() }) // a centre that stops does not wait for who says nothing
	defer stop()
	t, payload, err := r.Next()
	if err != nil {
		return nil, fmt.Errorf("no hello: %w", err)
	}
	if t != control.TypeHello {
		return nil, fmt.Errorf("the first frame is %v, not a hello", t)
	}
	h := new(control.Hello)
	if err := json.Unmarshal(payload, h); err != nil {
		return nil, fmt.Errorf("hello: %w", err)
	}
	return h, nil
}

// refuse says goodbye on a connection that became no link, and returns why.
func (f *Fleet) refuse(conn net.Conn, bye control.Bye, why error) error {
	if conn.SetWriteDeadline(time.Now().Add(2*time.Second)) != nil {
		return why
	}
	if _, err := conn.Write(frameOf(control.TypeBye, bye)); err == nil {
		linger(conn)
	}
	return why
}

// linger waits a moment for the other side to close: closing first would make the kernel drop what it has not read.
func linger(conn net.Conn) {
	closeWrite(conn)
	if conn.SetReadDeadline(time.Now().Add(time.Second)) == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(conn, 1<<20))
	}
}

// closeWrite tells the other side that nothing more comes, where the connection can.
func closeWrite(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // the link ends in any case
	}
}

// attach makes l the link of its agent, or says why it must not be.
func (f *Fleet) attach(l *link, have control.Have) *control.Bye {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return &control.Bye{Why: ErrClosed.Error(), Retry: int64(f.jitter())}
	}
	e := f.entries[l.a.Name]
	if e == nil {
		e = &entry{f: f, name: l.a.Name, items: make(map[string]*item), states: make(map[string]*state)}
		f.entries[e.name] = e
	}
	l.e = e
	e.mu.Lock()
	old := e.link
	if old != nil && old.a.Boot != l.a.Boot && !later(l.a, old.a) {
		e.mu.Unlock()
		f.mu.Unlock()
		return &control.Bye{Why: taken(old.a), Retry: int64(5 * f.jitter())}
	}
	waves := e.release()
	e.take(l)
	l.full = e.resume(have)
	l.knows = have.Cluster == f.o.Cluster && have.Revision > 0
	e.mu.Unlock()
	f.reindex(e, l.a)
	f.mu.Unlock()
	for _, w := range waves {
		w.lose(f)
	}
	if old != nil {
		old.replaced(l.a)
	}
	return nil
}

// take makes l the link. What another process of the agent said of itself is forgotten. Call with e.mu held.
func (e *entry) take(l *link) {
	if e.agent == nil || e.agent.Boot != l.a.Boot {
		e.ready, e.draining, e.detail, e.stale, e.pinned = false, false, "", time.Time{}, 0
		clear(e.states)
		e.reborn = true
	}
	e.agent, e.link, e.since, e.clock = l.a, l, e.f.o.Now(), l.a.clock
	e.connected++
	e.seen.Store(e.since.UnixNano())
	at := e.note()
	e.helloAt, e.fullAt = at, at
}

// later reports whether process a started after process b; of two that started together the one with the greater boot.
func later(a, b *Agent) bool {
	if a.Started.Equal(b.Started) {
		return a.Boot > b.Boot
	}
	return a.Started.After(b.Started)
}

func taken(by *Agent) string {
	return fmt.Sprintf("another process is connected as %s: it started at %s on host %q", by.Name, by.Started.UTC().Format(time.RFC3339), by.Host)
}

// replaced ends a link whose agent has another one now.
func (l *link) replaced(by *Agent) {
	if by.Boot == l.a.Boot {
		l.cut(errors.New("the agent made a new link"))
		return
	}
	l.mu.Lock()
	l.exiled = true
	l.mu.Unlock()
	l.bye(control.Bye{Why: taken(by), Retry: int64(5 * l.f.jitter())})
}

// detach ends the link in the books.
func (f *Fleet) detach(l *link) {
	e := l.e
	e.calls.Lock()
	defer e.calls.Unlock()
	e.mu.Lock()
	current := e.link == l
	var waves []*wave
	if current {
		e.link, e.since = nil, f.o.Now()
		waves = e.release()
		e.note()
	}
	e.mu.Unlock()
	for _, w := range waves {
		w.lose(f)
	}
	l.mu.Lock()
	exiled := l.exiled
	l.mu.Unlock()
	if current || exiled {
		f.o.OnGone(l.a)
	}
	if current {
		f.o.OnState(l.a)
	}
}

// said calls OnState for a link, if it still is its agent's.
func (f *Fleet) said(l *link) { l.call(func() { f.o.OnState(l.a) }) }

// call runs a callback while l is its agent's link and no other callback of the agent runs.
func (l *link) call(callback func()) {
	l.e.calls.Lock()
	defer l.e.calls.Unlock()
	l.e.mu.Lock()
	current := l.e.link == l
	l.e.mu.Unlock()
	if current {
		callback()
	}
}

// nudge wakes the writer.
func (l *link) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// post hands a small frame to the writer. An agent that has many of them waiting does not read.
func (l *link) post(frame []byte) bool {
	l.mu.Lock()
	if l.closed || l.leaving != nil {
		l.mu.Unlock()
		return false
	}
	if len(l.out) >= maxOutbox {
		l.mu.Unlock()
		l.cut(fmt.Errorf("%d frames wait to be read", maxOutbox))
		return false
	}
	l.out = append(l.out, frame)
	l.mu.Unlock()
	l.nudge()
	return true
}

// bye ends the link with a goodbye. The first one counts.
func (l *link) bye(b control.Bye) {
	l.mu.Lock()
	if l.leaving == nil {
		l.leaving = frameOf(control.TypeBye, b)
	}
	l.mu.Unlock()
	l.nudge()
}

// cut ends the link at once. The first reason counts.
func (l *link) cut(why error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed, l.why = true, why
	l.mu.Unlock()
	close(l.done)
	l.conn.Close()
	l.asks.Close(ErrAway)
}

// goes reports whether the link is about to end.
func (l *link) goes() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leaving != nil
}

// ended says why the link ended: what its reader met, what else cut it before, nil after a goodbye without a fault.
func (l *link) ended(read error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var fault *protocolError
	if l.leaving != nil && !errors.As(read, &fault) {
		return nil
	}
	return fmt.Errorf("agent %s: %w", l.a.Name, l.why)
}

// protocolError is what an agent did that no agent may.
type protocolError struct{ error }

func (e *protocolError) Unwrap() error { return e.error }

// frameOf makes a frame of a message of ours, which always has a JSON form.
func frameOf(t control.Type, message any) []byte {
	if message == nil {
		return control.AppendFrame(nil, t, nil)
	}
	text, err := json.Marshal(message)
	if err != nil {
		panic(fmt.Sprintf("fleet: %T has no JSON form: %v", message, err))
	}
	return control.AppendFrame(nil, t, text)
}
