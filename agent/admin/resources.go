package admin

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/sluice-mesh/sluice/internal/httpapi"
)

func (s *Server) getResources(w http.ResponseWriter, r *http.Request) error {
	httpapi.Reply(w, http.StatusOK, map[string]any{"resources": s.backend.Resources()})
	return nil
}

func (s *Server) getResource(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	res, err := s.backend.Resource(name)
	if err != nil {
		return err
	}
	spec, etag, err := s.backend.Spec(name)
	if err != nil {
		return err
	}
	res.Config, res.ETag = json.RawMessage(spec), etag
	w.Header().Set("ETag", etag)
	httpapi.Reply(w, http.StatusOK, res)
	return nil
}

func (s *Server) getEndpoints(w http.ResponseWriter, r *http.Request) error {
	list, err := s.backend.Endpoints(r.PathValue("name"))
	return listOf(w, "endpoints", list, err)
}

func (s *Server) getOperations(w http.ResponseWriter, r *http.Request) error {
	list, err := s.backend.Operations(r.PathValue("name"))
	return listOf(w, "operations", list, err)
}

func (s *Server) getSessions(w http.ResponseWriter, r *http.Request) error {
	list, err := s.backend.Sessions(r.PathValue("name"))
	return listOf(w, "sessions", list, err)
}

// listOf answers {"key": [...]}; an empty list is [] and never null.
func listOf[T any](w http.ResponseWriter, key string, list []T, err error) error {
	if err != nil {
		return err
	}
	if list == nil {
		list = []T{}
	}
	httpapi.Reply(w, http.StatusOK, map[string]any{key: list})
	return nil
}

// getConfig answers the spec alone: what PUT takes.
func (s *Server) getConfig(w http.ResponseWriter, r *http.Request) error {
	spec, etag, err := s.backend.Spec(r.PathValue("name"))
	if err != nil {
		return err
	}
	w.Header().Set("ETag", etag)
	if none := r.Header.Get("If-None-Match"); none != "" && httpapi.MatchTag(none, etag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	httpapi.Reply(w, http.StatusOK, json.RawMessage(spec))
	return nil
}

func (s *Server) putResource(w http.ResponseWriter, r *http.Request) error {
	body, err := httpapi.Body(r)
	if err != nil {
		return err
	}
	return s.change(w, r, func([]byte) ([]byte, error) { return body, nil })
}

// patchResource merges the body into the spec (RFC 7396): null removes a key, objects are merged, all else replaces.
func (s *Server) patchResource(w http.ResponseWriter, r *http.Request) error {
	body, err := httpapi.Body(r)
	if err != nil {
		return err
	}
	patch, err := decodeAny(body)
	if err != nil {
		return err
	}
	if _, ok := patch.(map[string]any); !ok {
		return httpapi.Invalid("", "a patch is an object, such as {\"policy\": {\"timeout\": \"2s\"}}")
	}
	name := r.PathValue("name")
	return s.change(w, r, func(current []byte) ([]byte, error) {
		if current == nil {
			return nil, httpapi.NotFound("there is no resource %s: create it by PUT", httpapi.Quoted(name))
		}
		spec, err := decodeAny(current)
		if err != nil {
			return nil, err
		}
		return json.Marshal(merge(spec, patch))
	})
}

func (s *Server) change(w http.ResponseWriter, r *http.Request, edit func([]byte) ([]byte, error)) error {
	if _, err := httpapi.Query(r); err != nil {
		return err
	}
	etag, created, err := s.backend.Change(r.PathValue("name"), httpapi.Client(r), checkOf(r.Header), edit)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", etag)
	status := http.StatusOK
	if created {
		status = http.StatusCreated
		w.Header().Set("Location", r.URL.Path)
	}
	spec, _, err := s.backend.Spec(r.PathValue("name"))
	if err != nil { // removed again meanwhile
		httpapi.Reply(w, status, struct{}{})
		return nil
	}
	httpapi.Reply(w, status, json.RawMessage(spec))
	return nil
}

func (s *Server) deleteResource(w http.ResponseWriter, r *http.Request) error {
	if _, err := httpapi.Query(r); err != nil {
		return err
	}
	if err := s.backend.Remove(r.PathValue("name"), httpapi.Client(r), checkOf(r.Header)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// checkOf turns If-Match and If-None-Match into a check (RFC 9110, section 13).
func checkOf(h http.Header) Check {
	match, none := h.Get("If-Match"), h.Get("If-None-Match")
	return func(exists bool, etag string) error {
		if match != "" && (!exists || !httpapi.MatchTag(match, etag)) {
			if !exists {
				etag = "none, it does not exist"
			}
			return lostRace(etag)
		}
		if none != "" && exists && httpapi.MatchTag(none, etag) {
			return lostRace(etag)
		}
		return nil
	}
}

// decodeAny decodes one JSON value and keeps its numbers as they are written.
func decodeAny(body []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, httpapi.Invalid("", "the body is not JSON: %v", err)
	}
	if dec.More() {
		return nil, httpapi.Invalid("", "more than one JSON value")
	}
	return v, nil
}

// merge applies a merge patch. The target is changed.
func merge(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	t, ok := target.(map[string]any)
	if !ok {
		t = map[string]any{}
	}
	for k, v := range p {
		if v == nil {
			delete(t, k)
			continue
		}
		t[k] = merge(t[k], v)
	}
	return t
}
