package manage

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"

	"github.com/sluice-mesh/sluice/internal/httpapi"
)

// Backend does what is asked for. Its methods return when it is done; asking again for what is so already is no error.
type Backend interface {
	Register(ctx context.Context, s Service) error
	// Unregister returns when nobody is sent to the service any more.
	Unregister(ctx context.Context, s Service) error
	// Subscribe returns when the service can be called, or nobody is found for a while.
	Subscribe(ctx context.Context, s Service) error
	// Registered returns what is registered and what is subscribed.
	Registered() (served, called []Service)
}

// Options are what a handler needs.
type Options struct {
	Backend    Backend
	Registries map[string]string // that requests may name: address by name
	Port       int               // where subscribed services are called
	Metadata   *Metadata         // what /meta/ is about
}

const maxBody = 64 << 10

// Handler answers requests for paths below /registry/ and /meta/. Others than those of this machine get an error.
func Handler(o Options) http.Handler {
	h := &handler{o}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /registry/register", h.each(true, o.Backend.Register))
	mux.HandleFunc("POST /registry/unregister", h.each(true, o.Backend.Unregister))
	mux.HandleFunc("POST /registry/subscribe", h.each(false, o.Backend.Subscribe))
	mux.HandleFunc("GET /registry/list", h.list)
	mux.HandleFunc("GET /registry/info", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, "ok", map[string]int{"mesh_port": o.Port})
	})
	o.Metadata.handle(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !near(r) {
			answer(w, http.StatusForbidden, "only applications on the agent's machine may ask for this", nil)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// near reports whether a request comes from this machine.
func near(r *http.Request) bool {
	client := httpapi.Client(r)
	ip := net.ParseIP(client)
	return client == "local" || ip != nil && ip.IsLoopback()
}

type handler struct{ Options }

// each does something with each service of a request, and stops at the first that fails.
func (h *handler) each(served bool, do func(context.Context, Service) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			answer(w, http.StatusBadRequest, err.Error(), nil)
			return
		}
		services, err := Parse(body, h.Registries, served)
		if err != nil {
			answer(w, http.StatusBadRequest, err.Error(), nil)
			return
		}
		for _, s := range services {
			if err := do(r.Context(), s); err != nil {
				answer(w, statusOf(err), err.Error(), nil)
				return
			}
		}
		answer(w, http.StatusOK, "ok", nil)
	}
}

// statusOf is what an error of the backend says of itself; 500 when it says nothing.
func statusOf(err error) int {
	var e *httpapi.Error
	if errors.As(err, &e) {
		return e.Status
	}
	return http.StatusInternalServerError
}

func (h *handler) list(w http.ResponseWriter, _ *http.Request) {
	served, called := h.Backend.Registered()
	answer(w, http.StatusOK, "ok", map[string][]URL{"register_nodes": urls(served), "subscribe_nodes": urls(called)})
}

func urls(list []Service) []URL {
	out := []URL{}
	for _, s := range list {
		u := URL{Protocol: "motan2", Port: s.Port, Path: s.Path, Group: s.Group, Parameters: map[string]string{"proxyRegistry": s.Registry}}
		if s.Version != "" {
			u.Parameters["version"] = s.Version
		}
		if s.Port > 0 {
			u.Host = "127.0.0.1"
		}
		out = append(out, u)
	}
	return out
}

// answer writes what clients of motan-go's agent read.
func answer(w http.ResponseWriter, code int, message string, body any) {
	w.Header().Set("Content-Type", "application/json;charset=utf-8")
	w.WriteHeader(code)
	out := map[string]any{"code": code, "message": message}
	if body != nil {
		out["body"] = body
	}
	_ = json.NewEncoder(w).Encode(out) // who asked may have gone
}
