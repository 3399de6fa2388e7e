package admin

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/internal/httpapi"
)

// Bounds of the interface.
const (
	maxHeader       = 64 << 10
	maxBody         = 1 << 20
	maxConns        = 256 // beyond them clients wait in the kernel's backlog
	headerTimeout   = 5 * time.Second
	answerTimeout   = 30 * time.Second
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 5 * time.Second
)

// Options are what a server needs.
type Options struct {
	Backend Backend
	Token   string       // see LoadToken; must not be empty
	Hosts   []string     // names, beside addresses and localhost, that a Host header may hold
	Manage  http.Handler // of paths below /registry/ and /meta/, without the token: it sees itself to who may ask; nil: there are none
	Log     *slog.Logger
}

// Server is the interface. It implements http.Handler, so that tests need no socket.
type Server struct {
	backend Backend
	token   [sha256.Size]byte
	hosts   []string
	log     *slog.Logger
	mux     *http.ServeMux
	pprof   pprofSwitch

	http    *http.Server
	stopped context.Context // done when streams must end
	stop    context.CancelFunc
}

// New returns a server that does not listen yet.
func New(o Options) *Server {
	if o.Token == "" {
		panic("admin: a server without a token")
	}
	s := &Server{backend: o.Backend, token: sha256.Sum256([]byte(o.Token)), hosts: o.Hosts, log: discard(o.Log), mux: http.NewServeMux()}
	s.stopped, s.stop = context.WithCancel(context.Background())
	s.routes()
	if o.Manage != nil {
		s.mux.Handle("/registry/", o.Manage)
		s.mux.Handle("/meta/", o.Manage)
	}
	s.http = &http.Server{
		Handler:           s,
		MaxHeaderBytes:    maxHeader,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       answerTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	return s
}

// routes is the table of what there is. Those without s.locked are open.
func (s *Server) routes() {
	s.mux.HandleFunc("GET /healthz", s.healthz)
	s.mux.HandleFunc("GET /readyz", s.readyz)
	s.mux.Handle("GET /metrics", s.backend.Metrics())

	for pattern, h := range map[string]handler{
		"GET /v1/status":                      s.getStatus,
		"GET /v1/agents":                      s.getAgents,
		"GET /v1/resources":                   s.getResources,
		"GET /v1/resources/{name}":            s.getResource,
		"GET /v1/resources/{name}/endpoints":  s.getEndpoints,
		"GET /v1/resources/{name}/operations": s.getOperations,
		"GET /v1/resources/{name}/sessions":   s.getSessions,
		"GET /v1/resources/{name}/config":     s.getConfig,
		"PUT /v1/resources/{name}":            s.putResource,
		"PATCH /v1/resources/{name}":          s.patchResource,
		"DELETE /v1/resources/{name}":         s.deleteResource,
		"GET /v1/commands":                    s.getCommands,
		"POST /v1/commands":                   s.postCommand,
		"DELETE /v1/commands/{id}":            s.deleteCommand,
		"GET /v1/observe":                     s.observe,
		"POST /v1/debug/pprof":                s.pprofOn,
		"DELETE /v1/debug/pprof":              s.pprofOff,
		"GET /debug/pprof/{profile...}":       s.pprofServe,
	} {
		s.mux.Handle(pattern, s.locked(h))
	}
}

// handler answers, or returns the error to answer with.
type handler func(http.ResponseWriter, *http.Request) error

// locked asks for the token.
func (s *Server) locked(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLocal(r) && !s.authorized(r) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="sluice"`)
			httpapi.Fail(w, r, s.log, httpapi.Unauthorized("a token is needed, or this one is wrong"))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		if err := h(w, r); err != nil {
			httpapi.Fail(w, r, s.log, err)
		}
	})
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout)) // recorders of tests have none
	if e := httpapi.Guard(r, s.hosts, "this agent's"); e != nil {
		httpapi.Fail(w, r, s.log, e)
		return
	}
	h, pattern := s.mux.Handler(r)
	if pattern == "" {
		httpapi.NoRoute(w, r, s.log, h)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// Serve answers on ln until Shutdown. It returns nil then.
func (s *Server) Serve(ln net.Listener) error {
	err := s.http.Serve(&bounded{Listener: ln, slots: make(chan struct{}, maxConns), stop: s.stopped})
	if s.stopped.Err() != nil {
		return nil
	}
	return err
}

// Shutdown ends streams, lets answers finish for at most 5 s, and closes the rest.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	ctx, cancel := context.WithTimeout(ctx, shutdownTimeout)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}

// bounded accepts at most cap(slots) connections at once.
type bounded struct {
	net.Listener
	slots chan struct{}
	stop  context.Context
}

func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.slots <- struct{}{}:
	case <-b.stop.Done():
		return nil, net.ErrClosed
	}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.slots
		return nil, err
	}
	return &boundedConn{Conn: c, free: sync.OnceFunc(func() { <-b.slots })}, nil
}

// boundedConn gives its slot back when it is closed for the first time.
type boundedConn struct {
	net.Conn
	free func()
}

func (c *boundedConn) Close() error {
	defer c.free()
	return c.Conn.Close()
}
