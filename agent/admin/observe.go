package admin

import (
	"net/http"
	"net/url"
	"time"

	"github.com/sluice-mesh/sluice/internal/httpapi"
	"github.com/sluice-mesh/sluice/resources"
)

// observe streams live calls as server-sent events: `call` with an [Event], `dropped` with the number of calls that the
// reader was too slow for.
func (s *Server) observe(w http.ResponseWriter, r *http.Request) error {
	q, err := httpapi.Query(r, "resource", "match", "slower-than", "sample")
	if err != nil {
		return err
	}
	watch, err := s.watch(q)
	if err != nil {
		return err
	}
	defer watch.Cancel()
	st := httpapi.NewStream(w)
	st.Comment("watching")
	beat := time.NewTicker(httpapi.Heartbeat)
	defer beat.Stop()
	told := watch.Dropped()
	for st.Err() == nil {
		select {
		case ev, ok := <-watch.Events:
			if !ok {
				return nil
			}
			burst(st, ev, watch.Events)
		case <-beat.C:
			st.Comment("alive")
		case <-r.Context().Done():
			return nil
		case <-s.stopped.Done():
			return nil
		}
		if d := watch.Dropped(); d > told {
			st.Send("dropped", 0, map[string]uint64{"calls": d - told})
			st.Flush()
			told = d
		}
	}
	return nil
}

func (s *Server) watch(q url.Values) (*Watch, error) {
	name := q.Get("resource")
	if name == "" {
		return nil, httpapi.Invalid("resource", "name the resource to observe: ?resource=NAME")
	}
	match, err := resources.ParseMatch(q["match"])
	if err != nil {
		return nil, httpapi.Invalid("match", "%v", err)
	}
	var slower resources.Duration
	if v := q.Get("slower-than"); v != "" {
		if err := slower.UnmarshalText([]byte(v)); err != nil {
			return nil, httpapi.Invalid("slower-than", "%v", err)
		}
	}
	share := resources.Percent(100)
	if v := q.Get("sample"); v != "" {
		if err := share.UnmarshalText([]byte(v)); err != nil {
			return nil, httpapi.Invalid("sample", "%v", err)
		}
	}
	return s.backend.Observe(name, match, slower.D(), share)
}

// burst writes ev and what else waits, with one flush.
func burst(st *httpapi.Stream, ev Event, more <-chan Event) {
	st.Send("call", 0, ev)
	for range 256 {
		select {
		case ev, ok := <-more:
			if !ok {
				st.Flush()
				return
			}
			st.Send("call", 0, ev)
			continue
		default:
		}
		break
	}
	st.Flush()
}
