package agent

import (
	"bytes"
	"context"
	"net/http"

	wire "github.com/sluice-mesh/sluice/protocols/control"
)

// answerChunk is the most of a body that one Answer carries: far below what a frame may hold.
const answerChunk = 256 << 10

// Ask implements link.Local: a question is a request to the admin interface, which answers reads and dry runs alone.
func (c *center) Ask(ctx context.Context, q wire.Ask, send func(wire.Answer) error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &answer{send: send, cancel: cancel, header: http.Header{}}
	r, err := http.NewRequestWithContext(ctx, q.Method, "http://localhost/", bytes.NewReader(q.Body))
	if err == nil {
		r.URL, err = r.URL.Parse(q.Path)
	}
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		w.Write([]byte(`{"error":{"code":"invalid","message":"this is no request"}}`))
	} else {
		c.a.admin.ServeLocal(w, r)
	}
	w.end()
}

// answer turns what a handler writes into Answers: one for a short body, one for each flush of a stream. When an Answer
// cannot be sent the handler's context ends.
type answer struct {
	send   func(wire.Answer) error
	cancel func()
	header http.Header
	status int
	body   []byte
	err    error
}

func (w *answer) Header() http.Header { return w.header }

func (w *answer) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *answer) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.body = append(w.body, b...)
	for len(w.body) > answerChunk && w.err == nil {
		rest := w.body[answerChunk:]
		w.put(w.body[:answerChunk], true)
		w.body = append([]byte(nil), rest...)
	}
	return len(b), w.err
}

// FlushError implements what http.ResponseController asks for.
func (w *answer) FlushError() error {
	if len(w.body) > 0 {
		w.put(w.body, true)
		w.body = w.body[:0]
	}
	return w.err
}

func (w *answer) put(body []byte, more bool) {
	if w.err != nil {
		return
	}
	if w.err = w.send(wire.Answer{Status: w.status, Body: body, More: more}); w.err != nil {
		w.cancel()
	}
}

func (w *answer) end() {
	w.WriteHeader(http.StatusOK)
	w.put(w.body, false)
}
