package discovery

import (
	"bytes"
	"sync"
	"time"
)

// Health keeps what [Status] says of a source's connection and watches. Make it with NewHealth.
type Health struct {
	mu     sync.Mutex
	status Status // guarded by mu
	last   string // guarded by mu: the last failure, which becomes Error when the connection goes
}

// NewHealth returns the health of a source that is not connected yet.
func NewHealth() *Health {
	return &Health{status: Status{Since: time.Now(), Error: "not connected yet"}}
}

// Failed notes why a connection could not be made or broke.
func (h *Health) Failed(server string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = err.Error()
	if !h.status.Connected {
		h.status.Server, h.status.Error = server, h.last
	}
}

// Up notes a connection, and whether it began a new session. It reports whether the source was not connected before.
func (h *Health) Up(server string, session bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if session {
		h.status.Sessions++
	}
	h.status.Server = server
	if h.status.Connected {
		return false
	}
	h.status.Connected, h.status.Since, h.status.Error, h.last = true, time.Now(), "", ""
	return true
}

// Down notes that the connection is lost, for the reason that Failed was told last. It reports whether there was one.
func (h *Health) Down() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.status.Connected {
		return false
	}
	h.status.Connected, h.status.Since, h.status.Error = false, time.Now(), h.last
	if h.last == "" {
		h.status.Error = "the connection was lost"
	}
	return true
}

// Watching counts a watch until the returned function is called.
func (h *Health) Watching() (done func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status.Watches++
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.status.Watches--
	}
}

// Reported counts a report.
func (h *Health) Reported() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status.Reports++
}

// Status returns what is known, without announcements.
func (h *Health) Status() Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.status
}

// Documents returns what a watch of commands calls with each document that it gets: report hears of those that are others than the one
// before, without white space around them, and of nil when there is none. It is called by one goroutine.
func (h *Health) Documents(report func(json []byte)) func(text []byte) {
	var last []byte
	told := false
	return func(text []byte) {
		document := bytes.TrimSpace(text)
		if told && bytes.Equal(document, last) {
			return
		}
		told, last = true, bytes.Clone(document)
		h.Reported()
		if len(document) == 0 {
			report(nil)
			return
		}
		report(bytes.Clone(document))
	}
}
