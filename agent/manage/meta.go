package manage

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"unicode/utf8"
)

// Bounds of what applications may say: whoever asks for it gets all of it.
const (
	mostPairs   = 100
	longestPair = 1024 // bytes of a name and of its value, together
)

// Metadata is what applications have the agent tell others while it runs. The zero value is empty. Its methods may be called from
// any goroutine.
type Metadata struct {
	changing sync.Mutex
	pairs    atomic.Pointer[map[string]string] // replaced whole
}

// All returns all of it, never nil. It is not changed.
func (m *Metadata) All() map[string]string {
	if p := m.pairs.Load(); p != nil {
		return *p
	}
	return map[string]string{}
}

// Update sets pairs, all or none of them.
func (m *Metadata) Update(pairs map[string]string) error {
	m.changing.Lock()
	defer m.changing.Unlock()
	next := maps.Clone(m.All())
	for k, v := range pairs {
		if k == "" || len(k)+len(v) > longestPair || !utf8.ValidString(k) || !utf8.ValidString(v) {
			return fmt.Errorf("%.60q cannot be said: a name and its value are UTF-8 and have at most %d bytes", k, longestPair)
		}
		next[k] = v
	}
	if len(next) > mostPairs {
		return fmt.Errorf("that makes %d pairs, and there may be %d: delete some before", len(next), mostPairs)
	}
	m.pairs.Store(&next)
	return nil
}

// Delete removes a pair, if it is there.
func (m *Metadata) Delete(key string) {
	m.changing.Lock()
	defer m.changing.Unlock()
	next := maps.Clone(m.All())
	delete(next, key)
	m.pairs.Store(&next)
}

// handle adds the requests below /meta/, whose method motan-go does not look at. What changes something has to be a POST here, or
// every page that a browser on this machine shows could do it.
func (m *Metadata) handle(mux *http.ServeMux) {
	form := func(do func(url.Values) (any, error)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			if err := r.ParseMultipartForm(maxBody); err != nil && !errors.Is(err, http.ErrNotMultipart) {
				result(w, nil, err)
				return
			}
			data, err := do(r.Form)
			result(w, data, err)
		}
	}
	mux.HandleFunc("POST /meta/update", form(func(f url.Values) (any, error) {
		pairs := make(map[string]string, len(f))
		for k := range f {
			pairs[k] = f.Get(k)
		}
		return "ok", m.Update(pairs)
	}))
	mux.HandleFunc("POST /meta/delete", form(func(f url.Values) (any, error) {
		m.Delete(f.Get("key"))
		return "ok", nil
	}))
	mux.HandleFunc("/meta/get", form(func(f url.Values) (any, error) {
		return map[string]string{f.Get("key"): m.All()[f.Get("key")]}, nil
	}))
	mux.HandleFunc("/meta/getAll", form(func(url.Values) (any, error) {
		return map[string]any{"meta": m.All()}, nil
	}))
}

// result writes what motan-go's agent answers to these; what failed has a status that says so.
func result(w http.ResponseWriter, data any, err error) {
	w.Header().Set("Content-Type", "application/json;charset=utf-8")
	out := map[string]any{"result": "ok", "data": data}
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		out = map[string]any{"result": "fail", "error": err.Error()}
	}
	_ = json.NewEncoder(w).Encode(out) // who asked may have gone
}
