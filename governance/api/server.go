package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/governance/audit"
	"github.com/sluice-mesh/sluice/governance/auth"
	"github.com/sluice-mesh/sluice/governance/registry"
	"github.com/sluice-mesh/sluice/governance/say"
	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/internal/httpapi"
)

// Bounds of the interface.
const (
	maxHeader       = 64 << 10
	maxBody         = 4 << 20
	headerTimeout   = 5 * time.Second
	answerTimeout   = 30 * time.Second
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 5 * time.Second

	cookieName = "sluice_session"
	// ourHeader must come with every request that a cookie authorizes and that changes something: no foreign page can send it.
	ourHeader = "X-Sluice"
)

// handler answers, or returns the error to answer with.
type handler func(http.ResponseWriter, *http.Request) error

// Server is the interface. It implements http.Handler, so that tests need no socket.
type Server struct {
	Options
	mux     *http.ServeMux
	http    *http.Server
	stopped context.Context // done when streams and links must end
	stop    context.CancelFunc
	tries   *attempts
	hub     *hub
	groups  groupCache
	watch   watchman

	outlines outlineCache
}

// New returns a server that does not listen yet.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{Options: o, mux: http.NewServeMux(), tries: newAttempts(o.Now), hub: newHub()}
	s.stopped, s.stop = context.WithCancel(context.Background())
	s.routes()
	s.http = &http.Server{
		Handler:           s,
		MaxHeaderBytes:    maxHeader,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       answerTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	return s
}

// need is the right without which a path does not exist for somebody, and the handler.
type need struct {
	right auth.Right
	do    handler
}

// mount adds paths behind an identity and a right. What depends on the resource is asked by the handler.
func (s *Server) mount(table map[string]need) {
	for pattern, n := range table {
		s.mux.Handle(pattern, s.locked(n))
	}
}

type identityKey struct{}

// who returns who asks; never nil behind locked.
func who(r *http.Request) *auth.Identity {
	id, _ := r.Context().Value(identityKey{}).(*auth.Identity)
	return id
}

// Everywhere reports whether whoever a request is from may publish all resources; so may the centre itself, of which ctx says
// nothing.
func Everywhere(ctx context.Context) bool {
	id, known := ctx.Value(identityKey{}).(*auth.Identity)
	return !known || id.Everywhere(auth.Publish)
}

// locked asks who it is, and for the right.
func (s *Server) locked(n need) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := s.identify(r)
		if err != nil {
			if errors.Is(err, auth.ErrUnauthorized) {
				w.Header().Set("WWW-Authenticate", `Bearer realm="sluice"`)
				err = httpapi.Unauthorized("%v", err)
			}
			httpapi.Fail(w, r, s.Log, s.explain(err))
			return
		}
		if !id.Can(n.right) {
			httpapi.Fail(w, r, s.Log, refuse(httpapi.Forbidden, say.Of("may.not", say.With{"who": id.Name, "right": n.right})))
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), identityKey{}, id))
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		if err := bounded(r, r.URL.Query().Get("why")); err != nil {
			httpapi.Fail(w, r, s.Log, err)
			return
		}
		if err := n.do(httpapi.Packing(w, r), r); err != nil {
			httpapi.Fail(w, r, s.Log, s.explain(err))
		}
	})
}

// identify finds out who asks: a token, or a cookie with our header.
func (s *Server) identify(r *http.Request) (*auth.Identity, error) {
	if head := r.Header.Get("Authorization"); head != "" {
		token, ok := strings.CutPrefix(head, "Bearer ")
		if !ok {
			return nil, httpapi.Unauthorized("the Authorization header has another scheme: use Bearer TOKEN")
		}
		return s.Auth.Bearer(r.Context(), strings.TrimSpace(token))
	}
	c, err := r.Cookie(cookieName)
	if err != nil {
		return nil, refuse(httpapi.Unauthorized, say.Of("log.in", nil))
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Header.Get(ourHeader) == "" {
		return nil, httpapi.Forbidden("a change by cookie needs the header %s: 1", ourHeader)
	}
	return s.Auth.Cookie(r.Context(), c.Value)
}

// explain turns what the rooms below say into answers.
func (s *Server) explain(err error) error {
	var e *httpapi.Error
	switch {
	case errors.As(err, &e):
		return err
	case errors.Is(err, store.ErrConflict):
		return refuse(httpapi.Changed, say.Of("changed.meanwhile", say.With{"problem": err.Error()}))
	case errors.Is(err, store.ErrNotFound):
		return httpapi.NotFound("%v", err)
	case errors.Is(err, store.ErrFailed):
		s.Log.Error("the store failed", "error", err)
		return httpapi.Unavailable("%v", err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, store.ErrClosed):
		return httpapi.Unavailable("%v", err)
	}
	return err
}

// bounded refuses a reason for a change that is too long to be kept.
func bounded(r *http.Request, why string) error {
	if err := registry.CheckNotes(who(r).Name, why); err != nil {
		return httpapi.Invalid("why", "%v", err)
	}
	return nil
}

// decode reads the body of a change; why is where its reason is. That of a query is bounded before any handler is asked.
func decode(r *http.Request, into any, what string, why *string) error {
	if err := httpapi.Decode(r, into, what); err != nil {
		return err
	}
	return bounded(r, *why)
}

// by returns a context whose changes are logged as the request's.
func by(r *http.Request, what, target, why string) context.Context {
	return audit.By(r.Context(), audit.Actor{Who: who(r).Name, What: what, Target: target, Why: why})
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout)) // recorders of tests have none
	if s.fromAgent(r) {
		s.serveAgent(w, r)
		return
	}
	if e := httpapi.GuardHost(r, s.Hosts, "this centre's"); e != nil {
		httpapi.Fail(w, r, s.Log, e)
		return
	}
	if e := httpapi.GuardOrigin(r, "this centre's"); e != nil && !followed(r) {
		httpapi.Fail(w, r, s.Log, e)
		return
	}
	if r.TLS == nil && !s.Insecure && !loopback(r) {
		httpapi.Fail(w, r, s.Log, httpapi.Forbidden("plain HTTP is for this machine alone: use https, or start the centre with --insecure-http behind a proxy that does TLS"))
		return
	}
	if !strings.HasPrefix(r.URL.Path, "/v1/") && r.URL.Path != "/healthz" && r.URL.Path != "/readyz" && r.URL.Path != "/metrics" {
		s.UI.ServeHTTP(w, r)
		return
	}
	h.Set("Cache-Control", "no-store")
	handler, pattern := s.mux.Handler(r)
	if pattern == "" {
		httpapi.NoRoute(w, r, s.Log, handler)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// followed reports whether a person followed a link from elsewhere to one of our pages, or comes back from the identity provider.
// Neither changes anything by a cookie.
func followed(r *http.Request) bool {
	return r.Method == http.MethodGet && r.Header.Get("Origin") == "" && r.Header.Get("Sec-Fetch-Mode") == "navigate" &&
		(!strings.HasPrefix(r.URL.Path, "/v1/") || r.URL.Path == "/v1/oidc/callback")
}

// loopback reports whether the request came over the loopback interface, both ends of it.
func loopback(r *http.Request) bool {
	ip := net.ParseIP(httpapi.Hostname(r.RemoteAddr))
	return ip != nil && ip.IsLoopback()
}

// Serve answers on ln until Shutdown. It returns nil then.
func (s *Server) Serve(ln net.Listener) error {
	err := s.http.Serve(ln)
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

// Changed tells the pages that are open what is another than before.
func (s *Server) Changed(topics ...string) { s.hub.changed(topics...) }
