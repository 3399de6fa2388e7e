package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

const (
	// Heartbeat keeps a quiet stream alive through proxies, and finds out that the reader left.
	Heartbeat = 15 * time.Second
	// streamWrite is the longest wait for a reader that takes nothing.
	streamWrite = 10 * time.Second
)

// Stream writes server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html). After an error it
// writes nothing more.
type Stream struct {
	w   http.ResponseWriter
	rc  *http.ResponseController
	err error
}

// NewStream answers a request with a stream, which stays open as long as it is written to.
func NewStream(w http.ResponseWriter) *Stream {
	w.Header().Set("Content-Type", "text/event-stream")
	st := &Stream{w: w, rc: http.NewResponseController(w)}
	st.rc.SetReadDeadline(time.Time{}) // the request has been read; recorders of tests have no deadlines
	w.WriteHeader(http.StatusOK)
	return st
}

// Err returns why the stream is over; nil: it is not.
func (st *Stream) Err() error { return st.err }

// Send writes an event; id 0: without one. Flush makes it leave.
func (st *Stream) Send(event string, id uint64, v any) {
	if st.err != nil {
		return
	}
	data, err := json.Marshal(v)
	if err != nil {
		st.err = err
		return
	}
	head := "event: " + event + "\n"
	if id != 0 {
		head += "id: " + strconv.FormatUint(id, 10) + "\n"
	}
	st.rc.SetWriteDeadline(time.Now().Add(streamWrite))
	_, st.err = fmt.Fprintf(st.w, "%sdata: %s\n\n", head, data)
}

// Comment writes what readers ignore, and flushes.
func (st *Stream) Comment(text string) {
	if st.err != nil {
		return
	}
	st.rc.SetWriteDeadline(time.Now().Add(streamWrite))
	_, st.err = fmt.Fprintf(st.w, ": %s\n\n", text)
	st.Flush()
}

// Flush makes what was written leave.
func (st *Stream) Flush() {
	if st.err == nil {
		st.err = st.rc.Flush()
	}
}
