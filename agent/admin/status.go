package admin

import (
	"io"
	"net/http"

	"github.com/sluice-mesh/sluice/internal/httpapi"
)

// healthz says that the process answers. It stays ok while draining: restarting a draining agent would cut its calls.
func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, "ok\n")
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	ok, detail := s.backend.Ready()
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, "not ready: "+detail+"\n")
		return
	}
	io.WriteString(w, "ok\n")
}

func (s *Server) getStatus(w http.ResponseWriter, r *http.Request) error {
	httpapi.Reply(w, http.StatusOK, s.backend.Status())
	return nil
}

func (s *Server) getAgents(w http.ResponseWriter, r *http.Request) error {
	httpapi.Reply(w, http.StatusOK, map[string]any{"agents": s.backend.Agents()})
	return nil
}
