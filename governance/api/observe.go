package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/governance/say"
	"github.com/sluice-mesh/sluice/internal/httpapi"
	"github.com/sluice-mesh/sluice/protocols/control"
	"github.com/sluice-mesh/sluice/resources"
)

// observed is an event of an agent's stream, with the agent's name in its data.
type observed struct {
	event string
	data  json.RawMessage
}

// observe streams the live calls of a resource from all its agents: the events of an agent's own stream, each with `agent`, and
// `ended` with `agent` and `message` when an agent is not watched any more. It ends when none is.
func (s *Server) observe(w http.ResponseWriter, r *http.Request) error {
	q, err := httpapi.Query(r, "resource", "match", "slower-than", "sample")
	if err != nil {
		return err
	}
	if _, err := resources.ParseMatch(q["match"]); err != nil {
		return httpapi.Invalid("match", "%v", err)
	}
	if v := q.Get("slower-than"); v != "" {
		var d resources.Duration
		if err := d.UnmarshalText([]byte(v)); err != nil {
			return httpapi.Invalid("slower-than", "%v", err)
		}
	}
	if v := q.Get("sample"); v != "" {
		var p resources.Percent
		if err := p.UnmarshalText([]byte(v)); err != nil {
			return httpapi.Invalid("sample", "%v", err)
		}
	}
	it, err := s.item(q.Get("resource"))
	if err != nil {
		return err
	}
	if err := mayAll(who(r), "observe", it.definitions); err != nil {
		return err
	}
	agents := s.serving(it.name)
	if len(agents) == 0 {
		return refuse(httpapi.Unavailable, say.Of("no.carrier", say.With{"resource": it.name}))
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	events := make(chan observed, 256)
	var open sync.WaitGroup
	for _, name := range agents {
		open.Go(func() { s.observeAgent(ctx, name, "/v1/observe?"+r.URL.RawQuery, events) })
	}
	go func() {
		open.Wait()
		close(events)
	}()
	st := httpapi.NewStream(w)
	st.Comment("watching")
	beat := time.NewTicker(httpapi.Heartbeat)
	defer beat.Stop()
	for st.Err() == nil {
		select {
		case e, ok := <-events:
			if !ok {
				return nil
			}
			st.Send(e.event, 0, e.data)
			for range len(events) { // what else waits leaves with it
				if e, ok = <-events; ok {
					st.Send(e.event, 0, e.data)
				}
			}
			st.Flush()
		case <-beat.C:
			st.Comment("alive")
		case <-ctx.Done():
			return nil
		case <-s.stopped.Done():
			return nil
		}
	}
	return nil
}

// observeAgent passes the events of one agent on until its stream or ctx ends.
func (s *Server) observeAgent(ctx context.Context, agent, path string, out chan<- observed) {
	quoted, _ := json.Marshal(agent) // a text
	send := func(event string, object []byte) {
		data := append(append([]byte(`{"agent":`), quoted...), ',')
		select {
		case out <- observed{event, append(data, object[1:]...)}:
		case <-ctx.Done():
		}
	}
	ended := func(message string) {
		object, _ := json.Marshal(struct {
			Message string `json:"message"`
		}{message})
		send("ended", object)
	}
	answers, err := s.Fleet.AskStream(ctx, agent, control.Ask{Method: http.MethodGet, Path: path})
	if err != nil {
		ended(err.Error()) // it left meanwhile
		return
	}
	var events eventReader
	for a := range answers {
		if a.Status != http.StatusOK {
			ended(messageOf(a))
			return
		}
		if err := events.read(a.Body, send); err != nil {
			ended(err.Error())
			return
		}
	}
	if ctx.Err() == nil {
		ended("the agent ended the stream")
	}
}

// messageOf is the message of an error that an agent, or the centre in its place, answered.
func messageOf(a control.Answer) string {
	var e struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(a.Body, &e) != nil || e.Error.Message == "" {
		return http.StatusText(a.Status)
	}
	return e.Error.Message
}

// longestEvent bounds what is kept of an event whose end is still to come.
const longestEvent = 1 << 20

// eventReader reads events as httpapi.Stream writes them, from pieces that end anywhere.
type eventReader struct{ rest []byte }

// read calls each with the name and the data of every event that is whole and whose data is a JSON object that is not empty. The
// data is valid until each returns. After an error it reads nothing more.
func (r *eventReader) read(piece []byte, each func(event string, object []byte)) error {
	r.rest = append(r.rest, piece...)
	for {
		text, after, whole := bytes.Cut(r.rest, []byte("\n\n"))
		if !whole {
			break
		}
		if event, object := parseEvent(text); event != "" {
			each(event, object)
		}
		r.rest = after
	}
	if len(r.rest) > longestEvent {
		return fmt.Errorf("it sends an event of more than %d bytes", longestEvent)
	}
	return nil
}

// parseEvent returns "" for anything else than an event with an object.
func parseEvent(text []byte) (event string, object []byte) {
	for line := range bytes.Lines(text) {
		line = bytes.TrimRight(line, "\n")
		if v, ok := bytes.CutPrefix(line, []byte("event: ")); ok {
			event = string(v)
		}
		if v, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
			object = v
		}
	}
	if len(object) <= len("{}") || object[0] != '{' || !json.Valid(object) {
		return "", nil
	}
	return event, object
}
