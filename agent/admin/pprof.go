package admin

import (
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/internal/httpapi"
	"github.com/sluice-mesh/sluice/resources"
)

// Bounds of how long profiles are served after they were switched on.
const (
	pprofDefault = 5 * time.Minute
	pprofMost    = time.Hour
)

// pprofSwitch says until when profiles are served. They cost CPU and show the inside of the process, so they are off
// unless somebody needs them now.
type pprofSwitch struct {
	mu    sync.Mutex
	until time.Time
}

func (p *pprofSwitch) on(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return now.Before(p.until)
}

func (p *pprofSwitch) set(until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until = until
}

func (s *Server) pprofOn(w http.ResponseWriter, r *http.Request) error {
	q, err := httpapi.Query(r, "for")
	if err != nil {
		return err
	}
	d := resources.Duration(pprofDefault)
	if v := q.Get("for"); v != "" {
		if err := d.UnmarshalText([]byte(v)); err != nil {
			return httpapi.Invalid("for", "%v", err)
		}
	}
	if d <= 0 || d.D() > pprofMost {
		return httpapi.Invalid("for", "%s is out of range: use up to %s", d, pprofMost)
	}
	until := time.Now().Add(d.D())
	s.pprof.set(until)
	s.log.Info("profiles switched on", "until", until.Format(time.RFC3339), "by", httpapi.Client(r))
	httpapi.Reply(w, http.StatusOK, map[string]any{"path": "/debug/pprof/", "until": until.UTC().Format(time.RFC3339)})
	return nil
}

func (s *Server) pprofOff(w http.ResponseWriter, r *http.Request) error {
	s.pprof.set(time.Time{})
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) pprofServe(w http.ResponseWriter, r *http.Request) error {
	if !s.pprof.on(time.Now()) {
		return httpapi.NotFound("profiles are off: switch them on with POST /v1/debug/pprof?for=5m")
	}
	rc := http.NewResponseController(w) // a profile takes as long as it was asked to
	rc.SetWriteDeadline(time.Now().Add(pprofMost))
	rc.SetReadDeadline(time.Now().Add(pprofMost)) // at the deadline of the request's body the server would end its context
	switch profile := r.PathValue("profile"); profile {
	case "":
		pprof.Index(w, r)
	case "cmdline": // arguments may hold what nobody else should see
		return httpapi.NotFound("the command line is not shown")
	case "profile":
		pprof.Profile(w, r)
	case "symbol":
		pprof.Symbol(w, r)
	case "trace":
		pprof.Trace(w, r)
	default:
		pprof.Handler(profile).ServeHTTP(w, r)
	}
	return nil
}
