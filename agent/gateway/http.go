package gateway

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/protocols/motan2"
	"github.com/sluice-mesh/sluice/protocols/serial"
	"github.com/sluice-mesh/sluice/resources"
)

// HTTPOptions are what calls that come as HTTP become.
type HTTPOptions struct {
	Resource      string        // its name, for errors
	Service       string        // M_p
	Version       string        // M_v; "": that of the caller, or 1.0
	Serialization string        // of the arguments
	MaxBody       int64         // bytes
	Idle          time.Duration // longest silence of a client
}

// HTTP serves clients of HTTP for a service that speaks Motan.
type HTTP struct {
	opt    HTTPOptions
	id     serial.ID
	codec  serial.Codec
	dial   Dialer
	server *http.Server
	queue  chan net.Conn // from Serve to the server
	done   chan struct{} // closed by Shutdown
	once   sync.Once     // for that
	served sync.WaitGroup

	draining atomic.Bool // answers say that the connection ends

	mu    sync.Mutex
	conns map[net.Conn]*caller // guarded by mu
}

// caller is a client's connection.
type caller struct {
	h     *HTTP
	addr  net.Addr
	since time.Time // when it became idle; guarded by HTTP.mu
	idle  bool      // likewise

	link *link // to the resource; used by one request at a time
}

// The most that a head may have, and the longest time for it and for nothing to move on a body.
const (
	maxHead   = 64 << 10
	bodyStall = time.Minute
)

// NewHTTP returns a gateway that calls by dial. Shutdown ends it.
func NewHTTP(o HTTPOptions, dial Dialer, log *slog.Logger) (*HTTP, error) {
	id, ok := serial.ParseID(o.Serialization)
	if !ok {
		return nil, fmt.Errorf("%q is no serialization: use %s", o.Serialization, convertible)
	}
	codec, err := codecOf(id)
	if err != nil {
		return nil, err
	}
	h := &HTTP{opt: o, id: id, codec: codec, dial: dial, queue: make(chan net.Conn), done: make(chan struct{}), conns: map[net.Conn]*caller{}}
	h.server = &http.Server{
		Handler: h, ReadHeaderTimeout: resources.DefaultHandshakeTimeout, IdleTimeout: o.Idle, MaxHeaderBytes: maxHead,
		ErrorLog: slog.NewLogLogger(log.With("resource", o.Resource).Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, nc net.Conn) context.Context {
			return context.WithValue(ctx, callerKey{}, h.enter(nc))
		},
		ConnState: h.changed,
	}
	h.served.Go(func() { _ = h.server.Serve(handed{h}) }) // it ends with Shutdown
	return h, nil
}

type callerKey struct{}

// Serve takes over a client's connection.
func (h *HTTP) Serve(nc net.Conn) {
	select {
	case h.queue <- nc:
	case <-h.done:
		nc.Close()
	}
}

// handed is the listener of the server: connections are accepted elsewhere, and handed to Serve.
type handed struct{ h *HTTP }

func (l handed) Accept() (net.Conn, error) {
	select {
	case nc := <-l.h.queue:
		return nc, nil
	case <-l.h.done:
		return nil, net.ErrClosed
	}
}
func (l handed) Close() error   { return nil }
func (l handed) Addr() net.Addr { return &net.TCPAddr{} }

// enter notes a client's new connection.
func (h *HTTP) enter(nc net.Conn) *caller {
	c := &caller{h: h, addr: nc.RemoteAddr()}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns[nc] = c
	return c
}

// changed follows what clients do.
func (h *HTTP) changed(nc net.Conn, s http.ConnState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.conns[nc]
	if c == nil {
		return
	}
	switch s {
	case http.StateIdle:
		c.idle, c.since = true, time.Now()
	case http.StateActive:
		c.idle = false
	case http.StateClosed, http.StateHijacked:
		delete(h.conns, nc)
		c.hangUp()
	}
}

// quiet is for how long a client must have been silent to be one that is not about to send a request.
const quiet = time.Second

// busy reports whether a client waits for an answer, or was silent for less than d.
func (h *HTTP) busy(d time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.conns {
		if !c.idle || time.Since(c.since) < d {
			return true
		}
	}
	return false
}

// Shutdown ends the connections at their boundaries until ctx is done, then it cuts them, with an error. Each answer from now on
// says that the connection ends with it, and for half of the time nobody is let go of who was not silent for a while, so that a client
// which is about to send a request does not lose it. It may be called again.
func (h *HTTP) Shutdown(ctx context.Context) error {
	h.draining.Store(true)
	patience := time.Now()
	if end, ok := ctx.Deadline(); ok {
		patience = patience.Add(time.Until(end) / 2)
	}
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	for ctx.Err() == nil && time.Now().Before(patience) && h.busy(quiet) {
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
	h.once.Do(func() { close(h.done) })
	err := h.server.Shutdown(ctx)
	if err != nil {
		_ = h.server.Close()
	}
	h.served.Wait()
	for h.left() { // handlers of cut connections: they end with their clients, and hang up
		<-t.C
	}
	return err
}

// left reports whether there are clients.
func (h *HTTP) left() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.conns) > 0
}

// ServeHTTP implements http.Handler: one call.
func (h *HTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if d := http.NewResponseController(w); d.SetReadDeadline(time.Now().Add(bodyStall)) == nil {
		defer d.SetReadDeadline(time.Time{})
	}
	q, refusal := h.read(w, r)
	if refusal != nil {
		h.write(refusal, w, r)
		return
	}
	c := r.Context().Value(callerKey{}).(*caller)
	a, err := c.call(r.Context(), q)
	switch {
	case r.Context().Err() != nil: // the client is gone
		panic(http.ErrAbortHandler)
	case err != nil:
		h.write(refused(502, resources.Unknown.String(), "the answer is no use: "+err.Error(), h.opt.Resource), w, r)
	default:
		h.write(h.answer(a), w, r)
	}
}

// reply is an answer of HTTP.
type reply struct {
	status int
	fault  string // the word of a fault of the agent's own; "": none
	body   []byte
	time   string // ms that the server took, as it says; "": it does not
}

// write answers a client. A gateway that goes away says so with each answer.
func (h *HTTP) write(a *reply, w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	if h.draining.Load() {
		head.Set("Connection", "close")
	}
	head.Set("Content-Type", typeJSON)
	if a.fault != "" {
		head.Set("Sluice-Fault", a.fault)
	}
	if a.time != "" {
		head.Set("Motan-Pt", a.time)
	}
	if a.status >= 400 && r.ContentLength != 0 {
		_, _ = io.CopyN(io.Discard, r.Body, maxHead) // so that small requests that were refused do not end the connection
	}
	w.WriteHeader(a.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(a.body) // the client may be gone
	}
}

// refused is an answer of the gateway itself: fault is the word of a fault, "" where what is wrong is the request.
func refused(status int, fault, what, resource string) *reply {
	e := exception{Text: own + resource + ": " + what}
	for _, w := range words {
		if w.fault.String() == fault {
			e.Code, e.Type = w.code, motan2.Service
		}
	}
	return &reply{status: status, fault: fault, body: e.problem()}
}
