package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
)

// Error is a refusal as the client sees it.
type Error struct {
	Status  int    `json:"-"`
	Code    string `json:"code"` // one word, for programs
	Message string `json:"message"`
	Path    string `json:"path,omitempty"`       // the field that is wrong: "policy.timeout"
	Say     any    `json:"messageSay,omitempty"` // Message in a form that pages can say in another language; nil: it has none
}

func (e *Error) Error() string { return e.Message }

// NotFound says that there is no such thing.
func NotFound(format string, args ...any) *Error {
	return &Error{http.StatusNotFound, "not_found", fmt.Sprintf(format, args...), "", nil}
}

// Invalid says that what was sent is wrong; path names the field, "" when it is not one field.
func Invalid(path, format string, args ...any) *Error {
	return &Error{http.StatusBadRequest, "invalid", fmt.Sprintf(format, args...), path, nil}
}

// Conflict says that the state does not allow it.
func Conflict(format string, args ...any) *Error {
	return &Error{http.StatusConflict, "conflict", fmt.Sprintf(format, args...), "", nil}
}

// Unavailable says that it cannot be done now.
func Unavailable(format string, args ...any) *Error {
	return &Error{http.StatusServiceUnavailable, "unavailable", fmt.Sprintf(format, args...), "", nil}
}

// Unauthorized says that nobody known asks.
func Unauthorized(format string, args ...any) *Error {
	return &Error{http.StatusUnauthorized, "unauthorized", fmt.Sprintf(format, args...), "", nil}
}

// Forbidden says that whoever asks may not.
func Forbidden(format string, args ...any) *Error {
	return &Error{http.StatusForbidden, "forbidden", fmt.Sprintf(format, args...), "", nil}
}

// Changed says that a condition on an entity tag or a revision does not hold any more.
func Changed(format string, args ...any) *Error {
	return &Error{http.StatusPreconditionFailed, "changed", fmt.Sprintf(format, args...), "", nil}
}

// Fail answers with an error. One that is no [Error] is logged, and answered as an internal one.
func Fail(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	var e *Error
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &e):
	case errors.As(err, &tooLarge):
		e = &Error{http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit), "", nil}
	default:
		log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		e = &Error{http.StatusInternalServerError, "internal", err.Error(), "", nil}
	}
	Reply(w, e.Status, map[string]*Error{"error": e})
}

// Reply answers with JSON.
func Reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	enc.Encode(v) // our own types can be encoded
	text := pack(w, body.Bytes())
	w.WriteHeader(status)
	w.Write(text) // an error means that the client left
}

// NoRoute answers in our shape what a mux has no handler for; h is the mux's own answer.
func NoRoute(w http.ResponseWriter, r *http.Request, log *slog.Logger, h http.Handler) {
	probe := &statusProbe{header: http.Header{}}
	h.ServeHTTP(probe, r)
	if allow := probe.header.Get("Allow"); probe.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", allow)
		Fail(w, r, log, &Error{probe.status, "method_not_allowed", r.Method + " is not for this path: use " + allow, "", nil})
		return
	}
	Fail(w, r, log, NotFound("there is nothing at %s", Quoted(r.URL.Path)))
}

// statusProbe keeps an answer's status and header.
type statusProbe struct {
	header http.Header
	status int
}

func (p *statusProbe) Header() http.Header         { return p.header }
func (p *statusProbe) Write(b []byte) (int, error) { return len(b), nil }
func (p *statusProbe) WriteHeader(status int)      { p.status = status }
