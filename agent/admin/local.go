package admin

import (
	"context"
	"net/http"
	"path"
	"strings"

	"github.com/sluice-mesh/sluice/internal/httpapi"
)

// localKey marks the context of a request that came through ServeLocal.
type localKey struct{}

func isLocal(r *http.Request) bool { return r.Context().Value(localKey{}) != nil }

// ServeLocal answers a request that did not come over HTTP but from the centre, over the link that the agent made itself. It
// needs no token, since the link has its own proof of who asks; and it answers nothing but reads below /v1/ and dry runs of
// commands, since what the centre changes has another way. Streams end with the request's context.
func (s *Server) ServeLocal(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if e := localOnly(r); e != nil {
		httpapi.Fail(w, r, s.log, e)
		return
	}
	r = r.WithContext(context.WithValue(r.Context(), localKey{}, true))
	h, pattern := s.mux.Handler(r)
	if pattern == "" {
		httpapi.NoRoute(w, r, s.log, h)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// localOnly says why a request is not for ServeLocal.
func localOnly(r *http.Request) *httpapi.Error {
	p := r.URL.Path
	if !strings.HasPrefix(p, "/v1/") || path.Clean(p) != p {
		return httpapi.NotFound("there is nothing at %s for the centre: it reads below /v1/", httpapi.Quoted(p))
	}
	switch r.Method {
	case http.MethodGet:
		return nil
	case http.MethodPost:
		if dry, err := httpapi.Flag(r.URL.Query(), "dry-run"); p == "/v1/commands" && err == nil && dry {
			return nil
		}
	}
	return &httpapi.Error{Status: http.StatusMethodNotAllowed, Code: "method_not_allowed",
		Message: "the centre asks by GET, and by POST /v1/commands?dry-run; what it changes it sends as an update"}
}
