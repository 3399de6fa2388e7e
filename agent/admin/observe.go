package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

const (
	// heartbeat keeps a quiet stream alive through proxies, and finds out that the reader left.
	heartbeat = 15 * time.Second
	// streamWrite is the longest wait for a reader that takes nothing.
	streamWrite = 10 * time.Second
)

// observe streams live calls as server-sent events: `call` with an [Event], `dropped` with the number of calls that the
// reader was too slow for.
func (s *Server) observe(w http.ResponseWriter, r *http.Request) error {
	q, err := knownQuery(r, "resource", "match", "slower-than")
	if err != nil {
		return err
	}
	watch, err := s.watch(q)
	if err != nil {
		return err
	}
	defer watch.Cancel()
	w.Header().Set("Content-Type", "text/event-stream")
	st := &stream{w: w, rc: http.NewResponseController(w)}
	st.rc.SetReadDeadline(time.Time{}) // the request has been read; the connection stays open while it is watched
	w.WriteHeader(http.StatusOK)
	st.comment("watching")
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	told := watch.Dropped()
	for st.err == nil {
		select {
		case ev, ok := <-watch.Events:
			if !ok {
				return nil
			}
			st.burst(ev, watch.Events)
		case <-beat.C:
			st.comment("alive")
		case <-r.Context().Done():
			return nil
		case <-s.stopped.Done():
			return nil
		}
		if d := watch.Dropped(); d > told {
			st.send("dropped", map[string]uint64{"calls": d - told})
			st.flush()
			told = d
		}
	}
	return nil
}

func (s *Server) watch(q url.Values) (*Watch, error) {
	name := q.Get("resource")
	if name == "" {
		return nil, Invalid("resource", "name the resource to observe: ?resource=NAME")
	}
	match, err := resources.ParseMatch(q["match"])
	if err != nil {
		return nil, Invalid("match", "%v", err)
	}
	var slower resources.Duration
	if v := q.Get("slower-than"); v != "" {
		if err := slower.UnmarshalText([]byte(v)); err != nil {
			return nil, Invalid("slower-than", "%v", err)
		}
	}
	return s.backend.Observe(name, match, slower.D())
}

// stream writes server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html). After an error it
// writes nothing more.
type stream struct {
	w   http.ResponseWriter
	rc  *http.ResponseController
	err error
}

// burst writes ev and what else waits, with one flush.
func (st *stream) burst(ev Event, more <-chan Event) {
	st.send("call", ev)
	for range 256 {
		select {
		case ev, ok := <-more:
			if !ok {
				st.flush()
				return
			}
			st.send("call", ev)
			continue
		default:
		}
		break
	}
	st.flush()
}

func (st *stream) send(event string, v any) {
	if st.err != nil {
		return
	}
	data, err := json.Marshal(v)
	if err == nil {
		st.rc.SetWriteDeadline(time.Now().Add(streamWrite))
		_, err = fmt.Fprintf(st.w, "event: %s\ndata: %s\n\n", event, data)
	}
	st.err = err
}

func (st *stream) comment(text string) {
	st.rc.SetWriteDeadline(time.Now().Add(streamWrite))
	if _, err := fmt.Fprintf(st.w, ": %s\n\n", text); err != nil {
		st.err = err
	}
	st.flush()
}

func (st *stream) flush() {
	if err := st.rc.Flush(); err != nil && st.err == nil {
		st.err = err
	}
}
