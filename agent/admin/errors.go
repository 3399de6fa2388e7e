package admin

import (
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
	Path    string `json:"path,omitempty"` // the field that is wrong: "policy.timeout"
}

func (e *Error) Error() string { return e.Message }

// The refusals that a Backend needs.

// NotFound says that there is no such thing.
func NotFound(format string, args ...any) *Error {
	return &Error{http.StatusNotFound, "not_found", fmt.Sprintf(format, args...), ""}
}

// Invalid says that what was sent is wrong; path names the field, "" when it is not one field.
func Invalid(path, format string, args ...any) *Error {
	return &Error{http.StatusBadRequest, "invalid", fmt.Sprintf(format, args...), path}
}

// Conflict says that the state does not allow it.
func Conflict(format string, args ...any) *Error {
	return &Error{http.StatusConflict, "conflict", fmt.Sprintf(format, args...), ""}
}

// Unavailable says that it cannot be done now.
func Unavailable(format string, args ...any) *Error {
	return &Error{http.StatusServiceUnavailable, "unavailable", fmt.Sprintf(format, args...), ""}
}

func lostRace(etag string) *Error {
	return &Error{http.StatusPreconditionFailed, "changed",
		"the resource has changed meanwhile: its ETag is " + etag + "; read it again and repeat the change", ""}
}

// write answers with an error.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	var e *Error
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &e):
	case errors.As(err, &tooLarge):
		e = &Error{http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit), ""}
	default:
		s.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		e = &Error{http.StatusInternalServerError, "internal", err.Error(), ""}
	}
	reply(w, e.Status, map[string]*Error{"error": e})
}

// reply answers with JSON.
func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.Encode(v) // an error means that the client left
}

// discard is the logger of a server that was given none.
func discard(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}
